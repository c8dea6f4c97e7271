//! The conformance suite, and what is particular about folders and names in Drive.

use howdah_storage::drive::{Drive, Endpoints};
use howdah_storage::{Destination as _, Error, MissingWhy};
use howdah_testkit::drive::{ACCOUNT, DriveEmulator, On};

use crate::support::{
    CHUNK, FOLDER, another, at, begin, get, names, no_sessions, path, patience, place, prepared, put, sample,
    secret_with, token,
};

#[tokio::test]
async fn drive_does_what_every_destination_must_do() {
    let (emulator, drive) = prepared().await;
    howdah_storage::conformance::run(&drive).await;
    no_sessions(&emulator).await;
    assert!(emulator.files().is_empty(), "{:?}", emulator.files());
    assert!(!drive.excludes_others());
}

#[tokio::test]
async fn the_conformance_suite_notices_a_drive_that_loses_a_byte() {
    use howdah_storage::{Fault, Faulty};
    let (_emulator, drive) = prepared().await;
    let faulty = Faulty::new(std::sync::Arc::new(drive), Fault::LoseLastByte);
    let suite = tokio::spawn(async move { howdah_storage::conformance::run(&faulty).await });
    assert!(suite.await.unwrap_err().is_panic());
}

#[tokio::test]
async fn people_find_a_backup_in_drive_under_its_name() {
    let (emulator, drive) = prepared().await;
    let backup = "shop/orders/20261122T040000Z-k3x9qa";
    put(&drive, &format!("{backup}/dump.pgdump.zst"), b"dump")
        .await
        .unwrap();
    put(&drive, &format!("{backup}/manifest.json"), b"{}")
        .await
        .unwrap();
    assert_eq!(
        emulator.files(),
        [
            format!("{FOLDER}/{backup}/dump.pgdump.zst"),
            format!("{FOLDER}/{backup}/manifest.json")
        ]
    );
    drive.delete_folder(&path(backup), &token()).await.unwrap();
    assert_eq!(
        emulator.folders(),
        ["Howdah", FOLDER],
        "what has become empty is gone, and the place's own folder stays"
    );
}

#[tokio::test]
async fn a_place_that_is_gone_is_an_error_and_is_not_made_again() {
    let emulator = DriveEmulator::start().await.unwrap();
    let drive = another(&emulator);
    let missing = |error: Option<Error>| {
        assert!(
            matches!(
                error,
                Some(Error::Missing {
                    why: MissingWhy::NoFolder,
                    ..
                })
            ),
            "{error:?}"
        );
    };
    missing(begin(&drive, "a/b").await.err());
    missing(drive.list(None, &token()).await.err());
    missing(drive.stat(&path("a/b"), &token()).await.err());
    missing(drive.read(&path("a/b"), None, &token()).await.err());
    missing(drive.delete_folder(&path("a"), &token()).await.err());
    assert!(emulator.folders().is_empty());

    // The same when it goes away later, into the bin, where it would go on taking files.
    drive.prepare(&token()).await.unwrap();
    put(&drive, "a/b", b"x").await.unwrap();
    emulator.put_into_bin("Howdah").unwrap();
    missing(begin(&drive, "a/c").await.err());
    missing(drive.list(None, &token()).await.err());
    missing(drive.stat(&path("a/b"), &token()).await.err());
    assert!(emulator.folders().is_empty());
}

#[tokio::test]
async fn preparing_twice_makes_one_folder() {
    let (emulator, drive) = prepared().await;
    drive.prepare(&token()).await.unwrap();
    another(&emulator).prepare(&token()).await.unwrap();
    assert_eq!(emulator.folders(), ["Howdah", FOLDER]);
}

#[tokio::test]
async fn a_folder_that_somebody_removed_is_made_anew_for_the_next_object() {
    let (emulator, drive) = prepared().await;
    put(&drive, "shop/a", b"a").await.unwrap();
    emulator.put_into_bin("Howdah/laptop/shop").unwrap();
    assert!(names(&drive).await.is_empty());
    put(&drive, "shop/b", b"b").await.unwrap();
    assert_eq!(names(&drive).await, ["shop/b"]);
    assert_eq!(emulator.files(), ["Howdah/laptop/shop/b"]);
}

#[tokio::test]
async fn folders_of_the_same_name_count_as_one() {
    let (emulator, drive) = prepared().await;
    emulator.add_file("Howdah/laptop/shop/old", 3);
    emulator.add_folder("Howdah/laptop/shop");
    put(&drive, "shop/new", b"new").await.unwrap();
    // The oldest one takes what is new; another machine chooses alike.
    put(&another(&emulator), "shop/newer", b"newer").await.unwrap();
    assert_eq!(names(&drive).await, ["shop/new", "shop/newer", "shop/old"]);
    assert_eq!(get(&drive, "shop/new", None).await, b"new");
    drive.delete_folder(&path("shop"), &token()).await.unwrap();
    assert!(emulator.files().is_empty());
    assert_eq!(emulator.folders(), ["Howdah", FOLDER]);
}

#[tokio::test]
async fn of_files_of_one_name_the_oldest_counts_and_all_are_removed() {
    let (emulator, drive) = prepared().await;
    put(&drive, "shop/a", b"first").await.unwrap();
    emulator.add_file("Howdah/laptop/shop/a", 99);
    let entries = drive.list(None, &token()).await.unwrap();
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(entries[0].len, 5);
    assert_eq!(get(&drive, "shop/a", None).await, b"first");
    drive.delete(&path("shop/a"), &token()).await.unwrap();
    assert!(emulator.files().is_empty());
}

#[tokio::test]
async fn names_keep_their_case_their_quotes_and_their_alphabet() {
    let (_emulator, drive) = prepared().await;
    let all = [
        "Shop/It's 100 % \"quoted\"",
        "shop/Größe ✓ データ",
        "shop/MANIFEST.json",
        "shop/manifest.json",
    ];
    for name in all {
        put(&drive, name, name.as_bytes()).await.unwrap();
    }
    for name in all {
        assert_eq!(get(&drive, name, None).await, name.as_bytes());
    }
    let mut sorted = all.map(str::to_owned);
    sorted.sort();
    assert_eq!(names(&drive).await, sorted);
    drive.delete(&path("shop/manifest.json"), &token()).await.unwrap();
    assert_eq!(
        drive
            .stat(&path("shop/MANIFEST.json"), &token())
            .await
            .unwrap()
            .unwrap()
            .len,
        18
    );
}

#[tokio::test]
async fn what_the_user_keeps_among_the_backups_is_not_seen_and_not_destroyed() {
    let (emulator, drive) = prepared().await;
    put(&drive, "shop/20261122/manifest.json", b"{}").await.unwrap();
    emulator.add_foreign_file("Howdah/laptop/shop/notes.txt");
    assert_eq!(names(&drive).await, ["shop/20261122/manifest.json"]);
    drive
        .delete_folder(&path("shop/20261122"), &token())
        .await
        .unwrap();
    // To our eyes the folder above was empty. It went into the bin, where the user finds it with the notes.
    assert_eq!(emulator.binned(), ["Howdah/laptop/shop/notes.txt"]);
    assert_eq!(emulator.files(), Vec::<String>::new());
}

#[tokio::test]
async fn files_whose_names_are_no_paths_are_not_listed_and_go_with_their_folder() {
    let (emulator, drive) = prepared().await;
    put(&drive, "shop/20261122/manifest.json", b"{}").await.unwrap();
    emulator.add_file("Howdah/laptop/shop/20261122/dump.part", 3);
    emulator.add_file("Howdah/laptop/shop/20261122/C:\\odd", 3);
    assert_eq!(names(&drive).await, ["shop/20261122/manifest.json"]);
    drive
        .delete_folder(&path("shop/20261122"), &token())
        .await
        .unwrap();
    assert!(emulator.files().is_empty(), "{:?}", emulator.files());
    assert!(
        emulator.binned().is_empty(),
        "files are gone for good: {:?}",
        emulator.binned()
    );
}

#[tokio::test]
async fn another_oauth_client_sees_nothing_of_ours() {
    let (emulator, drive) = prepared().await;
    put(&drive, "shop/a", b"a").await.unwrap();
    let mut other_place = place();
    other_place.client_id = Some(howdah_testkit::drive::OTHER_CLIENT_ID.to_owned());
    let other = Drive::emulated(
        &other_place,
        Some(&secret_with(&emulator.refresh_token_of_other_client())),
        Endpoints::below(&emulator.url()),
        patience(),
    )
    .unwrap();
    assert!(matches!(
        other.list(None, &token()).await,
        Err(Error::Missing { .. })
    ));
    other.prepare(&token()).await.unwrap();
    assert!(names(&other).await.is_empty());
    put(&other, "shop/a", b"other").await.unwrap();
    assert_eq!(get(&drive, "shop/a", None).await, b"a");
}

#[tokio::test]
async fn free_space_is_told_where_the_account_has_a_limit() {
    let (emulator, drive) = prepared().await;
    assert_eq!(drive.free_space(&token()).await.unwrap(), None);
    emulator.quota(Some(1_000_000));
    put(&drive, "a", &sample(1000)).await.unwrap();
    assert_eq!(drive.free_space(&token()).await.unwrap(), Some(999_000));
    emulator.quota(Some(10));
    assert_eq!(
        drive.free_space(&token()).await.unwrap(),
        Some(0),
        "an account that is over its limit has no space, not less"
    );
}

#[tokio::test]
async fn a_place_in_another_account_is_told_when_it_is_prepared() {
    let emulator = DriveEmulator::start().await.unwrap();
    let mut elsewhere = place();
    elsewhere.account = Some("bob@example.com".to_owned());
    let secret = secret_with(&emulator.refresh_token());
    let drive = |place| {
        Drive::emulated(
            &place,
            Some(&secret),
            Endpoints::below(&emulator.url()),
            patience(),
        )
        .unwrap()
    };
    let error = drive(elsewhere).prepare(&token()).await.unwrap_err();
    assert!(matches!(error, Error::Misconfigured { .. }), "{error:?}");
    let message = error.to_failure().message;
    assert!(
        message.contains("bob@example.com") && message.contains(ACCOUNT),
        "{message}"
    );
    let mut here = place();
    here.account = Some("Ada@Example.com".to_owned());
    drive(here).prepare(&token()).await.unwrap();
}

#[tokio::test]
async fn a_checksum_is_told_without_reading() {
    use howdah_storage::Checksum;
    let (emulator, drive) = prepared().await;
    let stored = put(&drive, "a", b"abc").await.unwrap();
    let expected =
        Checksum::Sha256("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned());
    assert_eq!(stored.checksum.as_ref(), Some(&expected));
    let stat = drive.stat(&path("a"), &token()).await.unwrap().unwrap();
    assert_eq!((stat.len, stat.checksum), (3, Some(expected)));
    assert_eq!(emulator.count(On::Download), 0);
}

#[tokio::test]
async fn a_range_is_fetched_and_not_the_whole_file() {
    let (_emulator, drive) = prepared().await;
    let bytes = sample(CHUNK + 12_345);
    put(&drive, "a", &bytes).await.unwrap();
    assert_eq!(
        get(&drive, "a", Some(8_000_000..8_390_000)).await,
        &bytes[8_000_000..8_390_000]
    );
    assert_eq!(get(&drive, "a", Some(0..1)).await, &bytes[..1]);
    assert!(get(&drive, "a", Some(99_000_000..99_000_001)).await.is_empty());
    assert!(get(&drive, "a", None).await == bytes);
}

#[tokio::test]
async fn a_drive_that_cannot_be_reached_is_told_within_moments() {
    // The name is reserved never to exist (RFC 6761), the port is not listened to.
    for url in ["http://drive.invalid", "http://127.0.0.1:9"] {
        let drive = at(url, "1//whatever");
        let before = std::time::Instant::now();
        let error = drive.list(None, &token()).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
        assert!(error.is_retryable());
        assert!(before.elapsed().as_secs() < 20, "{:?}", before.elapsed());
    }
}
