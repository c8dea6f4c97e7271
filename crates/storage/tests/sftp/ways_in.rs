//! Who is let in, which server is believed, and what is told where there is none.

use std::path::Path;
use std::time::Duration;

use howdah_domain::destination::{SshLogin, SshTarget};
use howdah_domain::{FailureCode, Secret};
use howdah_ssh::accept_host_key;
use howdah_storage::{Destination as _, Error, Sftp};
use howdah_testkit::rclone::{Protocol, Rclone};
use howdah_testkit::sshd::{PASSPHRASE, Sshd};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_denied_and_never_shown() {
    let rclone = Rclone::start(Protocol::Sftp, &[]).unwrap();
    let sftp = at_rclone(&rclone, "backups", "wrong horse").await;
    let error = sftp.prepare(&token()).await.unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
    let failure = error.to_failure();
    assert_eq!(failure.code, FailureCode::DestinationDenied);
    let shown = format!("{error:?} {error} {failure:?} {sftp:?} {}", sftp.name());
    assert!(!shown.contains("horse"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_a_wrong_passphrase_is_denied() {
    let sshd = Sshd::start().unwrap();
    let target = SshTarget {
        login: SshLogin::Key {
            file: sshd.locked_key(),
        },
        ..sshd.target()
    };
    let place = place(target, &sshd.folder().join("backups"));
    for (secret, works) in [(PASSPHRASE, true), ("wrong horse", false)] {
        let options = options(sshd.folder(), sshd.known_hosts());
        let sftp = Sftp::with_options(
            &place,
            Some(&Secret::new(secret)),
            options,
            Duration::from_secs(2),
        );
        match sftp.prepare(&token()).await {
            Ok(()) => assert!(works),
            Err(error) => assert!(
                !works && matches!(error, Error::Denied { what: "key", .. }),
                "{error:?}"
            ),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_and_a_changed_host_key_are_told() {
    let mut sshd = Sshd::start().unwrap();
    let known_hosts = sshd.folder().join("own");
    let place = place(sshd.target(), &sshd.folder().join("backups"));
    let sftp = Sftp::with_options(
        &place,
        None,
        options(sshd.folder(), known_hosts.clone()),
        Duration::from_secs(2),
    );
    let error = sftp.prepare(&token()).await.unwrap_err();
    let Error::UnknownHostKey { key } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(error.to_failure().code, FailureCode::HostKeyUnknown);
    accept_host_key(&known_hosts, &key.known_hosts_line()).unwrap();
    sftp.prepare(&token()).await.unwrap();

    let stopped = sshd.stop();
    stopped.change_host_key().unwrap();
    sshd.start_again(stopped).unwrap();
    let error = sftp.prepare(&token()).await.unwrap_err();
    assert!(
        matches!(&error, Error::ChangedHostKey { known_in, .. } if known_in.ends_with("own line 1")),
        "{error:?}"
    );
    assert_eq!(error.to_failure().code, FailureCode::HostKeyChanged);

    // A key that was revoked is told as that: there is no old one to remove.
    let Error::ChangedHostKey { key, .. } = error else {
        panic!("it was one above")
    };
    std::fs::write(&known_hosts, format!("@revoked {}\n", key.known_hosts_line())).unwrap();
    let error = sftp.prepare(&token()).await.unwrap_err();
    assert!(matches!(error, Error::RevokedHostKey { .. }), "{error:?}");
    let failure = error.to_failure();
    assert_eq!(failure.code, FailureCode::HostKeyChanged);
    assert!(failure.message.contains("revoked"), "{failure:?}");
    assert!(failure.hint.unwrap().contains("Give the server a new one"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_and_no_such_name_are_unreachable() {
    let mut sshd = Sshd::start().unwrap();
    let (_, sftp) = prepared(&sshd).await;
    let stopped = sshd.stop();
    let error = sftp.list(None, &token()).await.unwrap_err();
    assert!(
        matches!(error, Error::Unreachable { .. }) && error.is_retryable(),
        "{error:?}"
    );
    // It goes on as soon as the server is there again.
    sshd.start_again(stopped).unwrap();
    assert!(sftp.list(None, &token()).await.unwrap().is_empty());

    let target = SshTarget {
        host: "no-such-host.invalid".into(),
        ..sshd.target()
    };
    let options = options(sshd.folder(), sshd.known_hosts());
    let nowhere = Sftp::with_options(
        &place(target, Path::new("/x")),
        None,
        options,
        Duration::from_secs(2),
    );
    let error = nowhere.list(None, &token()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_sftp_is_told_as_such() {
    let sshd = Sshd::builder()
        .line("Subsystem sftp /nonexistent/sftp-server")
        .start();
    // sshd takes the first of two lines, or none of them.
    let Ok(sshd) = sshd else { return };
    let error = sftp(&sshd, Path::new("/tmp"))
        .list(None, &token())
        .await
        .unwrap_err();
    assert!(!error.is_cancelled());
    assert!(
        matches!(error, Error::Failed { .. } | Error::Unreachable { .. }),
        "{error:?}"
    );
}
