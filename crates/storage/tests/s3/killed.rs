//! What needs a process of its own: one that is killed, and ones whose environment says who they are and how they get out.
//!
//! Each is this test program, told by its environment which part to play.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use howdah_domain::destination::{BucketStyle, S3Place};
use howdah_storage::{Destination as _, Error, S3};
use howdah_testkit::rclone::{PASSWORD, USER};
use rstest::rstest;

use crate::support::*;

/// Where the part's store is; only set for a part that is played.
const ENDPOINT: &str = "HOWDAH_TEST_S3_ENDPOINT";
/// `path` or `virtual`; `profile`.
const HOW: &str = "HOWDAH_TEST_S3_HOW";

/// This program, playing the part of that name.
fn part(name: &str, endpoint: &str, home: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", &format!("killed::{name}"), "--ignored", "--nocapture"])
        .env(ENDPOINT, endpoint)
        .env("HOME", home)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command
}

fn endpoint() -> Option<String> {
    std::env::var(ENDPOINT).ok()
}

/// What it printed, once it has succeeded.
fn played(mut command: Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// A process that is killed when the test ends, however it ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
#[ignore = "a part that another test lets a process of its own play"]
async fn an_upload_that_never_ends() {
    let Some(endpoint) = endpoint() else { return };
    let s3 = open_with(&place(endpoint), quick());
    put(&s3, "shop/one/index", &sample(10)).await.unwrap();
    let mut writer = s3.create(&path("shop/one/dump"), None, &never()).await.unwrap();
    for _ in 0..3 {
        writer.write(sample(PART)).await.unwrap();
    }
    println!("in the middle");
    std::future::pending::<()>().await;
}

/// The store's own view of what is there afterwards.
async fn killed_in_mid_upload(endpoint: String) {
    let home = tempfile::tempdir().unwrap();
    let child = part("an_upload_that_never_ends", &endpoint, home.path())
        .spawn()
        .unwrap();
    let mut child = Killed(child);
    let said = child.0.stdout.take().unwrap();
    tokio::task::spawn_blocking(move || {
        assert!(
            BufReader::new(said)
                .lines()
                .any(|line| line.unwrap().contains("in the middle")),
            "the upload came to its middle"
        );
    })
    .await
    .unwrap();
    // SIGKILL.
    child.0.kill().unwrap();
    child.0.wait().unwrap();
}

#[tokio::test]
async fn what_a_killed_process_left_goes_with_the_folder() {
    let moto = moto(quick()).await;
    killed_in_mid_upload(moto.gate.url()).await;
    let uploads = moto.server.ask("GET", "/backups?uploads").unwrap();
    assert!(uploads.contains("shop/one/dump"), "something is left: {uploads}");
    assert_eq!(names(&moto.s3).await, ["shop/one/index"]);
    moto.s3.delete_folder(&path("shop/one"), &never()).await.unwrap();
    assert!(moto.is_empty());
}

#[tokio::test]
async fn what_a_killed_process_left_on_a_simple_store_goes_with_the_folder() {
    let rclone = rclone(quick()).await;
    killed_in_mid_upload(rclone.gate.url()).await;
    rclone
        .s3
        .delete_folder(&path("shop/one"), &never())
        .await
        .unwrap();
    assert_eq!(rclone.server.files().unwrap(), Vec::<String>::new());
}

#[tokio::test]
#[ignore = "a part that another test lets a process of its own play"]
async fn one_object_as_the_environment_says() {
    let Some(endpoint) = endpoint() else { return };
    let how = std::env::var(HOW).unwrap_or_default();
    let mut place = S3Place {
        access_key_id: None,
        region: None,
        ..place(endpoint)
    };
    match how.as_str() {
        "virtual" => place.style = BucketStyle::VirtualHost,
        "profile" => place.profile = Some("laptop".into()),
        _ => {}
    }
    let s3 = S3::patient(&place, None, quick()).unwrap();
    match put(&s3, "x", &sample(10)).await {
        Ok(_) => println!("put"),
        Err(error) => println!("{error:?}"),
    }
}

#[rstest]
#[case::environment("environment")]
#[case::profile("profile")]
#[case::nothing("nothing")]
#[tokio::test]
async fn without_a_key_of_its_own_the_profile_and_else_the_environment_count(#[case] from: &str) {
    let rclone = rclone(quick()).await;
    let home = tempfile::tempdir().unwrap();
    let mut command = part(
        "one_object_as_the_environment_says",
        &rclone.gate.url(),
        home.path(),
    );
    // Else a machine at Amazon is asked for, over the network.
    command.env("AWS_EC2_METADATA_DISABLED", "true").env(HOW, from);
    match from {
        "environment" => {
            command
                .env("AWS_ACCESS_KEY_ID", USER)
                .env("AWS_SECRET_ACCESS_KEY", PASSWORD)
                .env("AWS_REGION", "eu-north-1");
        }
        "profile" => {
            let folder = home.path().join(".aws");
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(
                folder.join("credentials"),
                format!("[laptop]\naws_access_key_id = {USER}\naws_secret_access_key = {PASSWORD}\n"),
            )
            .unwrap();
            std::fs::write(folder.join("config"), "[profile laptop]\nregion = eu-north-1\n").unwrap();
        }
        _ => {}
    }
    let said = tokio::task::spawn_blocking(move || played(command))
        .await
        .unwrap();
    if from == "nothing" {
        assert!(said.contains("Denied"), "{said}");
        assert_eq!(rclone.gate.requests("", ""), 0);
    } else {
        assert!(said.contains("put"), "{said}");
        let signed = rclone.gate.seen()[0].header("authorization").unwrap().to_owned();
        assert!(signed.contains("/eu-north-1/s3/"), "{signed}");
        assert_eq!(get(&rclone.s3, "x").await.unwrap(), sample(10));
    }
}

/// A store whose buckets are in the host name has to be found under names of its own; a proxy finds it under any.
#[rstest]
#[case::in_the_host("virtual", "http://backups.store.test/howdah/laptop/x")]
#[case::in_the_path("path", "http://store.test/backups/howdah/laptop/x")]
#[tokio::test]
async fn a_bucket_is_named_in_the_host_or_in_the_path(#[case] how: &str, #[case] target: &str) {
    let moto = moto(quick()).await;
    let home = tempfile::tempdir().unwrap();
    let mut command = part(
        "one_object_as_the_environment_says",
        "http://store.test",
        home.path(),
    );
    command
        .env("AWS_ACCESS_KEY_ID", USER)
        .env("AWS_SECRET_ACCESS_KEY", PASSWORD)
        .env("HTTP_PROXY", moto.gate.url())
        .env(HOW, how);
    let said = tokio::task::spawn_blocking(move || played(command))
        .await
        .unwrap();
    let seen = moto.gate.seen();
    assert!(seen[0].target.starts_with(target), "{seen:?}");
    if how == "virtual" {
        // (Of the other name moto would take `store` for the bucket.)
        assert!(said.contains("put"), "{said}");
        assert_eq!(get(&moto.s3, "x").await.unwrap(), sample(10));
    }
}

#[test]
fn a_place_needs_no_network_to_be_opened() {
    // No runtime runs here either.
    let s3 = S3::new(&place("http://store.invalid"), Some(&PASSWORD.into_secret())).unwrap();
    assert_eq!(s3.name(), "s3://backups/howdah/laptop");
    let error = S3::new(&place("ftp://x"), Some(&PASSWORD.into_secret())).unwrap_err();
    assert!(matches!(error, Error::Misconfigured { .. }), "{error:?}");
}

/// Short for a secret.
trait IntoSecret {
    fn into_secret(self) -> howdah_domain::Secret;
}

impl IntoSecret for &str {
    fn into_secret(self) -> howdah_domain::Secret {
        howdah_domain::Secret::new(self)
    }
}
