//! Signing in: the browser's part is played by a client for HTTP that follows redirects.

use std::time::Duration;

use howdah_domain::{FailureCode, Secret};
use howdah_storage::Destination as _;
use howdah_storage::drive::sign_in::{self, Grant, PendingSignIn, SCOPE, SignInError};
use howdah_storage::drive::{Drive, Endpoints, OAuthClient};
use howdah_testkit::drive::{ACCOUNT, CLIENT_ID, CLIENT_SECRET, Consent, DriveEmulator, Fault, On};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::support::{patience, place, token};

fn client() -> OAuthClient {
    OAuthClient {
        id: CLIENT_ID.to_owned(),
        secret: Secret::new(CLIENT_SECRET),
    }
}

async fn begun(emulator: &DriveEmulator) -> PendingSignIn {
    sign_in::begin_emulated(&client(), Endpoints::below(&emulator.url()), patience())
        .await
        .unwrap()
}

fn waiting(pending: PendingSignIn, cancel: &CancellationToken) -> JoinHandle<Result<Grant, SignInError>> {
    let cancel = cancel.clone();
    tokio::spawn(async move { pending.wait(&cancel, Duration::from_secs(20)).await })
}

fn parameter(url: &Url, name: &str) -> String {
    let mut pairs = url.query_pairs();
    let found = pairs.find(|(key, _)| key == name);
    found.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// Opens an address as a browser does; status and page.
async fn browse(url: &str) -> (u16, String) {
    let response = reqwest::get(url).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn a_sign_in_in_the_browser_gives_a_grant_that_works() {
    let emulator = DriveEmulator::start().await.unwrap();
    let pending = begun(&emulator).await;
    let url = pending.url.clone();
    assert_eq!(parameter(&url, "scope"), SCOPE);
    assert_eq!(parameter(&url, "code_challenge_method"), "S256");
    assert_eq!(parameter(&url, "access_type"), "offline");
    assert!(!url.as_str().contains(CLIENT_SECRET));
    assert!(parameter(&url, "redirect_uri").starts_with("http://127.0.0.1:"));
    let waiting = waiting(pending, &token());
    let (status, page) = browse(url.as_str()).await;
    assert_eq!(status, 200);
    assert!(page.contains("You can close this tab"), "{page}");
    let grant = waiting.await.unwrap().unwrap();
    assert_eq!(grant.account.as_deref(), Some(ACCOUNT));
    let stored = grant.to_stored(Some(Secret::new(CLIENT_SECRET))).to_secret();
    let drive = Drive::emulated(
        &place(),
        Some(&stored),
        Endpoints::below(&emulator.url()),
        patience(),
    )
    .unwrap();
    drive.prepare(&token()).await.unwrap();
    drive.check_grant(&token()).await.unwrap();
    // The port is closed: the same address is not served twice.
    let again = parameter(&url, "redirect_uri");
    assert!(reqwest::get(&again).await.is_err());
}

#[tokio::test]
async fn two_sign_ins_have_nothing_in_common() {
    let emulator = DriveEmulator::start().await.unwrap();
    let (one, other) = (begun(&emulator).await, begun(&emulator).await);
    for name in ["state", "code_challenge", "redirect_uri"] {
        assert_ne!(parameter(&one.url, name), parameter(&other.url, name), "{name}");
    }
    for secret in [parameter(&one.url, "state"), CLIENT_SECRET.to_owned()] {
        assert!(!format!("{one:?}").contains(&secret));
    }
}

#[tokio::test]
async fn icons_idle_connections_and_wrong_states_do_not_end_the_wait() {
    let emulator = DriveEmulator::start().await.unwrap();
    let pending = begun(&emulator).await;
    let url = pending.url.clone();
    let back = parameter(&url, "redirect_uri");
    let waiting = waiting(pending, &token());
    // A browser's connection in advance, and one that says nothing sensible.
    let address = back.strip_prefix("http://").unwrap().to_owned();
    let _idle = TcpStream::connect(&address).await.unwrap();
    let mut odd = TcpStream::connect(&address).await.unwrap();
    odd.write_all(b"\x16\x03\x01 hello\r\n\r\n").await.unwrap();
    assert_eq!(browse(&format!("{back}/favicon.ico")).await.0, 404);
    for query in [
        "",
        "?code=4/stolen",
        "?code=4/stolen&state=guess",
        "?error=access_denied&state=guess",
        &format!("?state={}", parameter(&url, "state")),
        &format!("?code=4/x&state={0}&state={0}", parameter(&url, "state")),
        &format!("?code=4/x&state={}x", parameter(&url, "state")),
    ] {
        assert_eq!(browse(&format!("{back}/{query}")).await.0, 400, "{query}");
    }
    assert!(!waiting.is_finished());
    assert_eq!(emulator.count(On::Token), 0, "no code was tried");
    assert_eq!(browse(url.as_str()).await.0, 200);
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_refusal_in_the_browser_is_told_as_that() {
    let emulator = DriveEmulator::start().await.unwrap();
    emulator.consent(Consent::Refuse);
    let pending = begun(&emulator).await;
    let url = pending.url.clone();
    let waiting = waiting(pending, &token());
    let (_, page) = browse(url.as_str()).await;
    assert!(page.contains("not signed in"), "{page}");
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, SignInError::Refused), "{error:?}");
    let failure = error.to_failure();
    assert_eq!(failure.code, FailureCode::SignInNeeded);
    assert_eq!(
        failure.message,
        "Access to Google Drive was refused in the browser."
    );
}

#[tokio::test]
async fn a_sign_in_without_the_box_for_drive_is_told_as_that() {
    let emulator = DriveEmulator::start().await.unwrap();
    emulator.consent(Consent::WithoutDrive);
    let pending = begun(&emulator).await;
    let url = pending.url.clone();
    let waiting = waiting(pending, &token());
    browse(url.as_str()).await;
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, SignInError::NotGranted), "{error:?}");
}

#[tokio::test]
async fn what_stands_in_the_address_is_not_believed_and_not_shown_as_html() {
    let emulator = DriveEmulator::start().await.unwrap();
    let pending = begun(&emulator).await;
    let (back, state) = (
        parameter(&pending.url, "redirect_uri"),
        parameter(&pending.url, "state"),
    );
    let waiting = waiting(pending, &token());
    let (_, page) = browse(&format!("{back}/?state={state}&error=<script>alert(1)</script>")).await;
    assert!(!page.contains("<script>"), "{page}");
    let error = waiting.await.unwrap().unwrap_err();
    let failure = serde_json::to_string(&error.to_failure()).unwrap();
    assert!(!failure.contains("script"), "{failure}");
}

#[tokio::test]
async fn a_code_that_google_did_not_give_brings_nothing() {
    let emulator = DriveEmulator::start().await.unwrap();
    let pending = begun(&emulator).await;
    let (back, state) = (
        parameter(&pending.url, "redirect_uri"),
        parameter(&pending.url, "state"),
    );
    let waiting = waiting(pending, &token());
    browse(&format!("{back}/?state={state}&code=4/made-up")).await;
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, SignInError::Google(_)), "{error:?}");
    assert_eq!(error.to_failure().code, FailureCode::SignInNeeded);
}

#[tokio::test]
async fn a_code_stolen_on_its_way_is_worth_nothing_without_the_verifier() {
    let emulator = DriveEmulator::start().await.unwrap();
    let pending = begun(&emulator).await;
    // The thief sees the address that the browser is sent back to, and is faster.
    let browser = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let sent_back = browser.get(pending.url.clone()).send().await.unwrap();
    let sent_back = Url::parse(sent_back.headers()["location"].to_str().unwrap()).unwrap();
    let form = [
        ("grant_type", "authorization_code".to_owned()),
        ("code", parameter(&sent_back, "code")),
        ("code_verifier", "a".repeat(43)),
        ("redirect_uri", parameter(&pending.url, "redirect_uri")),
        ("client_id", CLIENT_ID.to_owned()),
        ("client_secret", CLIENT_SECRET.to_owned()),
    ];
    let stolen = browser
        .post(format!("{}/token", emulator.url()))
        .form(&form)
        .send()
        .await
        .unwrap();
    assert_eq!(stolen.status().as_u16(), 400);
    assert!(stolen.text().await.unwrap().contains("invalid_grant"));
}

#[tokio::test]
async fn trouble_at_the_token_endpoint_is_sat_out() {
    let emulator = DriveEmulator::start().await.unwrap();
    emulator.fail_times(
        On::Token,
        0,
        2,
        Fault::Answer {
            status: 503,
            reason: "backendError",
            retry_after: None,
        },
    );
    let pending = begun(&emulator).await;
    let url = pending.url.clone();
    let waiting = waiting(pending, &token());
    browse(url.as_str()).await;
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_sign_in_that_nobody_finishes_ends_and_so_does_one_that_is_cancelled() {
    let emulator = DriveEmulator::start().await.unwrap();
    let pending = begun(&emulator).await;
    let result = pending.wait(&token(), Duration::from_millis(50)).await;
    assert!(matches!(result, Err(SignInError::TimedOut { .. })), "{result:?}");
    let pending = begun(&emulator).await;
    let back = parameter(&pending.url, "redirect_uri");
    let cancel = token();
    let waiting = waiting(pending, &cancel);
    cancel.cancel();
    let result = waiting.await.unwrap();
    assert!(matches!(result, Err(SignInError::Cancelled)), "{result:?}");
    assert!(reqwest::get(&back).await.is_err(), "the port is closed");
}
