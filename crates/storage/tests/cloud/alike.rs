//! What both clouds promise alike: each check is given a destination in a server's state that the caller has brought about.

use std::time::Duration;

use bytes::Bytes;
use howdah_storage::{Checksum, Cloud, Destination as _, Error, MissingWhy, ObjectWriter, Stored};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;

use crate::common::sha256;
use crate::support::{get, path, put, sample, token};

/// 210 MB go there and come back whole, whether their number is told before or not.
pub(crate) async fn streams_through(cloud: &Cloud, told: bool) -> Stored {
    let piece = sample(1_000_003);
    let pieces = 210;
    let len = piece.len() as u64 * pieces;
    let at = path("large/dump");
    let mut writer = cloud.create(&at, told.then_some(len), &token()).await.unwrap();
    let mut sent = Sha256::new();
    for _ in 0..pieces {
        sent.update(&piece);
        writer.write(piece.clone()).await.unwrap();
    }
    let stored = writer.finish(len).await.unwrap();
    assert_eq!(stored.len, len);

    let object = cloud.read(&at, None, &token()).await.unwrap();
    assert_eq!(sha256(object).await, sent.finalize());
    stored
}

/// A writer whose server takes nothing any more takes three parts of 8 MiB at the most.
pub(crate) async fn takes_no_more_than_three_parts(mut writer: Box<dyn ObjectWriter>) {
    let piece = sample(1 << 20);
    let mut taken = 0;
    while let Ok(result) = tokio::time::timeout(Duration::from_secs(1), writer.write(piece.clone())).await {
        result.unwrap();
        taken += piece.len();
        assert!(taken <= 3 << 23, "{taken} bytes are held in memory");
    }
    assert!(taken >= 1 << 23);
    writer.abort().await;
}

/// The checksum of a small object is its MD5.
pub(crate) async fn tells_the_md5(cloud: &Cloud) {
    put(cloud, "a/b", &Bytes::from_static(b"hello")).await.unwrap();
    let stat = cloud.stat(&path("a/b"), &token()).await.unwrap().unwrap();
    let md5 = "md5:5d41402abc4b2a76b9719d911017c592";
    assert_eq!(stat.checksum, Some(Checksum::Other(md5.into())));
}

/// Two machines write the same object: one succeeds, and its bytes are there.
pub(crate) async fn lets_one_of_two_succeed(machine: impl Fn() -> Cloud) {
    let (one, other) = (machine(), machine());
    let (first, second) = (sample(9_000_000), sample(17));
    let (one, other) = tokio::join!(put(&one, "a/claim", &first), put(&other, "a/claim", &second));
    let (error, winner) = match (one, other) {
        (Ok(()), Err(error)) => (error, &first),
        (Err(error), Ok(())) => (error, &second),
        both => panic!("exactly one succeeds: {both:?}"),
    };
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
    assert!(get(&machine(), "a/claim").await.unwrap() == *winner);
}

/// Every call tells that the bucket or container is not there; `remove` takes it away while something is written.
pub(crate) async fn tells_that_the_bucket_has_gone(cloud: &Cloud, remove: impl FnOnce()) {
    let mut begun = cloud.create(&path("a/dump"), None, &token()).await.unwrap();
    remove();
    begun.write(sample(10)).await.unwrap();
    let create = cloud.create(&path("a"), None, &token()).await.err().unwrap();
    for error in [
        begun.finish(10).await.unwrap_err(),
        cloud.prepare(&token()).await.unwrap_err(),
        cloud.read(&path("a"), None, &token()).await.unwrap_err(),
        cloud.stat(&path("a"), &token()).await.unwrap_err(),
        cloud.list(None, &token()).await.unwrap_err(),
        cloud.delete(&path("a"), &token()).await.unwrap_err(),
        cloud.delete_folder(&path("a"), &token()).await.unwrap_err(),
        create,
    ] {
        assert!(
            matches!(
                &error,
                Error::Missing {
                    why: MissingWhy::NoBucket,
                    ..
                }
            ),
            "{error:?}"
        );
    }
}

/// The object `a/dump` of five megabytes, of which only the first one ever comes, ends with an error behind that.
pub(crate) async fn reads_a_megabyte_and_then_an_error(cloud: &Cloud) {
    let mut object = cloud.read(&path("a/dump"), None, &token()).await.unwrap();
    assert_eq!(object.len, 5_000_000);
    let mut bytes = Vec::new();
    let error = object.body.read_to_end(&mut bytes).await.unwrap_err();
    assert_eq!(bytes.len(), 1_000_000);
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted);
}
