//! Destinations: tried out, added, changed, removed. What opens them goes to the keyring and nowhere else.

use howdah_domain::{DestinationId, Failure, FailureCode, Place, Secret};
use howdah_storage::probe::{ProbeStep, STEPS, probe};
use howdah_store::tables::destinations::{self, Destination};

use crate::api::{
    DestinationChange, DestinationInput, DestinationReport, DestinationStep, DestinationView, Event,
};
use crate::engine::{Engine, OrFailure};
use crate::random;
use crate::settings::{absolute, with_tilde};

impl Engine {
    /// Tries a destination out: writes, reads back, lists and deletes a probe object, and says at which step it failed. A folder is
    /// made where it is not there.
    pub async fn test_destination(&self, input: DestinationInput) -> Result<DestinationReport, Failure> {
        let (place, secret) = self.resolve_destination(input).await?;
        let destination = self.open_place(&place, secret.as_ref())?;
        let cancel = self.0.ending.child_token();
        let name = howdah_domain::id::random_suffix(random::bytes(), 10);
        let mut passed = Vec::new();
        let outcome = probe(&*destination, &name, &mut |step| passed.push(step), &cancel).await;
        let failed = outcome.err();
        Ok(DestinationReport {
            steps: STEPS
                .iter()
                .map(|step| DestinationStep {
                    id: (*step).into(),
                    passed: passed.contains(step),
                    failure: failed
                        .as_ref()
                        .filter(|(at, _)| at == step)
                        .map(|(_, error)| error.to_failure()),
                })
                .collect(),
            free_bytes: match failed {
                None => destination.free_space(&cancel).await.ok().flatten(),
                Some(_) => None,
            },
        })
    }

    /// Adds a destination. It is prepared, and what opens it goes to the keyring first: one that could not be kept is not added.
    pub async fn add_destination(&self, input: DestinationInput) -> Result<DestinationView, Failure> {
        let name = input.name.clone();
        let (place, secret) = self.resolve_destination(input).await?;
        self.demand_other_storage(&place, None).await?;
        let destination = self.open_place(&place, secret.as_ref())?;
        destination
            .prepare(&self.0.ending.child_token())
            .await
            .or_failure()?;
        let id = DestinationId::from_random(random::bytes());
        let name = name
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| proposed_name(&place));
        let secret_reference = match &secret {
            Some(secret) => Some(self.keep_destination_secret(&id, &name, secret).await?),
            None => None,
        };
        let now = self.0.clock.now();
        let row = Destination {
            id,
            name,
            place,
            secret_reference: secret_reference.clone(),
            created_at: now,
            prepared_at: Some(now),
            checked_at: Some(now),
            failure: None,
        };
        let inserted = row.clone();
        let added = self
            .0
            .store
            .write(move |tx| destinations::insert(tx, &inserted))
            .await;
        if let (Err(_), Some(reference)) = (&added, &secret_reference)
            && let Err(error) = self.0.secrets.delete(reference).await
        {
            tracing::warn!(%error, "a secret that is not needed could not be removed from the keyring");
        }
        added.or_failure()?;
        self.0.events.send(Event::Destinations);
        self.destination_view(&row.id).await
    }

    /// No other destination may be the same storage: what is removed at one would be gone at the other.
    async fn demand_other_storage(&self, place: &Place, of: Option<&DestinationId>) -> Result<(), Failure> {
        let known = self.0.store.read(destinations::list).await.or_failure()?;
        match known
            .iter()
            .find(|row| Some(&row.id) != of && row.place.same_storage(place))
        {
            None => Ok(()),
            Some(known) => Err(Failure::new(
                FailureCode::InvalidInput,
                format!("This place is a destination already: {}.", known.name),
            )),
        }
    }

    /// The destination at a place: the one that is there, left alone whether it answers or not, else a new one.
    pub async fn destination_at(&self, input: DestinationInput) -> Result<DestinationView, Failure> {
        let place = checked(input.place.clone())?;
        let known = self
            .0
            .store
            .read(move |c| destinations::by_place(c, &place))
            .await
            .or_failure()?;
        match known {
            Some(known) => self.destination_view(&known.id).await,
            None => self.add_destination(input).await,
        }
    }

    /// Changes a destination's name, place or secret. Its copies stay listed and are expected at the new place.
    pub async fn change_destination(
        &self,
        id: &DestinationId,
        change: DestinationChange,
    ) -> Result<DestinationView, Failure> {
        let mut row = self.destination(id).await?;
        let secret = match &change.sign_in {
            Some(sign_in) => Some(self.grant_of(sign_in)?),
            None => change.secret,
        };
        if let Some(name) = change.name.filter(|name| !name.trim().is_empty()) {
            row.name = name.trim().to_owned();
        }
        if let Some(place) = change.place {
            let place = checked(place)?;
            if place != row.place && row.secret_reference.is_some() && secret.is_none() {
                return Err(enter_again(&place));
            }
            self.demand_other_storage(&place, Some(id)).await?;
            row.place = place;
        }
        let mut unneeded = None;
        match secret {
            Some(secret) if secret.is_empty() => unneeded = row.secret_reference.take(),
            Some(secret) => {
                row.secret_reference = Some(self.keep_destination_secret(id, &row.name, &secret).await?);
            }
            None => {}
        }
        self.0
            .store
            .write(move |tx| destinations::update(tx, &row))
            .await
            .or_failure()?;
        if let Some(reference) = unneeded {
            self.0.secrets.delete(&reference).await.or_failure()?;
        }
        self.0.events.send(Event::Destinations);
        self.0.copies_changed.notify_one();
        self.destination_view(id).await
    }

    /// Removes a destination that no plan writes to and that holds no listed copy. What lies there is not touched.
    pub async fn remove_destination(&self, id: &DestinationId) -> Result<(), Failure> {
        let row = self.destination(id).await?;
        let wanted = id.clone();
        self.0
            .store
            .write(move |tx| destinations::remove(tx, &wanted))
            .await
            .or_failure()?;
        self.0.events.send(Event::Destinations);
        if let Some(reference) = row.secret_reference {
            self.0.secrets.delete(&reference).await.or_failure()?;
        }
        Ok(())
    }

    /// The destination of that name or id.
    pub async fn find_destination(&self, name_or_id: &str) -> Result<DestinationView, Failure> {
        let text = name_or_id.to_owned();
        let row = self
            .0
            .store
            .read(move |c| match destinations::by_name(c, &text)? {
                Some(row) => Ok(Some(row)),
                None => destinations::get(c, &DestinationId::from_text(text)),
            })
            .await
            .or_failure()?;
        match row {
            Some(row) => self.destination_view(&row.id).await,
            None => Err(Failure::new(
                FailureCode::NotFound,
                format!("There is no destination called {name_or_id}."),
            )
            .hint("`howdah destination list` shows the destinations.")),
        }
    }

    async fn destination_view(&self, id: &DestinationId) -> Result<DestinationView, Failure> {
        self.list_destinations()
            .await?
            .into_iter()
            .find(|view| view.id == *id)
            .ok_or_else(|| Failure::new(FailureCode::NotFound, "This destination was removed."))
    }

    /// The place that is meant, and what opens it: given now, or kept for the destination that is being changed.
    async fn resolve_destination(&self, input: DestinationInput) -> Result<(Place, Option<Secret>), Failure> {
        let place = checked(input.place)?;
        let given = match &input.sign_in {
            Some(sign_in) => Some(self.grant_of(sign_in)?),
            None => input.secret.filter(|secret| !secret.is_empty()),
        };
        let secret = match (given, input.id) {
            (Some(secret), _) => Some(secret),
            (None, Some(id)) => {
                let row = self.destination(&id).await?;
                match row.secret_reference {
                    Some(_) if row.place != place => return Err(enter_again(&place)),
                    Some(reference) => self.0.secrets.get(&reference).await.or_failure()?,
                    None => None,
                }
            }
            (None, None) => None,
        };
        Ok((place, secret))
    }

    pub(crate) async fn keep_destination_secret(
        &self,
        id: &DestinationId,
        name: &str,
        secret: &Secret,
    ) -> Result<String, Failure> {
        self.keep(format!("destination-{id}"), format!("Howdah: {name}"), secret)
            .await
    }
}

/// A secret that was given for one place is not shown to another.
fn enter_again(place: &Place) -> Failure {
    let what = place.secret_name().unwrap_or("secret");
    Failure::new(
        FailureCode::InvalidInput,
        format!("The place was changed: enter its {what} again."),
    )
    .hint("What is kept in the keyring was given for the place as it was, and might go to another server.")
}

/// A place that could exist, in its uniform form; a folder's `~/` is the home directory.
fn checked(place: Place) -> Result<Place, Failure> {
    let place = match place {
        Place::Folder(folder) => Place::folder(absolute(&folder.path)?),
        other => other.normalized(),
    };
    match place.problem() {
        Some(problem) => Err(Failure::new(FailureCode::InvalidInput, problem)),
        None => Ok(place),
    }
}

/// What a destination is called until somebody says otherwise.
fn proposed_name(place: &Place) -> String {
    match place {
        Place::Folder(folder) => with_tilde(&folder.path).display().to_string(),
        Place::S3(s3) => joined(&s3.bucket, &s3.prefix),
        Place::Drive(drive) => format!("Google Drive: {}", drive.folder),
        Place::Sftp(sftp) => format!("{}:{}", sftp.ssh.host, sftp.path),
        Place::Webdav(webdav) => webdav
            .url
            .split_once("://")
            .map_or_else(|| webdav.url.clone(), |(_, rest)| rest.to_owned()),
        Place::Ftp(ftp) => format!("{}:{}", ftp.host, ftp.path),
        Place::Azblob(azblob) => joined(&azblob.container, &azblob.prefix),
        Place::Gcs(gcs) => joined(&gcs.bucket, &gcs.prefix),
    }
}

fn joined(bucket: &str, prefix: &str) -> String {
    if prefix.is_empty() {
        bucket.to_owned()
    } else {
        format!("{bucket}/{prefix}")
    }
}

impl From<ProbeStep> for crate::api::DestinationStepId {
    fn from(step: ProbeStep) -> Self {
        match step {
            ProbeStep::Reach => Self::Reach,
            ProbeStep::Write => Self::Write,
            ProbeStep::Read => Self::Read,
            ProbeStep::List => Self::List,
            ProbeStep::Delete => Self::Delete,
        }
    }
}
