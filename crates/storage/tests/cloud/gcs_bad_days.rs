//! Google Cloud Storage on bad days, against an emulator that is written from Google's public reference.

use std::time::{Duration, Instant};

use howdah_storage::cloud::Patience;
use howdah_storage::{Destination as _, Error};
use howdah_testkit::gcs::{Fault, Gcs, Step};
use rstest::rstest;

use crate::support::{
    PATIENCE, SEVERAL_PARTS, get, hides, key_lines, path, put, round_trip, sample, token, until, write,
};
use crate::{alike, support};

#[tokio::test]
async fn a_key_that_the_account_does_not_have_is_denied() {
    let gcs = Gcs::start().unwrap();
    let key = gcs.wrong_account_key().unwrap();
    let cloud = support::gcs_at(&gcs.endpoint(), "", &key, PATIENCE);
    let secrets = key_lines(&key);
    let create = cloud.create(&path("a"), None, &token()).await.err().unwrap();
    for error in [
        cloud.prepare(&token()).await.unwrap_err(),
        cloud.list(None, &token()).await.unwrap_err(),
        cloud.stat(&path("a"), &token()).await.unwrap_err(),
        cloud.delete_folder(&path("a"), &token()).await.unwrap_err(),
        create,
    ] {
        assert!(
            matches!(
                &error,
                Error::Denied {
                    what: "service account key",
                    ..
                }
            ),
            "{error:?}"
        );
        assert!(
            error
                .to_failure()
                .details
                .unwrap()
                .contains("Invalid JWT Signature.")
        );
        hides(&error, &secrets);
    }
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_told_by_every_call() {
    let gcs = Gcs::start().unwrap();
    alike::tells_that_the_bucket_has_gone(&support::gcs(&gcs, "", PATIENCE), || gcs.remove_bucket()).await;
}

#[tokio::test]
async fn an_account_that_may_only_read_is_told_when_it_writes() {
    let gcs = Gcs::start().unwrap();
    let cloud = support::gcs(&gcs, "", PATIENCE);
    put(&cloud, "a/b", &sample(10)).await.unwrap();
    gcs.set_read_only(true);
    cloud.prepare(&token()).await.unwrap();
    assert_eq!(get(&cloud, "a/b").await.unwrap().len(), 10);
    let error = put(&cloud, "a/c", &sample(10)).await.unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
    let error = cloud.delete(&path("a/b"), &token()).await.unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn a_right_withdrawn_in_mid_upload_leaves_nothing() {
    let gcs = Gcs::start().unwrap();
    let cloud = support::gcs(&gcs, "", PATIENCE);
    gcs.fail(Fault::refuse(Step::Part, 403, "forbidden").after(1));
    let error = put(&cloud, "a/dump", &sample(SEVERAL_PARTS)).await.unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
    assert!(gcs.heal());
    assert!(gcs.objects().is_empty());
    assert_eq!(gcs.open_uploads(), 0);
}

#[tokio::test]
async fn a_quota_that_is_reached_says_how_much_fitted() {
    let gcs = Gcs::start().unwrap();
    let cloud = support::gcs(&gcs, "", PATIENCE);
    gcs.set_quota(10_000_000);
    let error = put(&cloud, "a/dump", &sample(SEVERAL_PARTS)).await.unwrap_err();
    assert!(
        matches!(error, Error::Full { written, .. } if written > 8 << 20),
        "{error:?}"
    );
    assert_eq!(gcs.open_uploads(), 0);
}

#[rstest]
#[case(Step::Token, 500)]
#[case(Step::Token, 503)]
#[case(Step::List, 500)]
#[case(Step::Stat, 503)]
#[case(Step::Read, 502)]
#[case(Step::Begin, 504)]
#[case(Step::Part, 503)]
#[case(Step::Part, 408)]
#[case(Step::Last, 500)]
#[case(Step::Delete, 429)]
#[tokio::test]
async fn a_server_that_stumbles_is_asked_again(#[case] step: Step, #[case] status: u16) {
    let gcs = Gcs::start().unwrap();
    let cloud = support::gcs(&gcs, "", PATIENCE);
    gcs.fail(Fault::refuse(step, status, "backendError").times(2));
    round_trip(&cloud).await;
    assert!(gcs.heal(), "the fault has struck");
    assert_eq!(gcs.open_uploads(), 0);
}

#[rstest]
#[case(Step::Token)]
#[case(Step::List)]
#[case(Step::Stat)]
#[case(Step::Read)]
#[case(Step::Begin)]
#[case(Step::Part)]
#[case(Step::Last)]
#[case(Step::Delete)]
#[tokio::test]
async fn a_connection_that_is_closed_is_made_again(#[case] step: Step) {
    let gcs = Gcs::start().unwrap();
    let cloud = support::gcs(&gcs, "", PATIENCE);
    gcs.fail(Fault::hang_up(step).times(2));
    round_trip(&cloud).await;
    assert!(gcs.heal(), "the fault has struck");
}

#[rstest]
#[case(Step::Begin)]
#[case(Step::Part)]
#[case(Step::Last)]
#[case(Step::Delete)]
#[tokio::test]
async fn an_answer_that_is_lost_changes_nothing(#[case] step: Step) {
    let gcs = Gcs::start().unwrap();
    let cloud = support::gcs(&gcs, "", PATIENCE);
    gcs.fail(Fault::lose_answer(step).times(1));
    round_trip(&cloud).await;
    assert!(gcs.heal(), "the fault has struck");
}

#[tokio::test]
async fn who_asks_us_to_wait_is_waited_for() {
    let gcs = Gcs::start().unwrap();
    let cloud = support::gcs(&gcs, "", PATIENCE);
    gcs.fail(Fault::refuse_until(Step::List, 429, "rateLimitExceeded", 1).times(1));
    let began = Instant::now();
    cloud.list(None, &token()).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn who_asks_us_to_wait_for_an_hour_is_told_to_the_caller() {
    let gcs = Gcs::start().unwrap();
    let cloud = support::gcs(&gcs, "", PATIENCE);
    gcs.fail(Fault::refuse_until(Step::List, 503, "backendError", 3600));
    let error = cloud.list(None, &token()).await.unwrap_err();
    let hour = Some(Duration::from_secs(3600));
    assert!(
        matches!(&error, Error::Busy { retry_after, .. } if *retry_after == hour),
        "{error:?}"
    );
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_server_that_stays_busy_is_told_as_busy() {
    let gcs = Gcs::start().unwrap();
    let cloud = support::gcs(&gcs, "", PATIENCE);
    gcs.fail(Fault::refuse(Step::Part, 503, "backendError"));
    let error = put(&cloud, "a/dump", &sample(SEVERAL_PARTS)).await.unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error:?}");
    assert!(gcs.objects().is_empty());
    assert_eq!(gcs.open_uploads(), 0);
}

#[rstest]
#[case(Step::Part)]
#[case(Step::Last)]
#[tokio::test]
async fn what_arrives_altered_is_not_kept(#[case] step: Step) {
    let gcs = Gcs::start().unwrap();
    let cloud = support::gcs(&gcs, "", PATIENCE);
    gcs.fail(Fault::alter(step).times(1));
    let error = put(&cloud, "a/dump", &sample(SEVERAL_PARTS)).await.unwrap_err();
    assert!(matches!(error, Error::Corrupted { .. }), "{error:?}");
    assert!(error.is_retryable());
    assert!(gcs.objects().is_empty());
    put(&cloud, "a/dump", &sample(SEVERAL_PARTS)).await.unwrap();
}

#[rstest]
#[case(Step::Token)]
#[case(Step::List)]
#[case(Step::Part)]
#[tokio::test]
async fn a_server_that_says_nothing_is_given_up(#[case] step: Step) {
    let gcs = Gcs::start().unwrap();
    let patience = Patience {
        silence: Duration::from_secs(1),
        ..PATIENCE
    };
    let cloud = support::gcs(&gcs, "", patience);
    gcs.fail(Fault::stall(step));
    let began = Instant::now();
    let error = match step {
        Step::Part => put(&cloud, "a/dump", &sample(SEVERAL_PARTS)).await.unwrap_err(),
        _ => cloud.prepare(&token()).await.unwrap_err(),
    };
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.to_failure().details.unwrap().contains("no byte moved"));
    assert!(began.elapsed() < Duration::from_secs(15));
    gcs.heal();
    assert!(gcs.objects().is_empty());
}

#[tokio::test]
async fn a_body_that_is_cut_goes_on_where_it_was_cut() {
    let gcs = Gcs::start().unwrap();
    let cloud = support::gcs(&gcs, "", PATIENCE);
    let bytes = sample(5_000_000);
    put(&cloud, "a/dump", &bytes).await.unwrap();
    gcs.fail(Fault::cut_answer(Step::Read, 1_234_567).times(3));
    assert!(get(&cloud, "a/dump").await.unwrap() == bytes);
    assert!(gcs.heal());
}

#[tokio::test]
async fn a_body_that_stays_cut_is_an_error_and_never_short() {
    let gcs = Gcs::start().unwrap();
    let cloud = support::gcs(&gcs, "", PATIENCE);
    put(&cloud, "a/dump", &sample(5_000_000)).await.unwrap();
    gcs.fail(Fault::cut_answer(Step::Read, 1_000_000).times(1));
    gcs.fail(Fault::cut_answer(Step::Read, 0));
    alike::reads_a_megabyte_and_then_an_error(&cloud).await;
}

#[tokio::test]
async fn tokens_that_end_in_mid_upload_are_had_anew() {
    let gcs = Gcs::start().unwrap();
    let cloud = support::gcs(&gcs, "", PATIENCE);
    let bytes = sample(SEVERAL_PARTS);
    let mut writer = cloud.create(&path("a/dump"), None, &token()).await.unwrap();
    write(&mut *writer, &bytes).await.unwrap();
    gcs.expire_tokens();
    writer.finish(bytes.len() as u64).await.unwrap();
    assert_eq!(gcs.tokens_granted(), 2);
    assert!(get(&cloud, "a/dump").await.unwrap() == bytes);
}

#[tokio::test]
async fn a_token_is_used_until_it_is_about_to_end_and_not_longer() {
    let gcs = Gcs::start().unwrap();
    let cloud = support::gcs(&gcs, "", PATIENCE);
    gcs.token_life(Duration::from_secs(2));
    for _ in 0..5 {
        cloud.prepare(&token()).await.unwrap();
    }
    assert_eq!(gcs.tokens_granted(), 1);
    tokio::time::sleep(Duration::from_millis(1200)).await;
    cloud.prepare(&token()).await.unwrap();
    assert_eq!(gcs.tokens_granted(), 2);
}

#[rstest]
#[case("http://nowhere.invalid")]
#[case("http://127.0.0.1:1")]
#[tokio::test]
async fn a_server_that_is_not_there_cannot_be_reached(#[case] endpoint: &str) {
    let gcs = Gcs::start().unwrap();
    let cloud = support::gcs_at(endpoint, "", &gcs.account_key(), PATIENCE);
    let error = cloud.prepare(&token()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.is_retryable());
    hides(&error, &["ya29."]);
}

#[tokio::test]
async fn a_server_that_is_away_for_a_moment_is_waited_for() {
    let gcs = Gcs::start().unwrap();
    let patience = Patience {
        pause: Duration::from_millis(300),
        attempts: 6,
        ..PATIENCE
    };
    let cloud = support::gcs(&gcs, "", patience);
    let bytes = sample(SEVERAL_PARTS);
    let mut writer = cloud.create(&path("a/dump"), None, &token()).await.unwrap();
    write(&mut *writer, &bytes).await.unwrap();
    let stopped = gcs.stop();
    let away = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(500));
        stopped.start().unwrap()
    });
    writer.finish(bytes.len() as u64).await.unwrap();
    let gcs = away.await.unwrap();
    assert_eq!(gcs.objects(), ["a/dump"]);
    assert!(get(&cloud, "a/dump").await.unwrap() == bytes);
}

#[rstest]
#[case(Step::Token)]
#[case(Step::List)]
#[case(Step::Stat)]
#[case(Step::Read)]
#[case(Step::Begin)]
#[case(Step::Part)]
#[case(Step::Last)]
#[case(Step::Delete)]
#[tokio::test]
async fn whatever_hangs_ends_soon_after_it_is_cancelled(#[case] step: Step) {
    let gcs = Gcs::start().unwrap();
    let cloud = support::gcs(&gcs, "", PATIENCE);
    if step != Step::Token {
        put(&cloud, "a/there", &sample(10)).await.unwrap();
    }
    gcs.fail(Fault::stall(step));
    let cancel = token();
    let work = async {
        match step {
            Step::Token | Step::List => cloud.list(None, &cancel).await.map(drop),
            Step::Stat => cloud.stat(&path("a/there"), &cancel).await.map(drop),
            Step::Read => cloud.read(&path("a/there"), None, &cancel).await.map(drop),
            Step::Delete => cloud.delete(&path("a/there"), &cancel).await,
            _ => {
                let bytes = sample(SEVERAL_PARTS);
                let mut writer = cloud.create(&path("a/dump"), None, &cancel).await?;
                write(&mut *writer, &bytes).await?;
                writer.finish(bytes.len() as u64).await.map(drop)
            }
        }
    };
    let began = Instant::now();
    let (result, ()) = tokio::join!(work, async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        cancel.cancel();
    });
    assert!(result.unwrap_err().is_cancelled());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(gcs.heal(), "the fault has struck");
    until("the upload is ended", || gcs.open_uploads() == 0).await;
    assert!(!gcs.objects().contains(&"a/dump".to_owned()));
}

#[tokio::test]
async fn no_error_shows_the_key_or_a_token() {
    let gcs = Gcs::start().unwrap();
    let cloud = support::gcs(&gcs, "", PATIENCE);
    let mut secrets = key_lines(&gcs.account_key());
    // The address of a session is as good as a key.
    secrets.push("upload_id".to_owned());
    for step in [Step::Token, Step::Stat, Step::Begin, Step::Part, Step::Last] {
        for fault in [
            Fault::refuse(step, 400, "invalid"),
            Fault::refuse(step, 401, "authError"),
            Fault::refuse(step, 403, "forbidden"),
            Fault::refuse(step, 503, "backendError"),
            Fault::hang_up(step),
        ] {
            gcs.expire_tokens();
            gcs.fail(fault);
            let error = put(&cloud, "a/dump", &sample(SEVERAL_PARTS)).await.unwrap_err();
            hides(&error, &secrets);
            assert!(gcs.heal());
        }
    }
    assert!(gcs.objects().is_empty());
}
