//! A process that is killed while it writes.
//!
//! The test starts this very test program again as another process, to kill it; the variable [`INNER`] then says where the
//! server is.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use howdah_domain::destination::{SshLogin, SshTarget};
use howdah_storage::{Destination as _, Sftp};
use howdah_testkit::sshd::Sshd;

use crate::support::*;

const INNER: &str = "HOWDAH_SFTP_INNER";

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_leaves_what_the_next_one_removes() {
    if let Some(inner) = std::env::var_os(INNER) {
        let inner = PathBuf::from(inner);
        let port = fs::read_to_string(inner.join("port")).unwrap().parse().unwrap();
        let target = SshTarget {
            host: "127.0.0.1".into(),
            port: Some(port),
            user: Some(Sshd::user()),
            login: SshLogin::Key {
                file: inner.join("key"),
            },
        };
        let options = options(&inner, inner.join("known_hosts"));
        let sftp = Sftp::with_options(
            &place(target, &inner.join("backups")),
            None,
            options,
            Duration::from_secs(5),
        );
        put(&sftp, "shop/x/index", b"finished").await.unwrap();
        let mut writer = sftp.create(&path("shop/x/dump"), None, &token()).await.unwrap();
        writer.write(sample(20_000_000).into()).await.unwrap();
        println!("\nwritten");
        std::io::stdout().flush().unwrap();
        std::future::pending::<()>().await;
    }
    let sshd = Sshd::start().unwrap();
    let (root, sftp) = prepared(&sshd).await;
    fs::write(sshd.folder().join("port"), sshd.port().to_string()).unwrap();
    let _ = sshd.known_hosts();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "killed::a_process_that_is_killed_leaves_what_the_next_one_removes",
            "--nocapture",
        ])
        .env(INNER, sshd.folder())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let told = lines.map_while(Result::ok).any(|line| line == "written");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(told, "the other process wrote");
    assert_eq!(
        everything(&root),
        ["shop", "shop/x", "shop/x/dump.part", "shop/x/index"]
    );
    let listed = sftp.list(None, &token()).await.unwrap();
    assert_eq!(listed.len(), 1, "what is unfinished is not listed: {listed:?}");
    sftp.delete_folder(&path("shop/x"), &token()).await.unwrap();
    assert_eq!(everything(&root), [""; 0]);
}
