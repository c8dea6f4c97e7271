//! Settings, and what the settings page shows beside them.

use std::path::PathBuf;

use howdah_domain::schedule::TimeOfDay;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{DestinationView, ServerView};

/// The user's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct Settings {
    /// Light, dark or the system's.
    pub theme: Theme,
    /// Backups at work at once, at most. 1 to 8.
    pub parallel_backups: u32,
    /// Minutes without a byte from pg_dump before the run is ended. 1 to 1440.
    pub stall_minutes: u32,
    /// Seconds pg_dump waits for a lock (`--lock-wait-timeout`). 1 to 86400.
    pub lock_wait_seconds: u32,
    /// Where new plans put their backups.
    pub default_folder: PathBuf,
    /// When new plans run.
    pub default_time: TimeOfDay,
    /// Days after which a copy is checked again; 0 is never. At most 365.
    #[serde(default = "default_verify_days")]
    pub verify_days: u32,
    /// Whether every copy is checked; else a sample: of each database, at each destination, the newest copies and the one that was
    /// not checked for longest.
    #[serde(default)]
    pub verify_all: bool,
    /// Whether copies are read back in full; else those whose destination keeps checksums of its own are checked by these.
    #[serde(default)]
    pub verify_by_reading: bool,
    /// The port of this machine on which figures for Prometheus are served; none is nowhere.
    #[serde(default)]
    pub metrics_port: Option<u16>,
    /// Whether the copy of the settings that goes to encrypted destinations holds passwords and tokens too.
    #[serde(default)]
    pub export_secrets: bool,
}

fn default_verify_days() -> u32 {
    7
}

/// The window's colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum Theme {
    /// As the desktop has it.
    #[default]
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

/// What the settings page shows beside the settings.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct SettingsPage {
    /// The settings.
    pub settings: Settings,
    /// Howdah's version.
    pub version: String,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The bundled programs.
    pub programs: Vec<ProgramsView>,
    /// Whether passwords can be kept.
    pub keyring: KeyringState,
    /// The system's IANA time zone.
    pub time_zone: String,
    /// IANA time zones to choose from.
    pub time_zones: Vec<String>,
    /// Destinations.
    pub destinations: Vec<DestinationView>,
    /// Servers.
    pub servers: Vec<ServerView>,
}

/// The keyring's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum KeyringState {
    /// Passwords can be read and kept.
    Open,
    /// It asks for its own password first.
    Locked,
    /// There is none.
    Absent,
}

/// The bundled programs of one major.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct ProgramsView {
    /// 13 to 18.
    pub major: u16,
    /// The client programs' version, where they are there.
    pub client_version: Option<String>,
    /// The server programs' version, where they are there.
    pub server_version: Option<String>,
    /// Where they lie.
    pub path: PathBuf,
}
