//! The user's settings, within their bounds.

use std::path::{Path, PathBuf};

use howdah_domain::schedule::TimeOfDay;
use howdah_domain::{Failure, FailureCode};
use howdah_store::tables::settings;

use crate::api::{Event, KeyringState, Settings, Theme};
use crate::engine::{Engine, OrFailure};

/// Under which key they are kept.
const KEY: &str = "settings";

impl Default for Settings {
    fn default() -> Self {
        Self {
            theme: Theme::System,
            parallel_backups: 2,
            stall_minutes: 10,
            lock_wait_seconds: 60,
            default_folder: home().join("Howdah"),
            default_time: TimeOfDay { hour: 4, minute: 0 },
            verify_days: 7,
            verify_all: false,
            verify_by_reading: false,
            metrics_port: None,
            export_secrets: false,
        }
    }
}

impl Engine {
    /// The settings; the defaults where there are none, or none that can be read.
    pub async fn settings(&self) -> Settings {
        match self.0.store.read(|c| settings::get(c, KEY)).await {
            Ok(kept) => kept.unwrap_or_default(),
            Err(error) => {
                tracing::error!(%error, "the settings cannot be read; the defaults are used");
                Settings::default()
            }
        }
    }

    /// Changes the settings. Numbers out of bounds are refused.
    pub async fn save_settings(&self, mut changed: Settings) -> Result<Settings, Failure> {
        let bounded = |value: u32, most: u32, what: &str| {
            if (1..=most).contains(&value) {
                return Ok(());
            }
            Err(Failure::new(
                FailureCode::InvalidInput,
                format!("{what} must be between 1 and {most}."),
            ))
        };
        bounded(changed.parallel_backups, 8, "The number of backups at once")?;
        bounded(changed.stall_minutes, 1440, "The minutes without a byte")?;
        bounded(
            changed.lock_wait_seconds,
            86_400,
            "The seconds to wait for a lock",
        )?;
        if changed.verify_days > 365 {
            return Err(Failure::new(
                FailureCode::InvalidInput,
                "Copies can be checked every 1 to 365 days, or never (0).",
            ));
        }
        if changed.metrics_port == Some(0) {
            return Err(Failure::new(
                FailureCode::InvalidInput,
                "Figures for Prometheus need a port between 1 and 65535.",
            ));
        }
        changed.default_time.validate()?;
        changed.default_folder = absolute(&changed.default_folder)?;
        let kept = changed.clone();
        self.0
            .store
            .write(move |tx| settings::set(tx, KEY, &kept))
            .await
            .or_failure()?;
        self.0.events.send(Event::Settings);
        self.0.runs_changed.notify_one();
        self.0.upkeep_changed.notify_one();
        Ok(changed)
    }

    /// Asks the person to unlock the keyring (a dialog of the desktop), and lets the runs go that waited for it.
    pub async fn unlock_keyring(&self) -> Result<KeyringState, Failure> {
        let state = self.0.secrets.unlock(&self.0.ending).await.or_failure()?;
        self.0.runs_changed.notify_one();
        self.0.events.send(Event::Settings);
        Ok(keyring_state(state))
    }

    /// Whether passwords can be kept and read now.
    pub async fn keyring(&self) -> KeyringState {
        keyring_state(self.0.secrets.state().await)
    }
}

fn keyring_state(state: howdah_store::KeyringState) -> KeyringState {
    match state {
        howdah_store::KeyringState::Open => KeyringState::Open,
        howdah_store::KeyringState::Locked => KeyringState::Locked,
        howdah_store::KeyringState::Absent => KeyringState::Absent,
    }
}

/// The user's home directory; where there is none, the root directory.
fn home() -> PathBuf {
    dirs::home_dir().unwrap_or_else(|| PathBuf::from("/"))
}

/// A path as people write it: `~` for the home directory.
pub fn with_tilde(path: &Path) -> PathBuf {
    match dirs::home_dir().and_then(|home| path.strip_prefix(home).ok().map(Path::to_owned)) {
        Some(rest) if rest.as_os_str().is_empty() => PathBuf::from("~"),
        Some(rest) => Path::new("~").join(rest),
        None => path.to_owned(),
    }
}

/// An absolute path: `~/` is the home directory.
///
/// # Errors
/// [`FailureCode::InvalidInput`] for a path that is relative.
pub fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    let path = match path.strip_prefix("~") {
        Ok(rest) => home().join(rest),
        Err(_) => path.to_owned(),
    };
    if !path.is_absolute() {
        return Err(Failure::new(
            FailureCode::InvalidInput,
            format!("{} is not an absolute path.", path.display()),
        )
        .hint("Begin it with / or with ~/."));
    }
    // Without `.` and `..`, so that one folder is not two destinations.
    Ok(path.components().fold(PathBuf::new(), |mut clean, part| {
        match part {
            std::path::Component::ParentDir => {
                clean.pop();
            }
            std::path::Component::CurDir => {}
            part => clean.push(part),
        }
        clean
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_at_home_is_written_with_a_tilde_and_read_back() {
        let folder = home().join("Howdah");
        assert_eq!(with_tilde(&folder), Path::new("~/Howdah"));
        assert_eq!(absolute(&with_tilde(&folder)).unwrap(), folder);
        assert_eq!(with_tilde(Path::new("/srv/x")), Path::new("/srv/x"));
    }

    #[test]
    fn a_folder_is_absolute_and_has_one_spelling() {
        assert_eq!(absolute(Path::new("/a/./b/../c")).unwrap(), Path::new("/a/c"));
        assert!(absolute(Path::new("~/Howdah")).unwrap().ends_with("Howdah"));
        assert_eq!(
            absolute(Path::new("Howdah")).unwrap_err().code,
            FailureCode::InvalidInput
        );
    }
}
