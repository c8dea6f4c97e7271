//! What the tests of any kind of destination do over and over: short words for a destination's calls, and looks at what lies
//! on a server's disk.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use howdah_storage::{Destination, Error, Object, ObjectPath, Patience};
use sha2::digest::Output;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

pub(crate) fn token() -> CancellationToken {
    CancellationToken::new()
}

pub(crate) fn path(text: &str) -> ObjectPath {
    ObjectPath::new(text).unwrap()
}

/// Impatient enough for tests, and patient enough for a busy machine.
pub(crate) fn short() -> Patience {
    Patience {
        connect: Duration::from_secs(10),
        idle: Duration::from_secs(20),
        settle: Duration::from_secs(30),
        pauses: [20, 40, 80].map(Duration::from_millis).to_vec(),
    }
}

/// Writes an object, in pieces that are smaller than what any kind sends at once.
pub(crate) async fn put(destination: &dyn Destination, at: &str, bytes: &[u8]) -> Result<(), Error> {
    let mut writer = destination.create(&path(at), None, &token()).await?;
    for piece in bytes.chunks(100_000) {
        writer.write(Bytes::copy_from_slice(piece)).await?;
    }
    writer.finish(bytes.len() as u64).await.map(drop)
}

pub(crate) async fn get(destination: &dyn Destination, at: &str) -> Result<Vec<u8>, Error> {
    bytes_of(destination.read(&path(at), None, &token()).await?).await
}

pub(crate) async fn get_part(
    destination: &dyn Destination,
    at: &str,
    range: Range<u64>,
) -> Result<Vec<u8>, Error> {
    bytes_of(destination.read(&path(at), Some(range), &token()).await?).await
}

async fn bytes_of(mut object: Object) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    object.body.read_to_end(&mut bytes).await.unwrap();
    Ok(bytes)
}

/// The digest of an object's bytes, which are too many to hold.
pub(crate) async fn sha256(mut object: Object) -> Output<Sha256> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match object.body.read(&mut buffer).await.unwrap() {
            0 => return digest.finalize(),
            read => digest.update(&buffer[..read]),
        }
    }
}

pub(crate) async fn names(destination: &dyn Destination) -> Vec<String> {
    let entries = destination.list(None, &token()).await.unwrap();
    entries.into_iter().map(|entry| entry.path.to_string()).collect()
}

/// Everything that people and logs could see of an error.
pub(crate) fn shown(error: &Error) -> String {
    let failure = serde_json::to_string(&error.to_failure()).unwrap();
    format!("{error} {error:?} {failure}")
}

/// Every file and folder below, relative, sorted; links are not followed.
pub(crate) fn everything(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for item in std::fs::read_dir(folder).unwrap() {
            let item = item.unwrap().path();
            if item.is_dir() && !item.is_symlink() {
                folders.push(item.clone());
            }
            found.push(item.strip_prefix(root).unwrap().to_string_lossy().into_owned());
        }
    }
    found.sort();
    found
}

/// Waits until something holds, at most ten seconds: what cleans up behind a dropped writer takes a moment.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// This very test program, to run one of its tests in another process, which has no output.
pub(crate) fn another_process(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
