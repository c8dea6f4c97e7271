//! Google Cloud Storage, against an emulator that is written from Google's public reference: what every destination must do.

use bytes::Bytes;
use howdah_storage::{Destination as _, Error, conformance};
use howdah_testkit::gcs::{Fault, Gcs, Step};
use rstest::rstest;

use crate::support::{PATIENCE, SEVERAL_PARTS, key_lines, names, path, put, sample, token, until};
use crate::{alike, support};

#[rstest]
#[case("")]
#[case("laptop/db")]
#[case("ä b/100% #1?")]
#[tokio::test]
async fn it_does_what_every_destination_must_do(#[case] prefix: &str) {
    let gcs = Gcs::start().unwrap();
    let cloud = support::gcs(&gcs, prefix, PATIENCE);
    cloud.prepare(&token()).await.unwrap();
    assert!(cloud.excludes_others());
    conformance::run(&cloud).await;
    assert!(gcs.objects().is_empty());
    until("all uploads are ended", || gcs.open_uploads() == 0).await;
}

#[tokio::test]
async fn its_name_is_its_url_without_anything_secret() {
    let gcs = Gcs::start().unwrap();
    let cloud = support::gcs(&gcs, "laptop", PATIENCE);
    assert_eq!(cloud.name(), "gs://backups/laptop");
    let shown = format!("{cloud:?} {cloud:#?}");
    for secret in key_lines(&gcs.account_key()) {
        assert!(!shown.contains(&secret));
    }
}

#[tokio::test]
async fn a_large_object_streams_in_little_memory_and_comes_back_whole() {
    let gcs = Gcs::start().unwrap();
    alike::streams_through(&support::gcs(&gcs, "", PATIENCE), false).await;
}

#[tokio::test]
async fn a_writer_takes_no_more_than_three_parts_ahead_of_the_server() {
    let gcs = Gcs::start().unwrap();
    let cloud = support::gcs(&gcs, "", PATIENCE);
    gcs.fail(Fault::stall(Step::Part));
    let writer = cloud.create(&path("a/dump"), None, &token()).await.unwrap();
    alike::takes_no_more_than_three_parts(writer).await;
    assert_eq!(gcs.open_uploads(), 0);
}

#[tokio::test]
async fn the_checksum_that_is_told_is_the_md5() {
    let gcs = Gcs::start().unwrap();
    alike::tells_the_md5(&support::gcs(&gcs, "", PATIENCE)).await;
}

#[tokio::test]
async fn a_list_has_every_page_and_nothing_that_is_not_ours() {
    let gcs = Gcs::start().unwrap();
    let cloud = support::gcs(&gcs, "laptop", PATIENCE);
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
    let cloud = support::gcs(&gcs, "", PATIENCE);
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
    alike::lets_one_of_two_succeed(|| support::gcs(&gcs, "", PATIENCE)).await;
    assert_eq!(gcs.open_uploads(), 0);
}

#[tokio::test]
async fn more_than_an_object_can_have_is_refused_before_the_first_byte() {
    let gcs = Gcs::start().unwrap();
    let error = support::gcs(&gcs, "", PATIENCE)
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
    support::kill_in_the_middle_of(
        "gcs::the_other_process",
        &[
            ("HOWDAH_GCS", &gcs.endpoint()),
            ("HOWDAH_GCS_KEY", &gcs.account_key()),
        ],
    );
    // The session is known to nobody any more: Google ends it after a week, and counts nothing for it.
    assert_eq!(gcs.open_uploads(), 1);
    assert!(gcs.objects().is_empty());
    let cloud = support::gcs(&gcs, "", PATIENCE);
    cloud.delete_folder(&path("a"), &token()).await.unwrap();
    put(&cloud, "a/dump", &sample(10)).await.unwrap();
    assert_eq!(names(&cloud).await, ["a/dump"]);
}

#[tokio::test]
#[ignore = "part of another test"]
async fn the_other_process() {
    let variable = |name| std::env::var(name).unwrap();
    let cloud = support::gcs_at(&variable("HOWDAH_GCS"), "", &variable("HOWDAH_GCS_KEY"), PATIENCE);
    support::upload_and_wait(&cloud, "a/dump", SEVERAL_PARTS).await;
}
