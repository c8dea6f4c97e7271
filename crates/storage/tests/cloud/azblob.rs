//! Azure Blob Storage, against Azurite, Microsoft's own emulator: what every destination must do, and who is not let in.

use bytes::Bytes;
use howdah_storage::{Checksum, Destination as _, Error, conformance};
use howdah_testkit::azurite::{Azurite, KEY, sas};
use rstest::rstest;

use crate::support::{
    LATER, PATIENCE, SEVERAL_PARTS, get, hides, names, path, put, sample, signature, token, until, write,
};
use crate::{alike, support};

#[rstest]
#[case("", KEY)]
#[case("ä b/100% #1?", KEY)]
#[case("laptop/db", &sas("rwdlac", LATER))]
#[tokio::test]
async fn it_does_what_every_destination_must_do(#[case] prefix: &str, #[case] secret: &str) {
    let azurite = Azurite::start().unwrap();
    let cloud = support::azblob(&azurite.endpoint(), prefix, secret, PATIENCE);
    cloud.prepare(&token()).await.unwrap();
    assert!(cloud.excludes_others());
    conformance::run(&cloud).await;
    until("no block is left", || azurite.blobs(true).unwrap().is_empty()).await;
}

#[tokio::test]
async fn its_name_is_its_url_without_anything_secret() {
    let secret = sas("rwdlac", LATER);
    let cloud = support::azblob("http://127.0.0.1:1/a", "laptop", &secret, PATIENCE);
    assert_eq!(cloud.name(), "azblob://howdahtest/backups/laptop");
    let shown = format!("{cloud:?} {cloud:#?}");
    assert!(
        signature(&secret).iter().all(|part| !shown.contains(part)),
        "{shown}"
    );
}

#[tokio::test]
async fn a_large_object_streams_in_blocks_and_comes_back_whole() {
    let azurite = Azurite::start().unwrap();
    let cloud = support::azblob(&azurite.endpoint(), "", KEY, PATIENCE);
    let stored = alike::streams_through(&cloud, true).await;
    // Nobody has computed a checksum of the whole; what changes with the object is told instead.
    assert!(matches!(&stored.checksum, Some(Checksum::Other(text)) if text.starts_with("etag:")));
}

#[tokio::test]
async fn the_checksum_of_a_small_object_is_its_md5() {
    let azurite = Azurite::start().unwrap();
    alike::tells_the_md5(&support::azblob(&azurite.endpoint(), "", KEY, PATIENCE)).await;
}

#[tokio::test]
async fn a_list_has_nothing_that_is_not_ours() {
    let azurite = Azurite::start().unwrap();
    let cloud = support::azblob(&azurite.endpoint(), "laptop", KEY, PATIENCE);
    let ours = ["shop/1/ünï·名", "shop/2/a b"];
    for name in ours {
        put(&cloud, name, &Bytes::from_static(b"x")).await.unwrap();
    }
    for foreign in ["laptop/shop/x.part", "laptop/c:d", "elsewhere/e"] {
        azurite.put(foreign, b"not ours").unwrap();
    }
    assert_eq!(names(&cloud).await, ours);

    cloud.delete_folder(&path("shop"), &token()).await.unwrap();
    assert_eq!(azurite.blobs(true).unwrap(), ["elsewhere/e", "laptop/c:d"]);
}

#[tokio::test]
async fn of_two_machines_that_write_the_same_object_one_succeeds() {
    let azurite = Azurite::start().unwrap();
    alike::lets_one_of_two_succeed(|| support::azblob(&azurite.endpoint(), "", KEY, PATIENCE)).await;
}

#[tokio::test]
async fn more_than_a_blob_can_have_is_refused_before_the_first_byte() {
    let cloud = support::azblob("http://127.0.0.1:1/a", "", KEY, PATIENCE);
    let error = cloud
        .create(&path("a"), Some(1 << 44), &token())
        .await
        .err()
        .unwrap();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
}

#[tokio::test]
async fn an_upload_that_is_given_up_leaves_no_block() {
    let azurite = Azurite::start().unwrap();
    let cloud = support::azblob(&azurite.endpoint(), "", KEY, PATIENCE);
    let begin = async |name: &str| {
        let mut writer = cloud
            .create(&path(name), Some(SEVERAL_PARTS as u64), &token())
            .await
            .unwrap();
        write(&mut *writer, &sample(SEVERAL_PARTS)).await.unwrap();
        writer
    };
    let aborted = begin("a/aborted").await;
    let dropped = begin("a/dropped").await;
    let short = begin("a/short").await;
    assert!(azurite.blobs(false).unwrap().is_empty(), "blocks cannot be seen");
    assert_eq!(azurite.blobs(true).unwrap().len(), 3);
    aborted.abort().await;
    drop(dropped);
    let error = short.finish(1).await.unwrap_err();
    assert!(matches!(error, Error::WrongSize { .. }), "{error:?}");
    until("no block is left", || azurite.blobs(true).unwrap().is_empty()).await;
}

#[tokio::test]
async fn giving_up_never_takes_the_object_of_somebody_else() {
    let azurite = Azurite::start().unwrap();
    let cloud = support::azblob(&azurite.endpoint(), "", KEY, PATIENCE);
    let mut late = cloud
        .create(&path("a/dump"), Some(SEVERAL_PARTS as u64), &token())
        .await
        .unwrap();
    write(&mut *late, &sample(SEVERAL_PARTS)).await.unwrap();
    azurite.put("a/dump", b"theirs").unwrap();
    let error = late.finish(SEVERAL_PARTS as u64).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
    assert_eq!(get(&cloud, "a/dump").await.unwrap(), b"theirs");
}

#[tokio::test]
async fn a_process_that_is_killed_in_mid_upload_leaves_blocks_that_go_with_the_folder() {
    let azurite = Azurite::start().unwrap();
    support::kill_in_the_middle_of(
        "azblob::the_other_process",
        &[("HOWDAH_AZBLOB", &azurite.endpoint())],
    );
    assert!(azurite.blobs(false).unwrap().is_empty());
    assert_eq!(azurite.blobs(true).unwrap(), ["a/ü/dump"]);
    let cloud = support::azblob(&azurite.endpoint(), "", KEY, PATIENCE);
    assert!(names(&cloud).await.is_empty());
    cloud.delete_folder(&path("a"), &token()).await.unwrap();
    assert!(azurite.blobs(true).unwrap().is_empty());
}

#[tokio::test]
#[ignore = "part of another test"]
async fn the_other_process() {
    let endpoint = std::env::var("HOWDAH_AZBLOB").unwrap();
    let cloud = support::azblob(&endpoint, "", KEY, PATIENCE);
    support::upload_and_wait(&cloud, "a/ü/dump", SEVERAL_PARTS).await;
}

#[rstest]
#[case::key("d3Jvbmcga2V5", "account key")]
#[case::ended(&sas("rwdlac", "2020-01-01T00:00:00Z"), "SAS token")]
#[case::forged(&sas("rwdlac", LATER).replace("sig=", "sig=AAAA"), "SAS token")]
#[tokio::test]
async fn what_is_not_believed_is_denied(#[case] secret: &str, #[case] called: &str) {
    let azurite = Azurite::start().unwrap();
    let cloud = support::azblob(&azurite.endpoint(), "", secret, PATIENCE);
    let mut hidden = vec![secret.to_owned()];
    if secret.contains("sig=") {
        hidden.extend(signature(secret));
    }
    for error in [
        cloud.prepare(&token()).await.unwrap_err(),
        cloud.list(None, &token()).await.unwrap_err(),
        cloud.stat(&path("a"), &token()).await.unwrap_err(),
        cloud.read(&path("a"), None, &token()).await.unwrap_err(),
    ] {
        assert!(
            matches!(&error, Error::Denied { what, .. } if *what == called),
            "{error:?}"
        );
        hides(&error, &hidden);
    }
    let error = put(&cloud, "a", &sample(10)).await.unwrap_err();
    hides(&error, &hidden);
}

#[tokio::test]
async fn a_token_that_may_only_read_is_told_when_it_writes() {
    let azurite = Azurite::start().unwrap();
    put(
        &support::azblob(&azurite.endpoint(), "", KEY, PATIENCE),
        "a/b",
        &sample(10),
    )
    .await
    .unwrap();
    let secret = sas("rl", LATER);
    let cloud = support::azblob(&azurite.endpoint(), "", &secret, PATIENCE);
    cloud.prepare(&token()).await.unwrap();
    assert_eq!(get(&cloud, "a/b").await.unwrap().len(), 10);
    let hidden = signature(&secret);
    for error in [
        put(&cloud, "a/small", &sample(10)).await.unwrap_err(),
        put(&cloud, "a/large", &sample(SEVERAL_PARTS)).await.unwrap_err(),
        cloud.delete(&path("a/b"), &token()).await.unwrap_err(),
    ] {
        assert!(matches!(&error, Error::ReadOnly { .. }), "{error:?}");
        assert!(!error.is_retryable());
        hides(&error, &hidden);
    }
    assert_eq!(azurite.blobs(true).unwrap(), ["a/b"]);
}

#[tokio::test]
async fn a_container_that_is_not_there_is_told_by_every_call() {
    let azurite = Azurite::start().unwrap();
    let cloud = support::azblob(&azurite.endpoint(), "", KEY, PATIENCE);
    alike::tells_that_the_bucket_has_gone(&cloud, || azurite.remove_container().unwrap()).await;
}
