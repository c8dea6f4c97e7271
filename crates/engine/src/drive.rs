//! Signing in to Google Drive: begun here, finished in the browser, kept in the keyring. And a look from time to time whether Google
//! still honours it, so that a grant that has gone is told before the next backup needs it.
//!
//! What a sign-in gives never leaves the engine: the door gets an id, and hands it back with the destination that it is for.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use howdah_domain::{DestinationId, Failure, FailureCode, Place, Secret};
use howdah_storage::drive::sign_in::{self, PendingSignIn};
use howdah_storage::drive::{Drive, OAuthClient, StoredGrant, built_in_client};
use howdah_store::tables::destinations::{self, Destination};
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use crate::api::{DriveOffer, DriveSignInPage, DriveSignInRequest, DriveSignedIn, Event};
use crate::engine::{Engine, OrFailure, lock};
use crate::random;

/// How long a person may take in the browser.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// How long a sign-in that no destination took is kept.
const KEPT: Duration = Duration::from_secs(60 * 60);

/// How often each grant is tried.
const LOOK: SignedDuration = SignedDuration::from_mins(60);

/// Sign-ins that have begun, by their ids.
pub(crate) type SignIns = HashMap<String, SignIn>;

/// A sign-in that has begun.
pub(crate) struct SignIn {
    begun: Instant,
    cancel: CancellationToken,
    destination: Option<DestinationId>,
    /// The secret of the user's own client, to be kept with the grant.
    client_secret: Option<Secret>,
    pending: Option<PendingSignIn>,
    /// What it gave, once it was finished.
    grant: Option<Secret>,
}

impl Engine {
    /// What this build offers for Google Drive.
    pub fn drive_offer(&self) -> DriveOffer {
        DriveOffer {
            built_in: built_in_client().is_some(),
        }
    }

    /// Begins to sign in: answers the page that is to be opened in the browser. [`Engine::finish_drive_sign_in`] waits for it.
    pub async fn begin_drive_sign_in(&self, request: DriveSignInRequest) -> Result<DriveSignInPage, Failure> {
        let (client, client_secret) = self.oauth_client(&request).await?;
        let pending = sign_in::begin(&client)
            .await
            .map_err(|error| error.to_failure())?;
        let page = DriveSignInPage {
            id: howdah_domain::id::random_suffix(random::bytes(), 16),
            url: pending.url.to_string(),
        };
        let mut sign_ins = lock(&self.0.sign_ins);
        sign_ins.retain(|_, sign_in| sign_in.begun.elapsed() < KEPT);
        sign_ins.insert(
            page.id.clone(),
            SignIn {
                begun: Instant::now(),
                cancel: self.0.ending.child_token(),
                destination: request.destination,
                client_secret,
                pending: Some(pending),
                grant: None,
            },
        );
        Ok(page)
    }

    /// Waits until the person is through with the page in the browser. Where the sign-in was begun for a destination, that has it
    /// from then on.
    pub async fn finish_drive_sign_in(&self, id: &str) -> Result<DriveSignedIn, Failure> {
        let (pending, cancel, destination, client_secret) = {
            let mut sign_ins = lock(&self.0.sign_ins);
            let sign_in = sign_ins.get_mut(id).ok_or_else(over)?;
            let pending = sign_in.pending.take().ok_or_else(over)?;
            (
                pending,
                sign_in.cancel.clone(),
                sign_in.destination.clone(),
                sign_in.client_secret.clone(),
            )
        };
        let grant = pending
            .wait(&cancel, PATIENCE)
            .await
            .map_err(|error| error.to_failure())?;
        let secret = grant.to_stored(client_secret).to_secret();
        if let Some(destination) = destination {
            self.keep_grant(&destination, grant.account.as_deref(), &secret)
                .await?;
        }
        if let Some(sign_in) = lock(&self.0.sign_ins).get_mut(id) {
            sign_in.grant = Some(secret);
        }
        Ok(DriveSignedIn {
            id: id.to_owned(),
            account: grant.account,
        })
    }

    /// Gives a sign-in up.
    pub fn cancel_drive_sign_in(&self, id: &str) {
        if let Some(sign_in) = lock(&self.0.sign_ins).remove(id) {
            sign_in.cancel.cancel();
        }
    }

    /// What a finished sign-in gave.
    pub(crate) fn grant_of(&self, id: &str) -> Result<Secret, Failure> {
        lock(&self.0.sign_ins)
            .get(id)
            .and_then(|sign_in| sign_in.grant.clone())
            .ok_or_else(over)
    }

    /// Tries the grants of the destinations in Google Drive that were not tried for an hour. One that has gone is told to people
    /// once, and stands with its destination until it is signed in again.
    pub(crate) async fn look_at_grants(&self) -> Result<(), Failure> {
        let now = self.0.clock.now();
        let rows = self.0.store.read(destinations::list).await.or_failure()?;
        for row in rows {
            let Place::Drive(place) = &row.place else {
                continue;
            };
            if row.checked_at.is_some_and(|at| now.duration_since(at) < LOOK) {
                continue;
            }
            let found = async {
                let secret = match &row.secret_reference {
                    Some(reference) => self.0.secrets.get(reference).await.or_failure()?,
                    None => None,
                };
                let drive = Drive::new(place, secret.as_ref()).or_failure()?;
                drive.check_grant(&self.0.ending).await.or_failure()
            };
            match found.await {
                Ok(()) => self.keep_look(&row, None).await?,
                Err(failure) if failure.code == FailureCode::SignInNeeded => {
                    self.keep_look(&row, Some(failure)).await?;
                }
                // That the network is away says nothing about the grant.
                Err(failure) => tracing::debug!(%failure, "a grant could not be tried"),
            }
        }
        Ok(())
    }

    /// The client to sign in with, and its secret where it is the user's own.
    async fn oauth_client(
        &self,
        request: &DriveSignInRequest,
    ) -> Result<(OAuthClient, Option<Secret>), Failure> {
        let given = request.client_secret.clone().filter(|secret| !secret.is_empty());
        let (id, secret) = match &request.destination {
            None => (request.client_id.clone(), given),
            Some(destination) => {
                let row = self.destination(destination).await?;
                let Place::Drive(place) = &row.place else {
                    return Err(Failure::new(
                        FailureCode::InvalidInput,
                        format!("{} is not in Google Drive.", row.name),
                    ));
                };
                let kept = match &row.secret_reference {
                    Some(reference) if given.is_none() => {
                        let kept = self.0.secrets.get(reference).await.or_failure()?;
                        kept.and_then(|kept| StoredGrant::from_secret(&kept).ok()?.client_secret)
                    }
                    _ => None,
                };
                (place.client_id.clone(), given.or(kept))
            }
        };
        match id.map(|id| id.trim().to_owned()).filter(|id| !id.is_empty()) {
            Some(id) => {
                let client = OAuthClient {
                    id,
                    secret: secret.clone().unwrap_or_else(|| Secret::new("")),
                };
                Ok((client, secret))
            }
            None => built_in_client().map(|client| (client, None)).ok_or_else(|| {
                Failure::new(
                    FailureCode::InvalidInput,
                    "This build of Howdah has no OAuth client of its own for Google Drive.",
                )
                .hint("Enter the id and the secret of one of yours.")
            }),
        }
    }

    /// Gives a destination its new grant, where it is the right account's.
    async fn keep_grant(
        &self,
        id: &DestinationId,
        account: Option<&str>,
        grant: &Secret,
    ) -> Result<(), Failure> {
        let mut row = self.destination(id).await?;
        if let (Place::Drive(place), Some(signed_in)) = (&row.place, account)
            && let Some(meant) = &place.account
            && !meant.eq_ignore_ascii_case(signed_in)
        {
            return Err(Failure::new(
                FailureCode::SignInNeeded,
                format!(
                    "{} is in the Google Drive of {meant}, and you signed in as {signed_in}.",
                    row.name
                ),
            )
            .hint(format!("Sign in again as {meant}, or add another destination.")));
        }
        row.secret_reference = Some(self.keep_destination_secret(id, &row.name, grant).await?);
        let kept = row.clone();
        self.0
            .store
            .write(move |tx| destinations::update(tx, &kept))
            .await
            .or_failure()?;
        self.keep_look(&row, None).await?;
        self.0.copies_changed.notify_one();
        Ok(())
    }

    async fn keep_look(&self, row: &Destination, failure: Option<Failure>) -> Result<(), Failure> {
        let changed = row.failure != failure;
        let (id, now) = (row.id.clone(), self.0.clock.now());
        self.0
            .store
            .write(move |tx| destinations::set_checked(tx, &id, now, failure.as_ref()))
            .await
            .or_failure()?;
        if changed {
            self.0.events.send(Event::Destinations);
        }
        Ok(())
    }
}

fn over() -> Failure {
    Failure::new(
        FailureCode::SignInNeeded,
        "This sign-in is over: it was finished, given up, or too long ago.",
    )
    .hint("Sign in again.")
}
