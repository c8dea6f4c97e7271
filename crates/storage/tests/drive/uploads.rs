//! Uploads: what goes on after a cut, what cannot go on, and that nothing short or altered is ever kept.

use bytes::Bytes;
use howdah_domain::FailureCode;
use howdah_storage::{Destination as _, Error};
use howdah_testkit::drive::{DriveEmulator, Fault, On};
use rstest::rstest;

use crate::support::{CHUNK, another, begin, get, names, no_sessions, path, prepared, put, sample, token};

const AT: &str = "shop/dump";
const IN_DRIVE: &str = "Howdah/laptop/shop/dump";

fn refusal(status: u16, reason: &'static str) -> Fault {
    Fault::Answer {
        status,
        reason,
        retry_after: None,
    }
}

/// No file and no session.
async fn nothing_is_left(emulator: &DriveEmulator) {
    no_sessions(emulator).await;
    assert!(emulator.files().is_empty(), "{:?}", emulator.files());
}

#[rstest]
#[case(0)]
#[case(1)]
#[case(256 * 1024)]
#[case(CHUNK - 1)]
#[case(CHUNK)]
#[case(CHUNK + 1)]
#[case(2 * CHUNK)]
#[tokio::test]
async fn every_length_arrives(#[case] len: usize) {
    let (emulator, drive) = prepared().await;
    let bytes = sample(len);
    assert_eq!(put(&drive, AT, &bytes).await.unwrap().len, len as u64);
    assert!(emulator.content(IN_DRIVE).unwrap() == bytes);
    assert!(get(&drive, AT, None).await == bytes);
    let chunks = emulator.count(On::Chunk) as usize;
    assert_eq!(
        chunks,
        len.saturating_sub(1) / CHUNK,
        "the last chunk is never empty"
    );
    no_sessions(&emulator).await;
}

/// Each of these happens once in the middle and once at the end of an upload, and the upload goes on.
#[rstest]
#[case(Fault::CutRequest(0))]
#[case(Fault::CutRequest(3_000_000))]
#[case(Fault::LoseAnswer)]
#[case(Fault::CutAnswer(0))]
#[case(Fault::Silence)]
#[case(Fault::StopReading)]
#[case(Fault::ExpireTokens)]
#[case(refusal(500, "internalError"))]
#[case(refusal(503, "backendError"))]
#[case(refusal(429, "rateLimitExceeded"))]
#[case(refusal(403, "userRateLimitExceeded"))]
#[tokio::test]
async fn an_upload_goes_on_where_it_was(#[case] fault: Fault) {
    let (emulator, drive) = prepared().await;
    let bytes = sample(2 * CHUNK + 3_333_333);
    emulator.fail_times(On::Chunk, 1, 1, fault.clone());
    emulator.fail(On::LastChunk, fault);
    put(&drive, AT, &bytes).await.unwrap();
    assert_eq!(emulator.faults_left(), 0, "both faults have struck");
    assert!(emulator.content(IN_DRIVE).unwrap() == bytes);
    assert_eq!(emulator.count(On::Open), 1, "it is still the same session");
    assert!(emulator.count(On::Progress) >= 1, "it was asked how far it came");
    assert_eq!(names(&drive).await, [AT], "and there is one file");
}

#[rstest]
#[case(0)]
#[case(256 * 1024)]
#[case(1_000_000)]
#[case(CHUNK as u64 - 1)]
#[tokio::test]
async fn what_google_did_not_keep_is_sent_again(#[case] kept: u64) {
    let (emulator, drive) = prepared().await;
    let bytes = sample(3 * CHUNK + 5);
    emulator.fail_times(On::Chunk, 1, 1, Fault::Keep(kept));
    put(&drive, AT, &bytes).await.unwrap();
    assert_eq!(emulator.faults_left(), 0);
    assert!(emulator.content(IN_DRIVE).unwrap() == bytes);
}

#[tokio::test]
async fn the_question_how_far_it_came_may_fail_too() {
    let (emulator, drive) = prepared().await;
    let bytes = sample(CHUNK + 5);
    emulator.fail(On::Chunk, Fault::CutRequest(5_000_000));
    emulator.fail_times(On::Progress, 0, 2, refusal(503, "backendError"));
    emulator.fail_times(On::Progress, 0, 1, Fault::ExpireTokens);
    put(&drive, AT, &bytes).await.unwrap();
    assert_eq!(emulator.faults_left(), 0);
    assert!(emulator.content(IN_DRIVE).unwrap() == bytes);
}

/// What cannot go on is an error that says whether to try again, and leaves nothing.
#[rstest]
#[case(On::Progress, Fault::Forget(256 * 1024))]
#[case(On::Progress, Fault::DropSession)]
#[case(On::Chunk, Fault::DropSession)]
#[case(On::LastChunk, Fault::DropSession)]
#[tokio::test]
async fn an_upload_that_google_has_forgotten_is_to_be_made_anew(#[case] on: On, #[case] fault: Fault) {
    let (emulator, drive) = prepared().await;
    let bytes = sample(2 * CHUNK + 5);
    if on == On::Progress {
        emulator.fail_times(On::Chunk, 1, 1, Fault::CutRequest(5_000_000));
    }
    emulator.fail(on, fault);
    let error = put(&drive, AT, &bytes).await.unwrap_err();
    assert!(
        matches!(error, Error::Failed { .. }) && error.is_retryable(),
        "{error:?}"
    );
    assert!(error.to_failure().is_retryable());
    assert_eq!(emulator.faults_left(), 0);
    nothing_is_left(&emulator).await;
    put(&drive, AT, &bytes).await.unwrap();
    assert!(emulator.content(IN_DRIVE).unwrap() == bytes);
}

#[rstest]
#[case(On::Chunk)]
#[case(On::LastChunk)]
#[tokio::test]
async fn what_arrives_altered_is_not_kept(#[case] on: On) {
    let (emulator, drive) = prepared().await;
    emulator.fail(on, Fault::Alter);
    let error = put(&drive, AT, &sample(CHUNK + 5)).await.unwrap_err();
    assert!(
        matches!(error, Error::Corrupted { .. }) && error.is_retryable(),
        "{error:?}"
    );
    nothing_is_left(&emulator).await;
    assert_eq!(emulator.count(On::Delete), 1);
}

#[rstest]
#[case(On::Open, 0)]
#[case(On::Chunk, 0)]
#[case(On::Chunk, 1)]
#[case(On::LastChunk, 0)]
#[tokio::test]
async fn a_refusal_in_mid_upload_is_told_and_leaves_nothing(#[case] on: On, #[case] skip: u32) {
    let (emulator, drive) = prepared().await;
    emulator.fail_times(on, skip, 1, refusal(403, "insufficientFilePermissions"));
    let error = put(&drive, AT, &sample(2 * CHUNK + 5)).await.unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
    assert_eq!(error.to_failure().code, FailureCode::DestinationReadOnly);
    nothing_is_left(&emulator).await;
}

#[tokio::test]
async fn a_quota_that_is_reached_says_how_much_fitted() {
    let (emulator, drive) = prepared().await;
    put(&drive, "shop/small", &sample(1000)).await.unwrap();
    emulator.quota(Some(CHUNK as u64 + 500_000));
    let error = put(&drive, AT, &sample(2 * CHUNK + 5)).await.unwrap_err();
    match &error {
        Error::Full {
            written,
            free,
            object,
            ..
        } => {
            assert_eq!(*written, CHUNK as u64);
            assert_eq!(*free, Some(CHUNK as u64 + 499_000));
            assert_eq!(object, AT);
        }
        other => panic!("{other:?}"),
    }
    assert!(!error.is_retryable());
    assert_eq!(error.to_failure().code, FailureCode::DiskFull);
    no_sessions(&emulator).await;
    assert_eq!(names(&drive).await, ["shop/small"]);
}

#[tokio::test]
async fn a_grant_that_is_withdrawn_in_mid_upload_asks_for_a_sign_in() {
    let (emulator, drive) = prepared().await;
    let mut writer = begin(&drive, AT).await.unwrap();
    writer.write(Bytes::from(sample(CHUNK + 1))).await.unwrap();
    emulator.revoke_grants();
    let error = writer.write(Bytes::from(sample(CHUNK))).await.unwrap_err();
    assert!(matches!(error, Error::SignInNeeded { .. }), "{error:?}");
    assert_eq!(error.to_failure().code, FailureCode::SignInNeeded);
    assert!(emulator.files().is_empty());
}

#[tokio::test]
async fn tokens_that_live_for_a_second_are_enough_for_any_upload() {
    let (emulator, drive) = prepared().await;
    emulator.expire_tokens();
    emulator.token_lifetime(1);
    let mut writer = begin(&drive, AT).await.unwrap();
    let bytes = sample(CHUNK + 7);
    let mut sent = 0;
    for piece in bytes.chunks(CHUNK / 4 + 1) {
        writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
        sent += piece.len();
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    }
    writer.finish(sent as u64).await.unwrap();
    assert!(emulator.content(IN_DRIVE).unwrap() == bytes);
    assert!(emulator.count(On::Token) >= 3, "{}", emulator.count(On::Token));
}

#[tokio::test]
async fn a_server_that_never_takes_a_byte_is_given_up() {
    let (emulator, drive) = prepared().await;
    emulator.fail_times(On::Chunk, 0, 100, Fault::StopReading);
    emulator.fail_times(On::Progress, 0, 100, refusal(503, "backendError"));
    let started = std::time::Instant::now();
    let error = put(&drive, AT, &sample(3 * CHUNK)).await.unwrap_err();
    assert!(
        matches!(error, Error::Busy { .. } | Error::Unreachable { .. }),
        "{error:?}"
    );
    assert!(error.is_retryable());
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
    nothing_is_left(&emulator).await;
}

#[tokio::test]
async fn another_machine_s_object_of_the_same_name_is_not_replaced() {
    let (emulator, drive) = prepared().await;
    let mut ours = begin(&drive, AT).await.unwrap();
    ours.write(Bytes::from_static(b"ours")).await.unwrap();
    put(&another(&emulator), AT, b"theirs").await.unwrap();
    let error = ours.finish(4).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
    assert_eq!(emulator.files(), [IN_DRIVE]);
    assert_eq!(get(&drive, AT, None).await, b"theirs");
    let error = begin(&drive, AT).await.err();
    assert!(matches!(error, Some(Error::AlreadyExists { .. })), "{error:?}");
}

#[tokio::test]
async fn a_folder_that_goes_into_the_bin_in_mid_upload_does_not_take_the_object_along() {
    let (emulator, drive) = prepared().await;
    let mut writer = begin(&drive, AT).await.unwrap();
    writer.write(Bytes::from_static(b"bytes")).await.unwrap();
    emulator.put_into_bin("Howdah/laptop/shop").unwrap();
    let error = writer.finish(5).await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    assert!(emulator.files().is_empty() && emulator.binned().is_empty());
    put(&drive, AT, b"bytes").await.unwrap();
    assert_eq!(emulator.files(), [IN_DRIVE]);
}

#[tokio::test]
async fn a_server_that_is_started_again_gets_the_rest() {
    let (mut emulator, drive) = prepared().await;
    let bytes = sample(2 * CHUNK + 5);
    let mut writer = begin(&drive, AT).await.unwrap();
    writer
        .write(Bytes::copy_from_slice(&bytes[..CHUNK + 1]))
        .await
        .unwrap();
    emulator.pause().await;
    let rest = Bytes::copy_from_slice(&bytes[CHUNK + 1..]);
    let len = bytes.len() as u64;
    let writing = tokio::spawn(async move {
        writer.write(rest).await?;
        writer.finish(len).await
    });
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    emulator.resume().await.unwrap();
    writing.await.unwrap().unwrap();
    assert!(emulator.content(IN_DRIVE).unwrap() == bytes);
}

/// Some hundred megabytes pass through one chunk's worth of memory.
#[tokio::test]
async fn a_large_object_of_unknown_length_takes_no_more_memory_than_a_small_one() {
    const MEGABYTE: usize = 1 << 20;
    const LEN: usize = 300 * MEGABYTE;
    let (emulator, drive) = prepared().await;
    let piece = sample(MEGABYTE);
    put(&drive, "shop/small", &sample(2 * CHUNK)).await.unwrap();
    let before = peak_memory();
    let mut writer = begin(&drive, AT).await.unwrap();
    for number in 0..LEN / MEGABYTE {
        let mut piece = piece.clone();
        piece[..8].copy_from_slice(&(number as u64).to_le_bytes());
        writer.write(Bytes::from(piece)).await.unwrap();
    }
    let stored = writer.finish(LEN as u64).await.unwrap();
    assert_eq!(stored.len, LEN as u64);
    let grown = peak_memory().saturating_sub(before);
    assert!(grown < 3 * CHUNK as u64, "{grown} bytes more");
    let middle = get(&drive, AT, Some(200 * MEGABYTE as u64..200 * MEGABYTE as u64 + 8)).await;
    assert_eq!(middle, 200_u64.to_le_bytes());
    drive.delete(&path(AT), &token()).await.unwrap();
    assert_eq!(emulator.files(), ["Howdah/laptop/shop/small"]);
}

/// The most memory that this process has had, in bytes (proc(5), `VmHWM`).
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 1024
}
