//! Refusals, overload, a grant that is gone, broken downloads, cancelling in every phase, a process that is killed.

use std::time::{Duration, Instant};

use bytes::Bytes;
use howdah_domain::{FailureCode, Secret};
use howdah_storage::drive::{Drive, Endpoints};
use howdah_storage::{Destination as _, Error};
use howdah_testkit::drive::{DriveEmulator, Fault, On};
use rstest::rstest;
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

use crate::support::{
    CHUNK, another, at, begin, get, names, no_sessions, path, patience, place, prepared, put, sample,
    secret_with, token,
};

fn refusal(status: u16, reason: &'static str) -> Fault {
    Fault::Answer {
        status,
        reason,
        retry_after: None,
    }
}

#[tokio::test]
async fn trouble_that_passes_is_sat_out_in_every_request() {
    let (emulator, drive) = prepared().await;
    let passing = [
        refusal(500, "internalError"),
        refusal(503, "backendError"),
        refusal(403, "rateLimitExceeded"),
        Fault::LoseAnswer,
        Fault::ExpireTokens,
    ];
    let all = [
        On::Token,
        On::List,
        On::Get,
        On::Create,
        On::Update,
        On::Delete,
        On::Ids,
        On::Open,
        On::Download,
    ];
    for on in all {
        for fault in &passing {
            // The token endpoint has no limits of that kind.
            if on == On::Token && [&passing[2], &passing[4]].contains(&fault) {
                continue;
            }
            // A destination of its own, so that ids and tokens are fetched.
            let drive = another(&emulator);
            emulator.fail(on, fault.clone());
            put(&drive, "shop/a", b"abc").await.unwrap();
            assert_eq!(get(&drive, "shop/a", None).await, b"abc");
            drive.delete_folder(&path("shop"), &token()).await.unwrap();
            assert_eq!(emulator.faults_left(), 0, "{on:?} {fault:?} has struck");
            assert_eq!(
                emulator.folders(),
                ["Howdah", "Howdah/laptop"],
                "no folder was made twice after {on:?} {fault:?}"
            );
        }
    }
    emulator.fail(On::About, refusal(503, "backendError"));
    drive.free_space(&token()).await.unwrap();
}

#[tokio::test]
async fn google_is_asked_again_when_it_wants_to_be() {
    let emulator = DriveEmulator::start().await.unwrap();
    let mut patience = patience();
    patience.longest_pause = Duration::from_secs(5);
    let drive = Drive::emulated(
        &place(),
        Some(&secret_with(&emulator.refresh_token())),
        Endpoints::below(&emulator.url()),
        patience,
    )
    .unwrap();
    drive.prepare(&token()).await.unwrap();
    emulator.fail(
        On::List,
        Fault::Answer {
            status: 429,
            reason: "rateLimitExceeded",
            retry_after: Some(1),
        },
    );
    let started = Instant::now();
    assert!(names(&drive).await.is_empty());
    assert!(
        started.elapsed() >= Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );
}

#[rstest]
#[case(refusal(503, "backendError"), "Busy")]
#[case(refusal(403, "userRateLimitExceeded"), "Busy")]
#[case(Fault::LoseAnswer, "Unreachable")]
#[case(Fault::Silence, "Unreachable")]
#[tokio::test]
async fn trouble_that_does_not_pass_is_told_after_a_few_attempts(
    #[case] fault: Fault,
    #[case] expected: &str,
) {
    let (emulator, drive) = prepared().await;
    emulator.fail_times(On::List, 0, 100, fault);
    let before = emulator.count(On::List);
    let error = drive.list(None, &token()).await.unwrap_err();
    assert!(format!("{error:?}").starts_with(expected), "{error:?}");
    assert!(error.is_retryable());
    assert_eq!(error.to_failure().code, FailureCode::DestinationUnreachable);
    let attempts = emulator.count(On::List) - before;
    assert!((3..=10).contains(&attempts), "{attempts} attempts");
}

#[rstest]
#[case(403, "insufficientFilePermissions", FailureCode::DestinationReadOnly)]
#[case(403, "accessNotConfigured", FailureCode::InvalidInput)]
#[case(403, "insufficientPermissions", FailureCode::SignInNeeded)]
#[case(400, "badRequest", FailureCode::DestinationFailed)]
#[tokio::test]
async fn a_refusal_is_told_at_once_and_as_what_it_is(
    #[case] status: u16,
    #[case] reason: &'static str,
    #[case] code: FailureCode,
) {
    let (emulator, drive) = prepared().await;
    emulator.fail(On::List, refusal(status, reason));
    let before = emulator.count(On::List);
    let error = drive.list(None, &token()).await.unwrap_err();
    assert_eq!(error.to_failure().code, code, "{error:?}");
    assert_eq!(emulator.count(On::List) - before, 1);
}

#[tokio::test]
async fn a_token_that_is_refused_for_ever_is_renewed_once() {
    let (emulator, drive) = prepared().await;
    emulator.fail_times(On::List, 0, 100, refusal(401, "authError"));
    let before = emulator.count(On::Token);
    let error = drive.list(None, &token()).await.unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
    assert_eq!(emulator.count(On::Token) - before, 1);
}

#[tokio::test]
async fn many_requests_at_once_fetch_one_token() {
    let (emulator, _) = prepared().await;
    let drive = std::sync::Arc::new(another(&emulator));
    let before = emulator.count(On::Token);
    let lists: Vec<_> = (0..20)
        .map(|_| {
            let drive = std::sync::Arc::clone(&drive);
            tokio::spawn(async move { drive.list(None, &token()).await })
        })
        .collect();
    for list in lists {
        list.await.unwrap().unwrap();
    }
    assert_eq!(emulator.count(On::Token) - before, 1);
}

#[tokio::test]
async fn a_grant_that_has_gone_is_noticed_before_it_is_needed() {
    let (emulator, drive) = prepared().await;
    drive.check_grant(&token()).await.unwrap();
    emulator.revoke_grants();
    let error = drive.check_grant(&token()).await.unwrap_err();
    assert!(matches!(error, Error::SignInNeeded { .. }), "{error:?}");
    assert_eq!(error.to_failure().code, FailureCode::SignInNeeded);
    assert!(!error.is_retryable());
    // Being offline is no such alarm.
    let error = at("http://127.0.0.1:9", "1//x")
        .check_grant(&token())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn wrong_secrets_are_told_apart() {
    let emulator = DriveEmulator::start().await.unwrap();
    let denied = at(&emulator.url(), "1//made-up")
        .list(None, &token())
        .await
        .unwrap_err();
    assert!(matches!(denied, Error::SignInNeeded { .. }), "{denied:?}");
    let secret = howdah_storage::drive::StoredGrant {
        refresh_token: Secret::new(emulator.refresh_token()),
        client_secret: Some(Secret::new("wrong")),
    };
    let drive = Drive::emulated(
        &place(),
        Some(&secret.to_secret()),
        Endpoints::below(&emulator.url()),
        patience(),
    )
    .unwrap();
    let denied = drive.list(None, &token()).await.unwrap_err();
    assert!(
        matches!(
            denied,
            Error::Denied {
                what: "OAuth client",
                ..
            }
        ),
        "{denied:?}"
    );
    let none = howdah_storage::open(&howdah_domain::Place::Drive(place()), None).unwrap_err();
    assert!(matches!(none, Error::SignInNeeded { .. }), "{none:?}");
}

#[rstest]
#[case(Fault::CutAnswer(0))]
#[case(Fault::CutAnswer(1))]
#[case(Fault::CutAnswer(1_999_999))]
#[tokio::test]
async fn a_download_that_ends_early_is_an_error(#[case] fault: Fault) {
    let (emulator, drive) = prepared().await;
    put(&drive, "a", &sample(2_000_000)).await.unwrap();
    emulator.fail(On::Download, fault);
    let mut object = drive.read(&path("a"), None, &token()).await.unwrap();
    let mut bytes = Vec::new();
    let error = object.body.read_to_end(&mut bytes).await.unwrap_err();
    assert!(bytes.len() < 2_000_000, "{error:?}");
    assert!(get(&drive, "a", None).await == sample(2_000_000));
}

#[tokio::test]
async fn a_download_that_falls_silent_ends() {
    let (emulator, drive) = prepared().await;
    put(&drive, "a", b"abc").await.unwrap();
    emulator.fail_times(On::Download, 0, 100, Fault::Silence);
    let error = drive.read(&path("a"), None, &token()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_reader_that_is_cancelled_ends_in_mid_body() {
    let (_emulator, drive) = prepared().await;
    put(&drive, "a", &sample(30_000_000)).await.unwrap();
    let cancel = token();
    let mut object = drive.read(&path("a"), None, &cancel).await.unwrap();
    let mut some = vec![0; 1000];
    object.body.read_exact(&mut some).await.unwrap();
    cancel.cancel();
    let mut rest = Vec::new();
    assert!(object.body.read_to_end(&mut rest).await.is_err());
}

/// Every request can be the one during which the user has had enough.
#[rstest]
#[case(On::Token)]
#[case(On::List)]
#[case(On::Create)]
#[case(On::Ids)]
#[case(On::Open)]
#[case(On::Chunk)]
#[case(On::LastChunk)]
#[tokio::test]
async fn cancelling_in_any_phase_ends_soon_and_leaves_nothing(#[case] on: On) {
    let (emulator, _) = prepared().await;
    let drive = another(&emulator);
    // What was asked is done, and the answer never comes: the last chunk has made the file.
    emulator.fail(on, Fault::Silence);
    let cancel = token();
    let writing = {
        let (drive, cancel) = (drive.clone(), cancel.clone());
        tokio::spawn(async move {
            let mut writer = drive.create(&path("shop/dump"), None, &cancel).await?;
            let bytes = sample(CHUNK + 5);
            writer.write(Bytes::from(bytes)).await?;
            writer.finish(CHUNK as u64 + 5).await
        })
    };
    while emulator.faults_left() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let started = Instant::now();
    cancel.cancel();
    let error = writing.await.unwrap().unwrap_err();
    assert!(error.is_cancelled(), "{error:?}");
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    // A session whose address never came cannot be given up: it is seen by nobody, and Google drops it.
    if on != On::Open {
        no_sessions(&emulator).await;
    }
    assert!(emulator.files().is_empty(), "{:?}", emulator.files());
}

#[tokio::test]
async fn every_call_ends_when_cancelled() {
    let (emulator, drive) = prepared().await;
    put(&drive, "a", b"abc").await.unwrap();
    put(&drive, "b/c", b"abc").await.unwrap();
    emulator.fail_times(On::Get, 0, 100, Fault::Silence);
    emulator.fail_times(On::About, 0, 100, Fault::Silence);
    emulator.fail_times(On::Token, 0, 100, Fault::Silence);
    async fn soon<T: std::fmt::Debug>(
        call: impl Future<Output = Result<T, Error>>,
        cancel: &CancellationToken,
    ) {
        let started = Instant::now();
        let later = async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            cancel.cancel();
        };
        let (result, ()) = tokio::join!(call, later);
        assert!(
            matches!(&result, Err(error) if error.is_cancelled()),
            "{result:?}"
        );
        assert!(started.elapsed() < Duration::from_secs(5));
    }
    let at = path("a");
    let cancel = token();
    soon(drive.prepare(&cancel), &cancel).await;
    let cancel = token();
    soon(drive.list(None, &cancel), &cancel).await;
    let cancel = token();
    soon(drive.stat(&at, &cancel), &cancel).await;
    let cancel = token();
    soon(drive.read(&at, None, &cancel), &cancel).await;
    let cancel = token();
    soon(drive.delete(&at, &cancel), &cancel).await;
    let cancel = token();
    soon(drive.delete_folder(&path("b"), &cancel), &cancel).await;
    let cancel = token();
    soon(drive.free_space(&cancel), &cancel).await;
    let cancel = token();
    soon(drive.check_grant(&cancel), &cancel).await;
}

/// Holds the emulator's address and a refresh token, and makes the test play the process that is killed.
const INNER: &str = "HOWDAH_DRIVE_INNER";

#[tokio::test]
async fn a_process_that_is_killed_in_mid_upload_leaves_nothing_to_be_seen() {
    if let Ok(inner) = std::env::var(INNER) {
        let (url, refresh_token) = inner.split_once(' ').unwrap();
        let drive = at(url, refresh_token);
        put(&drive, "shop/20261122/globals.sql.zst", b"globals")
            .await
            .unwrap();
        let mut writer = begin(&drive, "shop/20261122/dump").await.unwrap();
        loop {
            writer.write(Bytes::from(sample(1_000_000))).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let (emulator, _) = prepared().await;
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "bad_days::a_process_that_is_killed_in_mid_upload_leaves_nothing_to_be_seen",
        ])
        .env(INNER, format!("{} {}", emulator.url(), emulator.refresh_token()))
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let started = Instant::now();
    while emulator.count(On::Chunk) < 2 {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "the child uploads nothing"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    child.kill().await.unwrap();
    assert_eq!(
        emulator.files(),
        ["Howdah/laptop/shop/20261122/globals.sql.zst"],
        "what was finished is there, what was not is not"
    );
    let next = another(&emulator);
    next.delete_folder(&path("shop/20261122"), &token())
        .await
        .unwrap();
    assert!(emulator.files().is_empty());
    assert_eq!(emulator.folders(), ["Howdah", "Howdah/laptop"]);
}

#[tokio::test]
async fn a_manifest_goes_first_and_a_deletion_that_breaks_off_is_taken_up_again() {
    let (emulator, drive) = prepared().await;
    for name in ["dump", "index", "manifest.json"] {
        put(&drive, &format!("shop/20261122/{name}"), b"x").await.unwrap();
    }
    emulator.fail_times(On::Delete, 1, 1, refusal(403, "insufficientFilePermissions"));
    let error = drive
        .delete_folder(&path("shop/20261122"), &token())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
    let left = names(&drive).await;
    assert!(
        !left.is_empty() && !left.iter().any(|name| name.ends_with("manifest.json")),
        "{left:?}"
    );
    drive
        .delete_folder(&path("shop/20261122"), &token())
        .await
        .unwrap();
    assert!(emulator.files().is_empty());
}

#[tokio::test]
async fn no_secret_shows_in_errors_or_in_what_is_printed() {
    let (emulator, drive) = prepared().await;
    let refresh_token = emulator.refresh_token();
    let watched = at(&emulator.url(), &refresh_token);
    let mut said = format!("{drive:?} {watched:?} {}", watched.name());
    let faults = [
        (On::List, refusal(401, "authError")),
        (On::List, refusal(403, "insufficientFilePermissions")),
        (On::List, Fault::LoseAnswer),
        (On::Chunk, Fault::LoseAnswer),
        (On::Chunk, Fault::Silence),
        (On::Chunk, Fault::DropSession),
        (On::LastChunk, refusal(403, "storageQuotaExceeded")),
        (On::Token, refusal(500, "internalError")),
        (On::Token, Fault::CutAnswer(30)),
        (On::Token, Fault::LoseAnswer),
    ];
    for (on, fault) in faults {
        emulator.expire_tokens();
        emulator.fail_times(on, 0, 8, fault);
        emulator.fail_times(On::Progress, 0, 8, Fault::LoseAnswer);
        let watched = at(&emulator.url(), &refresh_token);
        let result = put(&watched, "shop/a", &sample(CHUNK + 5)).await;
        emulator.forgive();
        let error = result.unwrap_err();
        said.push_str(&format!("{error:?} {error} "));
        said.push_str(&serde_json::to_string(&error.to_failure()).unwrap());
    }
    for secret in [
        refresh_token.as_str(),
        howdah_testkit::drive::CLIENT_SECRET,
        "ya29.",
        "AEnB2U",
    ] {
        assert!(!said.contains(secret), "{secret} shows in {said}");
    }
}

#[tokio::test]
async fn a_server_with_a_stranger_s_certificate_is_not_trusted() {
    use howdah_testkit::certificates::Certificates;
    use howdah_testkit::rclone::{Protocol, Rclone};
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(folder.path(), "nobody").unwrap();
    let server = Rclone::start(
        Protocol::Webdav,
        &[
            &format!("--cert={}", certificates.server_certificate.display()),
            &format!("--key={}", certificates.server_key.display()),
        ],
    )
    .unwrap();
    let url = format!("https://localhost:{}", server.port());
    let error = at(&url, "1//x").list(None, &token()).await.unwrap_err();
    assert!(matches!(error, Error::Untrusted { .. }), "{error:?}");
    assert_eq!(error.to_failure().code, FailureCode::TlsUntrusted);
}
