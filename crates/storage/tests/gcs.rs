//! Google Cloud Storage, against an emulator that is written from Google's public reference: what every destination must do.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap like the tests")]

mod cloud;

use std::time::Duration;

use bytes::Bytes;
use cloud::{PATIENCE, SEVERAL_PARTS, get, key_lines, names, path, put, sample, token, until};
use howdah_storage::{Checksum, Destination, Error, conformance};
use howdah_testkit::gcs::{Fault, Gcs, Step};
use rstest::rstest;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;

#[rstest]
#[case("")]
#[case("laptop/db")]
#[case("ä b/100% #1?")]
#[tokio::test]
async fn it_does_what_every_destination_must_do(#[case] prefix: &str) {
    let gcs = Gcs::start().unwrap();
    let cloud = cloud::gcs(&gcs, prefix, PATIENCE);
    cloud.prepare(&token()).await.unwrap();
    assert!(cloud.excludes_others());
    conformance::run(&cloud).await;
    assert!(gcs.objects().is_empty());
    until("all uploads are ended", || gcs.open_uploads() == 0).await;
}

#[tokio::test]
async fn its_name_is_its_url_without_anything_secret() {
    let gcs = Gcs::start().unwrap();
    let cloud = cloud::gcs(&gcs, "laptop", PATIENCE);
    assert_eq!(cloud.name(), "gs://backups/laptop");
    let shown = format!("{cloud:?} {cloud:#?}");
    for secret in key_lines(&gcs.account_key()) {
        assert!(!shown.contains(&secret));
    }
}

#[tokio::test]
async fn a_large_object_streams_in_little_memory_and_comes_back_whole() {
    let gcs = Gcs::start().unwrap();
    let cloud = cloud::gcs(&gcs, "", PATIENCE);
    let piece = sample(1_000_003);
    let pieces = 210;
    let at = path("large/dump");
    let mut writer = cloud.create(&at, None, &token()).await.unwrap();
    let mut sent = Sha256::new();
    for _ in 0..pieces {
        sent.update(&piece);
        writer.write(piece.clone()).await.unwrap();
    }
    let len = piece.len() as u64 * pieces;
    let stored = writer.finish(len).await.unwrap();
    assert_eq!(stored.len, len);

    let mut object = cloud.read(&at, None, &token()).await.unwrap();
    let (mut arrived, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match object.body.read(&mut buffer).await.unwrap() {
            0 => break,
            read => arrived.update(&buffer[..read]),
        }
    }
    assert!(arrived.finalize() == sent.finalize());
}

#[tokio::test]
async fn a_writer_takes_no_more_than_three_parts_ahead_of_the_server() {
    let gcs = Gcs::start().unwrap();
    let cloud = cloud::gcs(&gcs, "", PATIENCE);
    gcs.fail(Fault::stall(Step::Part));
    let cancel = token();
    let mut writer = cloud.create(&path("a/dump"), None, &cancel).await.unwrap();
    let piece = sample(1 << 20);
    let mut taken = 0;
    while let Ok(result) = tokio::time::timeout(Duration::from_secs(1), writer.write(piece.clone())).await {
        result.unwrap();
        taken += piece.len();
        assert!(taken <= 3 << 23, "{taken} bytes are held in memory");
    }
    assert!(taken >= 1 << 23);
    writer.abort().await;
    assert_eq!(gcs.open_uploads(), 0);
}

#[tokio::test]
async fn the_checksum_that_is_told_is_the_md5() {
    let gcs = Gcs::start().unwrap();
    let cloud = cloud::gcs(&gcs, "", PATIENCE);
    put(&cloud, "a/b", &Bytes::from_static(b"hello")).await.unwrap();
    let stat = cloud.stat(&path("a/b"), &token()).await.unwrap().unwrap();
    let md5 = "md5:5d41402abc4b2a76b9719d911017c592";
    assert_eq!(stat.checksum, Some(Checksum::Other(md5.into())));
}

#[tokio::test]
async fn a_list_has_every_page_and_nothing_that_is_not_ours() {
    let gcs = Gcs::start().unwrap();
    let cloud = cloud::gcs(&gcs, "laptop", PATIENCE);
    gcs.set_page(3);
    let ours: Vec<_> = (0..10).map(|n| format!("shop/{n}/ünï·名")).collect();
    for name in &ours {
        put(&cloud, name, &Bytes::from_static(b"x")).await.unwrap();
    }
    for foreign in [
        "laptop/",
        "laptop/shop/",
        "laptop/shop/x.part",
        "laptop/a//b",
        "laptop/c:d",
        "elsewhere/e",
    ] {
        gcs.put(foreign, b"not ours");
    }
    assert_eq!(names(&cloud).await, ours);

    cloud.delete_folder(&path("shop"), &token()).await.unwrap();
    assert_eq!(
        gcs.objects(),
        ["elsewhere/e", "laptop/", "laptop/a//b", "laptop/c:d"]
    );
}

#[tokio::test]
async fn the_manifest_is_removed_before_anything_else() {
    let gcs = Gcs::start().unwrap();
    let cloud = cloud::gcs(&gcs, "", PATIENCE);
    for name in ["a/dump", "a/manifest.json", "a/zzz"] {
        put(&cloud, name, &Bytes::from_static(b"x")).await.unwrap();
    }
    gcs.fail(Fault::refuse(Step::Delete, 403, "forbidden").after(1));
    let error = cloud.delete_folder(&path("a"), &token()).await.unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
    assert_eq!(gcs.objects(), ["a/dump", "a/zzz"]);
    assert!(gcs.heal());
    cloud.delete_folder(&path("a"), &token()).await.unwrap();
    assert!(gcs.objects().is_empty());
}

#[tokio::test]
async fn of_two_machines_that_write_the_same_object_one_succeeds() {
    let gcs = Gcs::start().unwrap();
    let (one, other) = (cloud::gcs(&gcs, "", PATIENCE), cloud::gcs(&gcs, "", PATIENCE));
    let (first, second) = (sample(9_000_000), sample(17));
    let (one, other) = tokio::join!(put(&one, "a/claim", &first), put(&other, "a/claim", &second));
    let (error, winner) = match (one, other) {
        (Ok(()), Err(error)) => (error, &first),
        (Err(error), Ok(())) => (error, &second),
        both => panic!("exactly one succeeds: {both:?}"),
    };
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
    assert!(get(&cloud::gcs(&gcs, "", PATIENCE), "a/claim").await.unwrap() == *winner);
    assert_eq!(gcs.open_uploads(), 0);
}

#[tokio::test]
async fn more_than_an_object_can_have_is_refused_before_the_first_byte() {
    let gcs = Gcs::start().unwrap();
    let error = cloud::gcs(&gcs, "", PATIENCE)
        .create(&path("a"), Some(6 << 40), &token())
        .await
        .err()
        .unwrap();
    assert!(
        matches!(
            error,
            Error::TooLarge {
                limit: 0x500_0000_0000,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(gcs.requests(), 0);
}

#[tokio::test]
async fn a_process_that_is_killed_in_mid_upload_leaves_nothing_that_can_be_seen() {
    let gcs = Gcs::start().unwrap();
    cloud::kill_in_the_middle_of(
        "the_other_process",
        &[
            ("HOWDAH_GCS", &gcs.endpoint()),
            ("HOWDAH_GCS_KEY", &gcs.account_key()),
        ],
    );
    // The session is known to nobody any more: Google ends it after a week, and counts nothing for it.
    assert_eq!(gcs.open_uploads(), 1);
    assert!(gcs.objects().is_empty());
    let cloud = cloud::gcs(&gcs, "", PATIENCE);
    cloud.delete_folder(&path("a"), &token()).await.unwrap();
    put(&cloud, "a/dump", &sample(10)).await.unwrap();
    assert_eq!(names(&cloud).await, ["a/dump"]);
}

#[tokio::test]
#[ignore = "part of another test"]
async fn the_other_process() {
    let variable = |name| std::env::var(name).unwrap();
    let cloud = cloud::gcs_at(&variable("HOWDAH_GCS"), "", &variable("HOWDAH_GCS_KEY"), PATIENCE);
    cloud::upload_and_wait(&cloud, "a/dump", SEVERAL_PARTS).await;
}
