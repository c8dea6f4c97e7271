//! WebDAV through a gate that misbehaves on purpose.

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use howdah_domain::{FailureCode, Secret};
use howdah_storage::{Destination as _, Error, ObjectPath, Patience, Webdav};
use howdah_testkit::certificates::Certificates;
use howdah_testkit::chance::Chance;
use howdah_testkit::gate::{Gate, Rule, Trick};
use howdah_testkit::rclone::{PASSWORD, Rclone, USER};
use howdah_testkit::tcp_gate::{Mischief, TcpGate, TcpRule, Way};
use rstest::rstest;
use tokio::io::AsyncReadExt as _;

use crate::common::{eventually, get, names, path, put, short, token};
use crate::{at, place, remove_in_the_end, serve};

/// More than is kept back.
const LARGE: usize = 40_000_000;

async fn gated() -> (Rclone, Gate, Webdav) {
    let server = serve(&[]);
    let gate = Gate::before(server.port()).await.unwrap();
    let webdav = at(&gate.url());
    (server, gate, webdav)
}

fn nothing_is_left(server: &Rclone) -> bool {
    std::fs::read_dir(server.root()).unwrap().count() == 0
}

#[rstest]
#[case::finding("PROPFIND")]
#[case::making_a_folder("MKCOL")]
#[case::writing("PUT")]
#[case::moving("MOVE")]
#[tokio::test]
async fn a_server_that_is_busy_is_asked_again_and_not_earlier_than_it_says(#[case] method: &str) {
    let (_server, gate, webdav) = gated().await;
    let busy = Trick::answer(503).with_header("Retry-After", "1");
    gate.rule(Rule::on(method, "").times(2).plays(busy));
    let begin = Instant::now();
    put(&webdav, "a/b", b"precious").await.unwrap();
    assert_eq!(get(&webdav, "a/b").await.unwrap(), b"precious");
    if method != "MOVE" {
        assert!(begin.elapsed() >= Duration::from_secs(2), "{:?}", begin.elapsed());
    }
}

#[tokio::test]
async fn a_server_that_is_busy_for_long_is_told_with_the_time_that_it_says() {
    let (_server, gate, webdav) = gated().await;
    let throttled = Trick::answer(429).with_header("Retry-After", "3600");
    gate.rule(Rule::on("", "").always().plays(throttled));
    let error = webdav.list(None, &token()).await.unwrap_err();
    let Error::Busy { retry_after, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(*retry_after, Some(Duration::from_secs(3600)));
    assert_eq!(gate.requests("", ""), 1);
    assert!(error.is_retryable());
}

#[rstest]
#[case(507, "Full { ", FailureCode::DiskFull)]
#[case(403, "ReadOnly", FailureCode::DestinationReadOnly)]
#[case(401, "Denied", FailureCode::DestinationDenied)]
#[case(500, "Busy", FailureCode::DestinationUnreachable)]
#[case(503, "Busy", FailureCode::DestinationUnreachable)]
#[case(413, "Failed", FailureCode::DestinationFailed)]
#[tokio::test]
async fn a_refusal_in_mid_upload_is_told_and_leaves_nothing(
    #[case] status: u16,
    #[case] expected: &str,
    #[case] code: FailureCode,
) {
    let (server, gate, webdav) = gated().await;
    for len in [1000, LARGE] {
        let middle = len as u64 / 2;
        gate.rule(
            Rule::on("PUT", "/dump")
                .always()
                .plays(Trick::answer(status).in_mid_upload(middle)),
        );
        let error = put(&webdav, "shop/x/dump", &vec![1; len]).await.unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{len}: {error:?}");
        assert_eq!(error.to_failure().code, code);
        assert!(nothing_is_left(&server));
    }
    gate.behave();
    put(&webdav, "shop/x/dump", b"now").await.unwrap();
}

#[rstest]
#[case(411)]
#[case(501)]
#[tokio::test]
async fn a_server_that_wants_the_length_gets_small_objects_and_is_named_for_large_ones(#[case] status: u16) {
    let (server, gate, webdav) = gated().await;
    put(&webdav, "shop/x/small", &[1; 1000]).await.unwrap();
    let told = gate.seen().into_iter().find(|seen| seen.method == "PUT").unwrap();
    assert_eq!(told.header("content-length"), Some("1000"));
    gate.rule(Rule::on("PUT", "/dump").plays(Trick::answer(status)));
    let error = put(&webdav, "shop/x/dump", &vec![1; LARGE]).await.unwrap_err();
    assert!(matches!(error, Error::Misconfigured { .. }), "{error:?}");
    assert!(error.to_string().contains("chunked"), "{error}");
    let streamed = gate
        .seen()
        .into_iter()
        .rfind(|seen| seen.method == "PUT")
        .unwrap();
    assert_eq!(streamed.header("content-length"), None);
    assert_eq!(server.files().unwrap(), ["shop/x/small"]);
}

#[tokio::test]
async fn a_server_that_says_well_and_keeps_nothing_is_noticed() {
    let (server, gate, webdav) = gated().await;
    // What a web server leaves that hands no body of untold length on.
    std::fs::create_dir_all(server.root().join("shop/y")).unwrap();
    std::fs::write(server.root().join("shop/y/dump.unfinished"), b"").unwrap();
    gate.rule(Rule::on("PUT", "").always().plays(Trick::answer(201)));
    let error = put(&webdav, "shop/x/small", b"12345").await.unwrap_err();
    let wrong = matches!(
        error,
        Error::WrongSize {
            expected: 5,
            found: 0,
            ..
        }
    );
    assert!(wrong, "{error:?}");
    let error = put(&webdav, "shop/y/dump", &vec![1; LARGE]).await.unwrap_err();
    assert!(
        error.to_failure().details.unwrap().contains("chunked"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_connection_that_is_cut_at_any_byte_of_an_upload_is_told_and_leaves_nothing() {
    let (server, gate, webdav) = gated().await;
    let mut chance = Chance::for_test("cut uploads");
    for _ in 0..6 {
        let after = chance.below(LARGE as u64);
        gate.rule(Rule::on("PUT", "/dump").plays(Trick::CutRequest { after }));
        let error = put(&webdav, "shop/x/dump", &vec![1; LARGE]).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{after}: {error:?}");
        assert!(error.is_retryable());
        assert!(nothing_is_left(&server), "{after}: {:?}", server.files());
    }
    // A small one is sent again by itself.
    gate.rule(
        Rule::on("PUT", "/index")
            .times(2)
            .plays(Trick::CutRequest { after: 500 }),
    );
    put(&webdav, "shop/x/index", &[1; 1000]).await.unwrap();
}

#[tokio::test]
async fn an_answer_that_is_lost_changes_nothing() {
    let (server, gate, webdav) = gated().await;
    for method in ["PROPFIND", "MKCOL", "PUT", "MOVE"] {
        gate.behave();
        gate.rule(Rule::on(method, "").plays(Trick::LoseAnswer));
        put(&webdav, &format!("shop/x/{method}"), b"precious")
            .await
            .unwrap();
    }
    gate.behave();
    assert_eq!(names(&webdav).await.len(), 4);
    gate.rule(Rule::on("DELETE", "").plays(Trick::LoseAnswer));
    webdav.delete_folder(&path("shop/x"), &token()).await.unwrap();
    assert!(nothing_is_left(&server));
}

#[rstest]
#[case::reading("PUT", Trick::StallRequest { after: 20_000_000 })]
#[case::answering_an_upload("PUT", Trick::StallAnswer)]
#[case::answering("MKCOL", Trick::StallAnswer)]
#[tokio::test]
async fn a_server_that_stops_is_given_up(#[case] method: &str, #[case] trick: Trick) {
    let server = serve(&[]);
    let gate = Gate::before(server.port()).await.unwrap();
    let patience = Patience {
        idle: Duration::from_millis(700),
        settle: Duration::from_millis(900),
        pauses: Vec::new(),
        ..short()
    };
    let webdav = Webdav::with_patience(&place(&gate.url()), Some(&Secret::new(PASSWORD)), patience).unwrap();
    gate.rule(Rule::on(method, "").plays(trick));
    let begin = Instant::now();
    let error = put(&webdav, "shop/x/dump", &vec![1; LARGE]).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    // Most of it passes with cleaning up behind an upload that the server still has open.
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    drop(gate);
    remove_in_the_end(&at(&super::url(server.port())), &path("shop")).await;
    eventually("nothing is left", || nothing_is_left(&server)).await;
}

#[tokio::test]
async fn a_body_that_is_cut_or_stops_is_an_error_and_never_a_short_read() {
    let server = serve(&[]);
    let gate = Gate::before(server.port()).await.unwrap();
    let patience = Patience {
        idle: Duration::from_secs(3),
        ..short()
    };
    let webdav = Webdav::with_patience(&place(&gate.url()), Some(&Secret::new(PASSWORD)), patience).unwrap();
    put(&webdav, "a/b", &[7; 1_000_000]).await.unwrap();
    let mut chance = Chance::for_test("cut downloads");
    let (cut, stall) = (chance.below(1_000_000), chance.below(1_000_000));
    for (trick, kind) in [
        (Trick::CutResponse { after: cut }, None),
        (
            Trick::StallResponse { after: stall },
            Some(io::ErrorKind::TimedOut),
        ),
    ] {
        for range in [None, Some(0..1_000_000)] {
            gate.behave();
            gate.rule(Rule::on("GET", "").plays(trick.clone()));
            let mut object = webdav.read(&path("a/b"), range, &token()).await.unwrap();
            assert_eq!(object.len, 1_000_000);
            let mut bytes = Vec::new();
            let error = object.body.read_to_end(&mut bytes).await.unwrap_err();
            assert!(bytes.len() < 1_000_000, "{trick:?}");
            assert!(
                kind.is_none_or(|kind| kind == error.kind()),
                "{trick:?}: {error:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_server_that_knows_no_ranges_or_sends_another_one() {
    let (_server, gate, webdav) = gated().await;
    put(&webdav, "a/b", b"0123456789").await.unwrap();
    let all = Trick::answer(200).with_body("0123456789");
    gate.rule(Rule::on("GET", "").always().plays(all));
    for (range, expected) in [(3..6, "345"), (8..100, "89"), (10..20, "")] {
        let mut object = webdav.read(&path("a/b"), Some(range), &token()).await.unwrap();
        assert_eq!(object.len, expected.len() as u64);
        let mut text = String::new();
        object.body.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, expected);
    }
    for answer in ["bytes 4-6/10", "bytes 3-4/10", "bytes 3-9/10", "words 3-5/10"] {
        gate.behave();
        let other = Trick::answer(206)
            .with_header("Content-Range", answer)
            .with_body("456");
        gate.rule(Rule::on("GET", "").plays(other));
        let error = webdav.read(&path("a/b"), Some(3..6), &token()).await.unwrap_err();
        assert!(matches!(error, Error::Failed { .. }), "{answer}: {error:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_told_and_the_password_goes_nowhere_else() {
    let (_server, gate, webdav) = gated().await;
    let elsewhere = Gate::before(1).await.unwrap();
    let redirect = Trick::answer(302).with_header("Location", &elsewhere.url());
    gate.rule(Rule::on("", "").always().plays(redirect));
    for error in [
        webdav.prepare(&token()).await.unwrap_err(),
        webdav.list(None, &token()).await.unwrap_err(),
        get(&webdav, "a/b").await.unwrap_err(),
        put(&webdav, "a/b", b"x").await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Misconfigured { .. }), "{error:?}");
        assert!(error.to_string().contains(&elsewhere.url()), "{error}");
    }
    assert_eq!(elsewhere.requests("", ""), 0);
}

#[rstest]
#[case::a_page(Trick::answer(200).with_body("<html>Welcome</html>"))]
#[case::no_webdav(Trick::answer(405))]
#[case::another_login(Trick::answer(401).with_header("WWW-Authenticate", "Digest realm=\"x\", nonce=\"y\""))]
#[tokio::test]
async fn a_server_of_another_kind_is_told_as_such(#[case] trick: Trick) {
    let (_server, gate, webdav) = gated().await;
    gate.rule(Rule::on("", "").always().plays(trick));
    let error = webdav.prepare(&token()).await.unwrap_err();
    assert!(matches!(error, Error::Misconfigured { .. }), "{error:?}");
}

#[tokio::test]
async fn a_list_about_other_paths_or_cut_in_the_middle_is_no_empty_list() {
    let (_server, gate, webdav) = gated().await;
    put(&webdav, "a/b", b"x").await.unwrap();
    let documents = [
        r#"<multistatus xmlns="DAV:"></multistatus>"#,
        r#"<multistatus xmlns="DAV:"><response><href>/x/y</href></response><response><href>/z</href></response></multistatus>"#,
        r#"<multistatus xmlns="DAV:"><response><href>/</href>"#,
        "<html></html>",
    ];
    for document in documents {
        gate.behave();
        gate.rule(Rule::on("PROPFIND", "").plays(Trick::answer(207).with_body(document)));
        let error = webdav.list(None, &token()).await.unwrap_err();
        assert!(matches!(error, Error::Failed { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn the_space_that_is_left_is_told_where_the_server_tells() {
    let (_server, gate, webdav) = gated().await;
    for (text, expected) in [("123456", Some(123_456)), ("-3", None)] {
        let document = format!(
            r#"<d:multistatus xmlns:d="DAV:"><d:response><d:href>/</d:href><d:propstat><d:prop><d:quota-available-bytes>{text}</d:quota-available-bytes></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response></d:multistatus>"#
        );
        gate.rule(Rule::on("PROPFIND", "").plays(Trick::answer(207).with_body(document)));
        assert_eq!(webdav.free_space(&token()).await.unwrap(), expected);
        gate.behave();
    }
}

#[tokio::test]
async fn what_cannot_be_removed_is_told_and_tried_again_later() {
    let (server, gate, webdav) = gated().await;
    put(&webdav, "shop/x/manifest.json", b"{}").await.unwrap();
    put(&webdav, "shop/x/dump", b"x").await.unwrap();
    let locked = r#"<d:multistatus xmlns:d="DAV:"><d:response><d:href>/shop/x/dump</d:href><d:status>HTTP/1.1 423 Locked</d:status></d:response></d:multistatus>"#;
    for trick in [Trick::answer(423), Trick::answer(207).with_body(locked)] {
        gate.rule(Rule::on("DELETE", "/shop/x/").from(2).always().plays(trick));
        let error = webdav.delete_folder(&path("shop/x"), &token()).await.unwrap_err();
        assert!(matches!(error, Error::Busy { .. }), "{error:?}");
        assert_eq!(names(&webdav).await, ["shop/x/dump"], "the manifest goes first");
        gate.behave();
    }
    webdav.delete_folder(&path("shop/x"), &token()).await.unwrap();
    assert!(nothing_is_left(&server));
}

/// The other plan's first backup of that server comes between the look and the removal.
#[tokio::test]
async fn a_folder_that_is_filled_at_the_last_moment_is_not_removed() {
    let (server, gate, webdav) = gated().await;
    put(&webdav, "shop/new/x/dump", b"precious").await.unwrap();
    put(&webdav, "shop/old/x/manifest.json", b"{}").await.unwrap();
    // `/shop/old/`, then the same set aside, then `/shop/`, which was empty a moment ago.
    let empty = r#"<d:multistatus xmlns:d="DAV:"><d:response><d:href>/shop/</d:href><d:propstat><d:prop><d:resourcetype><d:collection/></d:resourcetype></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response></d:multistatus>"#;
    let moment_ago = Trick::answer(207).with_body(empty);
    gate.rule(Rule::on("PROPFIND", "/shop/").from(3).plays(moment_ago));
    webdav.delete_folder(&path("shop/old/x"), &token()).await.unwrap();
    assert_eq!(
        gate.requests("MOVE", "/shop/"),
        4,
        "two objects, `old` aside, `shop` aside"
    );
    assert_eq!(gate.requests("MOVE", "/shop.unfinished/"), 1, "and back");
    assert_eq!(server.files().unwrap(), ["shop/new/x/dump"]);
    assert_eq!(get(&webdav, "shop/new/x/dump").await.unwrap(), b"precious");
}

/// Somebody else's object of that name appears between the look and the move.
#[tokio::test]
async fn an_object_that_appears_meanwhile_is_not_replaced() {
    let (server, gate, webdav) = gated().await;
    let there = path("a/b");
    let mut writer = webdav.create(&there, None, &token()).await.unwrap();
    writer.write(Bytes::from_static(b"mine")).await.unwrap();
    put(&webdav, "a/b", b"theirs").await.unwrap();
    let error = writer.finish(4).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
    // And where the look comes too early, the server refuses to overwrite.
    let mut writer = webdav.create(&path("a/c"), None, &token()).await.unwrap();
    writer.write(Bytes::from_static(b"mine")).await.unwrap();
    put(&webdav, "a/c", b"theirs").await.unwrap();
    gate.rule(Rule::on("PROPFIND", "/a/c").from(2).plays(Trick::answer(404)));
    let error = writer.finish(4).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
    for name in ["a/b", "a/c"] {
        assert_eq!(std::fs::read(server.root().join(name)).unwrap(), b"theirs");
    }
    assert_eq!(server.files().unwrap(), ["a/b", "a/c"]);
}

/// TLS is what protects the bytes on their way: one that is altered ends the connection, and the object is sent again.
#[tokio::test]
async fn a_byte_that_is_altered_on_its_way_never_arrives_through_tls() {
    let directory = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(directory.path(), USER).unwrap();
    let certificate = format!("--cert={}", certificates.server_certificate.display());
    let key = format!("--key={}", certificates.server_key.display());
    let server = serve(&[&certificate, &key]);
    let gate = TcpGate::before(server.port()).await.unwrap();
    let mut place = place(&format!("https://127.0.0.1:{}", gate.port()));
    place.ca_file = Some(certificates.ca);
    let webdav = Webdav::with_patience(&place, Some(&Secret::new(PASSWORD)), short()).unwrap();
    let mut chance = Chance::for_test("altered bytes");
    let bytes: Vec<u8> = (0..3_000_000).map(|_| chance.bits().to_le_bytes()[0]).collect();
    let at = 100_000 + chance.below(2_000_000);
    gate.rule(TcpRule::new(Way::Up, Mischief::Flip { at }));
    put(&webdav, "a/b", &bytes).await.unwrap();
    assert!(gate.connections() >= 2, "the first one broke");
    assert!(std::fs::read(server.root().join(ObjectPath::new("a/b").unwrap().as_str())).unwrap() == bytes);
}
