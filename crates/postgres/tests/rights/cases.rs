//! What is there, what is chosen, and what a role is then denied: one table of cases for the check and for pg_dump.

use howdah_domain::Selection;

use crate::support::table;
use crate::{only_schemas, only_tables};

fn without_table(name: &str) -> Selection {
    Selection {
        exclude_tables: vec![table("public", name)],
        ..Selection::default()
    }
}

fn without_data(name: &str) -> Selection {
    Selection {
        exclude_data: vec![table("public", name)],
        ..Selection::default()
    }
}

fn with_extensions(selection: Selection) -> Selection {
    Selection {
        keep_extensions: true,
        ..selection
    }
}

/// An extension with a table and a sequence of its own. Contrib has none, so an extension is given some.
const EXTENDED: &str = "CREATE EXTENSION postgres_fdw; CREATE TABLE t(a int); CREATE SEQUENCE sq;
    ALTER EXTENSION postgres_fdw ADD TABLE t; ALTER EXTENSION postgres_fdw ADD SEQUENCE sq;";
const CONFIGURED: &str =
    "UPDATE pg_extension SET extconfig = ARRAY['t'::regclass::oid], extcondition = ARRAY['']
    WHERE extname = 'postgres_fdw';";
const CONFIGURED_SEQUENCE: &str =
    "UPDATE pg_extension SET extconfig = ARRAY['sq'::regclass::oid], extcondition = ARRAY['']
    WHERE extname = 'postgres_fdw';";

/// What is there, what is chosen, and what the role `limited` is then denied by the check; pg_dump fails where that is
/// something, and only there. `since`: from which major on, and up to which.
pub(crate) struct Case {
    pub(crate) about: &'static str,
    pub(crate) sql: String,
    pub(crate) selection: Selection,
    pub(crate) expected: Vec<&'static str>,
    pub(crate) majors: std::ops::RangeInclusive<u16>,
}

fn case(
    about: &'static str,
    sql: impl Into<String>,
    selection: Selection,
    expected: &[&'static str],
) -> Case {
    Case {
        about,
        sql: sql.into(),
        selection,
        expected: expected.to_vec(),
        majors: 13..=18,
    }
}

impl Case {
    fn on(mut self, majors: std::ops::RangeInclusive<u16>) -> Self {
        self.majors = majors;
        self
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let all = Selection::default;
    vec![
        case("nothing at all", "", all(), &[]),
        case("a table", "CREATE TABLE t(a int)", all(), &["table public.t"]),
        case(
            "a table that may be read",
            "CREATE TABLE t(a int); GRANT SELECT ON t TO limited",
            all(),
            &[],
        ),
        case(
            "a right on columns does not do",
            "CREATE TABLE t(a int); GRANT SELECT (a) ON t TO limited",
            all(),
            &["table public.t"],
        ),
        case(
            "a right by membership does",
            "CREATE TABLE t(a int); GRANT SELECT ON t TO readers; GRANT readers TO limited",
            all(),
            &[],
        ),
        case(
            "a right of everybody does",
            "CREATE TABLE t(a int); GRANT SELECT ON t TO PUBLIC",
            all(),
            &[],
        ),
        case(
            "an unlogged table",
            "CREATE UNLOGGED TABLE t(a int)",
            all(),
            &["table public.t"],
        ),
        case(
            "views are not read",
            "CREATE TABLE t(a int); GRANT SELECT ON t TO limited; CREATE VIEW v AS SELECT * FROM t; CREATE MATERIALIZED VIEW m AS SELECT * FROM t",
            all(),
            &[],
        ),
        case(
            "foreign tables are not read",
            "CREATE EXTENSION postgres_fdw; CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw; CREATE FOREIGN TABLE f(a int) SERVER s",
            all(),
            &[],
        ),
        case("a sequence", "CREATE SEQUENCE sq", all(), &["sequence public.sq"]),
        case(
            "USAGE of a sequence does not do",
            "CREATE SEQUENCE sq; GRANT USAGE ON SEQUENCE sq TO limited",
            all(),
            &["sequence public.sq"],
        ),
        case(
            "an identity column's sequence",
            "CREATE TABLE t(a int GENERATED ALWAYS AS IDENTITY); GRANT SELECT ON t TO limited",
            all(),
            &["sequence public.t_a_seq"],
        ),
        case(
            "that goes with its table",
            "CREATE TABLE t(a int GENERATED ALWAYS AS IDENTITY)",
            without_table("t"),
            &[],
        ),
        case(
            "a serial column's stays",
            "CREATE TABLE t(a serial)",
            without_table("t"),
            &["sequence public.t_a_seq"],
        ),
        case(
            "a sequence without its table's data",
            "CREATE TABLE t(a serial); GRANT SELECT ON t TO limited",
            without_data("t"),
            &["sequence public.t_a_seq"],
        ),
        case(
            "a chosen table's sequence",
            "CREATE TABLE t(a serial); GRANT SELECT ON t TO limited",
            only_tables(&["t"]),
            &["sequence public.t_a_seq"],
        ),
        case(
            "a schema with nothing to read",
            "CREATE SCHEMA s; CREATE TYPE s.e AS ENUM ('a'); CREATE VIEW s.v AS SELECT 1",
            all(),
            &[],
        ),
        case(
            "a schema's table",
            "CREATE SCHEMA s; CREATE TABLE s.t(a int); GRANT SELECT ON s.t TO limited",
            all(),
            &["schema s"],
        ),
        case(
            "a schema's sequence",
            "CREATE SCHEMA s; CREATE SEQUENCE s.sq; GRANT SELECT ON s.sq TO limited",
            all(),
            &["schema s"],
        )
        .on(13..=17),
        case(
            "a schema's sequence, read by number",
            "CREATE SCHEMA s; CREATE SEQUENCE s.sq; GRANT SELECT ON s.sq TO limited",
            all(),
            &[],
        )
        .on(18..=18),
        case(
            "a schema that is left out",
            "CREATE SCHEMA s; CREATE TABLE s.t(a int); CREATE SEQUENCE s.q",
            Selection {
                exclude_schemas: vec!["s".to_owned()],
                ..all()
            },
            &[],
        ),
        case(
            "a schema that is not chosen",
            "CREATE SCHEMA s; CREATE TABLE s.t(a int)",
            only_schemas(&["public"]),
            &[],
        ),
        case(
            "a schema that is chosen",
            "CREATE SCHEMA s; CREATE TABLE s.t(a int); CREATE TABLE u(a int)",
            only_schemas(&["s"]),
            &["schema s", "table s.t"],
        ),
        case(
            "odd names",
            "CREATE SCHEMA \"My \"\"s\"; CREATE TABLE \"My \"\"s\".\"-t=🐘\"(a int); GRANT USAGE ON SCHEMA \"My \"\"s\" TO limited",
            all(),
            &["table \"My \"\"s\".\"-t=🐘\""],
        ),
        case(
            "a table without its data is locked all the same",
            "CREATE TABLE t(a int)",
            without_data("t"),
            &["table public.t"],
        ),
        case(
            "a lock takes SELECT",
            "CREATE TABLE t(a int); GRANT UPDATE ON t TO limited",
            without_data("t"),
            &["table public.t"],
        )
        .on(13..=15),
        case(
            "or UPDATE",
            "CREATE TABLE t(a int); GRANT UPDATE ON t TO limited",
            without_data("t"),
            &[],
        )
        .on(16..=18),
        case(
            "or MAINTAIN",
            "CREATE TABLE t(a int); GRANT MAINTAIN ON t TO limited",
            without_data("t"),
            &[],
        )
        .on(17..=18),
        case(
            "a table that is left out",
            "CREATE TABLE t(a int)",
            without_table("t"),
            &[],
        ),
        case(
            "a table that is not chosen",
            "CREATE TABLE t(a int); CREATE TABLE u(a int); GRANT SELECT ON u TO limited",
            only_tables(&["u"]),
            &[],
        ),
        case(
            "a chosen table",
            "CREATE TABLE t(a int); CREATE TABLE u(a int)",
            only_tables(&["u"]),
            &["table public.u"],
        ),
        case(
            "a partition",
            "CREATE TABLE t(a int) PARTITION BY LIST (a); CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1); GRANT SELECT ON t TO limited",
            all(),
            &["table public.t1"],
        ),
        case(
            "a partitioned table",
            "CREATE TABLE t(a int) PARTITION BY LIST (a); CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1); GRANT SELECT ON t1 TO limited",
            all(),
            &["table public.t"],
        ),
        case(
            "a chosen table's partition",
            "CREATE TABLE t(a int) PARTITION BY LIST (a); CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1); GRANT SELECT ON t TO limited",
            only_tables(&["t"]),
            &["table public.t1"],
        ),
        case(
            "an excluded table's partition",
            "CREATE TABLE t(a int) PARTITION BY LIST (a); CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1)",
            without_table("t"),
            &[],
        ),
        case(
            "row security",
            "CREATE TABLE t(a int); ALTER TABLE t ENABLE ROW LEVEL SECURITY; GRANT SELECT ON t TO limited",
            all(),
            &["rows public.t"],
        ),
        case(
            "row security with a policy that shows all",
            "CREATE TABLE t(a int); ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (true); GRANT SELECT ON t TO limited",
            all(),
            &["rows public.t"],
        ),
        case(
            "row security does not bind owners",
            "CREATE TABLE t(a int); ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t OWNER TO limited",
            all(),
            &[],
        ),
        case(
            "unless forced",
            "CREATE TABLE t(a int); ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY; ALTER TABLE t OWNER TO limited",
            all(),
            &["rows public.t"],
        ),
        case(
            "row security without data",
            "CREATE TABLE t(a int); ALTER TABLE t ENABLE ROW LEVEL SECURITY; GRANT SELECT ON t TO limited",
            without_data("t"),
            &[],
        ),
        case(
            "row security of a partitioned table binds nobody who reads its partitions",
            "CREATE TABLE t(a int) PARTITION BY LIST (a); CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1); ALTER TABLE t ENABLE ROW LEVEL SECURITY; GRANT SELECT ON t, t1 TO limited",
            all(),
            &[],
        ),
        case(
            "a large object",
            "SELECT lo_create(4711)",
            all(),
            &["large object 4711"],
        ),
        case(
            "a large object that may be read",
            "SELECT lo_create(4711); GRANT SELECT ON LARGE OBJECT 4711 TO limited",
            all(),
            &[],
        ),
        case(
            "a large object of one's own",
            "SELECT lo_create(4711); ALTER LARGE OBJECT 4711 OWNER TO limited",
            all(),
            &[],
        ),
        case(
            "a large object that everybody may read",
            "SELECT lo_create(4711); GRANT SELECT ON LARGE OBJECT 4711 TO PUBLIC",
            all(),
            &[],
        ),
        case(
            "UPDATE of a large object does not do",
            "SELECT lo_create(4711); GRANT UPDATE ON LARGE OBJECT 4711 TO limited",
            all(),
            &["large object 4711"],
        ),
        case(
            "large objects are left out of a choice",
            "SELECT lo_create(4711)",
            only_schemas(&["public"]),
            &[],
        ),
        case(
            "unless kept",
            "SELECT lo_create(4711)",
            Selection {
                keep_large_objects: true,
                ..only_schemas(&["public"])
            },
            &["large object 4711"],
        ),
        case("an extension's table", EXTENDED, all(), &[]),
        case(
            "an extension's table in a chosen schema",
            EXTENDED,
            only_schemas(&["public"]),
            &[],
        ),
        case(
            "an extension's rows",
            format!("{EXTENDED}{CONFIGURED}"),
            all(),
            &["table public.t"],
        ),
        case(
            "an extension's sequence with a state",
            format!("{EXTENDED}{CONFIGURED_SEQUENCE}"),
            all(),
            &["sequence public.sq"],
        ),
        case(
            "row security of an extension's rows",
            format!(
                "{EXTENDED}{CONFIGURED} GRANT SELECT ON t TO limited; ALTER TABLE t ENABLE ROW LEVEL SECURITY"
            ),
            all(),
            &["rows public.t"],
        ),
        case(
            "an extension's rows in a chosen schema",
            format!("{EXTENDED}{CONFIGURED}"),
            only_schemas(&["public"]),
            &["table public.t"],
        ),
        case(
            "an extension's rows, chosen",
            format!("{EXTENDED}{CONFIGURED}"),
            only_tables(&["t"]),
            &["table public.t"],
        ),
        case(
            "an extension's rows in another schema",
            format!("{EXTENDED}{CONFIGURED} CREATE SCHEMA o"),
            only_schemas(&["o"]),
            &[],
        ),
        case(
            "an extension's rows with kept extensions",
            format!("{EXTENDED}{CONFIGURED} CREATE SCHEMA o"),
            with_extensions(only_schemas(&["o"])),
            &["table public.t"],
        )
        .on(14..=18),
        case(
            "an extension's rows, left out",
            format!("{EXTENDED}{CONFIGURED}"),
            without_table("t"),
            &[],
        ),
    ]
}
