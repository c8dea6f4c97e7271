//! SQL that gives a role what a backup needs and nothing more: to be read, copied and run by whoever may. Howdah never
//! runs it. It takes nothing away from anybody and touches nothing of PUBLIC.

use std::fmt::Write as _;

use crate::connect::ServerVersion;
use crate::quote::{ident, literal};
use crate::rights::{DeniedKind, Facts, Rights};

/// What the role is called in the SQL; the user may change it.
pub const BACKUP_ROLE: &str = "howdah_backup";

/// SQL that creates a role with the least rights for backups of the database that `facts` describes.
pub fn role_sql(facts: &Facts, version: &ServerVersion) -> String {
    let mut sql = String::new();
    let _ = writeln!(
        sql,
        "-- A role that may read what a backup of the database {} reads, and change nothing.\n\
         -- Howdah does not run this: read it, then run it in that database as a superuser, or as your provider's\n\
         -- administrator role.\n",
        comment(&facts.database)
    );
    let role = ident(BACKUP_ROLE);
    let _ = writeln!(
        sql,
        "CREATE ROLE {role} LOGIN;\n\
         -- Then give it a password that no log and no history sees. In psql:  \\password {BACKUP_ROLE}\n\
         -- (At Heroku, CREATE ROLE is refused: use  heroku pg:credentials:create , or the default credential.)\n"
    );
    let _ = writeln!(
        sql,
        "GRANT CONNECT ON DATABASE {} TO {role};\n",
        ident(&facts.database)
    );
    grant_reading(&mut sql, &role, facts, version);
    if facts.row_security {
        bypass_row_security(&mut sql, &role);
    }
    if facts.large_objects && !facts.lo_compat_privileges {
        large_objects(&mut sql, &role, facts, version);
    }
    sql.truncate(sql.trim_end().len());
    sql.push('\n');
    sql
}

/// SQL that gives the tested role what it lacks; none where it lacks nothing.
pub fn missing_sql(rights: &Rights, version: &ServerVersion) -> Option<String> {
    if rights.complete() {
        return None;
    }
    let lacks = |kind| rights.denied.iter().any(|denied| denied.kind == kind);
    let role = ident(&rights.role);
    let mut sql = format!(
        "-- What the role {} lacks for a backup of the database {}. Howdah does not run this.\n",
        comment(&rights.role),
        comment(&rights.facts.database)
    );
    if [DeniedKind::Schema, DeniedKind::Table, DeniedKind::Sequence]
        .into_iter()
        .any(lacks)
    {
        grant_reading(&mut sql, &role, &rights.facts, version);
    }
    if lacks(DeniedKind::RowSecurity) {
        bypass_row_security(&mut sql, &role);
    }
    if lacks(DeniedKind::LargeObject) {
        large_objects(&mut sql, &role, &rights.facts, version);
    }
    sql.truncate(sql.trim_end().len());
    sql.push('\n');
    Some(sql)
}

/// A name in a comment: on one line whatever it holds.
fn comment(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn grant_reading(sql: &mut String, role: &str, facts: &Facts, version: &ServerVersion) {
    if version.major >= 14 {
        let _ = writeln!(
            sql,
            "-- Reads every table, view and sequence, also those to come, in every database that it may connect to.\n\
             GRANT pg_read_all_data TO {role};\n"
        );
        return;
    }
    let _ = writeln!(
        sql,
        "-- PostgreSQL 13 has no pg_read_all_data: rights are granted schema by schema, for what is there and, by default\n\
         -- privileges of those who create tables, for what is to come. Run it again for new owners."
    );
    for schema in &facts.schemas {
        let schema = ident(schema);
        let _ = writeln!(
            sql,
            "GRANT USAGE ON SCHEMA {schema} TO {role};\n\
             GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role};\n\
             GRANT SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {role};"
        );
    }
    if facts.whole {
        let mut owners: Vec<&str> = facts.owners.iter().map(|(owner, _)| owner.as_str()).collect();
        owners.sort_unstable();
        owners.dedup();
        for owner in owners {
            let owner = ident(owner);
            let _ = writeln!(
                sql,
                "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT USAGE ON SCHEMAS TO {role};\n\
                 ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT SELECT ON TABLES TO {role};\n\
                 ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT SELECT ON SEQUENCES TO {role};"
            );
        }
    } else {
        for (owner, schema) in &facts.owners {
            let (owner, schema) = (ident(owner), ident(schema));
            let _ = writeln!(
                sql,
                "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema} GRANT SELECT ON TABLES TO {role};\n\
                 ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema} GRANT SELECT ON SEQUENCES TO {role};"
            );
        }
    }
    sql.push('\n');
}

fn bypass_row_security(sql: &mut String, role: &str) {
    let _ = writeln!(
        sql,
        "-- Tables here have row-level security, which would hide rows; pg_dump then stops instead of saving a part.\n\
         -- Only a superuser may give BYPASSRLS; from PostgreSQL 16 on also a role that has CREATEROLE and BYPASSRLS itself.\n\
         -- Managed services: Azure's administrator can from 16 on; Supabase's role postgres has BYPASSRLS; Amazon RDS,\n\
         -- Cloud SQL and Heroku give no superuser and may refuse. Then back up as the role that owns these tables\n\
         -- (row-level security does not apply to owners unless a table has FORCE ROW LEVEL SECURITY).\n\
         ALTER ROLE {role} BYPASSRLS;\n"
    );
}

fn large_objects(sql: &mut String, role: &str, facts: &Facts, version: &ServerVersion) {
    let existing = format!(
        "DO {};",
        dollar_quoted(&format!(
            "\nDECLARE\n    o oid;\nBEGIN\n    FOR o IN SELECT oid FROM pg_catalog.pg_largeobject_metadata LOOP\n        \
             EXECUTE pg_catalog.format('GRANT SELECT ON LARGE OBJECT %s TO %s', o, {});\n    END LOOP;\nEND\n",
            literal(role).trim_start()
        ))
    );
    if version.major >= 18 {
        let _ = writeln!(
            sql,
            "-- Large objects have rights of their own. Those that are there (run it as their owner or a superuser):\n{existing}\n\
             -- Those to come, of each role that creates them:"
        );
        for owner in &facts.large_object_owners {
            let _ = writeln!(
                sql,
                "ALTER DEFAULT PRIVILEGES FOR ROLE {} GRANT SELECT ON LARGE OBJECTS TO {role};",
                ident(owner)
            );
        }
        sql.push('\n');
        return;
    }
    let database = ident(&facts.database);
    let commented: String = existing.lines().map(|line| format!("--   {line}\n")).collect();
    let _ = writeln!(
        sql,
        "-- Large objects have rights of their own, one by one, and before PostgreSQL 18 no defaults for new ones. With this\n\
         -- setting, which only a superuser may make, the role passes over them, for reading and for writing; the second line\n\
         -- makes its sessions read-only unless they ask otherwise.\n\
         ALTER ROLE {role} IN DATABASE {database} SET lo_compat_privileges = on;\n\
         ALTER ROLE {role} IN DATABASE {database} SET default_transaction_read_only = on;\n\
         -- Where that is refused (managed services give no superuser), grant what is there instead, as the owner, and again\n\
         -- whenever there are new ones:\n{commented}"
    );
}

/// A text between dollar quotes that it does not hold itself.
fn dollar_quoted(text: &str) -> String {
    let mut tag = "$howdah".to_owned();
    while text.contains(&tag) {
        tag.push('_');
    }
    format!("{tag}${text}{tag}$")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn facts() -> Facts {
        Facts {
            database: "My \"shop\"".to_owned(),
            schemas: vec!["public".to_owned(), "My schema".to_owned()],
            owners: vec![
                ("app".to_owned(), "public".to_owned()),
                ("app".to_owned(), "My schema".to_owned()),
            ],
            row_security: true,
            large_objects: true,
            large_object_owners: vec!["app".to_owned()],
            lo_compat_privileges: false,
            whole: true,
        }
    }

    fn version(major: u16) -> ServerVersion {
        ServerVersion {
            major,
            text: format!("{major}.1"),
        }
    }

    #[rstest]
    #[case(13)]
    #[case(14)]
    #[case(17)]
    #[case(18)]
    fn it_takes_nothing_from_anybody_and_leaves_public_alone(#[case] major: u16) {
        let sql = role_sql(&facts(), &version(major));
        let statements: Vec<&str> = sql.lines().filter(|line| !line.starts_with("--")).collect();
        assert!(!statements.join("\n").to_uppercase().contains("REVOKE"), "{sql}");
        assert!(!statements.join("\n").contains("PUBLIC"), "{sql}");
        assert!(
            !statements.join("\n").to_uppercase().contains(" SUPERUSER"),
            "{sql}"
        );
    }

    #[test]
    fn from_14_on_one_grant_reads_everything() {
        let sql = role_sql(&facts(), &version(14));
        assert!(
            sql.contains("GRANT pg_read_all_data TO \"howdah_backup\";"),
            "{sql}"
        );
        assert!(!sql.contains("ON ALL TABLES"), "{sql}");
    }

    #[test]
    fn on_13_rights_are_granted_by_schema_and_for_what_is_to_come() {
        let sql = role_sql(&facts(), &version(13));
        assert!(
            sql.contains("GRANT SELECT ON ALL TABLES IN SCHEMA \"My schema\""),
            "{sql}"
        );
        assert!(
            sql.contains("ALTER DEFAULT PRIVILEGES FOR ROLE \"app\" GRANT SELECT ON TABLES"),
            "{sql}"
        );
        assert!(!sql.contains("GRANT pg_read_all_data"), "{sql}");
    }

    #[test]
    fn what_is_not_needed_is_not_asked_for() {
        let plain = Facts {
            row_security: false,
            large_objects: false,
            ..facts()
        };
        let sql = role_sql(&plain, &version(16));
        assert!(
            !sql.contains("BYPASSRLS") && !sql.contains("lo_compat") && !sql.contains("LARGE OBJECT"),
            "{sql}"
        );
    }

    #[test]
    fn names_are_quoted_in_statements_and_kept_on_one_line_in_comments() {
        let nasty = Facts {
            database: "a\nDROP TABLE x; --\"".to_owned(),
            ..facts()
        };
        let sql = role_sql(&nasty, &version(16));
        assert!(
            sql.contains("ON DATABASE \"a\nDROP TABLE x; --\"\"\" TO"),
            "{sql}"
        );
        let comments: Vec<&str> = sql.lines().filter(|line| line.starts_with("--")).collect();
        assert!(comments[0].contains("a DROP TABLE x"), "{sql}");
    }
}
