//! Google Drive, from the sign-in to the grant that has gone and back. The emulator stands in Google's place.

use howdah_domain::destination::DrivePlace;
use howdah_domain::{FailureCode, Place, Secret};
use howdah_engine::api::{DestinationInput, DriveSignInRequest, DriveSignedIn, NeedKind};
use howdah_storage::drive::emulate_google;
use howdah_testkit::Cluster;
use howdah_testkit::drive::{ACCOUNT, CLIENT_ID, CLIENT_SECRET, Consent, DriveEmulator};
use jiff::SignedDuration;

use crate::support::TestEngine;
use crate::{ROWS, by_hand, server, until};

/// Plays the person in the browser: opens the page, and follows it back.
async fn sign_in(
    test: &TestEngine,
    request: DriveSignInRequest,
) -> Result<DriveSignedIn, howdah_domain::Failure> {
    let page = test.engine.begin_drive_sign_in(request).await.unwrap();
    let (id, engine) = (page.id.clone(), test.engine.clone());
    let finishing = tokio::spawn(async move { engine.finish_drive_sign_in(&id).await });
    drop(reqwest::get(&page.url).await.unwrap().text().await.unwrap());
    finishing.await.unwrap()
}

fn own_client() -> DriveSignInRequest {
    DriveSignInRequest {
        destination: None,
        client_id: Some(CLIENT_ID.to_owned()),
        client_secret: Some(Secret::new(CLIENT_SECRET)),
    }
}

fn input(signed_in: &DriveSignedIn) -> DestinationInput {
    DestinationInput {
        id: None,
        name: Some("my drive".to_owned()),
        place: Place::Drive(DrivePlace {
            folder: "Howdah/laptop".to_owned(),
            client_id: Some(CLIENT_ID.to_owned()),
            account: signed_in.account.clone(),
        }),
        secret: None,
        sign_in: Some(signed_in.id.clone()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_makes_a_destination_and_one_that_has_gone_is_told_before_the_next_backup() {
    let emulator = DriveEmulator::start().await.unwrap();
    emulate_google(&emulator.url());
    let cluster = Cluster::start(18).await.unwrap();
    cluster.sql("postgres", ROWS).await.unwrap();
    let test = TestEngine::start().await;

    let signed_in = sign_in(&test, own_client()).await.unwrap();
    assert_eq!(signed_in.account.as_deref(), Some(ACCOUNT));
    let tried = test.engine.test_destination(input(&signed_in)).await.unwrap();
    assert!(tried.failure().is_none(), "{tried:?}");
    let drive = test.engine.add_destination(input(&signed_in)).await.unwrap();
    assert!(drive.has_secret);
    let shop = server(&test, &cluster, "shop").await;
    test.engine
        .save_plan(by_hand(shop, vec![drive.id.clone()]))
        .await
        .unwrap();
    let backup = test.backed_up().await;
    assert_eq!(backup.rows, 20_000);
    assert!(
        emulator
            .files()
            .iter()
            .any(|file| file.ends_with("manifest.json")),
        "{:?}",
        emulator.files()
    );
    let token = emulator.refresh_token();
    for file in ["howdah.db", "howdah.db-wal"] {
        let bytes = std::fs::read(test.dir.path().join("data").join(file)).unwrap_or_default();
        for secret in [CLIENT_SECRET, token.as_str()] {
            assert!(
                !bytes
                    .windows(secret.len())
                    .any(|window| window == secret.as_bytes())
            );
        }
    }

    // The person withdraws the grant in the account's settings. No backup is due, and it is told all the same.
    emulator.revoke_grants();
    test.clock.turn(SignedDuration::from_hours(2));
    test.engine.look_after_things();
    let need = until("the grant is missed", async || {
        let needs = test.engine.overview().await.unwrap().needs;
        needs.into_iter().find(|need| need.kind == NeedKind::Destination)
    })
    .await;
    assert_eq!(need.destination_id.as_ref(), Some(&drive.id));
    assert_eq!(need.failure.unwrap().code, FailureCode::SignInNeeded);
    let told = |titles: Vec<String>| titles.iter().filter(|title| title.contains("sign in")).count();
    until("people are told", async || {
        (told(test.caught.titles()) == 1).then_some(())
    })
    .await;
    // Once, not at every look.
    test.clock.turn(SignedDuration::from_hours(2));
    test.engine.look_after_things();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(told(test.caught.titles()), 1);

    let again = DriveSignInRequest {
        destination: Some(drive.id.clone()),
        ..DriveSignInRequest::default()
    };
    sign_in(&test, again).await.unwrap();
    let needs = test.engine.overview().await.unwrap().needs;
    assert!(
        needs.iter().all(|need| need.kind != NeedKind::Destination),
        "{needs:?}"
    );
    test.backed_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_is_refused_or_given_up_leaves_nothing() {
    let emulator = DriveEmulator::start().await.unwrap();
    emulate_google(&emulator.url());
    let test = TestEngine::start().await;
    emulator.consent(Consent::Refuse);
    let refused = sign_in(&test, own_client()).await.unwrap_err();
    assert_eq!(refused.code, FailureCode::SignInNeeded, "{refused:?}");

    let page = test.engine.begin_drive_sign_in(own_client()).await.unwrap();
    let (id, engine) = (page.id.clone(), test.engine.clone());
    let finishing = tokio::spawn(async move { engine.finish_drive_sign_in(&id).await });
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    test.engine.cancel_drive_sign_in(&page.id);
    assert!(finishing.await.unwrap().unwrap_err().is_cancelled());
    let nothing = DriveSignedIn {
        id: page.id,
        account: None,
    };
    let failure = test.engine.add_destination(input(&nothing)).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::SignInNeeded);
    assert!(test.engine.list_destinations().await.unwrap().is_empty());
}
