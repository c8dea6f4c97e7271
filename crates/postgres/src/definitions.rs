//! What a restored database is made of, against what the archive says: definitions compared by pg_dump's own words.
//!
//! Both sides are tables of contents: the backup's own, and that of a `pg_dump --schema-only` of the restored database by the same
//! major (and of one of its large objects, where there are any). The source is never asked: it has moved on. Rows and sequences' values are compared elsewhere (`compare.rs`).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::time::Duration;

use howdah_archive::scanner::{Scanner, Sink};
use howdah_archive::toc::TocEntry;
use howdah_domain::drill::{DefinitionDifference, Difference};
use howdah_domain::{Connection, FailureCode, Secret};
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::contents::reading;
use crate::dump::Dump;
use crate::programs::Client;
use crate::restore::joined;
use crate::running::ignore_lines;
use crate::script::tokens;
use crate::selection::Chosen;

/// How long pg_dump waits for a lock on the restored database, which nobody else uses.
const LOCK_WAIT: Duration = Duration::from_secs(60);

/// What stands in a table of contents and defines nothing, or is compared elsewhere.
const NOT_COMPARED: [&str; 11] = [
    "ENCODING",
    "STDSTRINGS",
    "SEARCHPATH",
    "DATABASE",
    "DATABASE PROPERTIES",
    "TABLE DATA",
    "MATERIALIZED VIEW DATA",
    "SEQUENCE SET",
    "BLOBS",
    "STATISTICS DATA",
    "DUMP TIMESTAMP",
];

/// A large object (before 17), or several of one owner and with the same privileges.
const LARGE_OBJECTS: [&str; 2] = ["BLOB", "BLOB METADATA"];

/// What names a definition: pg_dump's word for its kind, its schema, its tag (a function's has its argument types).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// `TABLE`, `INDEX`, `FUNCTION`, …
    pub kind: String,
    /// Its schema, where it has one.
    pub schema: Option<String>,
    /// Its name.
    pub tag: String,
}

impl Key {
    /// For people: `public.orders`.
    pub fn name(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{schema}.{}", self.tag),
            None => self.tag.clone(),
        }
    }
}

/// The definitions of a table of contents. Several may have one key (comments on overloaded things): each is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Definitions {
    by_key: BTreeMap<Key, Vec<Definition>>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Definition {
    sql: Vec<u8>,
    owner: String,
}

impl Definitions {
    /// Whether there are large objects among them.
    fn has_large_objects(&self) -> bool {
        let mut kinds = self.by_key.keys().map(|key| key.kind.as_str());
        kinds.any(|kind| LARGE_OBJECTS.contains(&kind))
    }

    /// Reads them off the front of an archive. Blocks as its reader does.
    ///
    /// # Errors
    /// [`FailureCode::BackupDamaged`] where it is no archive or ends inside its table of contents.
    pub fn read(mut archive: impl Read) -> Result<Self, Error> {
        let mut scanner = Scanner::new();
        let mut gathered = Gathered::default();
        let mut buffer = vec![0; 256 * 1024];
        while !gathered.complete {
            let read = match archive.read(&mut buffer) {
                Ok(0) => {
                    return Err(Error::new(
                        FailureCode::BackupDamaged,
                        "The table of contents ends too early.",
                    ));
                }
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(reading(error)),
            };
            scanner
                .push(&buffer[..read], &mut gathered)
                .map_err(|error| Error::from(error.to_failure()))?;
        }
        for all in gathered.definitions.by_key.values_mut() {
            all.sort();
        }
        Ok(gathered.definitions)
    }

    /// Reads from a restored database, with pg_dump, what these (the backup's) are to be compared with.
    ///
    /// # Errors
    /// pg_dump's; [`Error::Cancelled`].
    pub async fn of_restored(
        &self,
        client: &Client,
        connection: &Connection,
        secret: Option<&Secret>,
        encoding: &str,
        cancel: &CancellationToken,
    ) -> Result<Self, Error> {
        let restored = |flags: &[&str]| {
            let chosen = Chosen {
                flags: flags.iter().map(OsString::from).collect(),
                encoding: encoding.to_owned(),
                settings: BTreeMap::new(),
                warnings: Vec::new(),
            };
            async move { Self::dumped(client, connection, secret, &chosen, cancel).await }
        };
        let mut all = restored(&["--schema-only"]).await?;
        if self.has_large_objects() {
            // They count as data, and so do their owners, privileges and comments.
            let flags = ["--data-only", "--blobs", "--exclude-table-data=*.*"];
            all.by_key.extend(restored(&flags).await?.by_key);
        }
        Ok(all)
    }

    async fn dumped(
        client: &Client,
        connection: &Connection,
        secret: Option<&Secret>,
        chosen: &Chosen,
        cancel: &CancellationToken,
    ) -> Result<Self, Error> {
        let mut running = Dump {
            client,
            connection,
            secret,
            chosen,
            lock_wait: LOCK_WAIT,
            verbose: false,
        }
        .spawn(ignore_lines())?;
        let stdout = running
            .take_stdout()
            .expect("BUG: stdout was asked for as a pipe");
        let reader = tokio::task::spawn_blocking(move || {
            let mut stdout = stdout;
            let read = Self::read(&mut stdout);
            // A program with a full pipe never ends.
            let _ = std::io::copy(&mut stdout, &mut std::io::sink());
            read
        });
        running.wait(cancel).await?;
        joined(reader.await)?
    }

    /// What of these (the backup's) is not so in the restored database's, by kind and name.
    pub fn differences(&self, restored: &Self) -> Vec<DefinitionDifference> {
        let mut differences = Vec::new();
        let told = |key: &Key, difference| DefinitionDifference {
            kind: key.kind.clone(),
            name: key.name(),
            difference,
        };
        for (key, ours) in &self.by_key {
            match restored.by_key.get(key) {
                None => differences.push(told(key, Difference::Missing)),
                Some(theirs) if ours != theirs => differences.push(told(key, Difference::Changed)),
                Some(_) => {}
            }
        }
        for key in restored.by_key.keys() {
            if !self.by_key.contains_key(key) {
                differences.push(told(key, Difference::Unexpected));
            }
        }
        differences
    }
}

/// A definition as it can be compared. A policy's roles stand in the order of their OIDs, which are others in another cluster.
fn comparable(kind: &str, sql: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(sql) {
        Ok(sql) if kind == "POLICY" => {
            let mut words: Vec<&str> = tokens(sql).iter().map(|token| token.text).collect();
            if let Some(to) = words.iter().position(|word| *word == "TO") {
                let ends = |word: &&str| matches!(*word, "USING" | "WITH" | ";");
                let roles = &mut words[to + 1..];
                let end = roles.iter().position(ends).unwrap_or(roles.len());
                roles[..end].sort_unstable();
            }
            words.join(" ").into_bytes()
        }
        _ => sql.to_vec(),
    }
}

#[derive(Default)]
struct Gathered {
    definitions: Definitions,
    complete: bool,
}

impl Sink for Gathered {
    fn toc_entry(&mut self, entry: &TocEntry<'_>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (kind, tag) = (text(entry.kind), text(entry.tag));
        let of = |what: &str| {
            matches!(kind.as_str(), "COMMENT" | "ACL" | "SECURITY LABEL") && tag.starts_with(what)
        };
        // What belongs to the database as a whole has another name there.
        if of("DATABASE ") || NOT_COMPARED.contains(&kind.as_str()) {
            return;
        }
        let key = Key {
            kind,
            schema: entry.namespace.map(text),
            tag,
        };
        let definition = Definition {
            sql: comparable(&key.kind, entry.definition),
            owner: entry.owner.map(text).unwrap_or_default(),
        };
        self.definitions.by_key.entry(key).or_default().push(definition);
    }

    fn toc_end(&mut self, _offset: u64) {
        self.complete = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_order_of_a_policys_roles_may_differ() {
        let policy = |sql: &str| comparable("POLICY", sql.as_bytes());
        let ours = policy("CREATE POLICY p ON t FOR ALL TO b, a USING (x = y) WITH CHECK (v = w);");
        let theirs = "CREATE POLICY p ON t FOR ALL TO a, b USING (x = y) WITH CHECK (v = w);";
        assert_eq!(ours, policy(theirs));
        let swapped = "CREATE POLICY p ON t FOR ALL TO a, b USING (v = w) WITH CHECK (x = y);";
        assert_ne!(ours, policy(swapped));
        assert_ne!(
            ours,
            policy("CREATE POLICY p ON t FOR ALL TO a USING (x = y) WITH CHECK (v = w);")
        );
    }
}
