//! The SQL that helps: what it grants is what a dump needs, and nobody loses anything. And what the check tells beside it.

use howdah_domain::{Secret, Selection};
use howdah_postgres::rights::{self, DeniedKind};
use howdah_postgres::role_sql::{BACKUP_ROLE, missing_sql, role_sql};
use howdah_testkit::{Cluster, sample};
use rstest::rstest;

use crate::support::session;
use crate::{check, denied, dump};

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
