//! What a backup's globals make, read from the SQL that pg_dumpall writes for psql.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::script::{statements, tokens};

/// What a backup's globals (`pg_dumpall --globals-only`, SQL for psql) would make.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Globals {
    /// Roles, sorted.
    pub roles: Vec<String>,
    /// Tablespaces, sorted.
    pub tablespaces: Vec<String>,
}

/// Reads a backup's globals.
pub fn globals(sql: &str) -> Globals {
    let plain = without_comments(sql);
    let mut found = (BTreeSet::new(), BTreeSet::new());
    for statement in statements(&plain) {
        let tokens = tokens(statement);
        let [create, what, name, ..] = tokens.as_slice() else {
            continue;
        };
        if !create.is_word("CREATE") {
            continue;
        }
        if what.is_word("ROLE") {
            found.0.insert(name.value());
        } else if what.is_word("TABLESPACE") {
            found.1.insert(name.value());
        }
    }
    Globals {
        roles: found.0.into_iter().collect(),
        tablespaces: found.1.into_iter().collect(),
    }
}

/// A script without comments (`-- …`) and psql's own commands (`\restrict`), which stand on lines of their own; those inside of
/// quotes stay.
fn without_comments(sql: &str) -> String {
    let mut kept = String::with_capacity(sql.len());
    let mut quote: Option<char> = None;
    let mut escapes = false;
    let mut chars = sql.chars().peekable();
    let mut before = '\n';
    while let Some(c) = chars.next() {
        match quote {
            Some('\'') if escapes && c == '\\' => {
                kept.push(c);
                if let Some(escaped) = chars.next() {
                    kept.push(escaped);
                    before = escaped;
                }
                continue;
            }
            Some(mark) if c == mark => quote = None,
            Some(_) => {}
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                escapes = before == 'E';
            }
            None if (c == '-' && chars.peek() == Some(&'-')) || (c == '\\' && before == '\n') => {
                for skipped in chars.by_ref() {
                    if skipped == '\n' {
                        break;
                    }
                }
                kept.push('\n');
                before = '\n';
                continue;
            }
            None => {}
        }
        kept.push(c);
        before = c;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globals_are_read_past_comments_and_psql_commands() {
        let sql = "--\n-- Roles; CREATE ROLE no;\n--\n\\restrict abc'def\nCREATE ROLE reader;\nCREATE ROLE \"quo\"\"te\";\n\
                   ALTER ROLE reader WITH NOSUPERUSER PASSWORD 'SCRAM-SHA-256$4096:a--b';\n\
                   COMMENT ON ROLE reader IS E'it\\'s\n-- CREATE ROLE fake;\n';\nCREATE TABLESPACE fast OWNER reader LOCATION '/x';\n";
        let found = globals(sql);
        assert_eq!(found.roles, ["quo\"te", "reader"]);
        assert_eq!(found.tablespaces, ["fast"]);
    }
}
