//! The test of a connection as a whole: the lines it tells, on good servers and bad ones; through PgBouncer in `bouncer.rs`.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod bouncer;
#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use howdah_domain::{
    Connection, FailureCode, Secret, Selection, TableName, TestReport, TestState, TestStep, TestStepId, Tls,
    TlsMode,
};
use howdah_postgres::probe::{self, Request};
use howdah_postgres::{environment::Environment, programs::Programs};
use howdah_testkit::{Cluster, Encryption, impostor, sample};
use rstest::rstest;
use support::{PATIENCE, back_up};
use tokio_util::sync::CancellationToken;

async fn test(
    connection: &Connection,
    password: Option<&Secret>,
    selection: &Selection,
) -> (TestReport, Vec<TestStep>) {
    let mut told = Vec::new();
    let programs = programs();
    let request = Request {
        connection,
        password,
        ssh_secret: None,
        known_hosts: None,
        selection,
        programs: &programs,
    };
    let report = probe::test(request, &mut |step| told.push(step), &CancellationToken::new()).await;
    // Whatever happens, all lines are there, in order, and what was told last is what is reported.
    let ids: Vec<TestStepId> = report.steps.iter().map(|step| step.id).collect();
    assert_eq!(
        ids,
        TestStepId::ALL[1..],
        "the tunnel is a line of connections that have one"
    );
    for step in &report.steps {
        assert_ne!(step.state, TestState::Running, "{step:?}");
        if let Some(last) = told.iter().rev().find(|told| told.id == step.id) {
            assert_eq!(last, step);
        } else {
            assert_eq!(step.state, TestState::Skipped);
        }
    }
    (report, told)
}

fn programs() -> Programs {
    Programs::locate(None).unwrap()
}

fn state(report: &TestReport, id: TestStepId) -> TestState {
    report.steps.iter().find(|step| step.id == id).unwrap().state
}

fn step(report: &TestReport, id: TestStepId) -> &TestStep {
    report.steps.iter().find(|step| step.id == id).unwrap()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_good_server_passes_every_line(#[values(13, 14, 15, 16, 17, 18)] major: u16) {
    let cluster = Cluster::start(major).await.unwrap();
    sample::every_kind(&cluster, "shop").await.unwrap();
    cluster.create_database("another").await.unwrap();
    cluster
        .sql("postgres", "CREATE DATABASE closed ALLOW_CONNECTIONS false")
        .await
        .unwrap();
    let secret = cluster.password();
    let began = Instant::now();
    let (report, told) = test(&cluster.connection("shop"), Some(&secret), &Selection::default()).await;
    assert!(began.elapsed() < probe::LIMIT);
    assert!(report.ok, "{report:#?}");
    for step in &report.steps {
        assert_eq!(step.state, TestState::Passed, "{step:#?}");
        assert!(step.finding.is_some(), "{step:#?}");
    }
    assert!(told.iter().any(|step| step.state == TestState::Running));
    assert_eq!(report.server_version.as_deref(), Some(cluster.version()));
    assert_eq!(report.databases, ["another", "postgres", "shop"]);
    assert!(report.schemas.contains(&"public".to_owned()));
    assert!(report.database_bytes.unwrap() > 1_000_000);
    let counted = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
        WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname <> 'information_schema'
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND deptype = 'e')";
    assert_eq!(
        report.tables.unwrap().to_string(),
        cluster.one("shop", counted).await.unwrap()
    );
    assert!(report.latency_ms.is_some());
    assert!(report.role_sql.unwrap().contains("CREATE ROLE"));
    // Nothing stays on the server.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'howdah'";
    assert_eq!(cluster.one("postgres", sessions).await.unwrap(), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_lacks_rights_fails_the_line_with_the_sql_that_helps() {
    let cluster = Cluster::builder(16)
        .encryption(Encryption::Forced)
        .start()
        .await
        .unwrap();
    let secret = cluster.create_role("limited", "").await.unwrap();
    cluster.create_database("shop").await.unwrap();
    cluster.sql("shop", "CREATE TABLE orders(a int)").await.unwrap();
    let connection = Connection {
        tls: Tls {
            mode: TlsMode::Require,
            ..Tls::default()
        },
        ..cluster.connection_as("limited", "shop")
    };
    let (report, _) = test(&connection, Some(&secret), &Selection::default()).await;
    assert!(!report.ok);
    let rights = step(&report, TestStepId::Rights);
    assert_eq!(rights.state, TestState::Failed);
    assert_eq!(
        rights.failure.as_ref().unwrap().code,
        FailureCode::PermissionDenied
    );
    let sql = rights.sql.as_ref().unwrap();
    assert!(sql.contains("GRANT pg_read_all_data TO \"limited\";"), "{sql}");
    let globals = step(&report, TestStepId::Globals);
    assert!(
        globals
            .finding
            .as_ref()
            .unwrap()
            .contains("without their passwords")
    );
    cluster.sql("shop", sql).await.unwrap();
    let (report, _) = test(&connection, Some(&secret), &Selection::default()).await;
    assert!(report.ok, "{report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_choice_that_leaves_out_what_it_needs_is_a_warning() {
    let cluster = Cluster::start(18).await.unwrap();
    cluster.create_database("shop").await.unwrap();
    cluster
        .sql(
            "shop",
            "CREATE SCHEMA a; CREATE SCHEMA b; CREATE TABLE b.t(i int PRIMARY KEY); CREATE TABLE a.t(i int REFERENCES b.t)",
        )
        .await
        .unwrap();
    let secret = cluster.password();
    let connection = cluster.connection("shop");
    let only_a = Selection {
        schemas: vec!["a".to_owned()],
        ..Selection::default()
    };
    let (report, _) = test(&connection, Some(&secret), &only_a).await;
    assert!(report.ok, "{report:#?}");
    assert_eq!(report.tables, Some(1));
    let line = step(&report, TestStepId::Selection);
    assert_eq!(line.state, TestState::Warning);
    assert!(
        line.failure
            .as_ref()
            .unwrap()
            .details
            .as_ref()
            .unwrap()
            .contains("table b.t"),
        "{line:#?}"
    );

    let gone = Selection {
        tables: vec![TableName {
            schema: "a".to_owned(),
            name: "gone".to_owned(),
        }],
        ..Selection::default()
    };
    let (report, _) = test(&connection, Some(&secret), &gone).await;
    assert!(!report.ok);
    assert_eq!(state(&report, TestStepId::Selection), TestState::Failed);
}

#[rstest]
#[case("12.22")]
#[case("19.0")]
#[tokio::test]
async fn a_version_that_cannot_be_dumped_fails_its_line(#[case] version: &'static str) {
    let server = impostor::postgres_of_version(version).await.unwrap();
    let (report, _) = test(&server.connection(), None, &Selection::default()).await;
    assert!(!report.ok);
    assert_eq!(report.server_version.as_deref(), Some(version));
    let line = step(&report, TestStepId::Version);
    assert_eq!(line.state, TestState::Failed);
    assert_eq!(
        line.failure.as_ref().unwrap().code,
        FailureCode::UnsupportedVersion
    );
    assert_eq!(state(&report, TestStepId::Rights), TestState::Skipped);
}

#[tokio::test]
async fn a_silent_server_fails_the_first_line_within_ten_seconds() {
    let server = impostor::stuck_listener().await.unwrap();
    let began = Instant::now();
    let (report, _) = test(&server.connection(), None, &Selection::default()).await;
    assert!(began.elapsed() < probe::LIMIT + Duration::from_secs(2));
    let line = step(&report, TestStepId::Reach);
    assert_eq!(line.state, TestState::Failed);
    assert_eq!(line.failure.as_ref().unwrap().code, FailureCode::Timeout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_in_the_middle_ends_the_test_in_time() {
    let cluster = Cluster::start(17).await.unwrap();
    let secret = cluster.password();
    let connection = cluster.connection("postgres");
    let selection = Selection::default();
    let programs = programs();
    let request = Request {
        connection: &connection,
        password: Some(&secret),
        ssh_secret: None,
        known_hosts: None,
        selection: &selection,
        programs: &programs,
    };
    let began = Instant::now();
    let mut freeze = |step: TestStep| {
        if step.id == TestStepId::Rights {
            cluster.freeze();
        }
    };
    let report = probe::test(request, &mut freeze, &CancellationToken::new()).await;
    cluster.thaw();
    assert!(began.elapsed() < probe::LIMIT + Duration::from_secs(2));
    let line = step(&report, TestStepId::Rights);
    assert_eq!(line.state, TestState::Warning, "{report:#?}");
    assert_eq!(line.failure.as_ref().unwrap().code, FailureCode::Timeout);
}

#[tokio::test]
async fn a_test_ends_at_once_when_it_is_cancelled() {
    let server = impostor::stuck_listener().await.unwrap();
    let cancel = CancellationToken::new();
    let connection = server.connection();
    let selection = Selection::default();
    let programs = programs();
    let request = Request {
        connection: &connection,
        password: None,
        ssh_secret: None,
        known_hosts: None,
        selection: &selection,
        programs: &programs,
    };
    let began = Instant::now();
    let mut ignore = |_| {};
    let (report, ()) = tokio::join!(probe::test(request, &mut ignore, &cancel), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        cancel.cancel();
    });
    assert!(began.elapsed() < Duration::from_secs(2));
    assert!(!report.ok);
    assert_eq!(
        step(&report, TestStepId::Reach).failure.as_ref().unwrap().code,
        FailureCode::Cancelled
    );
}

#[rstest]
#[case("db.invalid", 5432, TestStepId::Reach, FailureCode::HostNotFound)]
#[case("127.0.0.1", 1, TestStepId::Reach, FailureCode::ConnectionRefused)]
#[tokio::test]
async fn what_cannot_be_reached_fails_the_first_line(
    #[case] host: &str,
    #[case] port: u16,
    #[case] id: TestStepId,
    #[case] code: FailureCode,
) {
    let connection = Connection {
        host: host.to_owned(),
        port,
        role: "u".to_owned(),
        database: "db".to_owned(),
        tls: Tls::default(),
        tunnel: None,
        forwarded: None,
    };
    let (report, _) = test(&connection, None, &Selection::default()).await;
    assert_eq!(state(&report, id), TestState::Failed);
    assert_eq!(step(&report, id).failure.as_ref().unwrap().code, code);
}

#[tokio::test(flavor = "multi_thread")]
async fn login_and_tls_fail_their_own_lines() {
    let cluster = Cluster::builder(18)
        .encryption(Encryption::Offered)
        .start()
        .await
        .unwrap();
    let connection = cluster.connection("postgres");
    let wrong = Secret::new("wrong");
    let (report, _) = test(&connection, Some(&wrong), &Selection::default()).await;
    assert_eq!(state(&report, TestStepId::Tls), TestState::Passed);
    assert_eq!(
        step(&report, TestStepId::Login).failure.as_ref().unwrap().code,
        FailureCode::AuthenticationFailed
    );
    let untrusted = Connection {
        tls: Tls {
            mode: TlsMode::VerifyFull,
            ..Tls::default()
        },
        ..connection
    };
    let (report, _) = test(&untrusted, Some(&cluster.password()), &Selection::default()).await;
    assert_eq!(state(&report, TestStepId::Reach), TestState::Passed);
    assert_eq!(
        step(&report, TestStepId::Tls).failure.as_ref().unwrap().code,
        FailureCode::TlsUntrusted
    );
    assert_eq!(state(&report, TestStepId::Login), TestState::Skipped);
    let server = impostor::web_server().await.unwrap();
    let (report, _) = test(&server.connection(), None, &Selection::default()).await;
    assert_eq!(
        step(&report, TestStepId::Reach).failure.as_ref().unwrap().code,
        FailureCode::NotPostgres
    );
}

/// libpq before 15 finds no address in a certificate: what pg_dump will refuse, the test must not pass.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_names_an_address_only_fails_where_pg_dump_would_refuse_it(
    #[values(13, 14, 15, 18)] major: u16,
) {
    let cluster = Cluster::builder(major)
        .encryption(Encryption::Forced)
        .start()
        .await
        .unwrap();
    let secret = cluster.password();
    let tls = Tls {
        mode: TlsMode::VerifyFull,
        ca_file: Some(cluster.certificates().unwrap().ca.clone()),
        ..Tls::default()
    };
    for (host, works) in [("127.0.0.1", major >= 15), ("localhost", true)] {
        let connection = Connection {
            host: host.to_owned(),
            tls: tls.clone(),
            ..cluster.connection("postgres")
        };
        let everything = Selection::default();
        let (report, _) = test(&connection, Some(&secret), &everything).await;
        assert_eq!(report.ok, works, "{host} on {major}: {report:#?}");
        let never = CancellationToken::new();
        let dumped = back_up(major, &connection, &secret, &everything, PATIENCE, &never).await;
        match dumped {
            Ok(_) => assert!(works, "pg_dump {major} accepts {host}"),
            Err(error) => {
                assert!(!works, "{:#?}", error.to_failure());
                assert_eq!(
                    error.code(),
                    FailureCode::TlsUntrusted,
                    "{:#?}",
                    error.to_failure()
                );
                let line = step(&report, TestStepId::Tls);
                assert_eq!(line.state, TestState::Failed, "{line:#?}");
                let failure = line.failure.as_ref().unwrap();
                assert_eq!(failure.code, FailureCode::TlsUntrusted);
                let hint = failure.hint.as_ref().unwrap();
                assert!(
                    hint.contains("localhost") && hint.contains("verify-ca"),
                    "{failure:?}"
                );
                // What else can be found out, is.
                assert_eq!(state(&report, TestStepId::Rights), TestState::Passed);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_ten_thousand_tables_is_tested_in_time() {
    let cluster = Cluster::builder(17)
        .set("max_locks_per_transaction", "256")
        .start()
        .await
        .unwrap();
    cluster.create_database("many").await.unwrap();
    for part in 0..10 {
        let sql = format!(
            "DO $$ BEGIN FOR i IN 1..1000 LOOP EXECUTE format('CREATE TABLE t{part}_%s(id serial PRIMARY KEY, v text)', i); END LOOP; END $$"
        );
        cluster.sql("many", &sql).await.unwrap();
    }
    cluster
        .sql("many", "CREATE SCHEMA one; CREATE TABLE one.t(a int)")
        .await
        .unwrap();
    let secret = cluster.create_role("limited", "").await.unwrap();
    let only_one = Selection {
        exclude_schemas: vec!["one".to_owned()],
        ..Selection::default()
    };
    let began = Instant::now();
    let (report, _) = test(
        &cluster.connection_as("limited", "many"),
        Some(&secret),
        &only_one,
    )
    .await;
    println!("10,000 tables: {:?}", began.elapsed());
    assert_eq!(report.tables, Some(10_000));
    let failure = step(&report, TestStepId::Rights).failure.as_ref().unwrap();
    assert!(failure.message.contains("10000 tables"), "{}", failure.message);
    assert_eq!(
        state(&report, TestStepId::Selection),
        TestState::Passed,
        "{report:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_lines_environment_reaches_a_server() {
    let cluster = Cluster::start(18).await.unwrap();
    let port = cluster.port().to_string();
    let password = cluster.password();
    let environment = Environment::read(
        &|name| match name {
            "PGHOST" => Some("127.0.0.1".to_owned()),
            "PGPORT" => Some(port.clone()),
            "PGUSER" => Some("postgres".to_owned()),
            "PGPASSWORD" => Some(password.expose().to_owned()),
            _ => None,
        },
        &|_| false,
        "nobody",
    )
    .unwrap();
    let parsed = howdah_postgres::parse::parse_connection("dbname=postgres", &environment.defaults).unwrap();
    let (secret, warning) = environment.password_for(&parsed.connection);
    assert_eq!(warning, None);
    let (report, _) = test(&parsed.connection, secret.as_ref(), &Selection::default()).await;
    assert!(report.ok, "{report:#?}");
}
