//! Stores, places, and short words for what the tests do with them.

use std::time::Duration;

use bytes::Bytes;
use howdah_domain::Secret;
use howdah_domain::destination::S3Place;
use howdah_storage::{Destination, Error, Patience, S3, Stored};
use howdah_testkit::gate::{Gate, Trick};
use howdah_testkit::moto::Moto;
use howdah_testkit::rclone::{PASSWORD, Protocol, Rclone, USER};
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

pub(crate) use crate::common::{names, path};

/// A part of an upload of unknown length.
pub(crate) const PART: usize = 16 * 1024 * 1024;

/// A patience for servers on this machine.
pub(crate) fn quick() -> Patience {
    Patience {
        connect: Duration::from_secs(5),
        idle: Duration::from_secs(10),
        settle: Duration::from_secs(100),
        pauses: [20, 50, 100].map(Duration::from_millis).to_vec(),
    }
}

/// One that soon takes silence for an end.
pub(crate) fn hasty() -> Patience {
    Patience {
        idle: Duration::from_secs(1),
        settle: Duration::from_secs(10),
        pauses: vec![Duration::from_millis(20)],
        ..quick()
    }
}

pub(crate) fn place(endpoint: impl Into<String>) -> S3Place {
    S3Place {
        bucket: "backups".into(),
        prefix: "howdah/laptop".into(),
        endpoint: Some(endpoint.into()),
        region: Some("us-east-1".into()),
        access_key_id: Some(USER.into()),
        ..S3Place::default()
    }
}

pub(crate) fn open_with(place: &S3Place, patience: Patience) -> S3 {
    S3::patient(place, Some(&Secret::new(PASSWORD)), patience).unwrap()
}

pub(crate) fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// A store behind a gate.
pub(crate) struct Gated<Server> {
    pub(crate) s3: S3,
    pub(crate) gate: Gate,
    pub(crate) server: Server,
}

pub(crate) async fn rclone(patience: Patience) -> Gated<Rclone> {
    let server = Rclone::start(Protocol::S3, &[]).unwrap();
    let gate = Gate::before(server.port()).await.unwrap();
    let s3 = open_with(&place(gate.url()), patience);
    Gated { s3, gate, server }
}

pub(crate) async fn moto(patience: Patience) -> Gated<Moto> {
    let server = tokio::task::spawn_blocking(Moto::start).await.unwrap().unwrap();
    let gate = Gate::before(server.port()).await.unwrap();
    let s3 = open_with(&place(gate.url()), patience);
    Gated { s3, gate, server }
}

impl Gated<Moto> {
    /// Whether the bucket holds nothing: no object, and no upload that nobody finished.
    pub(crate) fn is_empty(&self) -> bool {
        self.server.is_empty("backups").unwrap()
    }
}

pub(crate) fn never() -> CancellationToken {
    CancellationToken::new()
}

/// Bytes that repeat with no power of two.
pub(crate) fn sample(len: usize) -> Bytes {
    let block: Vec<u8> = (0..=250).cycle().take(251 * 1000).collect();
    let mut bytes = Vec::with_capacity(len + block.len());
    while bytes.len() < len {
        bytes.extend_from_slice(&block);
    }
    bytes.truncate(len);
    bytes.into()
}

/// An answer as S3 words it.
pub(crate) fn s3_error(status: u16, code: &str) -> Trick {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>words for people</Message><RequestId>4711</RequestId></Error>"
    );
    Trick::answer(status)
        .with_header("Content-Type", "application/xml")
        .with_body(body)
}

/// Writes an object in pieces of a megabyte.
pub(crate) async fn put(s3: &dyn Destination, at: &str, bytes: &Bytes) -> Result<Stored, Error> {
    put_until(s3, at, bytes, &never()).await
}

pub(crate) async fn put_until(
    s3: &dyn Destination,
    at: &str,
    bytes: &Bytes,
    cancel: &CancellationToken,
) -> Result<Stored, Error> {
    let mut writer = s3.create(&path(at), None, cancel).await?;
    let mut left = bytes.clone();
    while !left.is_empty() {
        let piece = left.split_to(left.len().min(1_000_000));
        writer.write(piece).await?;
    }
    writer.finish(bytes.len() as u64).await
}

pub(crate) async fn get(s3: &dyn Destination, at: &str) -> Result<Bytes, Error> {
    let mut object = s3.read(&path(at), None, &never()).await?;
    let mut bytes = Vec::new();
    match object.body.read_to_end(&mut bytes).await {
        Ok(_) => Ok(bytes.into()),
        Err(error) => Err(error
            .downcast::<Error>()
            .unwrap_or_else(|other| panic!("a body fails with an error of ours, not {other:?}"))),
    }
}
