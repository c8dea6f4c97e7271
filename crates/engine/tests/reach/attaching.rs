//! What looking through a destination says of copies that are listed already.

use howdah_domain::{Failure, FailureCode};
use howdah_engine::api::CopyState;
use howdah_store::Store;
use howdah_store::tables::backups::{self, BackupCopy};
use jiff::Timestamp;

use crate::Shop;
use crate::checks::dump_in;

/// A copy that is owed: never made, or found damaged. Its files lie there in both cases.
#[rstest::rstest]
#[case::never_made(FailureCode::DestinationMissing, CopyState::Present)]
#[case::damaged(FailureCode::BackupDamaged, CopyState::Wanted)]
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_owed_is_there_when_it_is_found_unless_it_was_found_damaged(
    #[case] why: FailureCode,
    #[case] expected: CopyState,
) {
    let shop = Shop::kept_in(&["first", "second"]).await;
    let (test, backup) = (&shop.test, shop.test.backed_up().await);
    let store = Store::open(test.dir.path().join("data")).unwrap();
    let (id, second) = (backup.id.clone(), shop.destinations[1].clone());
    let far_away: Timestamp = "2100-01-01T00:00:00Z".parse().unwrap();
    store
        .write(move |tx| {
            let known = backups::get(tx, &id)?.unwrap();
            let copy = known.copies.iter().find(|copy| copy.destination_id == second);
            let owed = BackupCopy {
                state: backups::CopyState::Wanted,
                failure: Some(Failure::new(why, "So it was found.")),
                next_attempt_at: Some(far_away),
                ..copy.unwrap().clone()
            };
            backups::update_copy(tx, &id, &owed)
        })
        .await
        .unwrap();
    test.engine.attach(&shop.destinations[1]).await.unwrap();
    assert_eq!(test.copy(&backup, "second").await.state, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_whose_manifest_cannot_be_read_is_told_and_not_called_missing() {
    let shop = Shop::kept_in(&["only"]).await;
    let (test, backup) = (&shop.test, shop.test.backed_up().await);
    let only = &shop.destinations[0];
    let dump = dump_in(&test.dir.path().join("only"));
    let folder = dump.parent().unwrap();
    std::fs::write(folder.join("manifest.json"), "{").unwrap();
    let report = test.engine.attach(only).await.unwrap();
    assert_eq!(report.unreadable.len(), 1, "{report:?}");
    assert_eq!(report.missing, 0);
    assert_eq!(test.copy(&backup, "only").await.state, CopyState::Present);

    std::fs::remove_dir_all(folder).unwrap();
    let report = test.engine.attach(only).await.unwrap();
    assert_eq!((report.unreadable.len(), report.missing), (0, 1), "{report:?}");
    assert_eq!(test.copy(&backup, "only").await.state, CopyState::Missing);
}
