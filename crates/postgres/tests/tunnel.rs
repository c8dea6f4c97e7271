//! PostgreSQL through an SSH tunnel: real servers, real client programs of the oldest and the newest major, a real `sshd`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod support;

use std::io::Read as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use howdah_domain::destination::{SshLogin, SshTarget};
use howdah_domain::{Connection, FailureCode, Secret, Selection, Tls, TlsMode};
use howdah_postgres::dump::Dump;
use howdah_postgres::globals::Globals;
use howdah_postgres::running::ignore_lines;
use howdah_postgres::selection::Chosen;
use howdah_postgres::{Error, Reach};
use howdah_ssh::{Options, accept_host_key};
use howdah_testkit::sshd::{Agent, PASSWORD, Sshd};
use howdah_testkit::{Cluster, Encryption};
use rstest::rstest;
use support::*;
use tokio_util::sync::CancellationToken;

/// A configuration file with this text, in which nothing of the user's has a part.
fn config(folder: &Path, text: &str) -> PathBuf {
    let file = folder.join("ssh_config");
    let end = "\nHost *\n  UserKnownHostsFile none\n  GlobalKnownHostsFile none\n  IdentityAgent none\n  IdentityFile none\n";
    std::fs::write(&file, format!("{text}{end}")).unwrap();
    file
}

fn options(sshd: &Sshd) -> Options {
    Options {
        known_hosts: Some(sshd.known_hosts()),
        config: Some(config(sshd.folder(), "")),
        keepalive: Duration::from_secs(1),
        ..Options::default()
    }
}

fn through(sshd: &Sshd, connection: Connection) -> Connection {
    Connection {
        tunnel: Some(sshd.target()),
        ..connection
    }
}

async fn reach(sshd: &Sshd, connection: Connection) -> Reach {
    let cancel = CancellationToken::new();
    Reach::open_with(&through(sshd, connection), None, &options(sshd), &cancel)
        .await
        .unwrap()
}

/// How the certificate's host is reached, with everything verified.
fn verified(cluster: &Cluster, host: &str) -> Connection {
    Connection {
        host: host.into(),
        tls: Tls {
            mode: TlsMode::VerifyFull,
            ca_file: Some(cluster.certificates().unwrap().ca.clone()),
            ..Tls::default()
        },
        ..cluster.connection("shop")
    }
}

const ROWS: &str = "CREATE TABLE orders(id int PRIMARY KEY, note text);
    INSERT INTO orders SELECT i, repeat(md5(i::text), 4) FROM generate_series(1, 20000) i;
    CREATE TABLE items(id int, of int REFERENCES orders);
    INSERT INTO items SELECT i, i FROM generate_series(1, 20000) i";

async fn encrypted(major: u16) -> Cluster {
    let cluster = Cluster::builder(major)
        .encryption(Encryption::Forced)
        .start()
        .await
        .unwrap();
    cluster.create_database("shop").await.unwrap();
    cluster.sql("shop", ROWS).await.unwrap();
    cluster
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_dumped_and_restored_with_everything_verified(#[values(13, 18)] major: u16) {
    let cluster = encrypted(major).await;
    let sshd = Sshd::start().unwrap();
    let secret = cluster.password();
    let reach = reach(&sshd, verified(&cluster, "localhost")).await;
    let session = session(reach.connection(), &secret).await;
    assert_eq!(
        session.tls.describe().split(" (").next().unwrap(),
        "TLS 1.3, certificate and host name verified"
    );
    drop(session);
    let backup = back_up_all(major, reach.connection(), &secret).await;

    let target = reach.connection().with_database("restored");
    let restoring = restore(major, target.clone(), secret.clone(), create());
    parallel(&restoring, &backup, 4).await.unwrap();
    let compared = compared(&target, &secret, &backup.index, 3).await;
    assert!(compared.mismatches.is_empty(), "{compared:?}");
    assert_eq!(
        cluster
            .one("restored", "SELECT count(*) FROM items")
            .await
            .unwrap(),
        "20000"
    );

    // pg_dumpall goes the same way.
    let cancel = CancellationToken::new();
    let client = client(major);
    let dumped = Globals {
        client: &client,
        connection: reach.connection(),
        secret: Some(&secret),
        passwords: true,
    };
    let mut running = dumped.spawn(ignore_lines()).unwrap();
    let mut text = String::new();
    running.take_stdout().unwrap().read_to_string(&mut text).unwrap();
    running.wait(&cancel).await.unwrap();
    assert!(text.contains("CREATE ROLE"), "{text}");
    assert!(!sshd.log().is_empty());
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_is_compared_with_the_real_host_and_not_with_the_near_end(
    #[values(13, 18)] major: u16,
) {
    let cluster = Cluster::builder(major)
        .encryption(Encryption::Forced)
        .set("listen_addresses", "127.0.0.1,127.0.0.2")
        .start()
        .await
        .unwrap();
    cluster.create_database("shop").await.unwrap();
    let sshd = Sshd::start().unwrap();
    let secret = cluster.password();
    let cancel = CancellationToken::new();
    // The certificate names 127.0.0.1, which the near end is, and not this one.
    let reach = reach(&sshd, verified(&cluster, "127.0.0.2")).await;
    let refused =
        howdah_postgres::connect(reach.connection(), Some(&secret), "test", PATIENCE, &cancel).await;
    let refused = failure(refused);
    assert_eq!(refused.code, FailureCode::TlsUntrusted, "{refused:?}");

    let client = client(major);
    let chosen = {
        let straight = session(&cluster.socket_connection("shop"), &secret).await;
        Chosen::resolve(&straight.client, &Selection::default(), major)
            .await
            .unwrap()
    };
    let dump = Dump {
        client: &client,
        connection: reach.connection(),
        secret: Some(&secret),
        chosen: &chosen,
        lock_wait: PATIENCE,
        verbose: false,
    };
    let mut running = dump.spawn(ignore_lines()).unwrap();
    drop(running.take_stdout());
    let refused = failure(running.wait(&cancel).await);
    assert_eq!(refused.code, FailureCode::TlsUntrusted, "{refused:?}");
    let judged = reach.judge(refused).await;
    assert_eq!(
        judged.code,
        FailureCode::TlsUntrusted,
        "the tunnel has no part in it"
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_socket_of_the_far_side_is_reached(#[values(13, 18)] major: u16) {
    let cluster = cluster_with(major, ROWS).await;
    let sshd = Sshd::start().unwrap();
    let connection = Connection {
        tls: Tls {
            mode: TlsMode::Require,
            ..Tls::default()
        },
        ..cluster.socket_connection("shop")
    };
    let reach = reach(&sshd, connection).await;
    let session = session(reach.connection(), &cluster.password()).await;
    assert!(session.tls.socket);
    drop(session);
    back_up_all(major, reach.connection(), &cluster.password()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_with_a_jump_host_and_the_agent_leads_there() {
    let cluster = encrypted(18).await;
    let jump = Sshd::start().unwrap();
    let last = Sshd::start().unwrap();
    let agent = Agent::start(&[&jump.key(), &last.key()]).unwrap();
    let known_hosts = jump.folder().join("both");
    let lines = [&jump, &last].map(|sshd| std::fs::read_to_string(sshd.known_hosts()).unwrap());
    std::fs::write(&known_hosts, lines.concat()).unwrap();
    let text = format!(
        "Host vps\n  HostName 127.0.0.1\n  Port {}\n  ProxyJump jump\nHost jump\n  HostName 127.0.0.1\n  Port {}\n\
         Host *\n  User {}\n  IdentityAgent {}\n  UserKnownHostsFile {}\n",
        last.port(),
        jump.port(),
        Sshd::user(),
        agent.socket().display(),
        known_hosts.display()
    );
    let options = Options {
        config: Some(config(jump.folder(), &text)),
        ..Options::default()
    };
    let connection = Connection {
        tunnel: Some(SshTarget {
            host: "vps".into(),
            login: SshLogin::Agent,
            ..SshTarget::default()
        }),
        ..verified(&cluster, "localhost")
    };
    let cancel = CancellationToken::new();
    let reach = Reach::open_with(&connection, None, &options, &cancel)
        .await
        .unwrap();
    back_up_all(18, reach.connection(), &cluster.password()).await;
    for sshd in [&jump, &last] {
        assert!(sshd.log().contains("Accepted publickey"), "{}", sshd.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_opens_the_tunnel_and_is_never_shown() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let cluster = cluster_with(18, ROWS).await;
    let sshd = Sshd::builder().password().start().unwrap();
    let mut connection = through(&sshd, cluster.connection("shop"));
    connection.tunnel.as_mut().unwrap().login = SshLogin::Password;
    let cancel = CancellationToken::new();
    let open = async |password: &str| {
        let secret = Secret::new(password);
        Reach::open_with(&connection, Some(&secret), &options(&sshd), &cancel).await
    };
    let reach = open(PASSWORD).await.unwrap();
    session(reach.connection(), &cluster.password()).await;
    assert!(!format!("{reach:?}").contains(PASSWORD));
    let error = open("wrong horse").await.unwrap_err();
    let failure = error.to_failure();
    assert_eq!(failure.code, FailureCode::TunnelFailed);
    assert!(!format!("{error:?} {failure:?}").contains("wrong horse"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_has_to_be_accepted_and_a_changed_one_is_refused() {
    let cluster = cluster_with(18, ROWS).await;
    let mut sshd = Sshd::start().unwrap();
    let own = sshd.folder().join("own");
    let connection = through(&sshd, cluster.connection("shop"));
    let cancel = CancellationToken::new();
    let options = Options {
        known_hosts: Some(own.clone()),
        ..options(&sshd)
    };
    let error = Reach::open_with(&connection, None, &options, &cancel)
        .await
        .unwrap_err();
    assert_eq!(error.to_failure().code, FailureCode::HostKeyUnknown);
    let howdah_ssh::Error::UnknownHostKey { key } = error else {
        panic!("{error:?}")
    };
    accept_host_key(&own, &key.known_hosts_line()).unwrap();
    let reach = Reach::open_with(&connection, None, &options, &cancel)
        .await
        .unwrap();
    session(reach.connection(), &cluster.password()).await;
    drop(reach);

    let stopped = sshd.stop();
    stopped.change_host_key().unwrap();
    sshd.start_again(stopped).unwrap();
    let error = Reach::open_with(&connection, None, &options, &cancel)
        .await
        .unwrap_err();
    let failure = error.to_failure();
    assert_eq!(failure.code, FailureCode::HostKeyChanged);
    assert!(!failure.is_retryable());
}

/// Starts a dump of some hundred megabytes and reads a little of it.
async fn dumping(reach: &Reach, secret: &Secret) -> howdah_postgres::running::Running {
    let client = client(18);
    let open = session(reach.connection(), secret).await;
    let chosen = Chosen::resolve(&open.client, &Selection::default(), 18)
        .await
        .unwrap();
    let dump = Dump {
        client: &client,
        connection: reach.connection(),
        secret: Some(secret),
        chosen: &chosen,
        lock_wait: PATIENCE,
        verbose: false,
    };
    dump.spawn(ignore_lines()).unwrap()
}

const MUCH: &str = "CREATE TABLE much(x text);
    ALTER TABLE much ALTER x SET STORAGE EXTERNAL;
    INSERT INTO much SELECT repeat(md5(i::text), 3000) FROM generate_series(1, 1000) i";

#[rstest]
#[case::killed(false)]
#[case::no_longer_answering(true)]
#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_that_breaks_in_mid_dump_is_told_as_that(#[case] frozen: bool) {
    let cluster = cluster_with(18, MUCH).await;
    let sshd = Sshd::start().unwrap();
    let secret = cluster.password();
    let reach = reach(&sshd, cluster.connection("shop")).await;
    let mut running = dumping(&reach, &secret).await;
    let mut stdout = running.take_stdout().unwrap();
    let read = tokio::task::spawn_blocking(move || {
        let mut some = vec![0; 5_000_000];
        stdout.read_exact(&mut some).map(|()| stdout)
    });
    let mut stdout = read.await.unwrap().unwrap();
    let begun = Instant::now();
    if frozen {
        sshd.freeze_sessions();
    } else {
        sshd.kill_sessions();
    }
    let rest = tokio::task::spawn_blocking(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    let error = running.wait(&CancellationToken::new()).await.unwrap_err();
    rest.await.unwrap().unwrap();
    assert_eq!(
        error.code(),
        FailureCode::ConnectionLost,
        "pg_dump knows no better: {error:?}"
    );
    let judged = reach.judge(error.to_failure()).await;
    assert_eq!(judged.code, FailureCode::TunnelLost, "{judged:?}");
    assert!(judged.is_retryable());
    let details = judged.details.unwrap();
    assert!(
        details.contains("Dumping the contents of table"),
        "pg_dump's words are kept: {details}"
    );
    assert_eq!(reach.lost().await.code, FailureCode::TunnelLost);
    // Three keepalives of a second each.
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_database_is_not_blamed_on_the_tunnel() {
    let cluster = cluster_with(18, MUCH).await;
    let sshd = Sshd::start().unwrap();
    let secret = cluster.password();
    let reach = reach(&sshd, cluster.connection("shop")).await;
    let mut running = dumping(&reach, &secret).await;
    let stdout = running.take_stdout().unwrap();
    // The server ends the session in the middle; the tunnel stands.
    let killed = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'howdah%' AND state = 'active'";
    let begun = Instant::now();
    while cluster.rows("shop", killed).await.unwrap().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
    let rest = tokio::task::spawn_blocking(move || std::io::copy(&mut { stdout }, &mut std::io::sink()));
    let error = running.wait(&CancellationToken::new()).await.unwrap_err();
    rest.await.unwrap().unwrap();
    let judged = reach.judge(error.to_failure()).await;
    assert_eq!(judged.code, FailureCode::ConnectionLost, "{judged:?}");
    let cancelled = reach.judge(Error::Cancelled.to_failure()).await;
    assert!(cancelled.is_cancelled());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_whose_server_went_away_is_lost_and_can_be_tried_again() {
    let cluster = cluster_with(18, "").await;
    let mut sshd = Sshd::start().unwrap();
    let secret = cluster.password();
    let cancel = CancellationToken::new();
    let reach = reach(&sshd, cluster.connection("shop")).await;
    let stopped = sshd.stop();
    let again = async || {
        let opened =
            howdah_postgres::connect(reach.connection(), Some(&secret), "test", PATIENCE, &cancel).await;
        match opened {
            Ok(_) => None,
            Err(error) => Some(reach.judge(error.to_failure()).await),
        }
    };
    let mut failure = again().await.expect("the way is gone");
    // What was just being opened as the server went breaks with it; what comes after finds no way any more.
    if failure.message.contains("broke") {
        assert_eq!(failure.code, FailureCode::TunnelLost, "{failure:?}");
        failure = again().await.expect("the way is gone");
    }
    assert_eq!(failure.code, FailureCode::TunnelLost, "{failure:?}");
    assert!(
        failure.is_retryable() && failure.message.contains("cannot be made anew"),
        "{failure:?}"
    );
    sshd.start_again(stopped).unwrap();
    assert_eq!(again().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_behind_the_tunnel_is_told_as_such() {
    let sshd = Sshd::start().unwrap();
    let nobody = Connection {
        host: Ipv4Addr::LOCALHOST.to_string(),
        port: 1,
        role: "u".into(),
        database: "db".into(),
        tls: Tls::default(),
        tunnel: Some(sshd.target()),
        forwarded: None,
    };
    let cancel = CancellationToken::new();
    let error = Reach::open_with(&nobody, None, &options(&sshd), &cancel)
        .await
        .unwrap_err();
    let failure = error.to_failure();
    assert_eq!(failure.code, FailureCode::ConnectionRefused, "{failure:?}");
    assert!(failure.message.contains("127.0.0.1:1"), "{}", failure.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_that_is_not_open_is_never_gone_past() {
    let cluster = cluster_with(18, "").await;
    let sshd = Sshd::start().unwrap();
    let secret = cluster.password();
    let cancel = CancellationToken::new();
    // The host could be reached straight, which would be somebody else's localhost.
    let connection = through(&sshd, cluster.connection("shop"));
    let refused = howdah_postgres::connect(&connection, Some(&secret), "test", PATIENCE, &cancel).await;
    assert_eq!(failure(refused).code, FailureCode::Internal);
    let client = client(18);
    let chosen = {
        let straight = session(&cluster.connection("shop"), &secret).await;
        Chosen::resolve(&straight.client, &Selection::default(), 18)
            .await
            .unwrap()
    };
    let dump = Dump {
        client: &client,
        connection: &connection,
        secret: Some(&secret),
        chosen: &chosen,
        lock_wait: PATIENCE,
        verbose: false,
    };
    assert_eq!(failure(dump.spawn(ignore_lines())).code, FailureCode::Internal);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_tunnel_a_reach_is_the_connection_itself() {
    let cluster = cluster_with(18, "").await;
    let cancel = CancellationToken::new();
    let connection = cluster.connection("shop");
    let reach = Reach::open(&connection, None, None, &cancel).await.unwrap();
    assert_eq!(reach.connection(), &connection);
    session(reach.connection(), &cluster.password()).await;
    let lost = howdah_domain::Failure::new(FailureCode::ConnectionLost, "x");
    assert_eq!(reach.judge(lost).await.code, FailureCode::ConnectionLost);
}

#[tokio::test(flavor = "multi_thread")]
async fn opening_ends_when_cancelled() {
    let silent = howdah_testkit::impostor::stuck_listener().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        config: Some(config(folder.path(), "")),
        ..Options::default()
    };
    let connection = Connection {
        tunnel: Some(SshTarget {
            host: "127.0.0.1".into(),
            port: Some(silent.port()),
            ..SshTarget::default()
        }),
        ..silent.connection()
    };
    let cancel = CancellationToken::new();
    let begun = Instant::now();
    let (opened, ()) = tokio::join!(Reach::open_with(&connection, None, &options, &cancel), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        cancel.cancel();
    });
    assert!(opened.unwrap_err().is_cancelled());
    assert!(begun.elapsed() < Duration::from_secs(2));
}
