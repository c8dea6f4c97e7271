//! The check of a role's rights against pg_dump itself: what the check finds, pg_dump fails on, and the other way round.
//! The cases are in `cases.rs`; beside them the SQL that helps (`role.rs`) and what a choice leaves out (`outside.rs`).
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod cases;
mod outside;
mod role;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use howdah_domain::{Connection, FailureCode, Secret, Selection};
use howdah_postgres::Error;
use howdah_postgres::rights::{self, DeniedKind, Rights};
use howdah_postgres::role_sql::missing_sql;
use howdah_testkit::Cluster;
use rstest::rstest;
use support::{PATIENCE, back_up, session, table};
use tokio_util::sync::CancellationToken;

async fn check(connection: &Connection, secret: &Secret, selection: &Selection) -> Rights {
    let session = session(connection, secret).await;
    let never = CancellationToken::new();
    rights::begin(&session, PATIENCE, &never).await.unwrap();
    rights::check(&session, selection, PATIENCE, &never)
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

fn only_tables(names: &[&str]) -> Selection {
    Selection {
        tables: names.iter().map(|name| table("public", name)).collect(),
        ..Selection::default()
    }
}

fn only_schemas(names: &[&str]) -> Selection {
    Selection {
        schemas: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Selection::default()
    }
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
    let cases = cases::cases()
        .into_iter()
        .filter(|case| case.majors.contains(&major));
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
