//! Azure Blob Storage on bad days: Azurite, behind a gate that misbehaves.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use howdah_storage::cloud::Patience;
use howdah_storage::{Cloud, Destination as _, Error};
use howdah_testkit::azurite::{ACCOUNT, Azurite, KEY, sas};
use howdah_testkit::chance::Chance;
use howdah_testkit::gate::{Gate, Rule, Trick};
use rstest::rstest;

use crate::support::{
    LATER, PATIENCE, SEVERAL_PARTS, get, hides, path, put, round_trip, sample, signature, token, until, write,
};
use crate::{alike, support};

/// Impatient with a server that says nothing.
const HASTY: Patience = Patience {
    silence: Duration::from_secs(2),
    ..PATIENCE
};

/// A server, a gate before it, and the way through the gate.
struct Scene {
    azurite: Azurite,
    gate: Gate,
    cloud: Cloud,
}

async fn scene(secret: &str, patience: Patience) -> Scene {
    let azurite = Azurite::start().unwrap();
    let gate = Gate::before(azurite.port()).await.unwrap();
    let cloud = support::azblob(&format!("{}/{ACCOUNT}", gate.url()), "", secret, patience);
    Scene { azurite, gate, cloud }
}

impl Scene {
    /// Neither an object nor a block of one is there.
    async fn is_empty(&self) {
        until("nothing is left", || self.azurite.blobs(true).unwrap().is_empty()).await;
    }
}

/// How Azure says no.
fn no(status: u16, code: &str) -> Trick {
    Trick::answer(status)
        .with_header("x-ms-error-code", code)
        .with_body(format!(
            "<Error><Code>{code}</Code><Message>On purpose.</Message></Error>"
        ))
}

/// Each kind of request of a round trip.
const LIST: (&str, &str) = ("GET", "comp=list");
const STAT: (&str, &str) = ("HEAD", "/a/dump");
const READ: (&str, &str) = ("GET", "/a/dump");
const BLOCK: (&str, &str) = ("PUT", "blockid=");
const COMMIT: (&str, &str) = ("PUT", "comp=blocklist");
const DELETE: (&str, &str) = ("DELETE", "/a/dump");

#[rstest]
#[tokio::test]
async fn a_server_that_stumbles_is_asked_again(
    #[values(LIST, STAT, READ, BLOCK, COMMIT, DELETE)] (method, part): (&str, &str),
    #[values((500, "InternalError"), (503, "ServerBusy"))] (status, code): (u16, &str),
) {
    let scene = scene(KEY, PATIENCE).await;
    scene
        .gate
        .rule(Rule::on(method, part).times(2).plays(no(status, code)));
    round_trip(&scene.cloud).await;
    assert!(scene.gate.requests(method, part) >= 3);
    scene.is_empty().await;
}

#[rstest]
#[tokio::test]
async fn an_answer_that_is_lost_changes_nothing(
    #[values(LIST, STAT, READ, BLOCK, COMMIT, DELETE)] (method, part): (&str, &str),
) {
    let scene = scene(KEY, PATIENCE).await;
    scene.gate.rule(Rule::on(method, part).plays(Trick::LoseAnswer));
    round_trip(&scene.cloud).await;
    assert!(scene.gate.requests(method, part) >= 2);
    scene.is_empty().await;
}

#[tokio::test]
async fn a_small_object_whose_answer_is_lost_is_known_as_ours() {
    let scene = scene(KEY, PATIENCE).await;
    scene
        .gate
        .rule(Rule::on("PUT", "/a/small").plays(Trick::LoseAnswer));
    put(&scene.cloud, "a/small", &sample(10)).await.unwrap();
    assert_eq!(scene.gate.requests("PUT", "/a/small"), 2);
    assert!(get(&scene.cloud, "a/small").await.unwrap() == sample(10));
}

#[tokio::test]
async fn somebody_elses_object_is_not_taken_for_ours_when_an_answer_is_lost() {
    let scene = scene(KEY, PATIENCE).await;
    let mut writer = scene
        .cloud
        .create(&path("a/small"), None, &token())
        .await
        .unwrap();
    writer.write(sample(10)).await.unwrap();
    // The request does not arrive, and somebody else is faster than the second attempt.
    scene
        .gate
        .rule(Rule::on("PUT", "/a/small").plays(Trick::CutRequest { after: 3 }));
    scene.azurite.put("a/small", b"theirs").unwrap();
    let error = writer.finish(10).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
    assert_eq!(get(&scene.cloud, "a/small").await.unwrap(), b"theirs");
}

#[tokio::test]
async fn a_connection_cut_anywhere_in_a_block_is_made_again() {
    let scene = scene(KEY, PATIENCE).await;
    let mut chance = Chance::for_test("a_connection_cut_anywhere_in_a_block_is_made_again");
    for block in 1..=3 {
        let after = chance.below(8 << 20);
        // The second attempt at the first block is the second request, and so on.
        let (method, part) = BLOCK;
        scene.gate.rule(
            Rule::on(method, part)
                .from(block * 2 - 1)
                .plays(Trick::CutRequest { after }),
        );
    }
    round_trip(&scene.cloud).await;
    assert_eq!(scene.gate.requests("PUT", "blockid="), 7);
}

#[tokio::test]
async fn a_block_that_arrives_altered_is_sent_again() {
    let scene = scene(KEY, PATIENCE).await;
    for at in [0, 1_000_000] {
        scene
            .gate
            .rule(Rule::on("PUT", "blockid=").plays(Trick::FlipRequest { at }));
    }
    round_trip(&scene.cloud).await;
    assert_eq!(scene.gate.requests("PUT", "blockid="), 5);
}

#[rstest]
#[case("a/large", SEVERAL_PARTS)]
#[case("a/small", 100)]
#[tokio::test]
async fn what_always_arrives_altered_is_not_kept(#[case] name: &str, #[case] len: usize) {
    let scene = scene(KEY, PATIENCE).await;
    scene.gate.rule(
        Rule::on("PUT", name)
            .from(1)
            .always()
            .plays(Trick::FlipRequest { at: 50 }),
    );
    let error = put(&scene.cloud, name, &sample(len)).await.unwrap_err();
    assert!(matches!(error, Error::Corrupted { .. }), "{error:?}");
    assert!(error.is_retryable());
    scene.is_empty().await;
}

#[tokio::test]
async fn who_asks_us_to_wait_is_waited_for() {
    let scene = scene(KEY, PATIENCE).await;
    let trick = no(503, "ServerBusy").with_header("Retry-After", "1");
    scene.gate.rule(Rule::on("PUT", "blockid=").from(2).plays(trick));
    let began = Instant::now();
    put(&scene.cloud, "a/dump", &sample(SEVERAL_PARTS)).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn who_asks_us_to_wait_for_an_hour_is_told_to_the_caller() {
    let scene = scene(KEY, PATIENCE).await;
    let trick = no(503, "ServerBusy").with_header("Retry-After", "3600");
    scene.gate.rule(Rule::on("PUT", "blockid=").always().plays(trick));
    let error = put(&scene.cloud, "a/dump", &sample(SEVERAL_PARTS))
        .await
        .unwrap_err();
    let hour = Some(Duration::from_secs(3600));
    assert!(
        matches!(&error, Error::Busy { retry_after, .. } if *retry_after == hour),
        "{error:?}"
    );
    scene.is_empty().await;
}

#[tokio::test]
async fn a_right_withdrawn_in_mid_upload_leaves_nothing() {
    let scene = scene(KEY, PATIENCE).await;
    let trick = no(403, "AuthorizationPermissionMismatch");
    scene
        .gate
        .rule(Rule::on("PUT", "blockid=").from(3).always().plays(trick));
    let error = put(&scene.cloud, "a/dump", &sample(SEVERAL_PARTS))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
    assert!(!error.is_retryable());
    scene.is_empty().await;
}

#[tokio::test]
async fn a_key_changed_in_mid_upload_is_denied_and_leaves_nothing() {
    let scene = scene(KEY, PATIENCE).await;
    let trick = no(403, "AuthenticationFailed");
    scene
        .gate
        .rule(Rule::on("PUT", "comp=blocklist").always().plays(trick));
    let error = put(&scene.cloud, "a/dump", &sample(SEVERAL_PARTS))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Denied {
                what: "account key",
                ..
            }
        ),
        "{error:?}"
    );
    scene.is_empty().await;
}

#[tokio::test]
async fn a_quota_that_is_reached_says_how_much_fitted() {
    let scene = scene(KEY, PATIENCE).await;
    let trick = Trick::answer(507);
    scene
        .gate
        .rule(Rule::on("PUT", "blockid=").from(2).always().plays(trick));
    let error = put(&scene.cloud, "a/dump", &sample(SEVERAL_PARTS))
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Full { written, .. } if written >= 8 << 20),
        "{error:?}"
    );
    scene.is_empty().await;
}

#[rstest]
#[case(Trick::StallRequest { after: 100_000 })]
#[case(Trick::StallAnswer)]
#[tokio::test]
async fn a_server_that_stops_in_mid_upload_is_given_up(#[case] trick: Trick) {
    let scene = scene(KEY, HASTY).await;
    scene
        .gate
        .rule(Rule::on("PUT", "blockid=").from(2).always().plays(trick));
    let began = Instant::now();
    let error = put(&scene.cloud, "a/dump", &sample(SEVERAL_PARTS))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.to_failure().details.unwrap().contains("no byte moved"));
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    scene.is_empty().await;
}

#[tokio::test]
async fn a_slow_server_is_not_given_up_while_bytes_move() {
    let scene = scene(KEY, HASTY).await;
    // The block takes more than the patience, and no pause in it is longer than the patience.
    let trick = Trick::SlowRequest {
        bytes_a_second: 3_500_000,
    };
    scene.gate.rule(Rule::on("PUT", "blockid=").plays(trick));
    put(&scene.cloud, "a/dump", &sample((8 << 20) + 1)).await.unwrap();
}

#[tokio::test]
async fn a_writer_takes_no_more_than_three_parts_ahead_of_the_server() {
    let scene = scene(KEY, PATIENCE).await;
    let trick = Trick::StallRequest { after: 0 };
    scene.gate.rule(Rule::on("PUT", "blockid=").always().plays(trick));
    let (at, len) = (path("a/dump"), Some(100 << 20));
    let writer = scene.cloud.create(&at, len, &token()).await.unwrap();
    alike::takes_no_more_than_three_parts(writer).await;
    scene.is_empty().await;
}

#[tokio::test]
async fn a_body_that_is_cut_goes_on_where_it_was_cut() {
    let scene = scene(KEY, PATIENCE).await;
    let bytes = sample(5_000_000);
    put(&scene.cloud, "a/dump", &bytes).await.unwrap();
    let trick = Trick::CutResponse { after: 1_234_567 };
    scene.gate.rule(Rule::on("GET", "/a/dump").times(3).plays(trick));
    assert!(get(&scene.cloud, "a/dump").await.unwrap() == bytes);
    assert_eq!(scene.gate.requests("GET", "/a/dump"), 4);
}

#[rstest]
#[case(Trick::CutResponse { after: 0 })]
#[case(Trick::StallResponse { after: 0 })]
#[tokio::test]
async fn a_body_that_stays_cut_is_an_error_and_never_short(#[case] trick: Trick) {
    let scene = scene(KEY, HASTY).await;
    put(&scene.cloud, "a/dump", &sample(5_000_000)).await.unwrap();
    scene.gate.rule(Rule::on("GET", "/a/dump").always().plays(trick));
    // The rule that was given last is played.
    let first = Trick::CutResponse { after: 1_000_000 };
    scene.gate.rule(Rule::on("GET", "/a/dump").plays(first));
    alike::reads_a_megabyte_and_then_an_error(&scene.cloud).await;
}

#[tokio::test]
async fn a_server_that_is_away_for_a_moment_is_waited_for() {
    let patience = Patience {
        attempts: 13,
        ..PATIENCE
    };
    let azurite = Azurite::start().unwrap();
    let cloud = support::azblob(&azurite.endpoint(), "", KEY, patience);
    put(&cloud, "a/before", &sample(10)).await.unwrap();
    let port = azurite.stop();
    let away = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(300));
        Azurite::start_on(port).unwrap()
    });
    cloud.prepare(&token()).await.unwrap();
    let azurite = away.await.unwrap();
    put(&cloud, "a/after", &sample(10)).await.unwrap();
    assert_eq!(azurite.blobs(true).unwrap(), ["a/after"]);
}

#[rstest]
#[tokio::test]
async fn whatever_hangs_ends_soon_after_it_is_cancelled(
    #[values(LIST, STAT, READ, BLOCK, COMMIT, DELETE)] (method, part): (&str, &str),
) {
    let scene = scene(KEY, PATIENCE).await;
    let cloud = &scene.cloud;
    scene.gate.rule(Rule::on(method, part).plays(Trick::StallAnswer));
    let cancel = token();
    let dump = path("a/dump");
    let work = async {
        let bytes = sample(SEVERAL_PARTS);
        let mut writer = cloud.create(&dump, Some(bytes.len() as u64), &cancel).await?;
        write(&mut *writer, &bytes).await?;
        writer.finish(bytes.len() as u64).await?;
        cloud.list(None, &cancel).await?;
        cloud.read(&dump, None, &cancel).await?;
        cloud.delete(&dump, &cancel).await
    };
    let (result, took) = tokio::join!(work, async {
        until("the request hangs", || scene.gate.requests(method, part) > 0).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        cancel.cancel();
        Instant::now()
    });
    assert!(result.unwrap_err().is_cancelled());
    assert!(took.elapsed() < Duration::from_secs(10), "{:?}", took.elapsed());
    scene.gate.behave();
    if matches!((method, part), STAT | BLOCK) {
        scene.is_empty().await;
    }
}

#[tokio::test]
async fn no_error_shows_a_sas_tokens_signature() {
    let secret = sas("rwdlac", LATER);
    let hidden = signature(&secret);
    let scene = scene(&secret, HASTY).await;
    for trick in [
        no(400, "InvalidUri"),
        no(403, "AuthenticationFailed"),
        no(403, "AuthorizationFailure"),
        no(404, "ContainerNotFound"),
        no(409, "BlobAlreadyExists"),
        no(503, "ServerBusy"),
        Trick::CutRequest { after: 5 },
        Trick::StallAnswer,
        Trick::answer(302).with_header("Location", "http://127.0.0.1:1/elsewhere"),
        Trick::answer(200).with_body("this makes no sense"),
    ] {
        for (method, part) in [LIST, STAT, BLOCK, COMMIT, DELETE] {
            scene
                .gate
                .rule(Rule::on(method, part).always().plays(trick.clone()));
        }
        let dump = path("a/dump");
        let results = [
            scene.cloud.list(None, &token()).await.map(drop),
            scene.cloud.stat(&dump, &token()).await.map(drop),
            put(&scene.cloud, "a/dump", &sample(100)).await,
            scene.cloud.delete_folder(&path("a"), &token()).await,
        ];
        let errors: Vec<_> = results.into_iter().filter_map(Result::err).collect();
        assert!(!errors.is_empty(), "{trick:?}");
        for error in &errors {
            hides(error, &hidden);
        }
        scene.gate.behave();
    }
}

#[rstest]
#[case("http://nowhere.invalid/account")]
#[case("http://127.0.0.1:1/account")]
#[tokio::test]
async fn a_server_that_is_not_there_cannot_be_reached(#[case] endpoint: &str) {
    let secret = sas("rwdlac", LATER);
    let cloud = support::azblob(endpoint, "", &secret, PATIENCE);
    let error = cloud.prepare(&token()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.is_retryable());
    hides(&error, &signature(&secret));
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/account", listener.local_addr().unwrap());
    let patience = Patience {
        silence: Duration::from_millis(300),
        ..PATIENCE
    };
    let cloud = support::azblob(&endpoint, "", KEY, patience);
    let began = Instant::now();
    let error = cloud.prepare(&token()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.to_failure().details.unwrap().contains("no byte moved"));
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn what_hangs_ends_when_it_is_cancelled() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/account", listener.local_addr().unwrap());
    let cloud = support::azblob(&endpoint, "", KEY, PATIENCE);
    let cancel = token();
    let began = Instant::now();
    let (result, ()) = tokio::join!(cloud.list(None, &cancel), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        cancel.cancel();
    });
    assert!(result.unwrap_err().is_cancelled());
    assert!(began.elapsed() < Duration::from_secs(2));
}
