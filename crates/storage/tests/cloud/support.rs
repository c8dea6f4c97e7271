//! Both clouds as destinations, what must never be seen of their secrets, and what the tests do with them over and over.

#![allow(
    clippy::print_stdout,
    reason = "a process that a test starts tells it how far it is"
)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use howdah_domain::Secret;
use howdah_domain::destination::{AzblobPlace, GcsPlace};
use howdah_storage::cloud::Patience;
use howdah_storage::{Cloud, Destination as _, Error, ObjectWriter};
use howdah_testkit::gcs::Gcs;
use howdah_testkit::{azurite, gcs};
use tokio::io::AsyncReadExt as _;

pub(crate) use crate::common::{names, path, token};

/// Impatient enough for tests, and patient enough for a busy machine.
pub(crate) const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(5),
    silence: Duration::from_secs(20),
    pause: Duration::from_millis(20),
    attempts: 4,
};

/// Three parts and a bit, where parts have 8 MiB.
pub(crate) const SEVERAL_PARTS: usize = (3 << 23) + 4321;

/// A time that has not come yet, for tokens that end then.
pub(crate) const LATER: &str = "2099-01-01T00:00:00Z";

/// Azurite's container.
pub(crate) fn azblob(endpoint: &str, prefix: &str, secret: &str, patience: Patience) -> Cloud {
    let place = AzblobPlace {
        account: azurite::ACCOUNT.into(),
        container: azurite::CONTAINER.into(),
        prefix: prefix.into(),
        endpoint: Some(endpoint.into()),
    };
    Cloud::azblob(&place, Some(&Secret::new(secret)), patience).unwrap()
}

/// What of a SAS token must never be seen: its signature, as it is sent and as it is meant.
pub(crate) fn signature(sas: &str) -> [String; 2] {
    let (_, sent) = sas.split_once("sig=").unwrap();
    let meant = percent_encoding::percent_decode_str(sent).decode_utf8_lossy();
    [sent.to_owned(), meant.into_owned()]
}

/// The emulator's bucket.
pub(crate) fn gcs(gcs: &Gcs, prefix: &str, patience: Patience) -> Cloud {
    gcs_at(&gcs.endpoint(), prefix, &gcs.account_key(), patience)
}

/// A bucket of that name.
pub(crate) fn gcs_at(endpoint: &str, prefix: &str, key: &str, patience: Patience) -> Cloud {
    let place = GcsPlace {
        bucket: gcs::BUCKET.into(),
        prefix: prefix.into(),
        endpoint: Some(endpoint.into()),
    };
    Cloud::gcs(&place, Some(&Secret::new(key)), patience).unwrap()
}

/// What must never be seen of a service account: each line of its private key, and what tokens begin with.
pub(crate) fn key_lines(key: &str) -> Vec<String> {
    let key: serde_json::Value = serde_json::from_str(key).unwrap();
    let lines = key["private_key"].as_str().unwrap().lines();
    let mut secrets: Vec<_> = lines
        .filter(|line| !line.starts_with("-----"))
        .map(str::to_owned)
        .collect();
    assert!(secrets.len() > 10);
    secrets.push("ya29.".to_owned());
    secrets
}

/// Bytes that repeat with no power of two, so that what is lost or swapped shows.
pub(crate) fn sample(len: usize) -> Bytes {
    let mut state = 0x9e37_79b9_u32;
    let pattern: Vec<u8> = (0..65_521)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .collect();
    let mut bytes = pattern.repeat(len / pattern.len() + 1);
    bytes.truncate(len);
    bytes.into()
}

/// Writes an object in pieces of a MiB.
pub(crate) async fn put(cloud: &Cloud, at: &str, bytes: &Bytes) -> Result<(), Error> {
    let mut writer = cloud
        .create(&path(at), Some(bytes.len() as u64), &token())
        .await?;
    write(&mut *writer, bytes).await?;
    let stored = writer.finish(bytes.len() as u64).await?;
    assert_eq!(stored.len, bytes.len() as u64);
    Ok(())
}

/// Hands an object's bytes to a writer, a MiB at a time.
pub(crate) async fn write(writer: &mut dyn ObjectWriter, bytes: &Bytes) -> Result<(), Error> {
    let mut rest = bytes.clone();
    while !rest.is_empty() {
        let piece = rest.split_to(rest.len().min(1 << 20));
        writer.write(piece).await?;
    }
    Ok(())
}

/// Reads an object; an error in the middle is an error.
pub(crate) async fn get(cloud: &Cloud, at: &str) -> anyhow::Result<Vec<u8>> {
    let mut object = cloud.read(&path(at), None, &token()).await?;
    let mut bytes = Vec::new();
    object.body.read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// Writes, lists, reads and removes.
pub(crate) async fn round_trip(cloud: &Cloud) {
    let bytes = sample(SEVERAL_PARTS);
    put(cloud, "a/dump", &bytes).await.unwrap();
    assert_eq!(names(cloud).await, ["a/dump"]);
    assert!(get(cloud, "a/dump").await.unwrap() == bytes);
    cloud.delete_folder(&path("a"), &token()).await.unwrap();
    assert!(names(cloud).await.is_empty());
}

/// Waits until something is so; cleaning up after a dropped writer takes a moment.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it never happened that {what}");
}

/// Fails where an error shows one of the secrets in any form.
pub(crate) fn hides(error: &Error, secrets: &[impl AsRef<str>]) {
    let failure = error.to_failure();
    let shown = format!("{error} {error:?} {error:#?} {failure:?}");
    for secret in secrets {
        assert!(!shown.contains(secret.as_ref()), "a secret shows in {shown}");
    }
}

/// Runs this very test program again with one of its ignored tests, which writes "ready" when it has got as far as it should,
/// and kills it then: as `kill -9` would.
pub(crate) fn kill_in_the_middle_of(test: &str, variables: &[(&str, &str)]) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .envs(variables.iter().copied())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let ready = wait_until_ready(&mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(ready, "the other process has not got as far as it should");
}

fn wait_until_ready(child: &mut Child) -> bool {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.map_while(Result::ok).any(|line| line.contains("ready"))
}

/// For the other process: begins an object, writes these bytes of it, says so, and waits to be killed.
pub(crate) async fn upload_and_wait(cloud: &Cloud, at: &str, bytes: usize) {
    let mut writer = cloud
        .create(&path(at), Some(bytes as u64), &token())
        .await
        .unwrap();
    write(&mut *writer, &sample(bytes)).await.unwrap();
    println!("ready");
    std::future::pending::<()>().await;
}
