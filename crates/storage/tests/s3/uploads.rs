//! How objects come to be: in parts or at once, by one writer of several, with answers lost and uploads given up.

use howdah_storage::{Destination as _, Error, ObjectPath};
use howdah_testkit::gate::{Rule, Trick};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::support::*;

#[tokio::test]
async fn an_object_below_one_part_goes_by_a_single_request() {
    let rclone = rclone(quick()).await;
    put(&rclone.s3, "empty", &sample(0)).await.unwrap();
    put(&rclone.s3, "one part", &sample(PART)).await.unwrap();
    assert_eq!(rclone.gate.requests("POST", ""), 0);
    assert_eq!(rclone.gate.requests("PUT", ""), 2);
    assert_eq!(get(&rclone.s3, "empty").await.unwrap(), sample(0));
    assert_eq!(get(&rclone.s3, "one part").await.unwrap(), sample(PART));
}

#[tokio::test]
async fn parts_have_one_size_and_go_up_to_three_at_once() {
    let moto = moto(quick()).await;
    let bytes = sample(5 * PART + 1);
    put(&moto.s3, "large", &bytes).await.unwrap();
    let lengths: Vec<_> = moto
        .gate
        .seen()
        .iter()
        .filter(|seen| seen.target.contains("partNumber="))
        .map(|seen| seen.header("content-length").unwrap().to_owned())
        .collect();
    let mut expected = vec![PART.to_string(); 5];
    expected.push("1".to_owned());
    let mut found = lengths.clone();
    found.sort_by_key(|len| std::cmp::Reverse(len.len()));
    assert_eq!(found, expected);
    assert!(
        (2..=3).contains(&moto.gate.most_at_once()),
        "{}",
        moto.gate.most_at_once()
    );
    assert!(get(&moto.s3, "large").await.unwrap() == bytes);
}

#[tokio::test]
async fn a_size_that_s3_cannot_keep_is_refused_before_anything_is_asked() {
    let rclone = rclone(quick()).await;
    let too_much = 5 * 1024_u64.pow(4) + 1;
    let error = rclone
        .s3
        .create(&path("x"), Some(too_much), &never())
        .await
        .err()
        .unwrap();
    assert!(
        matches!(error, Error::TooLarge { limit, .. } if limit == too_much - 1),
        "{error:?}"
    );
    assert_eq!(rclone.gate.requests("", ""), 0);
}

#[tokio::test]
async fn of_several_writers_at_one_moment_exactly_one_succeeds() {
    let moto = moto(quick()).await;
    moto.s3.prepare(&never()).await.unwrap();
    let len = 100;
    {
        let name = "claim".to_owned();
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0_u8..6 {
            // Each with connections of its own, as on machines of their own; what was learned is learned anew.
            let s3 = open_with(&place(moto.gate.url()), quick());
            let name = name.clone();
            writers.spawn(async move {
                s3.prepare(&never()).await.unwrap();
                let bytes = bytes::Bytes::from(vec![writer; len]);
                (writer, put(&s3, &name, &bytes).await)
            });
        }
        let mut won = Vec::new();
        while let Some(ended) = writers.join_next().await {
            match ended.unwrap() {
                (writer, Ok(_)) => won.push(writer),
                (_, Err(Error::AlreadyExists { .. })) => {}
                (_, Err(other)) => panic!("{other:?}"),
            }
        }
        assert_eq!(won.len(), 1, "{won:?}");
        let kept = get(&moto.s3, &name).await.unwrap();
        assert!(kept == vec![won[0]; len], "what is kept is the winner's");
    }
    moto.s3.delete(&path("claim"), &never()).await.unwrap();
    assert!(moto.is_empty());
}

#[tokio::test]
async fn of_two_large_uploads_at_once_the_second_to_end_finds_the_object_taken() {
    let moto = moto(quick()).await;
    moto.s3.prepare(&never()).await.unwrap();
    let other = open_with(&place(moto.gate.url()), quick());
    other.prepare(&never()).await.unwrap();
    let mut writers = Vec::new();
    for (s3, byte) in [(&moto.s3, 1), (&other, 2)] {
        let mut writer = s3.create(&path("large"), None, &never()).await.unwrap();
        writer
            .write(bytes::Bytes::from(vec![byte; PART + 100]))
            .await
            .unwrap();
        writers.push(writer);
    }
    let second = writers.pop().unwrap();
    second.finish(PART as u64 + 100).await.unwrap();
    let first = writers.pop().unwrap().finish(PART as u64 + 100).await;
    let error = first.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
    assert!(get(&moto.s3, "large").await.unwrap() == vec![2; PART + 100]);
    moto.s3.delete(&path("large"), &never()).await.unwrap();
    assert!(moto.is_empty(), "the loser leaves no upload");
}

#[tokio::test]
async fn a_store_that_refuses_conditions_is_asked_without_them() {
    let rclone = rclone(quick()).await;
    // As some do: a header that they do not know is a function that they do not have.
    rclone.gate.rule(
        Rule::on("PUT", "")
            .times(1)
            .plays(s3_error(501, "NotImplemented")),
    );
    put(&rclone.s3, "a", &sample(10)).await.unwrap();
    put(&rclone.s3, "b", &sample(10)).await.unwrap();
    let conditions: Vec<_> = rclone
        .gate
        .seen()
        .iter()
        .filter(|seen| seen.method == "PUT")
        .map(|seen| seen.header("if-none-match").is_some())
        .collect();
    assert_eq!(conditions, [true, false, false]);
    let error = put(&rclone.s3, "a", &sample(10)).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
    assert!(!rclone.s3.excludes_others());
}

#[tokio::test]
async fn an_answer_that_is_lost_does_not_make_our_own_object_anothers() {
    let moto = moto(quick()).await;
    moto.s3.prepare(&never()).await.unwrap();
    moto.gate.rule(Rule::on("PUT", "/small").plays(Trick::LoseAnswer));
    put(&moto.s3, "small", &sample(10)).await.unwrap();
    assert_eq!(moto.gate.requests("PUT", "/small"), 2);
    // Begun twice, one of them unknown; and joined, without our hearing of it.
    moto.gate
        .rule(Rule::on("POST", "large?uploads").plays(Trick::LoseAnswer));
    moto.gate
        .rule(Rule::on("POST", "large?uploadId").plays(Trick::LoseAnswer));
    put(&moto.s3, "large", &sample(PART + 1)).await.unwrap();
    assert_eq!(moto.gate.requests("POST", "large?uploadId"), 2);
    assert!(get(&moto.s3, "large").await.unwrap() == sample(PART + 1));
    for name in ["small", "large"] {
        moto.s3.delete(&path(name), &never()).await.unwrap();
    }
    assert!(moto.is_empty(), "the upload that nobody knew is gone");
}

#[tokio::test]
async fn an_object_that_anothers_lost_answer_made_is_not_ours() {
    let moto = moto(quick()).await;
    moto.s3.prepare(&never()).await.unwrap();
    let other = open_with(&place(url(moto.server.port())), quick());
    put(&other, "claim", &sample(10)).await.unwrap();
    // Our first attempt is cut before the store gets it, so we do not know; the second finds the other's object.
    moto.gate
        .rule(Rule::on("PUT", "/claim").plays(Trick::CutRequest { after: 5 }));
    let error = put(&moto.s3, "claim", &sample(10)).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
    assert_eq!(get(&moto.s3, "claim").await.unwrap(), sample(10), "and it stays");
}

#[tokio::test]
async fn a_removed_folder_loses_its_manifest_first_and_its_unfinished_uploads_too() {
    let moto = moto(quick()).await;
    for name in ["dump", "manifest.json", "a"] {
        put(&moto.s3, &format!("shop/one/{name}"), &sample(10))
            .await
            .unwrap();
    }
    put(&moto.s3, "shop/one-and-a-half/dump", &sample(10))
        .await
        .unwrap();
    // What a machine left that is no more, here and beside.
    for key in ["shop/one/dump", "shop/one-and-a-half/dump"] {
        let begun = moto
            .server
            .ask("POST", &format!("/backups/howdah/laptop/{key}?uploads"))
            .unwrap();
        assert!(begun.contains("<UploadId>"), "{begun}");
    }
    moto.s3.delete_folder(&path("shop/one"), &never()).await.unwrap();
    let seen = moto.gate.seen();
    let first = seen.iter().find(|seen| seen.method == "DELETE").unwrap();
    assert!(first.target.contains("shop/one/manifest.json"), "{first:?}");
    assert_eq!(names(&moto.s3).await, ["shop/one-and-a-half/dump"]);
    let uploads = moto.server.ask("GET", "/backups?uploads").unwrap();
    assert_eq!(uploads.matches("<UploadId>").count(), 1, "{uploads}");
}

#[tokio::test]
async fn old_unfinished_uploads_below_the_prefix_are_aborted_and_no_others() {
    let moto = moto(quick()).await;
    for key in [
        "howdah/laptop/shop/shop/20261122T040000Z-aaaaaa/dump",
        "howdah/laptop/shop/shop/20261122T040000Z-bbbbbb/index",
        "howdah/laptop/somebody/elses",
        "howdah/laptop2/shop/shop/20261122T040000Z-aaaaaa/dump",
        "elsewhere/d",
    ] {
        moto.server
            .ask("POST", &format!("/backups/{key}?uploads"))
            .unwrap();
    }
    let second = jiff::SignedDuration::from_secs(1);
    let before_all = Timestamp::UNIX_EPOCH;
    assert_eq!(moto.s3.sweep(before_all, &never()).await.unwrap(), 0);
    let uploads = moto.server.ask("GET", "/backups?uploads").unwrap();
    // moto says one fixed time of every upload, in the past.
    let after_all = Timestamp::now() + 3600 * second;
    let aborted = moto.s3.sweep(after_all, &never()).await.unwrap();
    assert_eq!(aborted, 2, "{uploads}");
    let uploads = moto.server.ask("GET", "/backups?uploads").unwrap();
    assert!(!uploads.contains("howdah/laptop/shop"), "{uploads}");
    for others in [
        "howdah/laptop/somebody/elses",
        "howdah/laptop2/shop",
        "elsewhere/d",
    ] {
        assert!(uploads.contains(others), "{uploads}");
    }
}

#[tokio::test]
async fn cancelled_in_any_phase_nothing_is_left() {
    let moto = moto(quick()).await;
    moto.s3.prepare(&never()).await.unwrap();
    // Each stalls the request that the phase waits for.
    let phases = [
        ("begun", "POST", "?uploads", PART + 1),
        ("a part on its way", "PUT", "partNumber=1", 4 * PART),
        ("the last part on its way", "PUT", "partNumber=2", PART + 1),
        ("joined", "POST", "?uploadId=", PART + 1),
        ("sent at once", "PUT", "/object", 100),
        ("looked at", "HEAD", "/object", 100),
    ];
    for (phase, method, part, len) in phases {
        for trick in [Trick::StallRequest { after: 50 }, Trick::StallAnswer] {
            moto.gate.behave();
            moto.gate.rule(Rule::on(method, part).plays(trick.clone()));
            let cancel = CancellationToken::new();
            let before = moto.gate.requests(method, part);
            let bytes = sample(len);
            let upload = put_until(&moto.s3, "object", &bytes, &cancel);
            let cancelled = async {
                while moto.gate.requests(method, part) == before {
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                }
                // Far enough for the store to do what it was asked, where the answer is what stalls.
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                cancel.cancel();
            };
            let (ended, ()) = tokio::join!(upload, cancelled);
            let error = ended.expect_err(phase);
            assert!(error.is_cancelled(), "{phase}: {error:?}");
            assert!(moto.is_empty(), "{phase}, {trick:?}: something is left");
        }
    }
}

#[tokio::test]
async fn every_question_ends_soon_after_it_is_cancelled() {
    let rclone = rclone(quick()).await;
    rclone
        .gate
        .rule(Rule::on("", "").always().plays(Trick::StallAnswer));
    let cancel = CancellationToken::new();
    let token = cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        token.cancel();
    });
    let s3 = &rclone.s3;
    let x: ObjectPath = path("x");
    let ended = tokio::join!(
        s3.prepare(&cancel),
        async { s3.create(&x, None, &cancel).await.map(drop) },
        async { s3.read(&x, None, &cancel).await.map(drop) },
        async { s3.list(None, &cancel).await.map(drop) },
        async { s3.stat(&x, &cancel).await.map(drop) },
        s3.delete(&x, &cancel),
        s3.delete_folder(&x, &cancel),
        async { s3.sweep(Timestamp::now(), &cancel).await.map(drop) },
    );
    let all = [
        ended.0, ended.1, ended.2, ended.3, ended.4, ended.5, ended.6, ended.7,
    ];
    for (number, ended) in all.into_iter().enumerate() {
        assert!(
            ended.is_err_and(|error| error.is_cancelled()),
            "question {number}"
        );
    }
}
