//! What networks and stores do on bad days, and that nothing is left half done.

use std::time::{Duration, Instant};

use howdah_storage::{Destination as _, Error};
use howdah_testkit::chance::Chance;
use howdah_testkit::gate::{Rule, Trick};
use rstest::rstest;
use tokio::io::AsyncReadExt as _;

use crate::support::*;

#[rstest]
#[case(500, "InternalError")]
#[case(503, "SlowDown")]
#[case(429, "TooManyRequests")]
#[case(400, "RequestTimeout")]
#[tokio::test]
async fn a_store_that_stumbles_is_asked_again(#[case] status: u16, #[case] code: &str) {
    let rclone = rclone(quick()).await;
    for (method, part) in [
        ("PUT", "partNumber=1"),
        ("PUT", "/small"),
        ("POST", "?uploads"),
        ("POST", "?uploadId"),
        ("GET", "/small"),
        ("GET", "list-type=2"),
        ("DELETE", "/small"),
    ] {
        rclone
            .gate
            .rule(Rule::on(method, part).times(2).plays(s3_error(status, code)));
    }
    put(&rclone.s3, "small", &sample(10)).await.unwrap();
    put(&rclone.s3, "large", &sample(PART + 1)).await.unwrap();
    assert_eq!(get(&rclone.s3, "small").await.unwrap(), sample(10));
    assert_eq!(names(&rclone.s3).await, ["large", "small"]);
    rclone.s3.delete(&path("small"), &never()).await.unwrap();
    assert_eq!(names(&rclone.s3).await, ["large"]);
}

#[tokio::test]
async fn a_store_that_asks_for_a_pause_gets_it() {
    let rclone = rclone(quick()).await;
    let busy = s3_error(503, "SlowDown").with_header("Retry-After", "1");
    rclone.gate.rule(Rule::on("PUT", "/x").plays(busy.clone()));
    let begun = Instant::now();
    put(&rclone.s3, "x", &sample(10)).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));

    let s3 = open_with(&place(rclone.gate.url()), hasty());
    rclone.gate.rule(Rule::on("PUT", "/y").always().plays(busy));
    let error = put(&s3, "y", &sample(10)).await.unwrap_err();
    assert!(
        matches!(error, Error::Busy { retry_after: Some(pause), .. } if pause == Duration::from_secs(1)),
        "{error:?}"
    );
    assert!(error.is_retryable());
    assert_eq!(rclone.gate.requests("PUT", "/y"), 2);
}

#[rstest]
#[case::may_not(403, "AccessDenied", "ReadOnly")]
#[case::token_gone(400, "ExpiredToken", "Denied")]
#[case::quota(403, "QuotaExceeded", "Full")]
#[case::disk_full(507, "XMinioStorageFull", "Full")]
#[case::too_large(400, "EntityTooLarge", "TooLarge")]
#[case::gone(404, "NoSuchBucket", "Missing")]
#[case::aborted(404, "NoSuchUpload", "Failed")]
#[tokio::test]
async fn a_refusal_in_mid_upload_ends_it_and_leaves_nothing(
    #[case] status: u16,
    #[case] code: &str,
    #[case] expected: &str,
) {
    let moto = moto(quick()).await;
    moto.s3.prepare(&never()).await.unwrap();
    let refusal = s3_error(status, code);
    moto.gate
        .rule(Rule::on("PUT", "partNumber=3").always().plays(refusal.clone()));
    let error = put(&moto.s3, "large", &sample(4 * PART)).await.unwrap_err();
    let name = format!("{error:?}");
    assert!(name.starts_with(expected), "{name}");
    assert!(!error.is_retryable(), "somebody has to do something");
    moto.gate
        .rule(Rule::on("POST", "?uploadId").always().plays(refusal.clone()));
    moto.gate.rule(Rule::on("PUT", "/small").always().plays(refusal));
    for (at, len) in [("large", PART + 1), ("small", 10)] {
        let error = put(&moto.s3, at, &sample(len)).await.unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{error:?}");
    }
    if let Error::Full { written, .. } = put(&moto.s3, "small", &sample(10)).await.unwrap_err() {
        assert_eq!(written, 10);
    }
    assert!(moto.is_empty());
}

#[tokio::test]
async fn a_refusal_before_the_body_was_sent_is_heard() {
    let rclone = rclone(quick()).await;
    let denied = s3_error(403, "AccessDenied").in_mid_upload(1_000_000);
    rclone
        .gate
        .rule(Rule::on("PUT", "partNumber=").always().plays(denied));
    let error = put(&rclone.s3, "large", &sample(2 * PART)).await.unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
}

#[tokio::test]
async fn a_store_that_lets_us_read_only_says_so_when_it_is_chosen() {
    let rclone = rclone(quick()).await;
    rclone
        .gate
        .rule(Rule::on("PUT", "").always().plays(s3_error(403, "AccessDenied")));
    let error = rclone.s3.prepare(&never()).await.unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_is_cut_anywhere_costs_one_more_attempt() {
    let rclone = rclone(quick()).await;
    let mut chance = Chance::for_test("a_connection_that_is_cut_anywhere_costs_one_more_attempt");
    let bytes = sample(2 * PART + 1000);
    for round in 0..4 {
        let after = chance.below(PART as u64);
        rclone.gate.behave();
        // rclone writes a part through as it comes, and gives the upload up when one breaks: so only the single request.
        rclone
            .gate
            .rule(Rule::on("PUT", "/small").plays(Trick::CutRequest { after: after % 900 }));
        put(&rclone.s3, &format!("small{round}"), &sample(1000))
            .await
            .unwrap();
        put(&rclone.s3, &format!("large{round}"), &bytes).await.unwrap();
        let after = chance.below(bytes.len() as u64);
        rclone
            .gate
            .rule(Rule::on("GET", "/large").plays(Trick::CutResponse { after }));
        let read = get(&rclone.s3, &format!("large{round}")).await.unwrap();
        assert!(read == bytes, "cut after {after} bytes, the object is read on");
    }
}

#[tokio::test]
async fn a_part_whose_connection_is_cut_is_sent_again() {
    let moto = moto(quick()).await;
    let mut chance = Chance::for_test("a_part_whose_connection_is_cut_is_sent_again");
    let bytes = sample(2 * PART + 1000);
    for round in 0..3 {
        moto.gate.behave();
        for part in ["partNumber=1&", "partNumber=2&"] {
            let after = chance.below(PART as u64);
            moto.gate
                .rule(Rule::on("PUT", part).plays(Trick::CutRequest { after }));
        }
        put(&moto.s3, &format!("large{round}"), &bytes).await.unwrap();
        let read = get(&moto.s3, &format!("large{round}")).await.unwrap();
        assert!(read == bytes);
    }
}

#[tokio::test]
async fn a_store_whose_answers_break_off_for_good_cannot_be_reached() {
    let rclone = rclone(quick()).await;
    put(&rclone.s3, "x", &sample(100_000)).await.unwrap();
    rclone.gate.rule(
        Rule::on("GET", "/x")
            .times(1)
            .plays(Trick::CutResponse { after: 1000 }),
    );
    rclone.gate.rule(
        Rule::on("GET", "/x")
            .from(2)
            .always()
            .plays(Trick::CutResponse { after: 0 }),
    );
    let mut object = rclone.s3.read(&path("x"), None, &never()).await.unwrap();
    assert_eq!(object.len, 100_000);
    let mut bytes = Vec::new();
    let error = object.body.read_to_end(&mut bytes).await.unwrap_err();
    assert!(bytes.len() < 100_000);
    let error = error.downcast::<Error>().unwrap();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn an_object_that_is_replaced_while_it_is_read_is_not_mixed_up() {
    let rclone = rclone(quick()).await;
    put(&rclone.s3, "x", &sample(1_000_000)).await.unwrap();
    rclone
        .gate
        .rule(Rule::on("GET", "/x").plays(Trick::CutResponse { after: 300_000 }));
    let mut object = rclone.s3.read(&path("x"), None, &never()).await.unwrap();
    std::fs::write(
        rclone.server.root().join("backups/howdah/laptop/x"),
        vec![7; 1_000_000],
    )
    .unwrap();
    let mut bytes = Vec::new();
    let ended = object.body.read_to_end(&mut bytes).await;
    // rclone takes no notice of If-Match; what it says of the object's identity differs all the same.
    let error = ended.unwrap_err().downcast::<Error>().unwrap();
    assert!(matches!(error, Error::Corrupted { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_stops_reading_or_answering_is_left_after_a_while() {
    let rclone = rclone(hasty()).await;
    put(&rclone.s3, "there", &sample(500_000)).await.unwrap();
    rclone.gate.rule(
        Rule::on("PUT", "")
            .always()
            .plays(Trick::StallRequest { after: 3_000_000 }),
    );
    rclone
        .gate
        .rule(Rule::on("GET", "list-type").always().plays(Trick::StallAnswer));
    rclone.gate.rule(
        Rule::on("GET", "/there")
            .always()
            .plays(Trick::StallResponse { after: 1000 }),
    );
    let begun = Instant::now();
    let errors = [
        put(&rclone.s3, "large", &sample(2 * PART)).await.unwrap_err(),
        put(&rclone.s3, "small", &sample(100)).await.unwrap_err(),
        rclone.s3.list(None, &never()).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
        assert!(error.is_retryable());
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    // A body that stalls is asked for anew, from where it stood.
    rclone.gate.behave();
    rclone
        .gate
        .rule(Rule::on("GET", "/there").plays(Trick::StallResponse { after: 1000 }));
    assert!(get(&rclone.s3, "there").await.unwrap() == sample(500_000));
}

#[tokio::test]
async fn a_slow_line_is_not_taken_for_a_dead_one() {
    let rclone = rclone(hasty()).await;
    // Never silent for as long as the patience, but for longer than it in all.
    rclone.gate.rule(Rule::on("PUT", "/x").plays(Trick::SlowRequest {
        bytes_a_second: 5_000_000,
    }));
    let begun = Instant::now();
    put(&rclone.s3, "x", &sample(15_000_000)).await.unwrap();
    assert!(begun.elapsed() > Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(rclone.gate.requests("PUT", "/x"), 1);
}

#[tokio::test]
async fn bytes_that_arrive_altered_are_sent_again_or_told() {
    let rclone = rclone(quick()).await;
    let mut chance = Chance::for_test("bytes_that_arrive_altered_are_sent_again_or_told");
    let at = chance.below(PART as u64);
    rclone
        .gate
        .rule(Rule::on("PUT", "/single").plays(Trick::FlipRequest { at }));
    put(&rclone.s3, "single", &sample(PART)).await.unwrap();
    assert!(get(&rclone.s3, "single").await.unwrap() == sample(PART));
    assert_eq!(rclone.gate.requests("PUT", "/single"), 2);

    // So is a part of a large one.
    rclone
        .gate
        .rule(Rule::on("PUT", "partNumber=2").plays(Trick::FlipRequest { at }));
    put(&rclone.s3, "large", &sample(3 * PART)).await.unwrap();
    assert_eq!(rclone.gate.requests("PUT", "partNumber=2"), 2);
    assert!(get(&rclone.s3, "large").await.unwrap() == sample(3 * PART));
    rclone.s3.delete(&path("large"), &never()).await.unwrap();

    // And where each attempt is altered, nothing is kept.
    rclone.gate.rule(
        Rule::on("PUT", "partNumber=1")
            .always()
            .plays(s3_error(400, "BadDigest")),
    );
    let error = put(&rclone.s3, "large", &sample(3 * PART)).await.unwrap_err();
    assert!(matches!(error, Error::Corrupted { .. }), "{error:?}");
    assert!(error.is_retryable());
    assert_eq!(names(&rclone.s3).await, ["single"]);
    assert_eq!(
        rclone.server.files().unwrap(),
        ["backups/howdah/laptop/single"],
        "nor is anything hidden"
    );
    rclone.gate.rule(
        Rule::on("PUT", "/never")
            .always()
            .plays(Trick::FlipRequest { at: 3 }),
    );
    let error = put(&rclone.s3, "never", &sample(10)).await.unwrap_err();
    assert!(matches!(error, Error::Corrupted { .. }), "{error:?}");
}

#[tokio::test]
async fn bytes_that_come_back_altered_are_told() {
    let moto = moto(quick()).await;
    put(&moto.s3, "x", &sample(100_000)).await.unwrap();
    moto.gate
        .rule(Rule::on("GET", "/x").plays(Trick::FlipResponse { at: 77_777 }));
    let error = get(&moto.s3, "x").await.unwrap_err();
    assert!(matches!(error, Error::Corrupted { .. }), "{error:?}");
    assert!(get(&moto.s3, "x").await.unwrap() == sample(100_000));
}

#[tokio::test]
async fn a_wrong_clock_is_made_up_for() {
    let moto = moto(quick()).await;
    let ahead = "Fri, 01 Jan 2100 00:00:00 GMT";
    let skewed = s3_error(403, "RequestTimeTooSkewed").with_header("Date", ahead);
    moto.gate.rule(Rule::on("PUT", "/x").plays(skewed.clone()));
    put(&moto.s3, "x", &sample(10)).await.unwrap();
    let times: Vec<_> = moto
        .gate
        .seen()
        .iter()
        .filter(|seen| seen.method == "PUT")
        .map(|seen| seen.header("x-amz-date").unwrap().to_owned())
        .collect();
    assert!(!times[0].starts_with("2100"), "{times:?}");
    assert!(times[1].starts_with("21000101T0000"), "{times:?}");

    moto.gate.rule(Rule::on("PUT", "/y").always().plays(skewed));
    let error = put(&moto.s3, "y", &sample(10)).await.unwrap_err();
    assert!(matches!(error, Error::Misconfigured { .. }), "{error:?}");
    assert!(error.to_string().contains("clock"), "{error}");
}

#[tokio::test]
async fn a_name_that_nobody_knows_cannot_be_reached() {
    let s3 = open_with(&place("http://store.invalid"), hasty());
    for error in [
        s3.prepare(&never()).await.unwrap_err(),
        put(&s3, "x", &sample(10)).await.unwrap_err(),
        put(&s3, "x", &sample(2 * PART)).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
        assert!(error.is_retryable());
    }
}

#[tokio::test]
async fn a_server_that_was_away_is_used_again_when_it_is_back() {
    let server = howdah_testkit::rclone::Rclone::start(howdah_testkit::rclone::Protocol::S3, &[]).unwrap();
    let s3 = open_with(&place(url(server.port())), quick());
    put(&s3, "before", &sample(10)).await.unwrap();
    let stopped = server.stop();
    let error = put(&s3, "away", &sample(10)).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    let error = get(&s3, "before").await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    let _server = stopped.start().unwrap();
    put(&s3, "after", &sample(10)).await.unwrap();
    assert_eq!(names(&s3).await, ["after", "before"]);
}

#[tokio::test]
async fn what_is_no_s3_is_no_mystery() {
    let rclone = rclone(quick()).await;
    let page = Trick::answer(200)
        .with_header("Content-Type", "text/html")
        .with_body("<html><body>Please sign in to the hotel's network</body></html>");
    rclone.gate.rule(Rule::on("", "").always().plays(page));
    let error = rclone.s3.list(None, &never()).await;
    assert!(
        matches!(&error, Err(Error::Failed { .. })),
        "a page of somebody's is no empty bucket: {error:?}"
    );
}
