//! An emulator with a destination on it, and what the tests do with them over and over.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use howdah_domain::Secret;
use howdah_domain::destination::DrivePlace;
use howdah_storage::drive::{Drive, Endpoints, Patience, StoredGrant};
use howdah_storage::{Destination, Error, ObjectWriter, Stored};
use howdah_testkit::drive::{CLIENT_ID, CLIENT_SECRET, DriveEmulator};
use tokio::io::AsyncReadExt as _;

pub(crate) use crate::common::{names, path, token};

/// The folder of every test's destination.
pub(crate) const FOLDER: &str = "Howdah/laptop";

/// What is sent at once (`CHUNK` of the destination).
pub(crate) const CHUNK: usize = 8 * 1024 * 1024;

/// As patient as a test can be.
pub(crate) fn patience() -> Patience {
    Patience {
        idle: Duration::from_millis(1500),
        first_pause: Duration::from_millis(20),
        longest_pause: Duration::from_millis(400),
    }
}

pub(crate) fn place() -> DrivePlace {
    DrivePlace {
        folder: FOLDER.to_owned(),
        client_id: Some(CLIENT_ID.to_owned()),
        account: None,
    }
}

pub(crate) fn secret_with(refresh_token: &str) -> Secret {
    StoredGrant {
        refresh_token: Secret::new(refresh_token),
        client_secret: Some(Secret::new(CLIENT_SECRET)),
    }
    .to_secret()
}

/// Another destination at the same place: another machine's, or this one's after a restart.
pub(crate) fn another(emulator: &DriveEmulator) -> Drive {
    at(&emulator.url(), &emulator.refresh_token())
}

pub(crate) fn at(url: &str, refresh_token: &str) -> Drive {
    Drive::emulated(
        &place(),
        Some(&secret_with(refresh_token)),
        Endpoints::below(url),
        patience(),
    )
    .unwrap()
}

/// An emulator and a destination that is prepared.
pub(crate) async fn prepared() -> (DriveEmulator, Drive) {
    let emulator = DriveEmulator::start().await.unwrap();
    let drive = another(&emulator);
    drive.prepare(&token()).await.unwrap();
    (emulator, drive)
}

/// Bytes in which a block lost, doubled or swapped shows.
pub(crate) fn sample(len: usize) -> Vec<u8> {
    let word = |i: usize| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    (0..len.div_ceil(8)).flat_map(word).take(len).collect()
}

pub(crate) async fn begin(drive: &dyn Destination, at: &str) -> Result<Box<dyn ObjectWriter>, Error> {
    drive.create(&path(at), None, &token()).await
}

/// Writes an object in pieces that fit nothing.
pub(crate) async fn put(drive: &dyn Destination, at: &str, bytes: &[u8]) -> Result<Stored, Error> {
    let mut writer = begin(drive, at).await?;
    for piece in bytes.chunks(1_000_003) {
        writer.write(Bytes::copy_from_slice(piece)).await?;
    }
    writer.finish(bytes.len() as u64).await
}

pub(crate) async fn get(drive: &dyn Destination, at: &str, range: Option<Range<u64>>) -> Vec<u8> {
    let mut object = drive.read(&path(at), range, &token()).await.unwrap();
    let mut bytes = Vec::new();
    object.body.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes.len() as u64, object.len);
    bytes
}

/// Waits until no upload session is open: dropped writers clean up in a task of their own.
pub(crate) async fn no_sessions(emulator: &DriveEmulator) {
    for _ in 0..200 {
        if emulator.open_sessions() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} upload sessions stay open", emulator.open_sessions());
}
