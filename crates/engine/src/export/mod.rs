//! The settings of a whole installation as one encrypted file: servers, destinations, plans, channels, keys, and by choice what opens them.
//! Exported to a file or, after each change, to the destinations of encrypted backups; imported on another machine.
//!
//! The file is JSON, encrypted by age to this machine's own key or with a passphrase: `age -d -i KEY FILE | less` reads it.

mod document;
mod import;
mod out;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use howdah_archive::encryption::Recipients;
use howdah_domain::{Failure, FailureCode, Secret};

use self::document::Document;
pub(crate) use self::document::Machine;
use crate::api::{ExportRequest, ExportView};
use crate::engine::{Engine, OrFailure, lock};
use crate::random;

/// How long an export that was read is kept for being taken over.
const KEPT: Duration = Duration::from_secs(60 * 60);

/// No export is longer: some kilobytes for each server and plan.
pub const LONGEST_EXPORT: u64 = 64 << 20;

/// Exports that were read, by the ids that the doors know them by.
pub(crate) type ReadExports = HashMap<String, ReadExport>;

/// An export that was read and may be taken over.
pub(crate) struct ReadExport {
    at: Instant,
    document: Document,
}

/// An export, encrypted.
#[derive(Debug, Clone)]
pub struct Export {
    /// What its file is called.
    pub file_name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

impl Engine {
    /// All settings as one encrypted file.
    ///
    /// # Errors
    /// The keyring cannot be read, where secrets are to go along.
    pub async fn export_settings(&self, request: ExportRequest) -> Result<Export, Failure> {
        let recipients = match request.passphrase.filter(|passphrase| !passphrase.is_empty()) {
            Some(passphrase) => Recipients::passphrase(passphrase).or_failure()?,
            None => self.own_recipients().await?,
        };
        let document = self.document(request.with_secrets).await?;
        let file_name = format!(
            "howdah-settings-{}-{}.json.age",
            howdah_domain::slug::slug(&document.machine.name),
            document.exported_at.strftime("%Y%m%d")
        );
        Ok(Export {
            file_name,
            bytes: encrypted(document, recipients).await?,
        })
    }

    /// Reads an export, and says what it holds. Nothing is changed yet.
    ///
    /// # Errors
    /// [`FailureCode::KeyMissing`] or [`FailureCode::KeyWrong`] where neither the keys at hand nor the passphrase open it;
    /// [`FailureCode::InvalidInput`] where it is something else.
    pub async fn read_export(
        &self,
        bytes: Vec<u8>,
        passphrase: Option<Secret>,
    ) -> Result<ExportView, Failure> {
        let mut keys = self.keys().await;
        if let Some(passphrase) = passphrase.filter(|passphrase| !passphrase.is_empty()) {
            keys = keys.and_passphrase(passphrase);
        }
        let document = tokio::task::spawn_blocking(move || {
            let plain = zeroize::Zeroizing::new(keys.decrypt("settings.json.age", &bytes).or_failure()?);
            Document::from_bytes(&plain)
        })
        .await
        .map_err(|error| crate::engine::internal("Reading the settings died.", &error))??;
        let counts = self.counts(&document).await?;
        let view = ExportView {
            id: howdah_domain::id::random_suffix(random::bytes(), 16),
            machine: document.machine.name.clone(),
            exported_at: document.exported_at,
            servers: counts.servers,
            destinations: counts.destinations,
            plans: counts.plans,
            channels: counts.channels,
            secrets: document.secrets.len() as u64,
        };
        let mut read = lock(&self.0.read_exports);
        read.retain(|_, export| export.at.elapsed() < KEPT);
        read.insert(
            view.id.clone(),
            ReadExport {
                at: Instant::now(),
                document,
            },
        );
        Ok(view)
    }

    /// This machine's own key, to encrypt to.
    async fn own_recipients(&self) -> Result<Recipients, Failure> {
        let own = self.own_key().await?;
        Recipients::parse(&[own.recipient]).or_failure()
    }
}

/// A document, encrypted. Off the runtime: a passphrase is stretched for a second.
async fn encrypted(document: Document, recipients: Recipients) -> Result<Vec<u8>, Failure> {
    tokio::task::spawn_blocking(move || recipients.encrypt(&document.to_bytes()?).or_failure())
        .await
        .map_err(|error| crate::engine::internal("Encrypting the settings died.", &error))?
}

fn not_an_export(why: &str) -> Failure {
    Failure::new(
        FailureCode::InvalidInput,
        format!("This is no file of Howdah's settings: {why}."),
    )
    .hint("Choose the file that was exported under Settings on the other machine.")
}
