//! The engine on a data directory: where that is, and which store of passwords it uses.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use howdah_domain::{Failure, FailureCode, SystemClock};
use howdah_engine::{Engine, Options, Role};
use howdah_notify::{Channel, Desktop};
use howdah_postgres::network::SystemNetwork;
use howdah_postgres::programs::Programs;
use howdah_store::{PassphraseFile, SecretService, SecretStore};

/// How long the engine may take to end.
pub(crate) const FAREWELL: Duration = Duration::from_secs(20);

/// Opens the engine on the data directory. A [`Role::Guest`] leaves the schedule to the app, or to `howdah run`.
pub(crate) async fn open(data_dir: Option<&Path>, role: Role) -> Result<Engine, Failure> {
    let programs = Programs::locate(None).map_err(|error| error.to_failure())?;
    let data_dir = place(data_dir)?;
    let secrets = secrets(&data_dir).await?;
    let desktop: Option<Arc<dyn Channel>> = match role {
        // There may be a desktop, and nobody may look at it: a failed notification is told in the log only.
        Role::Owner if std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_some() => {
            Some(Arc::new(Desktop::new(|_, _| {})))
        }
        _ => None,
    };
    Engine::open(Options {
        data_dir,
        programs,
        secrets,
        clock: Arc::new(SystemClock),
        network: Arc::new(SystemNetwork),
        machine: howdah_machine::this(role == Role::Owner),
        desktop,
        role,
    })
    .await
}

/// The data directory, absolute: two spellings of one folder must be one installation.
fn place(data_dir: Option<&Path>) -> Result<PathBuf, Failure> {
    let dir = match data_dir {
        Some(dir) => dir.to_owned(),
        None => dirs::data_dir()
            .ok_or_else(|| {
                Failure::new(
                    FailureCode::DataDirUnusable,
                    "This user has no data folder: HOME is not set.",
                )
                .hint("Name one with --data-dir or HOWDAH_DATA_DIR.")
            })?
            .join("howdah"),
    };
    let unusable = |error: std::io::Error| {
        Failure::new(
            FailureCode::DataDirUnusable,
            format!("The data folder {} cannot be used.", dir.display()),
        )
        .hint("Check its permissions and the space on its disk, or name another with --data-dir.")
        .details(error.to_string())
    };
    std::fs::create_dir_all(&dir).map_err(unusable)?;
    dir.canonicalize().map_err(unusable)
}

/// Howdah's own file of SSH servers' keys that the user has accepted.
pub(crate) fn known_hosts(data_dir: Option<&Path>) -> Result<PathBuf, Failure> {
    Ok(place(data_dir)?.join(howdah_engine::KNOWN_HOSTS_FILE))
}

/// The keyring, unless the user has chosen the file that a passphrase encrypts.
async fn secrets(data_dir: &Path) -> Result<Arc<dyn SecretStore>, Failure> {
    let Some(passphrase) = PassphraseFile::passphrase_from_environment() else {
        if PassphraseFile::exists(data_dir) {
            return Err(Failure::new(
                FailureCode::KeyringLocked,
                "The passwords of this data folder are in a file that a passphrase encrypts.",
            )
            .hint("Set HOWDAH_PASSPHRASE to the passphrase."));
        }
        return Ok(Arc::new(SecretService::new()));
    };
    let dir = data_dir.to_owned();
    let file = tokio::task::spawn_blocking(move || PassphraseFile::open(&dir, passphrase))
        .await
        .map_err(|error| {
            Failure::new(FailureCode::Internal, "Opening the file of passwords died.")
                .details(error.to_string())
        })?
        .map_err(|error| error.to_failure())?;
    Ok(Arc::new(file))
}
