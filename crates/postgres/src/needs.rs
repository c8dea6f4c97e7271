//! What a backup needs of the server that it is restored into, from its archive's table of contents and its globals. No server is
//! asked here; whether one has it is `target.rs`.
//!
//! Read from the entries' own fields where these tell; from definitions, cut into tokens, where they do not. Names in
//! definitions that are not UTF-8 have U+FFFD in them, as everywhere in [`Contents`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use howdah_domain::TableName;
use serde::{Deserialize, Serialize};

use crate::contents::{Contents, Item, LZ4, holds};
use crate::database::create_options;
use crate::script::{Token, statements, tokens};

mod globals;
mod roles;

pub use globals::{Globals, globals};
use roles::roles;

/// What a backup needs. Lists are sorted, each name once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Needs {
    /// The major of the server that was dumped, where the archive tells.
    pub server_major: Option<u16>,
    /// The database itself.
    pub database: DatabaseNeeds,
    /// Extensions.
    pub extensions: Vec<Extension>,
    /// Roles.
    pub roles: Vec<Role>,
    /// Tablespaces besides the default one.
    pub tablespaces: Vec<String>,
    /// Table access methods besides `heap`.
    pub access_methods: Vec<String>,
    /// Languages of functions besides `sql`, `plpgsql`, `c` and `internal`.
    pub languages: Vec<String>,
    /// Foreign servers.
    pub foreign_servers: Vec<String>,
    /// User mappings: `reader SERVER elsewhere`.
    pub user_mappings: Vec<String>,
    /// Subscriptions.
    pub subscriptions: Vec<String>,
    /// Publications.
    pub publications: Vec<String>,
    /// Code of the database's own that runs while it is restored or as soon as somebody writes to it.
    pub code: Vec<Code>,
    /// Tables and materialized views with columns that are compressed with lz4.
    pub lz4: Vec<TableName>,
    /// Collations of the database's own.
    pub collations: Vec<Collation>,
    /// The server's own collations (`pg_catalog`) that are named: `de-x-icu`, `en_US`.
    pub system_collations: Vec<String>,
    /// Tables with rows.
    pub tables: usize,
}

/// The database itself: `CREATE DATABASE`'s options.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DatabaseNeeds {
    /// The encoding of the archive's texts and, usually, of the database: `UTF8`.
    pub encoding: String,
    /// `libc`, `icu` or `builtin`; none where the archive does not tell (13 and 14: always libc).
    pub provider: Option<String>,
    /// `LC_COLLATE`.
    pub collate: Option<String>,
    /// `LC_CTYPE`.
    pub ctype: Option<String>,
    /// The ICU or built-in locale.
    pub locale: Option<String>,
}

/// An extension.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Extension {
    /// Its name.
    pub name: String,
    /// Its version; pg_dump leaves it out, so that the target's own is made.
    pub version: Option<String>,
}

/// A role, and what for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// It owns something.
    pub owns: bool,
    /// It has or gives privileges.
    pub privileges: bool,
    /// A row-level security policy is for it: without the role, the policy cannot be made.
    pub policies: bool,
    /// It has settings in this database.
    pub settings: bool,
}

/// When code runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum When {
    /// While the backup is restored: index expressions, materialized views, columns' expressions and checks, domains.
    Restoring,
    /// From then on: triggers, event triggers.
    Afterwards,
}

/// A function that something runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// `FUNCTION app.touch()`.
    pub function: String,
    /// Its language.
    pub language: Option<String>,
    /// When it runs first.
    pub when: When,
    /// What runs it: `TRIGGER app.orders touch`.
    pub used_by: Vec<String>,
}

/// A collation of the database's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collation {
    /// Its schema and name.
    pub name: TableName,
    /// `libc`, `icu` or `builtin`.
    pub provider: String,
    /// Its locale.
    pub locale: Option<String>,
}

/// Reads what a backup needs.
pub fn needs(contents: &Contents) -> Needs {
    let items = &contents.items;
    let named = |kind: &str| -> Vec<String> {
        let found: BTreeSet<String> = items
            .iter()
            .filter(|item| item.kind == kind)
            .map(|item| item.tag.clone())
            .collect();
        found.into_iter().collect()
    };
    let mut extensions: Vec<Extension> = items
        .iter()
        .filter(|item| item.kind == "EXTENSION")
        .map(|item| Extension {
            name: item.tag.clone(),
            version: after_word(&text(item), "VERSION"),
        })
        .collect();
    extensions.sort();
    let set = |values: BTreeSet<String>| values.into_iter().collect::<Vec<_>>();
    let mut database = DatabaseNeeds {
        encoding: contents.encoding(),
        ..DatabaseNeeds::default()
    };
    let mut tablespaces: BTreeSet<String> = items.iter().filter_map(|item| item.tablespace.clone()).collect();
    if let Some(item) = items.iter().find(|item| item.kind == "DATABASE") {
        of_database(&text(item), &mut database, &mut tablespaces);
    }
    tablespaces.remove("pg_default");
    Needs {
        server_major: contents
            .header
            .server_version
            .split(|c: char| !c.is_ascii_digit())
            .next()
            .and_then(|major| major.parse().ok()),
        database,
        extensions,
        roles: roles(contents),
        tablespaces: set(tablespaces),
        access_methods: set(items
            .iter()
            .filter_map(|item| item.access_method.clone())
            .filter(|method| method != "heap")
            .collect()),
        languages: set(items
            .iter()
            .filter_map(|item| item.language.clone())
            .filter(|language| !matches!(language.as_str(), "sql" | "plpgsql" | "c" | "internal"))
            .collect()),
        foreign_servers: named("SERVER"),
        user_mappings: named("USER MAPPING")
            .into_iter()
            .map(|tag| tag.strip_prefix("USER MAPPING ").unwrap_or(&tag).to_owned())
            .collect(),
        subscriptions: named("SUBSCRIPTION"),
        publications: named("PUBLICATION"),
        code: code(items),
        lz4: items
            .iter()
            .filter(|item| holds(&item.definition, LZ4) && asks_for_lz4(&text(item)))
            .map(Item::table_name)
            .collect(),
        collations: items
            .iter()
            .filter(|item| item.kind == "COLLATION")
            .map(collation)
            .collect(),
        system_collations: set(items
            .iter()
            .filter(|item| !item.is_of_database())
            .flat_map(|item| system_collations(&text(item)))
            .collect()),
        tables: items.iter().filter(|item| item.kind == "TABLE DATA").count(),
    }
}

fn text(item: &Item) -> String {
    String::from_utf8_lossy(&item.definition).into_owned()
}

fn of_database(sql: &str, database: &mut DatabaseNeeds, tablespaces: &mut BTreeSet<String>) {
    for (key, value) in create_options(sql) {
        match key.as_str() {
            "ENCODING" => database.encoding = value,
            "LOCALE_PROVIDER" => database.provider = Some(value),
            "LC_COLLATE" => database.collate = Some(value),
            "LC_CTYPE" => database.ctype = Some(value),
            "ICU_LOCALE" | "BUILTIN_LOCALE" => database.locale = Some(value),
            "LOCALE" => {
                database.collate.get_or_insert(value.clone());
                database.ctype.get_or_insert(value);
            }
            "TABLESPACE" => {
                tablespaces.insert(value);
            }
            _ => {}
        }
    }
}

/// The token after the first `word` that is not quoted.
fn after_word(sql: &str, word: &str) -> Option<String> {
    let tokens = tokens(sql);
    let at = tokens.iter().position(|token| token.is_word(word))?;
    tokens.get(at + 1).map(Token::value)
}

/// Whether a statement of its own, not a literal, compresses a column with lz4.
fn asks_for_lz4(sql: &str) -> bool {
    statements(sql).into_iter().any(is_lz4)
}

/// `ALTER TABLE ONLY app.t ALTER COLUMN body SET COMPRESSION lz4`
pub(crate) fn is_lz4(statement: &str) -> bool {
    let tokens = tokens(statement);
    let [.., set, compression, method] = tokens.as_slice() else {
        return false;
    };
    tokens.first().is_some_and(|first| first.is_word("ALTER"))
        && set.is_word("SET")
        && compression.is_word("COMPRESSION")
        && method.is_word("lz4")
}

/// The server's own collations that a definition names, without those that every server has.
pub(crate) fn system_collations(sql: &str) -> Vec<String> {
    let tokens = tokens(sql);
    let names = tokens
        .windows(3)
        .chain(tokens.windows(2).rev().take(1))
        .filter_map(|window| {
            let [collate, schema, rest @ ..] = window else {
                return None;
            };
            let rest_of_name = schema.text.strip_prefix("pg_catalog.")?;
            if !collate.is_word("COLLATE") {
                return None;
            }
            match rest_of_name {
                "" => rest.first().map(Token::value),
                plain => Some(plain.to_owned()),
            }
        });
    names
        .filter(|name| !matches!(name.as_str(), "default" | "C" | "POSIX" | "ucs_basic"))
        .collect()
}

fn collation(item: &Item) -> Collation {
    let sql = text(item);
    let tokens = tokens(&sql);
    let option = |key: &str| {
        let at = tokens
            .windows(2)
            .position(|pair| pair[0].is_word(key) && pair[1].text == "=")?;
        tokens.get(at + 2).map(Token::value)
    };
    Collation {
        name: item.table_name(),
        provider: option("provider").unwrap_or_else(|| "libc".to_owned()),
        locale: option("locale").or_else(|| option("lc_collate")),
    }
}

/// Functions that something in the archive runs, by the dependencies that pg_dump wrote.
fn code(items: &[Item]) -> Vec<Code> {
    let functions: HashMap<i32, &Item> = items
        .iter()
        .filter(|item| matches!(item.kind.as_str(), "FUNCTION" | "PROCEDURE"))
        .map(|item| (item.dump_id, item))
        .collect();
    let by_id: HashMap<i32, &Item> = items.iter().map(|item| (item.dump_id, item)).collect();
    let mut found: BTreeMap<i32, (When, BTreeSet<String>)> = BTreeMap::new();
    for item in items {
        let when = match item.kind.as_str() {
            "TRIGGER" | "EVENT TRIGGER" => When::Afterwards,
            "TABLE"
            | "DEFAULT"
            | "INDEX"
            | "CONSTRAINT"
            | "CHECK CONSTRAINT"
            | "DOMAIN"
            | "MATERIALIZED VIEW DATA" => When::Restoring,
            _ => continue,
        };
        let mut dependencies = item.dependencies.clone();
        if item.kind == "MATERIALIZED VIEW DATA" {
            // The view's own query is what runs.
            let views = item.dependencies.iter().filter_map(|id| by_id.get(id));
            dependencies.extend(views.flat_map(|view| view.dependencies.iter().copied()));
        }
        for id in dependencies.iter().filter(|id| functions.contains_key(id)) {
            let (first, used_by) = found.entry(*id).or_insert((when, BTreeSet::new()));
            *first = (*first).min(when);
            used_by.insert(item.label());
        }
    }
    let mut code: Vec<Code> = found
        .into_iter()
        .filter_map(|(id, (when, used_by))| {
            let function = functions.get(&id)?;
            Some(Code {
                function: function.label(),
                language: function.language.clone(),
                when,
                used_by: used_by.into_iter().collect(),
            })
        })
        .collect();
    code.sort_by(|a, b| a.function.cmp(&b.function));
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_literal_is_no_need() {
        let sql = "CREATE TABLE t (a text DEFAULT 'ALTER TABLE t ALTER a SET COMPRESSION lz4;', b text DEFAULT ' COLLATE pg_catalog.\"de-x-icu\"');\n";
        assert!(!asks_for_lz4(sql));
        assert_eq!(system_collations(sql), Vec::<String>::new());
        let sql = "CREATE TABLE t (a text COLLATE pg_catalog.\"de-x-icu\", b text COLLATE pg_catalog.\"C\", c text COLLATE pg_catalog.unicode);\n\
                   ALTER TABLE ONLY t ALTER COLUMN a SET COMPRESSION lz4;\n";
        assert!(asks_for_lz4(sql));
        assert_eq!(system_collations(sql), ["de-x-icu", "unicode"]);
        assert_eq!(
            system_collations("SELECT 'a' COLLATE pg_catalog.sv_fi"),
            ["sv_fi"]
        );
    }
}
