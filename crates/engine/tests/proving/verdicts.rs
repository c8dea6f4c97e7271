//! What a drill says of a backup.

use howdah_domain::drill::ProofKind;
use howdah_domain::{FailureCode, RunKind, RunState};
use howdah_testkit::{Cluster, sample};
use rstest::rstest;

use crate::forge;
use crate::support::TestEngine;

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_every_kind_of_object_is_proved(#[values(13, 14, 15, 16, 17, 18)] major: u16) {
    let cluster = Cluster::start(major).await.unwrap();
    sample::every_kind(&cluster, "every kind").await.unwrap();
    let test = TestEngine::start().await;
    let wanted = test.one_off(cluster.connection("every kind"), cluster.password());
    let made = test.back_up(&wanted).await.unwrap();
    let report = test.drilled(&made, &[]).await.unwrap();
    assert_eq!(report.verdict(), None, "{report:#?}");
    assert!(report.is_proved());
    assert_eq!(report.rows, made.manifest.rows);
    assert!(report.tables.len() > 20, "{:?}", report.tables);
    assert!(report.server_version.starts_with(&major.to_string()));
    assert_eq!(report.amcheck_errors, Some(Vec::new()));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn one_changed_byte_is_no_proof_although_every_checksum_is_right(#[values(13, 18)] major: u16) {
    let cluster = Cluster::start(major).await.unwrap();
    cluster
        .sql(
            "postgres",
            "CREATE TABLE users (id int PRIMARY KEY, email text);
             INSERT INTO users SELECT n, 'user' || n || '@example.com' FROM generate_series(1, 3000) n;
             CREATE TABLE orders AS SELECT n FROM generate_series(1, 3000) n;",
        )
        .await
        .unwrap();
    let test = TestEngine::start().await;
    let made = test
        .back_up(&test.one_off(cluster.connection("postgres"), cluster.password()))
        .await
        .unwrap();
    forge::exchange(
        made.stored.local().unwrap(),
        "users",
        "user1234@example.com",
        "user1234@exbmple.com",
    );
    // Several connections read the frames themselves, and see it on the way in.
    let on_the_way = test.drilled(&made, &[]).await.unwrap_err();
    assert_eq!(on_the_way.code, FailureCode::BackupDamaged);
    assert!(
        on_the_way.details.unwrap().contains("public.users"),
        "it names the table"
    );
    // One connection hands everything to pg_restore: here the comparison alone can see it.
    let report = test.drilled_with(1, &made, &[]).await.unwrap();
    assert!(!report.is_proved());
    let differing: Vec<_> = report.tables.iter().filter(|table| !table.equal).collect();
    let [users] = differing.as_slice() else {
        panic!("{differing:?}")
    };
    assert_eq!(
        (users.kind, users.schema.as_str(), users.name.as_str()),
        (ProofKind::Table, "public", "users")
    );
    assert_eq!((users.expected_rows, users.found_rows), (3000, Some(3000)));
    assert_ne!(Some(&users.expected), users.found.as_ref());
    // The run that found it failed, and says which table.
    let run = test.engine.list_runs(1).await.unwrap().remove(0);
    assert_eq!((run.kind, run.state), (RunKind::Drill, RunState::Failed));
    let failure = run.failure.unwrap();
    assert_eq!(failure.code, FailureCode::NotEqual);
    assert!(failure.message.contains("public.users"), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn assertions_are_asked_and_each_that_does_not_hold_is_named() {
    let cluster = Cluster::start(17).await.unwrap();
    cluster
        .sql(
            "postgres",
            "CREATE TABLE orders AS SELECT n FROM generate_series(1, 10) n",
        )
        .await
        .unwrap();
    let test = TestEngine::start().await;
    let made = test
        .back_up(&test.one_off(cluster.connection("postgres"), cluster.password()))
        .await
        .unwrap();
    let good = [
        "SELECT count(*) = 10 FROM orders;",
        "(SELECT max(n) FROM orders) = 10",
    ];
    let report = test.drilled(&made, &good).await.unwrap();
    assert!(report.is_proved(), "{report:#?}");

    let bad = [
        "SELECT count(*) > 10 FROM orders",
        "SELEC true",
        "SELECT true FROM orders CROSS JOIN pg_sleep(1000)",
        "SELECT n FROM orders",
        "SELECT NULL::boolean",
        "DELETE FROM orders RETURNING true",
        "SELECT count(*) = 10 FROM orders",
        "SELECT n > 0 FROM generate_series(1, 3000000) n",
        "SELECT true WHERE false",
    ];
    let report = test.drilled(&made, &bad).await.unwrap();
    assert!(!report.is_proved());
    let outcomes: Vec<(Option<bool>, Option<FailureCode>)> = report
        .assertions
        .iter()
        .map(|outcome| (outcome.held, outcome.failure.as_ref().map(|failure| failure.code)))
        .collect();
    assert_eq!(outcomes[0], (Some(false), None));
    assert_eq!(outcomes[2], (None, Some(FailureCode::Timeout)));
    assert_eq!(outcomes[3], (None, Some(FailureCode::InvalidInput)));
    assert_eq!(outcomes[4], (None, Some(FailureCode::InvalidInput)));
    for unknown in [1, 5] {
        assert!(outcomes[unknown].0.is_none() && outcomes[unknown].1.is_some());
    }
    assert_eq!(outcomes[6], (Some(true), None));
    for several_or_none in [7, 8] {
        assert_eq!(outcomes[several_or_none], (None, Some(FailureCode::InvalidInput)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_come_from_the_globals() {
    let cluster = Cluster::start(17).await.unwrap();
    cluster
        .sql(
            "postgres",
            "CREATE ROLE \"O'Hara\" NOLOGIN; CREATE ROLE reader; GRANT reader TO \"O'Hara\";
             CREATE TABLE kept (n int PRIMARY KEY); ALTER TABLE kept OWNER TO \"O'Hara\"; GRANT SELECT ON kept TO reader;",
        )
        .await
        .unwrap();
    let test = TestEngine::start().await;
    let made = test
        .back_up(&test.one_off(cluster.connection("postgres"), cluster.password()))
        .await
        .unwrap();
    let report = test.drilled(&made, &[]).await.unwrap();
    assert!(report.is_proved(), "{report:#?}");
    assert_eq!(report.left_out, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drills_postgresql_has_no_network_but_its_own_loopback() {
    let cluster = Cluster::start(17).await.unwrap();
    cluster.sql("postgres", "CREATE TABLE t (n int)").await.unwrap();
    let test = TestEngine::start().await;
    let made = test
        .back_up(&test.one_off(cluster.connection("postgres"), cluster.password()))
        .await
        .unwrap();
    // Each interface has one colon in this file; the table itself two lines of headings without any.
    let alone = "SELECT array_length(string_to_array(pg_read_file('/proc/self/net/dev'), ':'), 1) = 2";
    let report = test.drilled(&made, &[alone]).await.unwrap();
    let run = test.engine.list_runs(1).await.unwrap().remove(0);
    let log = test.engine.run_page(&run.id).await.unwrap().log;
    let said = log.iter().any(|line| line.text.contains("without a network"));
    if !said && !nix::unistd::geteuid().is_root() {
        println!("left out: this system gives no network namespaces to its users");
        return;
    }
    assert!(said, "{log:?}");
    assert_eq!(report.assertions[0].held, Some(true), "{report:#?}");
}
