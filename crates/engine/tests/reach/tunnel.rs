//! A server that is reached through SSH only.

use howdah_domain::destination::{SshLogin, SshTarget};
use howdah_domain::{
    Connection, Environment, FailureCode, RunState, Secret, TestState, TestStepId, WaitReason,
};
use howdah_engine::api::{ConnectionInput, ServerChange, TestRequest};
use howdah_testkit::Cluster;
use howdah_testkit::sshd::Sshd;

use crate::support::{TestEngine, hold_a_table};
use crate::{ROWS, by_hand, folder};

/// A form that goes through `sshd`, with its key.
fn through(sshd: &Sshd, connection: Connection, password: Secret) -> ConnectionInput {
    ConnectionInput::Form {
        connection: Connection {
            tunnel: Some(SshTarget {
                login: SshLogin::Key { file: sshd.key() },
                ..sshd.target()
            }),
            ..connection
        },
        password: Some(password),
        ssh_secret: None,
    }
}

fn asked(input: ConnectionInput) -> TestRequest {
    TestRequest {
        test_id: "test".to_owned(),
        input,
        selection: Default::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_behind_ssh_is_tested_added_and_backed_up_once_its_key_is_accepted() {
    let cluster = Cluster::start(18).await.unwrap();
    cluster.sql("postgres", ROWS).await.unwrap();
    let sshd = Sshd::start().unwrap();
    let test = TestEngine::start().await;
    let input = || through(&sshd, cluster.connection("postgres"), cluster.password());

    // Nobody has accepted the server's key yet, and nothing else is tried before that.
    let report = test.engine.test_connection(asked(input())).await.unwrap();
    let tunnel = &report.steps[0];
    assert_eq!((tunnel.id, tunnel.state), (TestStepId::Tunnel, TestState::Failed));
    let failure = tunnel.failure.clone().unwrap();
    assert_eq!(failure.code, FailureCode::HostKeyUnknown);
    assert!(failure.message.contains("SHA256:"), "{failure:?}");
    assert!(
        report.steps[1..]
            .iter()
            .all(|step| step.state == TestState::Skipped)
    );

    let line = failure.details.unwrap();
    test.engine.accept_host_key(line).await.unwrap();
    let report = test.engine.test_connection(asked(input())).await.unwrap();
    assert!(report.ok, "{report:?}");
    assert_eq!(report.steps[0].state, TestState::Passed);

    let server = test
        .engine
        .add_server(input(), "shop", Environment::None)
        .await
        .unwrap();
    assert!(server.connection.tunnel.is_some());
    assert_eq!(
        test.engine.list_databases(&server.id).await.unwrap(),
        ["postgres"]
    );
    let kept = test
        .engine
        .add_destination(folder(&test, "backups"))
        .await
        .unwrap();
    test.engine
        .save_plan(by_hand(server.id.clone(), vec![kept.id]))
        .await
        .unwrap();
    let backup = test.backed_up().await;
    assert_eq!(backup.rows, 20_000);
    let log = test.engine.run_page(&backup.run_id.unwrap()).await.unwrap().log;
    assert!(log.iter().any(|line| line.text.contains("SSH tunnel")), "{log:?}");

    // The tunnel is remembered over a restart, and a server without one again is reached straight.
    let (dir, clock, secrets) = (test.dir.clone(), test.clock.clone(), test.secrets.clone());
    test.engine.shutdown(std::time::Duration::from_secs(10)).await;
    let test = TestEngine::start_with(dir, clock, secrets).await;
    test.backed_up().await;
    let straight = ServerChange {
        name: None,
        connection: Some(cluster.connection("postgres")),
        password: None,
        ssh_secret: None,
        environment: None,
    };
    test.engine.change_server(&server.id, straight).await.unwrap();
    drop(sshd);
    test.backed_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_that_breaks_in_the_middle_is_said_to_and_tried_again() {
    let cluster = Cluster::start(18).await.unwrap();
    let held = hold_a_table(&cluster, "postgres").await;
    let sshd = Sshd::start().unwrap();
    let test = TestEngine::start().await;
    let input = || through(&sshd, cluster.connection("postgres"), cluster.password());
    let report = test.engine.test_connection(asked(input())).await.unwrap();
    let line = report.steps[0].failure.clone().unwrap().details.unwrap();
    test.engine.accept_host_key(line).await.unwrap();
    let server = test
        .engine
        .add_server(input(), "shop", Environment::None)
        .await
        .unwrap();
    let kept = test
        .engine
        .add_destination(folder(&test, "backups"))
        .await
        .unwrap();
    test.engine
        .save_plan(by_hand(server.id, vec![kept.id]))
        .await
        .unwrap();
    let database = test.engine.overview().await.unwrap().databases.remove(0);
    let run = test.engine.back_up_now(&database.id).await.unwrap().remove(0);
    // pg_dump waits for the table that is held: the run is in the middle.
    crate::until("pg_dump waits", async || {
        let query =
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'howdah' AND wait_event_type = 'Lock'";
        let waiting = cluster.rows("postgres", query).await.unwrap();
        (!waiting.is_empty()).then_some(())
    })
    .await;
    sshd.kill_sessions();
    let waiting = test
        .until(&run, |state| {
            state
                == RunState::Waiting {
                    reason: WaitReason::Retry,
                }
                || state.is_final()
        })
        .await;
    let failure = waiting.failure.unwrap();
    assert_eq!(failure.code, FailureCode::TunnelLost, "{failure:?}");
    assert!(!waiting.state.is_final(), "it is tried again");
    drop(held);
    test.clock.turn(jiff::SignedDuration::from_mins(2));
    test.engine.cancel_run(&run).await.unwrap();
    test.backed_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_of_an_ssh_login_is_in_the_keyring_and_goes_to_no_other_login() {
    let cluster = Cluster::start(18).await.unwrap();
    let sshd = Sshd::builder().password().start().unwrap();
    let test = TestEngine::start().await;
    let target = SshTarget {
        login: SshLogin::Key {
            file: sshd.locked_key(),
        },
        ..sshd.target()
    };
    let input = |secret: &str| ConnectionInput::Form {
        connection: Connection {
            tunnel: Some(target.clone()),
            ..cluster.connection("postgres")
        },
        password: Some(cluster.password()),
        ssh_secret: Some(Secret::new(secret)),
    };
    let report = test
        .engine
        .test_connection(asked(input("not it at all")))
        .await
        .unwrap();
    let failure = report.steps[0].failure.clone().unwrap();
    if failure.code == FailureCode::HostKeyUnknown {
        test.engine
            .accept_host_key(failure.details.unwrap())
            .await
            .unwrap();
    }
    let report = test
        .engine
        .test_connection(asked(input("not it at all")))
        .await
        .unwrap();
    let failure = report.steps[0].failure.clone().unwrap();
    assert_eq!(failure.code, FailureCode::TunnelFailed, "{failure:?}");
    let passphrase = howdah_testkit::sshd::PASSPHRASE;
    let server = test
        .engine
        .add_server(input(passphrase), "shop", Environment::None)
        .await
        .unwrap();
    assert!(server.has_ssh_secret);
    test.engine.list_databases(&server.id).await.unwrap();
    let database = std::fs::read(test.dir.path().join("data/howdah.db")).unwrap_or_default();
    assert!(
        !database
            .windows(passphrase.len())
            .any(|bytes| bytes == passphrase.as_bytes())
    );

    let elsewhere = Connection {
        tunnel: Some(SshTarget {
            host: "elsewhere.example".into(),
            ..target.clone()
        }),
        ..cluster.connection("postgres")
    };
    let change = |ssh_secret: Option<&str>| ServerChange {
        name: None,
        connection: Some(elsewhere.clone()),
        password: None,
        ssh_secret: ssh_secret.map(Secret::new),
        environment: None,
    };
    let refused = test.engine.change_server(&server.id, change(None)).await;
    assert_eq!(refused.unwrap_err().code, FailureCode::InvalidInput);
    let changed = test
        .engine
        .change_server(&server.id, change(Some("another")))
        .await
        .unwrap();
    assert!(changed.has_ssh_secret);
    let changed = test
        .engine
        .change_server(&server.id, change(Some("")))
        .await
        .unwrap();
    assert!(!changed.has_ssh_secret);
}
