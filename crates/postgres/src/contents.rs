//! An archive's table of contents, as a restore needs it: read from the archive's front, before anything is touched.
//!
//! What the entries mean on a server is not known here; the layout is howdah-archive's.

use std::io::{self, Chain, Cursor, Read};

use howdah_archive::scanner::{Scanner, Sink};
use howdah_archive::toc::TocEntry;
use howdah_archive::{ArchiveHeader, Error as ArchiveError};
use howdah_domain::{Failure, FailureCode, TableName};

use crate::Error;
use crate::script::{Token, tokens};

/// The part of a restore in which an entry has its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// None of its own: it goes with the entry it belongs to (comments, privileges).
    None,
    /// Before the data: types, tables, functions.
    PreData,
    /// Rows, large objects, sequences' values.
    Data,
    /// After it: indexes, constraints, triggers.
    PostData,
}

/// One entry of the table of contents. Names that are not UTF-8 have U+FFFD in them here; statements are bytes in the
/// archive's encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its number.
    pub dump_id: i32,
    /// Whether a data block belongs to it.
    pub has_data: bool,
    /// pg_dump's word for it: `TABLE`, `TABLE DATA`, `SEQUENCE SET`.
    pub kind: String,
    /// Its schema.
    pub schema: Option<String>,
    /// Its name, as pg_dump tags it.
    pub tag: String,
    /// Its owner.
    pub owner: Option<String>,
    /// Where it belongs.
    pub section: Section,
    /// What it depends on.
    pub dependencies: Vec<i32>,
    /// The SQL that makes it; kept only where something is read from it: what belongs to the database as a whole, the archive's
    /// settings, privileges, policies, extensions, servers, collations, event triggers, and whatever asks for lz4 or for one of the
    /// server's own collations. Never that of a user mapping or a subscription, which may hold a password.
    pub definition: Vec<u8>,
    /// The statement that loads its data.
    pub copy_statement: Option<Vec<u8>>,
    /// Whether its definition also makes it a partition of a table that it depends on. So pg_dump 13 has it; later ones have
    /// an entry `TABLE ATTACH` for that.
    pub attaches: bool,
    /// Its tablespace; none where it lies in the default one.
    pub tablespace: Option<String>,
    /// A table's access method (`heap`), where the archive names one.
    pub access_method: Option<String>,
    /// The language of a function or procedure.
    pub language: Option<String>,
}

#[cfg(test)]
impl Item {
    /// One without a schema, a section or a definition.
    pub(crate) fn of_test(dump_id: i32, kind: &str, tag: &str, dependencies: &[i32]) -> Self {
        Self {
            dump_id,
            has_data: kind == "TABLE DATA",
            kind: kind.to_owned(),
            schema: None,
            tag: tag.to_owned(),
            owner: None,
            section: Section::None,
            dependencies: dependencies.to_vec(),
            definition: Vec::new(),
            copy_statement: None,
            attaches: false,
            tablespace: None,
            access_method: None,
            language: None,
        }
    }
}

impl Item {
    /// Whether it belongs to the database itself, and so is only restored together with its creation: its settings,
    /// its comment, its privileges (`_tocEntryRequired` in pg_backup_archiver.c).
    pub fn is_of_database(&self) -> bool {
        match self.kind.as_str() {
            "DATABASE" | "DATABASE PROPERTIES" => true,
            "COMMENT" | "ACL" | "SECURITY LABEL" => self.tag.starts_with("DATABASE "),
            _ => false,
        }
    }

    /// For people: `TABLE public.orders`.
    pub fn label(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{} {schema}.{}", self.kind, self.tag),
            None => format!("{} {}", self.kind, self.tag),
        }
    }

    /// Schema and name.
    pub fn table_name(&self) -> TableName {
        TableName {
            schema: self.schema.clone().unwrap_or_default(),
            name: self.tag.clone(),
        }
    }
}

/// An archive's header and table of contents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    /// The header.
    pub header: ArchiveHeader,
    /// The entries, in the archive's order.
    pub items: Vec<Item>,
}

/// An archive being read, its table of contents in hand; reading it gives every byte from its beginning.
#[derive(Debug)]
pub struct Opened<R> {
    /// What it holds.
    pub contents: Contents,
    /// All of it.
    pub archive: Chain<Cursor<Vec<u8>>, R>,
}

impl Contents {
    /// Reads the table of contents off the front of an archive. Blocks as its reader does.
    ///
    /// # Errors
    /// [`FailureCode::BackupDamaged`] where it is no archive or ends too early, or where reading fails.
    pub fn open<R: Read>(mut archive: R) -> Result<Opened<R>, Error> {
        let mut scanner = Scanner::new();
        let mut gathered = Gathered::default();
        let mut front = Vec::new();
        let mut buffer = vec![0; 256 * 1024];
        while !gathered.complete {
            let read = match archive.read(&mut buffer) {
                Ok(0) => {
                    let error = scanner.finish().err();
                    return Err(damaged(&error.map_or_else(
                        || "it ends inside its table of contents".to_owned(),
                        |error| error.to_string(),
                    )));
                }
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(reading(error)),
            };
            front.extend_from_slice(&buffer[..read]);
            scanner
                .push(&buffer[..read], &mut gathered)
                .map_err(|error| damaged(&error.to_string()))?;
        }
        Ok(Opened {
            contents: gathered.contents,
            archive: Cursor::new(front).chain(archive),
        })
    }

    /// The encoding of the archive's texts and data: `UTF8`.
    pub fn encoding(&self) -> String {
        self.items
            .iter()
            .find(|item| item.kind == "ENCODING")
            .and_then(|item| {
                let text = String::from_utf8_lossy(&item.definition).into_owned();
                let (_, value) = text.split_once('\'')?;
                Some(value.split_once('\'')?.0.to_owned())
            })
            .unwrap_or_else(|| "UTF8".to_owned())
    }

    /// The entry of a number.
    pub fn item(&self, dump_id: i32) -> Option<&Item> {
        self.items.iter().find(|item| item.dump_id == dump_id)
    }
}

/// What makes a table a partition, in a definition of pg_dump's.
const ATTACH: &[u8] = b" ATTACH PARTITION ";

/// What compresses a column with lz4, as pg_dump 14 and later write it after the table's definition.
pub(crate) const LZ4: &[u8] = b" SET COMPRESSION lz4;";

/// What names a collation that no dump brings along.
pub(crate) const SYSTEM_COLLATION: &[u8] = b" COLLATE pg_catalog.";

/// Whether a definition holds a text, perhaps inside of a literal.
pub(crate) fn holds(definition: &[u8], text: &[u8]) -> bool {
    definition.windows(text.len()).any(|window| window == text)
}

/// The language in `CREATE FUNCTION … RETURNS …\n    LANGUAGE plpgsql …`: the first of that form outside of quotes (`dumpFunc`
/// writes a line break, four spaces and the word right after the result type).
fn language(definition: &[u8]) -> Option<String> {
    // What comes before it has no dollar quotes; what comes after it is not cut.
    const WORD: &str = "\n    LANGUAGE ";
    let text = String::from_utf8_lossy(definition);
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.find(WORD)?;
        let before = text.get(..at)?;
        let quotes = |mark: char| before.matches(mark).count() % 2 == 0;
        from = at + WORD.len();
        if quotes('"') && quotes('\'') {
            let line = text.get(from..)?.lines().next()?;
            return tokens(line).first().map(Token::value);
        }
    }
}

#[derive(Default)]
struct Gathered {
    contents: Contents,
    complete: bool,
}

impl Sink for Gathered {
    fn header(&mut self, header: &ArchiveHeader) {
        self.contents.header = header.clone();
    }

    fn toc_entry(&mut self, entry: &TocEntry<'_>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut item = Item {
            dump_id: entry.dump_id,
            has_data: entry.has_data,
            kind: text(entry.kind),
            schema: entry.namespace.map(text),
            tag: text(entry.tag),
            owner: entry.owner.filter(|owner| !owner.is_empty()).map(text),
            section: match entry.section {
                2 => Section::PreData,
                3 => Section::Data,
                4 => Section::PostData,
                _ => Section::None,
            },
            dependencies: entry.dependencies.clone(),
            definition: Vec::new(),
            copy_statement: entry.copy_statement.map(<[u8]>::to_vec),
            attaches: entry.kind.ends_with(b"TABLE") && holds(entry.definition, ATTACH),
            tablespace: entry.tablespace.filter(|name| !name.is_empty()).map(text),
            access_method: entry.access_method.filter(|name| !name.is_empty()).map(text),
            language: None,
        };
        match item.kind.as_str() {
            "FUNCTION" | "PROCEDURE" => item.language = language(entry.definition),
            // May hold passwords.
            "USER MAPPING" | "SUBSCRIPTION" => {}
            "ENCODING" | "SCHEMA" | "EXTENSION" | "COLLATION" | "SERVER" | "EVENT TRIGGER" | "POLICY"
            | "ACL" | "DEFAULT ACL" => item.definition = entry.definition.to_vec(),
            _ if item.is_of_database()
                || holds(entry.definition, LZ4)
                || holds(entry.definition, SYSTEM_COLLATION) =>
            {
                item.definition = entry.definition.to_vec();
            }
            _ => {}
        }
        self.contents.items.push(item);
    }

    fn toc_end(&mut self, _offset: u64) {
        self.complete = true;
    }
}

fn damaged(reason: &str) -> Error {
    Failure::new(
        FailureCode::BackupDamaged,
        format!("The dump in this backup cannot be read: {reason}."),
    )
    .hint("Verify the backup, and restore from another copy or an older backup.")
    .into()
}

/// An error met while the archive was read, in words: what it is about where the archive's reader said so.
pub(crate) fn reading(error: io::Error) -> Error {
    if let Some(inner) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<ArchiveError>())
    {
        return inner.to_failure().into();
    }
    match Failure::inside(&error) {
        Some(failure) => failure.clone().into(),
        None => Error::io("reading the backup", error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_archive_is_a_damaged_backup() {
        for bytes in [b"".as_slice(), b"PGDMP", b"-- PostgreSQL database dump"] {
            let error = Contents::open(bytes).unwrap_err();
            assert_eq!(error.code(), FailureCode::BackupDamaged, "{error}");
        }
    }

    #[test]
    fn what_belongs_to_the_database_is_told_from_a_table_called_database() {
        let item = |kind: &str, tag: &str| Item::of_test(1, kind, tag, &[]);
        assert!(item("ACL", "DATABASE shop").is_of_database());
        assert!(item("DATABASE PROPERTIES", "shop").is_of_database());
        assert!(!item("ACL", "TABLE DATABASE").is_of_database());
        assert!(!item("TABLE", "DATABASE x").is_of_database());
    }
}
