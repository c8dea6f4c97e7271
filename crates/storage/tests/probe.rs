//! The probe finds what a destination cannot do, names the step, and leaves nothing behind.

use std::sync::Arc;

use howdah_storage::probe::{ProbeStep, STEPS, probe};
use howdah_storage::{Destination, Fault, Faulty, Folder};
use rstest::rstest;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_good_destination_passes_every_step_and_is_as_it_was() {
    let root = tempfile::tempdir().unwrap();
    let folder = Folder::new(root.path());
    let mut steps = Vec::new();
    let cancel = CancellationToken::new();
    probe(&folder, "x", &mut |step| steps.push(step), &cancel)
        .await
        .unwrap();
    assert_eq!(steps, STEPS);
    assert!(folder.list(None, &cancel).await.unwrap().is_empty());
}

#[rstest]
#[case(Fault::Create, ProbeStep::Write)]
#[case(Fault::WriteAfter(10), ProbeStep::Write)]
#[case(Fault::Finish, ProbeStep::Write)]
#[case(Fault::LoseLastByte, ProbeStep::Write)]
#[case(Fault::Read, ProbeStep::Read)]
#[case(Fault::Delete, ProbeStep::Delete)]
#[tokio::test]
async fn what_a_destination_cannot_do_is_found(#[case] fault: Fault, #[case] expected: ProbeStep) {
    let root = tempfile::tempdir().unwrap();
    let folder: Arc<dyn Destination> = Arc::new(Folder::new(root.path()));
    let faulty = Faulty::new(Arc::clone(&folder), fault);
    let cancel = CancellationToken::new();
    let (step, _) = probe(&faulty, "x", &mut |_| (), &cancel).await.unwrap_err();
    assert_eq!(step, expected);
    if fault != Fault::Delete {
        assert!(
            folder.list(None, &cancel).await.unwrap().is_empty(),
            "nothing is left"
        );
    }
}
