//! The destination that fails on purpose: each fault strikes at its moment, and leaves what a real one would leave.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap like the tests")]

use std::sync::Arc;

use bytes::Bytes;
use howdah_storage::{Destination, Error, Fault, Faulty, Folder, ObjectPath};
use rstest::rstest;
use tokio_util::sync::CancellationToken;

/// Writes ten pieces of a hundred bytes and finishes.
async fn write(destination: &dyn Destination, cancel: &CancellationToken) -> Result<(), Error> {
    let path = ObjectPath::new("a/dump").unwrap();
    let mut writer = destination.create(&path, None, cancel).await?;
    for _ in 0..10 {
        writer.write(Bytes::from(vec![1; 100])).await?;
    }
    writer.finish(1000).await?;
    Ok(())
}

#[rstest]
#[case(Fault::Create)]
#[case(Fault::WriteAfter(0))]
#[case(Fault::WriteAfter(550))]
#[case(Fault::FullAfter(550))]
#[case(Fault::Finish)]
#[case(Fault::LoseLastByte)]
#[tokio::test]
async fn a_fault_while_writing_leaves_no_object(#[case] fault: Fault) {
    let directory = tempfile::tempdir().unwrap();
    let cancel = CancellationToken::new();
    let folder = Folder::new(directory.path());
    folder.prepare(&cancel).await.unwrap();
    let faulty = Faulty::new(Arc::new(folder.clone()), fault);
    let error = write(&faulty, &cancel).await.unwrap_err();
    match fault {
        Fault::FullAfter(_) => assert!(matches!(error, Error::Full { written: 500, .. }), "{error:?}"),
        Fault::LoseLastByte => assert!(matches!(error, Error::WrongSize { .. }), "{error:?}"),
        _ => assert!(matches!(error, Error::Failed { .. }), "{error:?}"),
    }
    assert!(folder.list(None, &cancel).await.unwrap().is_empty());
    assert!(
        !directory.path().join("a").exists(),
        "the folder made for it is gone"
    );
}

#[tokio::test]
async fn a_stalled_destination_ends_when_cancelled() {
    let directory = tempfile::tempdir().unwrap();
    let cancel = CancellationToken::new();
    let folder = Folder::new(directory.path());
    folder.prepare(&cancel).await.unwrap();
    let faulty = Faulty::new(Arc::new(folder), Fault::StallAfter(300));
    let token = cancel.clone();
    let task = tokio::spawn(async move { write(&faulty, &token).await });
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(!task.is_finished());
    cancel.cancel();
    assert!(task.await.unwrap().unwrap_err().is_cancelled());
}

#[tokio::test]
async fn a_fault_limited_to_a_name_spares_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let cancel = CancellationToken::new();
    let folder = Folder::new(directory.path());
    folder.prepare(&cancel).await.unwrap();
    let faulty = Faulty::new(Arc::new(folder), Fault::Create).only("manifest.json");
    write(&faulty, &cancel).await.unwrap();
    let manifest = ObjectPath::new("a/manifest.json").unwrap();
    assert!(faulty.create(&manifest, None, &cancel).await.is_err());
}
