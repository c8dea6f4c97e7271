//! Every part of a place, and what is wrong with it.

use std::fmt::Write as _;

use howdah_domain::{Place, Secret};
use howdah_storage::{Checksum, Destination as _, Error, MissingWhy, conformance, open};
use howdah_testkit::certificates::Certificates;
use howdah_testkit::gate::Rule;
use howdah_testkit::rclone::{PASSWORD, Protocol, Rclone};
use rstest::rstest;

use crate::support::*;

#[tokio::test]
async fn a_store_that_knows_little_passes_every_check() {
    let rclone = Rclone::start(Protocol::S3, &[]).unwrap();
    let s3 = open_with(&place(url(rclone.port())), quick());
    s3.prepare(&never()).await.unwrap();
    assert!(
        !s3.excludes_others(),
        "rclone replaces objects whatever it is asked"
    );
    conformance::run(&s3).await;
    assert_eq!(rclone.files().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_store_that_knows_much_passes_every_check() {
    let moto = moto(quick()).await;
    assert!(!moto.s3.excludes_others(), "nobody has tried yet");
    moto.s3.prepare(&never()).await.unwrap();
    assert!(moto.s3.excludes_others());
    conformance::run(&moto.s3).await;
    assert!(moto.is_empty());
}

#[tokio::test]
async fn a_place_without_a_prefix_passes_every_check() {
    let rclone = Rclone::start(Protocol::S3, &[]).unwrap();
    let mut place = place(url(rclone.port()));
    place.prefix = String::new();
    let destination = open(&Place::S3(place), Some(&Secret::new(PASSWORD))).unwrap();
    assert_eq!(destination.name(), "s3://backups");
    destination.prepare(&never()).await.unwrap();
    conformance::run(&*destination).await;
}

#[tokio::test]
async fn a_bucket_shared_with_others_shows_only_what_is_below_the_prefix() {
    let rclone = rclone(quick()).await;
    let root = rclone.server.root().join("backups");
    for file in [
        "foreign.txt",
        "howdah/laptop2/x",
        "howdah/laptop/half.part",
        "howdah/laptop/a:b",
        "howdah/laptop/sub/holiday photo+1.jpg",
    ] {
        let file = root.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "x").unwrap();
    }
    put(&rclone.s3, "shop/straße 🐘/données", &sample(10))
        .await
        .unwrap();
    assert_eq!(
        names(&rclone.s3).await,
        ["shop/straße 🐘/données", "sub/holiday photo+1.jpg"],
    );
    assert_eq!(
        get(&rclone.s3, "shop/straße 🐘/données").await.unwrap(),
        sample(10)
    );
    rclone
        .s3
        .delete_folder(&path("shop/straße 🐘"), &never())
        .await
        .unwrap();
    assert_eq!(names(&rclone.s3).await, ["sub/holiday photo+1.jpg"]);
}

#[tokio::test]
async fn classes_and_encryption_are_asked_for_with_each_object() {
    let moto = moto(quick()).await;
    let mut place = place(moto.gate.url());
    place.storage_class = Some("STANDARD_IA".into());
    place.server_side_encryption = Some("aws:kms".into());
    place.kms_key = Some("alias/backups".into());
    let s3 = open_with(&place, quick());
    put(&s3, "small", &sample(10)).await.unwrap();
    put(&s3, "large", &sample(PART + 1)).await.unwrap();
    let begun: Vec<_> = moto
        .gate
        .seen()
        .into_iter()
        .filter(|seen| {
            seen.method == "PUT" && !seen.target.contains("partNumber") || seen.target.contains("?uploads")
        })
        .collect();
    assert_eq!(begun.len(), 2);
    for seen in begun {
        for (header, value) in [
            ("x-amz-storage-class", "STANDARD_IA"),
            ("x-amz-server-side-encryption", "aws:kms"),
            ("x-amz-server-side-encryption-aws-kms-key-id", "alias/backups"),
        ] {
            assert_eq!(seen.header(header), Some(value), "{seen:?}");
        }
    }
}

#[tokio::test]
async fn the_stores_own_checksum_is_told_without_reading() {
    let moto = moto(quick()).await;
    let stored = put(&moto.s3, "object", &sample(1000)).await.unwrap();
    let Some(Checksum::Other(checksum)) = &stored.checksum else {
        panic!("{stored:?}");
    };
    assert!(checksum.starts_with("crc32:"), "{checksum}");
    let stat = moto.s3.stat(&path("object"), &never()).await.unwrap().unwrap();
    assert_eq!(stat.checksum, stored.checksum);
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_where_it_is_named_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(folder.path(), "nobody").unwrap();
    let rclone = Rclone::start(
        Protocol::S3,
        &[
            &format!("--cert={}", certificates.server_certificate.display()),
            &format!("--key={}", certificates.server_key.display()),
        ],
    )
    .unwrap();
    let endpoint = format!("https://localhost:{}", rclone.port());
    let mut named = place(&endpoint);
    named.ca_file = Some(certificates.ca.clone());
    let s3 = open_with(&named, quick());
    put(&s3, "object", &sample(PART + 1)).await.unwrap();
    assert_eq!(get(&s3, "object").await.unwrap(), sample(PART + 1));

    let mut stranger = place(&endpoint);
    stranger.ca_file = Some(certificates.stranger_ca);
    for place in [stranger, place(&endpoint)] {
        let error = open_with(&place, quick()).prepare(&never()).await.unwrap_err();
        assert!(matches!(error, Error::Untrusted { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn wrong_credentials_are_told_as_such() {
    let rclone = Rclone::start(Protocol::S3, &[]).unwrap();
    let mut other_id = place(url(rclone.port()));
    other_id.access_key_id = Some("somebodyelse".into());
    let other_id = open_with(&other_id, quick());
    let other_secret = howdah_storage::S3::patient(
        &place(url(rclone.port())),
        Some(&Secret::new("wrong horse battery 1")),
        quick(),
    )
    .unwrap();
    for s3 in [other_id, other_secret] {
        let mut errors = vec![
            s3.prepare(&never()).await.unwrap_err(),
            s3.list(None, &never()).await.unwrap_err(),
            s3.stat(&path("x"), &never()).await.unwrap_err(),
            s3.delete_folder(&path("x"), &never()).await.unwrap_err(),
        ];
        errors.push(get(&s3, "x").await.unwrap_err());
        errors.push(put(&s3, "x", &sample(10)).await.unwrap_err());
        for error in errors {
            assert!(matches!(error, Error::Denied { .. }), "{error:?}");
            assert!(!error.is_retryable());
        }
    }
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_told_as_such_and_not_made() {
    let rclone = Rclone::start(Protocol::S3, &[]).unwrap();
    let mut place = place(url(rclone.port()));
    place.bucket = "nowhere".into();
    let s3 = open_with(&place, quick());
    let mut errors = vec![
        s3.prepare(&never()).await.unwrap_err(),
        s3.list(None, &never()).await.unwrap_err(),
        s3.stat(&path("x"), &never()).await.unwrap_err(),
        s3.delete(&path("x"), &never()).await.unwrap_err(),
        s3.delete_folder(&path("x"), &never()).await.unwrap_err(),
    ];
    errors.push(get(&s3, "x").await.unwrap_err());
    errors.push(put(&s3, "x", &sample(10)).await.unwrap_err());
    errors.push(put(&s3, "x", &sample(PART + 1)).await.unwrap_err());
    for error in errors {
        assert!(
            matches!(
                error,
                Error::Missing {
                    why: MissingWhy::NoBucket,
                    ..
                }
            ),
            "{error:?}"
        );
    }
    assert!(!rclone.root().join("nowhere").exists());
}

#[tokio::test]
async fn a_bucket_in_another_region_is_named_with_it() {
    let rclone = rclone(quick()).await;
    let elsewhere = s3_error(301, "PermanentRedirect").with_header("x-amz-bucket-region", "eu-central-1");
    rclone.gate.rule(Rule::on("", "").always().plays(elsewhere));
    let error = rclone.s3.prepare(&never()).await.unwrap_err();
    assert!(matches!(error, Error::Misconfigured { .. }), "{error:?}");
    assert!(error.to_string().contains("region eu-central-1"), "{error}");
}

#[rstest]
#[case("InvalidStorageClass")]
#[case("KMS.NotFoundException")]
#[tokio::test]
async fn what_the_store_does_not_take_is_a_matter_of_settings(#[case] code: &str) {
    let rclone = rclone(quick()).await;
    rclone
        .gate
        .rule(Rule::on("PUT", "").always().plays(s3_error(400, code)));
    let error = put(&rclone.s3, "x", &sample(10)).await.unwrap_err();
    assert!(matches!(error, Error::Misconfigured { .. }), "{error:?}");
}

#[tokio::test]
async fn secrets_appear_in_no_error_and_no_debug_output() {
    let rclone = Rclone::start(Protocol::S3, &[]).unwrap();
    let s3 = open_with(&place(url(rclone.port())), quick());
    let mut all = format!("{s3:?}");
    let mut other_id = place(url(rclone.port()));
    other_id.access_key_id = Some("somebodyelse".into());
    let mut nowhere = place(url(rclone.port()));
    nowhere.bucket = "nowhere".into();
    let away = place("http://127.0.0.1:9");
    for place in [other_id, nowhere, away] {
        let s3 = open_with(&place, quick());
        let error = put(&s3, "x", &sample(10)).await.unwrap_err();
        let failure = serde_json::to_string(&error.to_failure()).unwrap();
        write!(all, "{s3:?} {error:?} {error} {failure}").unwrap();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            write!(all, "{error:?} {error}").unwrap();
            cause = error.source();
        }
    }
    assert!(all.contains("s3://backups"), "something was looked at");
    assert!(!all.contains(PASSWORD), "{all}");
}
