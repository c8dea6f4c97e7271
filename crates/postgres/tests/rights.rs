//! The check of a role's rights against pg_dump itself: what the check finds, pg_dump fails on, and the other way round;
//! and the role that the SQL creates, which can dump everything.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod support;

use std::time::Duration;

use howdah_domain::{Connection, FailureCode, Secret, Selection, TableName};
use howdah_postgres::Error;
use howdah_postgres::outside::{self, Outside};
use howdah_postgres::rights::{self, DeniedKind, Rights};
use howdah_postgres::role_sql::{BACKUP_ROLE, missing_sql, role_sql};
use howdah_testkit::{Cluster, sample};
use rstest::rstest;
use support::{PATIENCE, back_up, session};
use tokio_util::sync::CancellationToken;

async fn check(connection: &Connection, secret: &Secret, selection: &Selection) -> Rights {
    let session = session(connection, secret).await;
    let never = CancellationToken::new();
    rights::begin(&session, PATIENCE, &never).await.unwrap();
    rights::check(&session, selection, PATIENCE, &never)
        .await
        .unwrap()
}

async fn find(connection: &Connection, secret: &Secret, selection: &Selection) -> Outside {
    let session = session(connection, secret).await;
    let never = CancellationToken::new();
    rights::begin(&session, PATIENCE, &never).await.unwrap();
    outside::find(&session, selection, PATIENCE, &never)
        .await
        .unwrap()
}

async fn dump(
    cluster: &Cluster,
    connection: &Connection,
    secret: &Secret,
    selection: &Selection,
) -> Result<(), Error> {
    let never = CancellationToken::new();
    let backup = back_up(
        cluster.major(),
        connection,
        secret,
        selection,
        Duration::from_secs(10),
        &never,
    )
    .await;
    backup.map(drop)
}

/// Kinds and names of what is denied, such as `table shop.t`.
fn denied(rights: &Rights) -> Vec<String> {
    let of = |kind| match kind {
        DeniedKind::Schema => "schema",
        DeniedKind::Table => "table",
        DeniedKind::Sequence => "sequence",
        DeniedKind::LargeObject => "large object",
        DeniedKind::RowSecurity => "rows",
    };
    rights
        .denied
        .iter()
        .flat_map(|denied| {
            assert_eq!(denied.total, denied.names.len() as u64);
            denied
                .names
                .iter()
                .map(move |name| format!("{} {name}", of(denied.kind)))
        })
        .collect()
}

fn table(name: &str) -> TableName {
    TableName {
        schema: "public".to_owned(),
        name: name.to_owned(),
    }
}

fn only_tables(names: &[&str]) -> Selection {
    Selection {
        tables: names.iter().map(|name| table(name)).collect(),
        ..Selection::default()
    }
}

fn only_schemas(names: &[&str]) -> Selection {
    Selection {
        schemas: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Selection::default()
    }
}

fn without_table(name: &str) -> Selection {
    Selection {
        exclude_tables: vec![table(name)],
        ..Selection::default()
    }
}

fn without_data(name: &str) -> Selection {
    Selection {
        exclude_data: vec![table(name)],
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
struct Case {
    about: &'static str,
    sql: String,
    selection: Selection,
    expected: Vec<&'static str>,
    majors: std::ops::RangeInclusive<u16>,
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

fn cases() -> Vec<Case> {
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

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_check_agrees_with_pg_dump(#[values(13, 14, 15, 16, 17, 18)] major: u16) {
    let cluster = Cluster::start(major).await.unwrap();
    let secret = cluster.create_role("limited", "").await.unwrap();
    cluster.sql("postgres", "CREATE ROLE readers").await.unwrap();
    let version = session(&cluster.connection("postgres"), &cluster.password())
        .await
        .server_version
        .clone();
    let mut failed = 0;
    let cases = cases().into_iter().filter(|case| case.majors.contains(&major));
    for (number, case) in cases.enumerate() {
        let database = format!("case {number}");
        cluster.create_database(&database).await.unwrap();
        // A role that owns something cannot be granted a membership twice, but may be asked to.
        cluster
            .sql(&database, &format!("REVOKE readers FROM limited; {}", case.sql))
            .await
            .unwrap();
        let connection = cluster.connection_as("limited", &database);
        let about = format!("{} on {major}", case.about);
        let rights = check(&connection, &secret, &case.selection).await;
        assert_eq!(denied(&rights), case.expected, "{about}");
        let outcome = dump(&cluster, &connection, &secret, &case.selection).await;
        match (rights.failure(), outcome) {
            (None, Ok(())) => assert_eq!(missing_sql(&rights, &version), None, "{about}"),
            (None, Err(error)) => panic!("{about}: the check found nothing, and {:#?}", error.to_failure()),
            (Some(failure), Ok(())) => panic!("{about}: pg_dump had no trouble with {failure:#?}"),
            (Some(failure), Err(error)) => {
                failed += 1;
                let expected = if rights
                    .denied
                    .iter()
                    .all(|denied| denied.kind == DeniedKind::RowSecurity)
                {
                    FailureCode::RowSecurity
                } else {
                    FailureCode::PermissionDenied
                };
                assert_eq!(failure.code, expected, "{about}");
                assert_eq!(error.code(), expected, "{about}: {:#?}", error.to_failure());
            }
        }
        cluster
            .sql("postgres", &format!("DROP DATABASE \"{database}\" WITH (FORCE)"))
            .await
            .unwrap();
    }
    assert!(failed > 20, "only {failed} cases failed");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_sql_for_what_is_missing_makes_the_dump_work(#[values(13, 14, 15, 16, 17, 18)] major: u16) {
    let cluster = Cluster::start(major).await.unwrap();
    let secret = cluster.create_role("Ärger \"x\"", "").await.unwrap();
    cluster.create_database("my \"db\"").await.unwrap();
    cluster
        .sql(
            "my \"db\"",
            "CREATE SCHEMA \"My \"\"s\"; CREATE TABLE \"My \"\"s\".t(a serial); SELECT lo_create(4711);
             CREATE TABLE r(a int); ALTER TABLE r ENABLE ROW LEVEL SECURITY",
        )
        .await
        .unwrap();
    let connection = cluster.connection_as("Ärger \"x\"", "my \"db\"");
    let all = Selection::default();
    let before = check(&connection, &secret, &all).await;
    assert!(before.denied.len() >= 4, "{before:?}");
    let version = session(&connection, &secret).await.server_version.clone();
    let sql = missing_sql(&before, &version).unwrap();
    cluster.sql("my \"db\"", &sql).await.unwrap();
    let after = check(&connection, &secret, &all).await;
    assert_eq!(denied(&after), Vec::<String>::new(), "{sql}");
    dump(&cluster, &connection, &secret, &all).await.unwrap();
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_backup_role_dumps_every_kind_of_object_and_what_comes_later(
    #[values(13, 14, 15, 16, 17, 18)] major: u16,
) {
    let cluster = Cluster::start(major).await.unwrap();
    sample::every_kind(&cluster, "shop").await.unwrap();
    cluster
        .sql(
            "shop",
            "CREATE ROLE keeper; CREATE SCHEMA kept AUTHORIZATION keeper; SET ROLE keeper;
             CREATE TABLE kept.rows(a serial); ALTER TABLE kept.rows ENABLE ROW LEVEL SECURITY; RESET ROLE;
             REVOKE CONNECT ON DATABASE shop FROM PUBLIC;
             SELECT lo_from_bytea(0, 'x')",
        )
        .await
        .unwrap();
    let superuser = cluster.connection("shop");
    let all = Selection::default();
    let found = check(&superuser, &cluster.password(), &all).await;
    assert!(found.superuser && found.complete());
    assert!(found.facts.row_security && found.facts.large_objects);
    let version = session(&superuser, &cluster.password())
        .await
        .server_version
        .clone();
    let sql = role_sql(&found.facts, &version);
    assert!(!sql.contains("REVOKE") && !sql.contains("PUBLIC"), "{sql}");

    let rights_of_public = "SELECT coalesce(string_agg(acl::text, E'\\n' ORDER BY acl::text), '') FROM (
        SELECT unnest(relacl) FROM pg_class UNION ALL SELECT unnest(nspacl) FROM pg_namespace
        UNION ALL SELECT unnest(datacl) FROM pg_database) AS a(acl) WHERE acl::text NOT LIKE '%howdah_backup%'";
    let before = cluster.one("shop", rights_of_public).await.unwrap();
    cluster.sql("shop", &sql).await.unwrap();
    cluster
        .sql(
            "shop",
            &format!("ALTER ROLE {BACKUP_ROLE} PASSWORD 'secret words'"),
        )
        .await
        .unwrap();
    let after = cluster.one("shop", rights_of_public).await.unwrap();
    // An object whose rights were all default now names its owner's, which are the same as before.
    for line in before.lines() {
        assert!(after.contains(line), "{line} is gone");
    }
    let attributes = format!(
        "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication FROM pg_roles WHERE rolname = '{BACKUP_ROLE}'"
    );
    assert_eq!(cluster.one("shop", &attributes).await.unwrap(), "f");

    let secret = Secret::new("secret words");
    let connection = cluster.connection_as(BACKUP_ROLE, "shop");
    let rights = check(&connection, &secret, &all).await;
    assert_eq!(denied(&rights), Vec::<String>::new(), "{sql}");
    dump(&cluster, &connection, &secret, &all).await.unwrap();

    // What the owners make tomorrow night.
    cluster
        .sql(
            "shop",
            "CREATE TABLE public.later(a serial); CREATE SCHEMA later; CREATE TABLE later.t(a serial);
             SET ROLE keeper; CREATE TABLE kept.later(a serial); RESET ROLE; SELECT lo_from_bytea(0, 'y')",
        )
        .await
        .unwrap();
    let rights = check(&connection, &secret, &all).await;
    assert_eq!(denied(&rights), Vec::<String>::new(), "{sql}");
    dump(&cluster, &connection, &secret, &all).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_denied_is_counted_and_the_first_are_named() {
    let cluster = Cluster::start(17).await.unwrap();
    let secret = cluster.create_role("limited", "").await.unwrap();
    cluster.create_database("many").await.unwrap();
    let sql = "DO $$ BEGIN FOR i IN 1..1500 LOOP EXECUTE format('CREATE TABLE t%s(a int)', lpad(i::text, 5, '0')); END LOOP; END $$";
    cluster.sql("many", sql).await.unwrap();
    let rights = check(
        &cluster.connection_as("limited", "many"),
        &secret,
        &Selection::default(),
    )
    .await;
    let tables = &rights.denied[0];
    assert_eq!(
        (tables.kind, tables.total, tables.names.len()),
        (DeniedKind::Table, 1500, rights::LISTED)
    );
    assert_eq!(tables.names[0], "public.t00001");
    let failure = rights.failure().unwrap();
    assert!(failure.message.contains("1500 tables"), "{}", failure.message);
    assert!(failure.details.unwrap().ends_with("and 1400 more"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plain_role_leaves_out_in_silence_is_told() {
    let cluster = Cluster::start(16).await.unwrap();
    let secret = cluster.create_role("limited", "").await.unwrap();
    cluster.create_database("shop").await.unwrap();
    cluster
        .sql(
            "shop",
            "CREATE SUBSCRIPTION s CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false);
             CREATE EXTENSION postgres_fdw; CREATE SERVER f FOREIGN DATA WRAPPER postgres_fdw;
             CREATE USER MAPPING FOR postgres SERVER f OPTIONS (user 'u', password 'pw')",
        )
        .await
        .unwrap();
    let all = Selection::default();
    let rights = check(&cluster.connection_as("limited", "shop"), &secret, &all).await;
    assert!(rights.complete());
    assert_eq!(rights.left_out.len(), 2, "{:?}", rights.left_out);
    let rights = check(&cluster.connection("shop"), &cluster.password(), &all).await;
    assert_eq!(rights.left_out, Vec::<String>::new());
}

// What a choice leaves out.

const TWO_SCHEMAS: &str = "
    CREATE SCHEMA app; CREATE SCHEMA lib;
    CREATE TYPE lib.colour AS ENUM ('red');
    CREATE DOMAIN lib.positive AS int CHECK (VALUE > 0);
    CREATE FUNCTION lib.f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';
    CREATE FUNCTION lib.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE SEQUENCE lib.counter;
    CREATE TABLE lib.customers(id int PRIMARY KEY);
    CREATE TABLE lib.unused(id int);
    CREATE TABLE app.orders(
        id int DEFAULT nextval('lib.counter') PRIMARY KEY,
        customer int CONSTRAINT of_customer REFERENCES lib.customers,
        colour lib.colour, colours lib.colour[], n lib.positive,
        CHECK (lib.f(n) > 0));
    CREATE INDEX ON app.orders (lib.f(id));
    CREATE TRIGGER touched BEFORE UPDATE ON app.orders FOR EACH ROW EXECUTE FUNCTION lib.touch();
    CREATE VIEW app.v AS SELECT * FROM lib.customers;
    CREATE TABLE app.parted(a int) PARTITION BY LIST (a);
    CREATE TABLE lib.part PARTITION OF app.parted FOR VALUES IN (1);
    CREATE TABLE app.own(a int REFERENCES app.orders);
";

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_choice_of_schemas_leaves_out_is_found(#[values(13, 14, 15, 16, 17, 18)] major: u16) {
    let cluster = Cluster::start(major).await.unwrap();
    let secret = cluster.password();
    cluster.create_database("shop").await.unwrap();
    cluster.sql("shop", TWO_SCHEMAS).await.unwrap();
    let connection = cluster.connection("shop");

    let found = find(&connection, &secret, &only_schemas(&["app"])).await;
    let objects: Vec<&str> = found.needed.iter().map(|needed| needed.object.as_str()).collect();
    assert_eq!(
        objects,
        [
            "function lib.f(integer)",
            "function lib.touch()",
            "sequence lib.counter",
            "table lib.customers",
            "table lib.part",
            "type lib.colour",
            "type lib.positive",
        ],
        "{found:#?}"
    );
    assert_eq!(found.total, 7);
    let failure = found.failure().unwrap();
    assert!(
        failure
            .details
            .unwrap()
            .contains("table lib.customers, needed by")
    );

    assert!(find(&connection, &secret, &Selection::default()).await.is_clean());
    assert!(
        find(&connection, &secret, &only_schemas(&["app", "lib"]))
            .await
            .is_clean()
    );
    let excluded = Selection {
        exclude_schemas: vec!["lib".to_owned()],
        ..Selection::default()
    };
    assert_eq!(find(&connection, &secret, &excluded).await.total, 7);
    // lib alone misses only the table that its partition belongs to.
    let found = find(&connection, &secret, &only_schemas(&["lib"])).await;
    assert_eq!(found.needed.len(), 1, "{found:#?}");
    assert_eq!(found.needed[0].object, "table app.parted");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_choice_of_tables_leaves_out_is_found() {
    let cluster = Cluster::start(18).await.unwrap();
    let secret = cluster.password();
    cluster.create_database("shop").await.unwrap();
    cluster.sql("shop", TWO_SCHEMAS).await.unwrap();
    let connection = cluster.connection("shop");
    let own = Selection {
        tables: vec![TableName {
            schema: "app".to_owned(),
            name: "own".to_owned(),
        }],
        ..Selection::default()
    };
    let found = find(&connection, &secret, &own).await;
    let objects: Vec<&str> = found.needed.iter().map(|needed| needed.object.as_str()).collect();
    assert_eq!(objects, ["schema app", "table app.orders"], "{found:#?}");
    // The partitions of a chosen table are chosen with it.
    let parted = Selection {
        tables: vec![TableName {
            schema: "app".to_owned(),
            name: "parted".to_owned(),
        }],
        ..Selection::default()
    };
    let found = find(&connection, &secret, &parted).await;
    let objects: Vec<&str> = found.needed.iter().map(|needed| needed.object.as_str()).collect();
    assert_eq!(objects, ["schema app", "schema lib"], "{found:#?}");
    let excluded = Selection {
        exclude_tables: vec![TableName {
            schema: "lib".to_owned(),
            name: "customers".to_owned(),
        }],
        ..Selection::default()
    };
    let found = find(&connection, &secret, &excluded).await;
    let objects: Vec<&str> = found.needed.iter().map(|needed| needed.object.as_str()).collect();
    assert_eq!(objects, ["table lib.customers"], "{found:#?}");
    assert_eq!(found.needed[0].times, 2, "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn extensions_servers_and_large_objects_are_left_out_unless_kept() {
    let cluster = Cluster::start(17).await.unwrap();
    let secret = cluster.password();
    cluster.create_database("shop").await.unwrap();
    cluster
        .sql(
            "shop",
            "CREATE EXTENSION hstore; CREATE SCHEMA app; CREATE TABLE app.t(h hstore, i int); CREATE INDEX ON app.t USING gin (h);
             CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw;
             CREATE FOREIGN TABLE app.f(a int) SERVER far; SELECT lo_create(0), lo_create(0)",
        )
        .await
        .unwrap();
    let connection = cluster.connection("shop");
    let app = only_schemas(&["app"]);
    let found = find(&connection, &secret, &app).await;
    let objects: Vec<&str> = found.needed.iter().map(|needed| needed.object.as_str()).collect();
    assert_eq!(objects, ["extension hstore", "server far"], "{found:#?}");
    assert_eq!(found.large_objects, 2);
    let kept = Selection {
        keep_extensions: true,
        keep_large_objects: true,
        ..app
    };
    let found = find(&connection, &secret, &kept).await;
    let objects: Vec<&str> = found.needed.iter().map(|needed| needed.object.as_str()).collect();
    assert_eq!(
        (objects, found.large_objects),
        (vec!["server far"], 0),
        "{found:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chosen_schema_or_table_that_is_gone_fails_here_and_in_pg_dump() {
    let cluster = Cluster::start(18).await.unwrap();
    let secret = cluster.password();
    cluster.create_database("shop").await.unwrap();
    let connection = cluster.connection("shop");
    for selection in [only_schemas(&["gone"]), only_tables(&["gone"])] {
        let found = find(&connection, &secret, &selection).await;
        assert_eq!(found.missing.len(), 1, "{found:?}");
        assert_eq!(found.failure().unwrap().code, FailureCode::NotFound);
        let error = dump(&cluster, &connection, &secret, &selection)
            .await
            .unwrap_err();
        assert_eq!(error.code(), FailureCode::NotFound, "{:#?}", error.to_failure());
    }
}
