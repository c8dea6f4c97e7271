//! The keys that open encrypted backups: this machine's own, those that a recovery kit brought, the plans' passphrases.
//!
//! Public halves are in the catalogue, secret ones in the keyring. A recovery kit is one text file: a key file that age reads
//! as it is, and beside the key, in comments, where the backups are and how to get at them without Howdah.

use std::fmt::Write as _;

use howdah_archive::encryption::{Identity, Keys, Recipients};
use howdah_domain::{Encryption, Failure, FailureCode, Plan, PlanId, Secret};
use howdah_store::tables::destinations;
use howdah_store::tables::identities::{self, Identity as KnownIdentity};

use crate::api::{Event, KeyView, KitReport, RecoveryKit};
use crate::engine::{Engine, OrFailure};
use crate::kit_page;

/// The line that begins every kit.
const TITLE: &str = "# Howdah recovery kit";

/// How a destination stands in a kit.
const DESTINATION: &str = "# destination: ";

impl Engine {
    /// This machine's own key, to which new plans encrypt. Made at its first use.
    pub async fn own_key(&self) -> Result<KeyView, Failure> {
        let known = self.0.store.read(identities::list).await.or_failure()?;
        if let Some(own) = known.into_iter().find(|identity| identity.own) {
            return Ok(view(own));
        }
        let identity = Identity::generate();
        self.keep_identity(&identity, true).await.map(view)
    }

    /// All keys that this machine can read with.
    pub async fn list_keys(&self) -> Result<Vec<KeyView>, Failure> {
        let known = self.0.store.read(identities::list).await.or_failure()?;
        Ok(known.into_iter().map(view).collect())
    }

    /// Whom a plan encrypts for; none where it does not.
    pub(crate) async fn recipients(&self, plan: &Plan) -> Result<Option<Recipients>, Failure> {
        match &plan.encryption {
            Encryption::None => Ok(None),
            Encryption::Keys { recipients } => Recipients::parse(recipients).map(Some).or_failure(),
            Encryption::Passphrase => {
                let passphrase = self
                    .0
                    .secrets
                    .get(&passphrase_reference(&plan.id))
                    .await
                    .or_failure()?;
                let passphrase = passphrase.ok_or_else(|| {
                    Failure::new(
                        FailureCode::KeyMissing,
                        "The keyring no longer holds this plan's passphrase.",
                    )
                    .hint("Enter it again in the plan.")
                })?;
                Recipients::passphrase(passphrase).map(Some).or_failure()
            }
        }
    }

    /// Sees to it that a plan's backups can be encrypted as it says: the recipients are some, the passphrase is kept.
    pub(crate) async fn check_encryption(
        &self,
        plan: &PlanId,
        encryption: &Encryption,
        passphrase: Option<&Secret>,
    ) -> Result<(), Failure> {
        match encryption {
            Encryption::None => Ok(()),
            Encryption::Keys { recipients } => Recipients::parse(recipients).map(|_| ()).or_failure(),
            Encryption::Passphrase => {
                let reference = passphrase_reference(plan);
                match passphrase.filter(|passphrase| !passphrase.is_empty()) {
                    Some(passphrase) => {
                        let label = "Howdah: passphrase of a plan's backups";
                        self.keep(reference, label.to_owned(), passphrase).await.map(drop)
                    }
                    None if self.0.secrets.get(&reference).await.or_failure()?.is_some() => Ok(()),
                    None => Err(Failure::new(
                        FailureCode::InvalidInput,
                        "The plan encrypts with a passphrase, and none is given.",
                    )),
                }
            }
        }
    }

    /// Everything at hand to read with. A keyring that cannot be read gives no keys, and what is encrypted says so then.
    pub async fn keys(&self) -> Keys {
        let mut keys = Keys::none();
        let (known, plans) = match self
            .0
            .store
            .read(|c| Ok((identities::list(c)?, howdah_store::tables::plans::list(c)?)))
            .await
        {
            Ok(both) => both,
            Err(error) => {
                tracing::warn!(%error, "the keys could not be looked up");
                return keys;
            }
        };
        for identity in known {
            match self.0.secrets.get(&identity.secret_reference).await {
                Ok(Some(secret)) => match Identity::from_secret(&secret) {
                    Ok(identity) => keys = keys.and_identity(identity),
                    Err(error) => tracing::warn!(%error, "a key in the keyring is none"),
                },
                Ok(None) => tracing::warn!(
                    recipient = identity.recipient,
                    "a key is no longer in the keyring"
                ),
                Err(error) => tracing::warn!(%error, "the keyring gives no keys"),
            }
        }
        for plan in plans
            .iter()
            .filter(|plan| plan.encryption == Encryption::Passphrase)
        {
            if let Ok(Some(passphrase)) = self.0.secrets.get(&passphrase_reference(&plan.id)).await {
                keys = keys.and_passphrase(passphrase);
            }
        }
        keys
    }

    /// The recovery kit: what a person needs to get everything back with nothing but this text and a destination. Whoever reads
    /// it can read every backup.
    pub async fn recovery_kit(&self) -> Result<RecoveryKit, Failure> {
        let own = self.own_key().await?;
        let reference = identity_reference(&own.recipient);
        let secret = self
            .0
            .secrets
            .get(&reference)
            .await
            .or_failure()?
            .ok_or_else(|| {
                Failure::new(
                    FailureCode::KeyMissing,
                    "The keyring no longer holds this machine's key.",
                )
            })?;
        let places = self.0.store.read(destinations::list).await.or_failure()?;
        let now = self.0.clock.now();
        let mut text = format!(
            "{TITLE}\n\
             # Made {now} by Howdah {version}.\n\
             # Whoever has this file can read your backups: keep it where the laptop is not, a password manager or a safe.\n\
             #\n\
             # With Howdah: add the destination below on the new machine, and open this file under Settings, Keys.\n\
             # Without Howdah, on any machine with age, zstd and PostgreSQL's programs, in a backup's folder:\n\
             #   age -d -i THIS-FILE globals.sql.zst.age | zstd -dc | psql -d postgres\n\
             #   age -d -i THIS-FILE dump.pgdump.zst.age | zstd -dc | pg_restore -d target\n\
             #\n",
            version = env!("CARGO_PKG_VERSION"),
        );
        for row in &places {
            let _ = writeln!(text, "{DESTINATION}{}", row.place);
        }
        let _ = writeln!(text, "#\n# public key: {}", own.recipient);
        let _ = writeln!(text, "{}", secret.expose());
        let places: Vec<String> = places.iter().map(|row| row.place.to_string()).collect();
        Ok(RecoveryKit {
            page: kit_page::page(&own.recipient, &secret, &places, now),
            recipient: own.recipient,
            file_name: "howdah-recovery-kit.txt".to_owned(),
            text: Secret::new(text),
        })
    }

    /// Takes note that the kit was saved.
    pub async fn kit_saved(&self) -> Result<(), Failure> {
        let own = self.own_key().await?;
        self.change_identity(&own.recipient, |identity, now| identity.kit_saved_at = Some(now))
            .await
    }

    /// Reads a kit back: is it one, and does it hold this machine's own key?
    pub async fn test_kit(&self, text: &Secret) -> Result<KitReport, Failure> {
        let identity = identity_in(text)?;
        let recipient = identity.recipient().to_string();
        let own = self.own_key().await?;
        let right = recipient == own.recipient;
        if right {
            self.change_identity(&recipient, |identity, now| {
                identity.kit_tested_at = Some(now);
                identity.kit_saved_at.get_or_insert(now);
            })
            .await?;
        }
        Ok(KitReport {
            recipient,
            right,
            destinations: destinations_in(text),
        })
    }

    /// Brings in the key of a kit, or of any age key file: what is encrypted to it can be read here from now on. On a machine
    /// that has no key of its own yet it becomes that. Answers where the kit says backups are.
    pub async fn import_kit(&self, text: &Secret) -> Result<KitReport, Failure> {
        let identity = identity_in(text)?;
        let known = self.0.store.read(identities::list).await.or_failure()?;
        let own = known.iter().all(|identity| !identity.own);
        let kept = self.keep_identity(&identity, own).await?;
        Ok(KitReport {
            right: kept.own,
            recipient: kept.recipient,
            destinations: destinations_in(text),
        })
    }

    /// The keyring first, then the catalogue: a key that could not be kept is not known.
    async fn keep_identity(&self, identity: &Identity, own: bool) -> Result<KnownIdentity, Failure> {
        let recipient = identity.recipient().to_string();
        let secret_reference = identity_reference(&recipient);
        let label = "Howdah: key of encrypted backups".to_owned();
        self.keep(secret_reference.clone(), label, &identity.to_secret())
            .await?;
        let now = self.0.clock.now();
        let kept = self
            .0
            .store
            .write(move |tx| {
                let known = identities::get(tx, &recipient)?.unwrap_or(KnownIdentity {
                    recipient,
                    secret_reference,
                    own,
                    created_at: now,
                    kit_saved_at: None,
                    kit_tested_at: None,
                });
                identities::put(tx, &known)?;
                Ok(known)
            })
            .await
            .or_failure()?;
        self.0.events.send(Event::Settings);
        Ok(kept)
    }

    async fn change_identity(
        &self,
        recipient: &str,
        change: impl FnOnce(&mut KnownIdentity, jiff::Timestamp) + Send + 'static,
    ) -> Result<(), Failure> {
        let (recipient, now) = (recipient.to_owned(), self.0.clock.now());
        self.0
            .store
            .write(move |tx| {
                if let Some(mut identity) = identities::get(tx, &recipient)? {
                    change(&mut identity, now);
                    identities::put(tx, &identity)?;
                }
                Ok(())
            })
            .await
            .or_failure()?;
        self.0.events.send(Event::Settings);
        Ok(())
    }
}

pub(crate) fn identity_reference(recipient: &str) -> String {
    format!("identity-{recipient}")
}

pub(crate) fn passphrase_reference(plan: &PlanId) -> String {
    format!("plan-{plan}-passphrase")
}

/// The first key in a key file.
fn identity_in(text: &Secret) -> Result<Identity, Failure> {
    let line = text
        .expose()
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))
        .unwrap_or_default();
    Identity::from_secret(&Secret::new(line)).or_failure()
}

/// Where a kit says backups are.
fn destinations_in(text: &Secret) -> Vec<String> {
    text.expose()
        .lines()
        .filter_map(|line| line.strip_prefix(DESTINATION))
        .map(|place| place.trim().to_owned())
        .collect()
}

fn view(identity: KnownIdentity) -> KeyView {
    KeyView {
        recipient: identity.recipient,
        own: identity.own,
        created_at: identity.created_at,
        kit_saved_at: identity.kit_saved_at,
        kit_tested_at: identity.kit_tested_at,
    }
}
