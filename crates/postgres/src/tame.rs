//! What a restore into a throw-away instance leaves out or alters, so that it reaches nobody else and is not held up by what this
//! machine cannot have.
//!
//! Decided from the archive's table of contents before the first entry is restored, since the order matters: a materialized view
//! over a foreign table logs in elsewhere as soon as it is filled. What is left out takes along what depends on it. The rest of the
//! archive stays as it is; some definitions are exchanged in its front ([`Tamed::rewrite`]).
//!
//! How pg_dump 13 to 18 name these entries, tried out: `USER MAPPING` (tag `USER MAPPING role SERVER server`; no dependencies),
//! `SUBSCRIPTION` (with `connect = false`), `MATERIALIZED VIEW DATA` (`REFRESH …`; depends on its view and on the data of others),
//! `SERVER`, `FOREIGN TABLE`, `EVENT TRIGGER`, `SECURITY LABEL`, `EXTENSION`. What uses an extension's type or function depends on the
//! `EXTENSION` entry.

use std::collections::{BTreeSet, HashMap, HashSet};

use howdah_domain::{FailureCode, TableName};
use serde::{Deserialize, Serialize};

use crate::contents::{Contents, Item, LZ4, holds};
use crate::needs::is_lz4;
use crate::script::tokens;
use crate::{Error, quote};

mod machine;

pub use machine::Machine;

/// Extensions whose functions open connections to elsewhere.
const REACHING: [&str; 7] = [
    "dblink",
    "http",
    "pg_net",
    "plproxy",
    "plsh",
    "aws_s3",
    "aws_lambda",
];

/// Settings of a database that load libraries into every session: one that is missing keeps everybody out.
const LOADING: [&str; 2] = ["session_preload_libraries", "local_preload_libraries"];

/// Why something was left out or altered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It would reach out, or run by itself.
    ReachesOut,
    /// This machine's PostgreSQL does not have what it needs.
    Lacks,
}

/// Something that an isolated restore did not make as the archive has it. Not a failure of the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// pg_dump's word for it: `TABLE`, `USER MAPPING`.
    pub kind: String,
    /// Its schema.
    pub schema: Option<String>,
    /// Its name.
    pub name: String,
    /// Why, for programs.
    pub why: Why,
    /// Why, for people: `it needs the extension postgis, which is not on this machine`.
    pub because: String,
    /// Whether it was made all the same, in another way.
    pub altered: bool,
}

impl LeftOut {
    /// The table whose rows are not there, where it is one.
    pub fn table(&self) -> Option<TableName> {
        (self.kind == "TABLE DATA" && !self.altered).then(|| TableName {
            schema: self.schema.clone().unwrap_or_default(),
            name: self.name.clone(),
        })
    }

    /// For people.
    pub fn sentence(&self) -> String {
        let what = match &self.schema {
            Some(schema) => format!("{} {schema}.{}", self.kind, self.name),
            None if self.name.starts_with(&self.kind) => self.name.clone(),
            None => format!("{} {}", self.kind, self.name),
        };
        let done = if self.altered {
            "was altered"
        } else {
            "was left out"
        };
        format!("{what} {done}: {}.", self.because)
    }

    fn of(item: &Item, why: Why, because: String, altered: bool) -> Self {
        Self {
            kind: item.kind.clone(),
            schema: item.schema.clone(),
            name: item.tag.clone(),
            why,
            because,
            altered,
        }
    }
}

/// What an isolated restore does otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tamed {
    /// What is left out or altered, in the archive's order.
    pub left_out: Vec<LeftOut>,
    /// Statements to run in the database before the first entry: the server's own collations that are missing.
    pub before: Vec<String>,
    /// Entries that are not to be restored.
    ids: HashSet<i32>,
    /// Definitions, as they are in the archive and as they are to be, in its order.
    changes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Decides it, for a restore into a database of which `machine` tells. `wanted` are the entries that are to be restored at all.
pub fn tame(contents: &Contents, machine: &Machine, wanted: impl Fn(i32) -> bool) -> Tamed {
    let items: Vec<&Item> = contents
        .items
        .iter()
        .filter(|item| wanted(item.dump_id))
        .collect();
    let mut reasons: HashMap<i32, (Why, String)> = HashMap::new();
    for item in &items {
        if let Some(reason) = reason(item, machine) {
            reasons.insert(item.dump_id, reason);
        }
    }
    for (id, reason) in filled_from_elsewhere(&items) {
        reasons.entry(id).or_insert(reason);
    }
    take_along(&items, &mut reasons);
    let mut tamed = Tamed::default();
    for item in &items {
        if let Some((why, because)) = reasons.get(&item.dump_id) {
            tamed.ids.insert(item.dump_id);
            tamed
                .left_out
                .push(LeftOut::of(item, *why, because.clone(), false));
        } else if let Some((definition, why, because)) = altered(item, machine) {
            tamed.changes.push((item.definition.clone(), definition));
            tamed.left_out.push(LeftOut::of(item, why, because, true));
        }
    }
    for name in &machine.missing_collations {
        tamed.before.push(format!(
            "CREATE COLLATION pg_catalog.{} (provider = libc, locale = 'C')",
            quote::ident(name)
        ));
        tamed.left_out.push(LeftOut {
            kind: "COLLATION".to_owned(),
            schema: Some("pg_catalog".to_owned()),
            name: name.clone(),
            why: Why::Lacks,
            because: "this machine does not have its locale, so it sorts by bytes".to_owned(),
            altered: true,
        });
    }
    tamed
}

/// Why an entry is left out for its own sake.
fn reason(item: &Item, machine: &Machine) -> Option<(Why, String)> {
    let name = &item.tag;
    Some(match item.kind.as_str() {
        "USER MAPPING" => (
            Why::ReachesOut,
            "with it, foreign tables would log in on another server".to_owned(),
        ),
        "SUBSCRIPTION" | "SUBSCRIPTION TABLE" => (
            Why::ReachesOut,
            "it would fetch changes from another server".to_owned(),
        ),
        "EXTENSION" if !machine.extensions.contains(name) => {
            (Why::Lacks, format!("the extension {name} is not on this machine"))
        }
        "EXTENSION" if REACHING.contains(&name.as_str()) => (
            Why::ReachesOut,
            format!("the extension {name} opens connections to elsewhere"),
        ),
        "SECURITY LABEL" => (
            Why::Lacks,
            "security labels need a provider's module in the server".to_owned(),
        ),
        _ => return None,
    })
}

/// Materialized views that would be filled from a foreign table, by whatever views, functions and partitions stand between.
fn filled_from_elsewhere(items: &[&Item]) -> Vec<(i32, (Why, String))> {
    // Each entry that rows of a foreign table come through, with that table.
    let mut foreign: HashMap<i32, String> = items
        .iter()
        .filter(|item| item.kind == "FOREIGN TABLE")
        .map(|item| (item.dump_id, item.label()))
        .collect();
    if foreign.is_empty() {
        return Vec::new();
    }
    let tables: HashSet<i32> = items
        .iter()
        .filter(|item| item.kind == "TABLE")
        .map(|item| item.dump_id)
        .collect();
    loop {
        let before = foreign.len();
        for item in items {
            let from = item.dependencies.iter().find_map(|id| foreign.get(id)).cloned();
            // Rows of a foreign table that is a partition, or inherits, come out of its parent.
            let up = match (item.kind.as_str(), &from) {
                ("FOREIGN TABLE", _) => Some(item.label()),
                ("TABLE ATTACH", Some(from)) => Some(from.clone()),
                _ => None,
            };
            if let Some(table) = up {
                for id in item.dependencies.iter().filter(|id| tables.contains(id)) {
                    foreign.entry(*id).or_insert_with(|| table.clone());
                }
            }
            let passes = matches!(
                item.kind.as_str(),
                "VIEW" | "MATERIALIZED VIEW" | "MATERIALIZED VIEW DATA" | "FUNCTION" | "PROCEDURE" | "RULE"
            );
            if let (true, Some(table)) = (passes, from) {
                foreign.entry(item.dump_id).or_insert(table);
            }
        }
        if foreign.len() == before {
            break;
        }
    }
    items
        .iter()
        .filter(|item| item.kind == "MATERIALIZED VIEW DATA")
        .filter_map(|item| {
            let table = foreign.get(&item.dump_id)?;
            let because = format!("it would be filled from another server, through {table}");
            Some((item.dump_id, (Why::ReachesOut, because)))
        })
        .collect()
}

/// What depends on something left out is left out for the same reason, or the server would refuse it.
fn take_along(items: &[&Item], reasons: &mut HashMap<i32, (Why, String)>) {
    loop {
        let before = reasons.len();
        for item in items {
            if reasons.contains_key(&item.dump_id) {
                continue;
            }
            let needed = item.dependencies.iter().find_map(|id| reasons.get(id));
            if let Some((why, because)) = needed.cloned() {
                let because = match because.strip_prefix("it needs something else: ") {
                    Some(_) => because,
                    None => format!("it needs something else: {because}"),
                };
                reasons.insert(item.dump_id, (why, because));
            }
        }
        if reasons.len() == before {
            return;
        }
    }
}

/// An entry's definition as it is to be instead, and why.
fn altered(item: &Item, machine: &Machine) -> Option<(Vec<u8>, Why, String)> {
    let sql = &item.definition;
    match item.kind.as_str() {
        // Whatever is hidden in functions' bodies: without its handler no foreign table gives rows.
        "SERVER" => {
            let wrapper = wrapper(sql)?;
            let mut definition = sql.clone();
            definition.extend_from_slice(b"\nALTER FOREIGN DATA WRAPPER ");
            definition.extend_from_slice(&wrapper);
            definition.extend_from_slice(b" NO HANDLER;\n");
            let because = "its foreign tables give no rows, so that nobody is asked for them";
            Some((definition, Why::ReachesOut, because.to_owned()))
        }
        "EVENT TRIGGER" => {
            let text = one_char_per_byte(sql);
            let name = tokens(&text).get(3).map(|token| bytes(token.text))?;
            let mut definition = sql.clone();
            definition.extend_from_slice(b"\nALTER EVENT TRIGGER ");
            definition.extend_from_slice(&name);
            definition.extend_from_slice(b" DISABLE;\n");
            let because = "it is switched off, since it would run by itself";
            Some((definition, Why::ReachesOut, because.to_owned()))
        }
        "COLLATION" if machine.lacking.contains(&item.dump_id) => {
            let text = one_char_per_byte(sql);
            let options = tokens(&text).into_iter().find(|token| token.text == "(")?;
            let mut definition = bytes(&text[..options.at]);
            definition.extend_from_slice(b"(provider = libc, locale = 'C');\n");
            let because = "this machine does not have its locale, so it sorts by bytes";
            Some((definition, Why::Lacks, because.to_owned()))
        }
        _ if !machine.lz4 && holds(sql, LZ4) => {
            let text = one_char_per_byte(sql);
            let kept = without_lz4(&text);
            (kept != text).then(|| {
                let because =
                    "this machine's PostgreSQL is built without lz4, so its columns are compressed otherwise";
                (bytes(&kept), Why::Lacks, because.to_owned())
            })
        }
        _ => None,
    }
}

/// The foreign-data wrapper of a `CREATE SERVER`, as it is written there. The three words are reserved or quoted elsewhere.
fn wrapper(sql: &[u8]) -> Option<Vec<u8>> {
    let text = one_char_per_byte(sql);
    let tokens = tokens(&text);
    let at = tokens.windows(3).position(|words| {
        words[0].is_word("FOREIGN") && words[1].is_word("DATA") && words[2].is_word("WRAPPER")
    })?;
    tokens.get(at + 3).map(|token| bytes(token.text))
}

/// A definition without the statements that ask for lz4; everything else stays as it is, byte for byte.
fn without_lz4(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut start = 0;
    for token in tokens(text) {
        if token.text != ";" {
            continue;
        }
        let end = token.at + 1;
        let statement = &text[start..end];
        if !is_lz4(statement.trim().trim_end_matches(';')) {
            kept.push_str(statement);
        }
        start = end;
    }
    kept.push_str(&text[start..]);
    kept
}

/// Bytes as characters of the same numbers: what is ASCII stays so in every encoding of a server, and can be cut into tokens.
fn one_char_per_byte(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// The way back.
fn bytes(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?'))
        .collect()
}

impl Tamed {
    /// Whether an entry is to be restored.
    pub fn keeps(&self, dump_id: i32) -> bool {
        !self.ids.contains(&dump_id)
    }

    /// Whether anything is left out.
    pub fn leaves_out(&self) -> bool {
        !self.ids.is_empty()
    }

    /// Exchanges the definitions in the archive's front: its header and table of contents, whatever follows them. Lengths may
    /// change: where data lies does not stand in an archive that pg_dump wrote into a pipe.
    ///
    /// A text of the archive has its length before it, whose first byte is zero, which no text of PostgreSQL's holds: so a
    /// definition with its length is found at its own place only.
    ///
    /// # Errors
    /// [`FailureCode::Internal`] where a definition is not there.
    pub fn rewrite(&self, front: &mut Vec<u8>) -> Result<(), Error> {
        if self.changes.is_empty() {
            return Ok(());
        }
        let mut written = Vec::with_capacity(front.len() + 4096);
        let mut from = 0;
        for (old, new) in &self.changes {
            let (pattern, replacement) = (with_length(old), with_length(new));
            let (Some(pattern), Some(replacement)) = (pattern, replacement) else {
                return Err(lost());
            };
            let at = find(&front[from..], &pattern).ok_or_else(lost)? + from;
            written.extend_from_slice(&front[from..at]);
            written.extend_from_slice(&replacement);
            from = at + pattern.len();
        }
        written.extend_from_slice(&front[from..]);
        *front = written;
        Ok(())
    }

    /// Statements that belong to the database as a whole, without those that an instance of this machine cannot run.
    pub(crate) fn of_database(&mut self, name: &str, statements: &mut Vec<String>) {
        statements.retain(|statement| {
            let words = tokens(statement);
            let because = if words.first().is_some_and(|word| word.is_word("SECURITY")) {
                "security labels need a provider's module in the server"
            } else if words
                .iter()
                .any(|word| LOADING.iter().any(|setting| word.is_word(setting)))
            {
                "it loads libraries into every session, which may not be on this machine"
            } else {
                return true;
            };
            self.left_out.push(LeftOut {
                kind: "DATABASE PROPERTIES".to_owned(),
                schema: None,
                name: name.to_owned(),
                why: Why::Lacks,
                because: because.to_owned(),
                altered: false,
            });
            false
        });
    }

    /// Whether an error of the restore comes from what was left out: a materialized view whose function reads, out of sight of the table
    /// of contents, what is not to be had here.
    pub(crate) fn explains(&self, object: &str, error: &str) -> bool {
        if !object.starts_with("MATERIALIZED VIEW DATA ") {
            return false;
        }
        let extensions: BTreeSet<&str> = self
            .left_out
            .iter()
            .filter(|left| left.kind == "EXTENSION")
            .map(|left| left.name.as_str())
            .collect();
        error.contains("has no handler")
            || error.contains("user mapping not found")
            || (error.contains("has not been populated") && self.leaves_out())
            || (error.contains("does not exist") && extensions.iter().any(|name| speaks_of(error, name)))
    }
}

/// Whether a text names something: as a word of its own, not as a part of one.
fn speaks_of(text: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
    text.match_indices(name)
        .any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + name.len()..].starts_with(is_part))
}

fn lost() -> Error {
    Error::new(
        FailureCode::Internal,
        "A definition was not found in the archive that it was read from.",
    )
}

/// A text as the archive writes it: sign, length, bytes.
fn with_length(text: &[u8]) -> Option<Vec<u8>> {
    let len = u32::try_from(text.len()).ok()?;
    let mut written = vec![0];
    written.extend_from_slice(&len.to_le_bytes());
    written.extend_from_slice(text);
    Some(written)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests;
