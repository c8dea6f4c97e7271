//! Sessions with a real `sshd`: every way to log in, host keys known, unknown and changed, aliases and jump hosts.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod support;

use std::time::{Duration, Instant};

use howdah_domain::FailureCode;
use howdah_domain::destination::{SshLogin, SshTarget};
use howdah_ssh::{Error, Options, Route, accept_host_key};
use howdah_testkit::impostor;
use howdah_testkit::sshd::{Agent, PASSPHRASE, PASSWORD, Sshd, make_key};
use rstest::rstest;
use support::*;
use tokio_util::sync::CancellationToken;

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[tokio::test]
async fn a_key_file_lets_in() {
    let sshd = Sshd::start().unwrap();
    let session = open(&sshd.target(), None, &options(&sshd)).await.unwrap();
    assert!(!session.is_over());
    speaks(session.open(&far(echo().await)).await.unwrap()).await;
}

#[tokio::test]
async fn a_key_with_a_passphrase_needs_just_that() {
    let sshd = Sshd::start().unwrap();
    let file = sshd.locked_key();
    let target = with(&sshd, SshLogin::Key { file });
    let options = options(&sshd);
    open(&target, Some(PASSPHRASE), &options).await.unwrap();
    for wrong in [None, Some("wrong horse")] {
        let error = refusal(open(&target, wrong, &options).await);
        assert!(matches!(error, Error::Key { passphrase: true, .. }), "{error:?}");
        assert!(!format!("{error:?} {error}").contains("wrong horse"));
    }
}

#[rstest]
#[case("rsa")]
#[case("ecdsa")]
#[tokio::test]
async fn keys_of_other_kinds_let_in_too(#[case] kind: &str) {
    let sshd = Sshd::start().unwrap();
    let file = sshd.folder().join(kind);
    make_key(&file, kind, "").unwrap();
    let public = std::fs::read_to_string(file.with_extension("pub")).unwrap();
    std::fs::write(sshd.folder().join("authorized_keys"), public).unwrap();
    let target = with(&sshd, SshLogin::Key { file });
    open(&target, None, &options(&sshd)).await.unwrap();
}

#[tokio::test]
async fn a_key_that_is_not_authorized_is_denied_with_what_was_tried() {
    let sshd = Sshd::start().unwrap();
    let file = sshd.folder().join("stranger");
    make_key(&file, "ed25519", "").unwrap();
    let target = with(&sshd, SshLogin::Key { file: file.clone() });
    let error = refusal(open(&target, None, &options(&sshd)).await);
    let Error::Denied { tried, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(
        tried.contains(&file.display().to_string()) && tried.contains("publickey"),
        "{tried}"
    );
    assert_eq!(error.to_failure().code, FailureCode::TunnelFailed);
    assert!(!error.is_retryable());
}

#[rstest]
#[case("absent", "No such file")]
#[case("nonsense", "no private key")]
#[tokio::test]
async fn a_key_file_that_cannot_be_read_is_told(#[case] name: &str, #[case] why: &str) {
    let sshd = Sshd::start().unwrap();
    std::fs::write(sshd.folder().join("nonsense"), "nonsense").unwrap();
    let file = sshd.folder().join(name);
    let error = refusal(open(&with(&sshd, SshLogin::Key { file }), None, &options(&sshd)).await);
    assert!(
        matches!(
            error,
            Error::Key {
                passphrase: false,
                ..
            }
        ) && error.to_string().contains(why),
        "{error}"
    );
}

#[tokio::test]
async fn the_agent_lets_in_with_the_first_key_that_fits() {
    let sshd = Sshd::start().unwrap();
    let stranger = sshd.folder().join("stranger");
    make_key(&stranger, "ed25519", "").unwrap();
    let agent = Agent::start(&[&stranger, &sshd.key()]).unwrap();
    let text = format!("Host *\n  IdentityAgent {}\n", agent.socket().display());
    for login in [SshLogin::Agent, SshLogin::Auto] {
        let options = Options {
            config: Some(config(sshd.folder(), &text)),
            ..options(&sshd)
        };
        open(&with(&sshd, login), None, &options).await.unwrap();
    }
    let accepted = sshd.log().matches("Accepted publickey").count();
    assert_eq!(
        accepted,
        2,
        "no key is tried after one that was taken: {}",
        sshd.log()
    );
}

#[tokio::test]
async fn with_identities_only_the_agent_shows_no_other_keys() {
    let sshd = Sshd::start().unwrap();
    let strangers: Vec<_> = (0..8)
        .map(|n| sshd.folder().join(format!("stranger{n}")))
        .collect();
    for file in &strangers {
        make_key(file, "ed25519", "").unwrap();
    }
    let key = sshd.key();
    let mut all: Vec<_> = strangers.iter().map(|file| file.as_path()).collect();
    all.push(&key);
    let agent = Agent::start(&all).unwrap();
    let text = format!("Host *\n  IdentityAgent {}\n", agent.socket().display());
    let with_config = |text: &str| Options {
        config: Some(config(sshd.folder(), text)),
        ..options(&sshd)
    };
    let login = || with(&sshd, SshLogin::Agent);
    // sshd hangs up after six keys (MaxAuthTries).
    let error = refusal(open(&login(), None, &with_config(&text)).await);
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
    let text = format!("{text}  IdentitiesOnly yes\n  IdentityFile {}\n", key.display());
    open(&login(), None, &with_config(&text)).await.unwrap();
}

#[tokio::test]
async fn an_agent_that_is_not_there_is_told_where_it_was_demanded() {
    let sshd = Sshd::start().unwrap();
    let text = "Host *\n  IdentityAgent /nonexistent/agent\n";
    let options = Options {
        config: Some(config(sshd.folder(), text)),
        ..options(&sshd)
    };
    let error = refusal(open(&with(&sshd, SshLogin::Agent), None, &options).await);
    assert!(matches!(error, Error::Agent { .. }), "{error:?}");
    let error = refusal(open(&with(&sshd, SshLogin::Auto), None, &options).await);
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
}

#[tokio::test]
async fn a_password_lets_in() {
    if !is_root() {
        return;
    }
    let sshd = Sshd::builder().password().start().unwrap();
    for login in [SshLogin::Password, SshLogin::Auto] {
        let target = with(&sshd, login);
        open(&target, Some(PASSWORD), &options(&sshd)).await.unwrap();
    }
    for wrong in [Some("wrong horse"), None] {
        let error = refusal(open(&with(&sshd, SshLogin::Password), wrong, &options(&sshd)).await);
        assert!(matches!(error, Error::Denied { .. }), "{error:?}");
        assert!(!format!("{error:?} {error}").contains("wrong horse"));
    }
}

#[tokio::test]
async fn a_password_lets_in_where_it_is_asked_for_by_questions() {
    if !is_root() {
        return;
    }
    let sshd = Sshd::builder().questions().start().unwrap();
    let target = with(&sshd, SshLogin::Password);
    open(&target, Some(PASSWORD), &options(&sshd)).await.unwrap();
    let error = refusal(open(&target, Some("wrong horse"), &options(&sshd)).await);
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
}

#[tokio::test]
async fn a_key_and_a_password_one_after_the_other_let_in() {
    if !is_root() {
        return;
    }
    let sshd = Sshd::builder()
        .password()
        .line("AuthenticationMethods publickey,password")
        .start()
        .unwrap();
    let text = format!("Host *\n  IdentityFile {}\n", sshd.key().display());
    let options = Options {
        config: Some(config(sshd.folder(), &text)),
        ..options(&sshd)
    };
    open(&with(&sshd, SshLogin::Auto), Some(PASSWORD), &options)
        .await
        .unwrap();
    let error = refusal(open(&with(&sshd, SshLogin::Auto), None, &options).await);
    assert!(
        matches!(&error, Error::Denied { tried, .. } if tried.ends_with("it takes password")),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_unknown_key_is_told_and_known_once_it_is_accepted() {
    let sshd = Sshd::start().unwrap();
    let own = sshd.folder().join("own/known_hosts");
    let users = sshd.folder().join("users_known_hosts");
    std::fs::write(&users, "").unwrap();
    let text = format!("Host *\n  UserKnownHostsFile {}\n", users.display());
    let options = Options {
        known_hosts: Some(own.clone()),
        config: Some(config(sshd.folder(), &text)),
        ..options(&sshd)
    };
    let error = refusal(open(&sshd.target(), None, &options).await);
    let Error::UnknownHostKey { key } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(key.host, format!("[127.0.0.1]:{}", sshd.port()));
    assert_eq!(key.line, sshd.host_key());
    let failure = error.to_failure();
    assert_eq!(failure.code, FailureCode::HostKeyUnknown);
    assert!(failure.message.contains(&key.fingerprint), "{}", failure.message);
    let told = std::process::Command::new("ssh-keygen")
        .arg("-lf")
        .arg(sshd.folder().join("host_ed25519.pub"))
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&told.stdout).contains(&key.fingerprint));
    assert!(
        !sshd.log().contains("Accepted"),
        "nothing was shown to a server that is not known"
    );

    accept_host_key(&own, &key.known_hosts_line()).unwrap();
    open(&sshd.target(), None, &options).await.unwrap();
    assert_eq!(
        std::fs::read_to_string(users).unwrap(),
        "",
        "the user's file is left alone"
    );
}

#[tokio::test]
async fn a_changed_key_is_refused_with_the_file_and_line_of_the_old_one() {
    let mut sshd = Sshd::start().unwrap();
    let options = options(&sshd);
    let known_hosts = options.known_hosts.clone().unwrap();
    open(&sshd.target(), None, &options).await.unwrap();
    let stopped = sshd.stop();
    stopped.change_host_key().unwrap();
    sshd.start_again(stopped).unwrap();
    let error = refusal(open(&sshd.target(), None, &options).await);
    let Error::ChangedHostKey { known_in, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(*known_in, format!("{} line 1", known_hosts.display()));
    assert_eq!(error.to_failure().code, FailureCode::HostKeyChanged);
    assert!(!error.is_retryable());
}

#[rstest]
#[case("ecdsa")]
#[case("rsa")]
#[tokio::test]
async fn a_server_is_known_by_the_kind_of_key_that_is_on_record(#[case] kind: &'static str) {
    let sshd = Sshd::builder().also_host_key(kind).start().unwrap();
    let public = std::fs::read_to_string(sshd.folder().join("host_other.pub")).unwrap();
    let known_hosts = sshd.folder().join("only_other");
    std::fs::write(&known_hosts, format!("[127.0.0.1]:{} {public}", sshd.port())).unwrap();
    let options = Options {
        known_hosts: Some(known_hosts),
        ..options(&sshd)
    };
    open(&sshd.target(), None, &options).await.unwrap();
}

#[tokio::test]
async fn an_alias_means_what_the_configuration_says() {
    let sshd = Sshd::start().unwrap();
    let text = format!(
        "Host vps\n  HostName 127.0.0.1\n  Port {}\n  User {}\n  IdentityFile \"{}\"\n  UserKnownHostsFile {}\n",
        sshd.port(),
        Sshd::user(),
        sshd.key().display(),
        sshd.known_hosts().display()
    );
    let options = Options {
        known_hosts: None,
        config: Some(config(sshd.folder(), &text)),
        ..Options::default()
    };
    let target = SshTarget {
        host: "vps".into(),
        ..SshTarget::default()
    };
    let session = open(&target, None, &options).await.unwrap();
    assert_eq!(session.host(), format!("127.0.0.1:{}", sshd.port()));
}

#[tokio::test]
async fn jump_hosts_are_gone_through_and_each_ones_key_is_checked() {
    let first = Sshd::start().unwrap();
    let second = Sshd::start().unwrap();
    let last = Sshd::builder().line("AllowTcpForwarding no").start().unwrap();
    let hosts = |known: &str| {
        let mut text = String::new();
        for (name, sshd, jump) in [
            ("first", &first, ""),
            ("second", &second, "  ProxyJump first\n"),
            ("last", &last, "  ProxyJump second\n"),
        ] {
            text.push_str(&format!(
                "Host {name}\n  HostName 127.0.0.1\n  Port {}\n  User {}\n  IdentityFile {}\n{jump}",
                sshd.port(),
                Sshd::user(),
                sshd.key().display(),
            ));
        }
        text.push_str(&format!("Host *\n  UserKnownHostsFile {known}\n"));
        text
    };
    let known_hosts = first.folder().join("all");
    let lines = [&first, &second, &last].map(|sshd| std::fs::read_to_string(sshd.known_hosts()).unwrap());
    std::fs::write(&known_hosts, lines.concat()).unwrap();
    let options = |known: &str| Options {
        config: Some(config(first.folder(), &hosts(known))),
        ..Options::default()
    };
    let target = SshTarget {
        host: "last".into(),
        ..SshTarget::default()
    };
    let session = open(&target, None, &options(&known_hosts.display().to_string()))
        .await
        .unwrap();
    assert_eq!(session.host(), format!("127.0.0.1:{}", last.port()));
    for sshd in [&first, &second, &last] {
        assert_eq!(sshd.log().matches("Accepted publickey").count(), 1);
    }
    let error = refusal(session.open(&far(echo().await)).await);
    assert!(
        matches!(
            error,
            Error::Refused {
                nobody_there: false,
                ..
            }
        ),
        "{error:?}"
    );

    // The middle one is not known.
    std::fs::write(&known_hosts, [lines[0].as_str(), lines[2].as_str()].concat()).unwrap();
    let error = refusal(open(&target, None, &options(&known_hosts.display().to_string())).await);
    assert!(
        matches!(&error, Error::UnknownHostKey { key } if key.host == format!("[127.0.0.1]:{}", second.port())),
        "{error:?}"
    );
}

#[tokio::test]
async fn jumping_in_circles_ends() {
    let folder = tempfile::tempdir().unwrap();
    let text = "Host a\n  HostName 127.0.0.1\n  ProxyJump b\nHost b\n  HostName 127.0.0.1\n  ProxyJump a\n";
    let options = Options {
        config: Some(config(folder.path(), text)),
        ..Options::default()
    };
    let target = SshTarget {
        host: "a".into(),
        ..SshTarget::default()
    };
    let error = refusal(open(&target, None, &options).await);
    assert!(error.to_string().contains("circles"), "{error}");
}

#[tokio::test]
async fn a_jump_host_never_gets_the_password() {
    if !is_root() {
        return;
    }
    let jump = Sshd::builder().password().start().unwrap();
    let last = Sshd::builder().password().start().unwrap();
    let text = format!(
        "Host 127.0.0.1\n  ProxyJump jump\nHost jump\n  HostName 127.0.0.1\n  Port {}\n",
        jump.port()
    );
    let known_hosts = jump.folder().join("all");
    let lines = [&jump, &last].map(|sshd| std::fs::read_to_string(sshd.known_hosts()).unwrap());
    std::fs::write(&known_hosts, lines.concat()).unwrap();
    let options = Options {
        known_hosts: Some(known_hosts),
        config: Some(config(jump.folder(), &text)),
        ..Options::default()
    };
    let error = refusal(open(&with(&last, SshLogin::Password), Some(PASSWORD), &options).await);
    assert!(
        matches!(&error, Error::Denied { host, .. } if *host == format!("127.0.0.1:{}", jump.port())),
        "{error:?}"
    );
    assert!(!jump.log().contains("password for"), "{}", jump.log());
}

#[tokio::test]
async fn who_is_not_there_or_no_ssh_server_is_told_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        config: Some(config(folder.path(), "")),
        connect_timeout: Duration::from_secs(1),
        ..Options::default()
    };
    let at = |host: &str, port: u16| SshTarget {
        host: host.into(),
        port: Some(port),
        login: SshLogin::Password,
        user: None,
    };
    let error = refusal(open(&at("no-such-host.invalid", 22), None, &options).await);
    assert!(
        matches!(error, Error::HostNotFound { .. }) && error.is_retryable(),
        "{error:?}"
    );
    let error = refusal(open(&at("127.0.0.1", 1), None, &options).await);
    assert!(
        matches!(error, Error::Unreachable { .. }) && error.is_retryable(),
        "{error:?}"
    );
    assert_eq!(error.to_failure().code, FailureCode::ConnectionRefused);
    let silent = impostor::stuck_listener().await.unwrap();
    let error = refusal(open(&at("127.0.0.1", silent.port()), None, &options).await);
    assert!(
        matches!(error, Error::Timeout { .. }) && error.is_retryable(),
        "{error:?}"
    );
    let web = impostor::web_server().await.unwrap();
    let error = refusal(open(&at("127.0.0.1", web.port()), None, &options).await);
    assert!(!matches!(error, Error::Timeout { .. }), "{error:?}");
}

#[tokio::test]
async fn opening_ends_at_once_when_cancelled_and_leaves_no_connection() {
    let mut sshd = Sshd::start().unwrap();
    let silent = impostor::stuck_listener().await.unwrap();
    let target = SshTarget {
        port: Some(silent.port()),
        ..sshd.target()
    };
    let cancel = CancellationToken::new();
    let options = options(&sshd);
    let route = Route::resolve(&target, None, &options, &cancel).await.unwrap();
    let begun = Instant::now();
    let (result, ()) = tokio::join!(route.open(&cancel), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        cancel.cancel();
    });
    assert!(refusal(result).is_cancelled());
    assert!(begun.elapsed() < Duration::from_secs(2));

    // A session that is dropped goes, too.
    let session = open(&sshd.target(), None, &options).await.unwrap();
    assert!(!sshd.sessions().is_empty());
    drop(session);
    let begun = Instant::now();
    while !sshd.sessions().is_empty() {
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "the server still serves it"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(sshd.stop());
}
