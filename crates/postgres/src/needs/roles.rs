//! The roles that an archive names: owners, those in privileges and policies, and those with settings in the database.

use std::collections::BTreeMap;

use super::{Role, after_word, text};
use crate::contents::Contents;
use crate::script::{Token, statements, tokens};

/// Reads them, sorted by name.
pub(super) fn roles(contents: &Contents) -> Vec<Role> {
    let mut found: BTreeMap<String, Role> = BTreeMap::new();
    let mut note = |name: String, mark: fn(&mut Role)| {
        let role = found.entry(name.clone()).or_default();
        role.name = name;
        mark(role);
    };
    for item in &contents.items {
        if let Some(owner) = &item.owner {
            note(owner.clone(), |role| role.owns = true);
        }
        let sql = text(item);
        for statement in statements(&sql) {
            match item.kind.as_str() {
                "ACL" | "DEFAULT ACL" => {
                    for name in privileged(statement) {
                        note(name, |role| role.privileges = true);
                    }
                }
                "POLICY" => {
                    for name in names_after(statement, "TO") {
                        note(name, |role| role.policies = true);
                    }
                }
                "DATABASE PROPERTIES" => {
                    let tokens = tokens(statement);
                    if tokens.get(1).is_some_and(|token| token.is_word("ROLE"))
                        && let Some(name) = tokens.get(2)
                    {
                        note(name.value(), |role| role.settings = true);
                    }
                }
                _ => {}
            }
        }
    }
    found.into_values().collect()
}

/// The roles in a statement of an `ACL` or `DEFAULT ACL` entry: `GRANT … TO role`, `REVOKE … FROM role`, `ALTER DEFAULT PRIVILEGES
/// FOR ROLE role …`, `SET SESSION AUTHORIZATION role`. `TO` and `FROM` are reserved words: what is called so is quoted.
fn privileged(statement: &str) -> Vec<String> {
    let all = tokens(statement);
    let mut names = Vec::new();
    if all.first().is_some_and(|token| token.is_word("SET")) {
        names.extend(all.get(3).map(Token::value));
        return names;
    }
    if all.first().is_some_and(|token| token.is_word("ALTER")) {
        names.extend(after_word(statement, "ROLE"));
    }
    let word = if all.iter().any(|token| token.is_word("REVOKE")) {
        "FROM"
    } else {
        "TO"
    };
    names.extend(names_after(statement, word));
    names
}

/// The names in a list after the first `word`: `TO reader, "odd role" USING …`. PUBLIC is no role.
fn names_after(statement: &str, word: &str) -> Vec<String> {
    let tokens = tokens(statement);
    let Some(at) = tokens.iter().position(|token| token.is_word(word)) else {
        return Vec::new();
    };
    let mut names = Vec::new();
    let mut rest = tokens[at + 1..].iter().peekable();
    while let Some(token) = rest.next() {
        if token.is_word("GROUP") {
            continue;
        }
        if !token.is_word("PUBLIC") {
            names.push(token.value());
        }
        if rest.next().is_none_or(|next| next.text != ",") {
            break;
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_from_privileges_as_pg_dump_writes_them() {
        for (statement, names) in [
            (
                "GRANT SELECT(id),UPDATE(\"to\") ON TABLE app.\"to\" TO reader",
                vec!["reader"],
            ),
            (
                "GRANT ALL ON SCHEMA \"My schema\" TO \"a=b\" WITH GRANT OPTION",
                vec!["a=b"],
            ),
            (
                "REVOKE ALL ON TABLE app.ruled FROM \"quo\"\"te\"",
                vec!["quo\"te"],
            ),
            ("GRANT ALL ON FUNCTION app.f() TO PUBLIC", vec![]),
            ("SET SESSION AUTHORIZATION \"odd role\"", vec!["odd role"]),
            ("RESET SESSION AUTHORIZATION", vec![]),
            (
                "ALTER DEFAULT PRIVILEGES FOR ROLE \"odd role\" IN SCHEMA app GRANT SELECT ON TABLES  TO reader",
                vec!["odd role", "reader"],
            ),
            (
                "ALTER DEFAULT PRIVILEGES FOR ROLE postgres REVOKE ALL ON FUNCTIONS  FROM PUBLIC",
                vec!["postgres"],
            ),
        ] {
            assert_eq!(privileged(statement), names, "{statement}");
        }
        let policy = "CREATE POLICY \"TO x\" ON app.secret FOR SELECT TO reader, \"odd role\" USING ((owner = 'TO y'::text))";
        assert_eq!(names_after(policy, "TO"), ["reader", "odd role"]);
    }
}
