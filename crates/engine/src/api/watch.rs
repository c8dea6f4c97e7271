//! Health checks as they are shown and set up: a database's state, its availability, its incidents, maintenance windows.

use howdah_domain::availability::TimeIn;
use howdah_domain::check::{Blind, CheckRule, Health, ServerFacts};
use howdah_domain::{DatabaseId, Environment, Failure, IncidentId, MaintenanceId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

pub use howdah_domain::MaintenanceTime;

/// How a database stands, from its checks.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct HealthView {
    /// In a word.
    pub state: HealthState,
    /// Since when.
    #[ts(type = "string")]
    pub since: Timestamp,
    /// When it was last asked, and answered or not.
    #[ts(type = "string | null")]
    pub checked_at: Option<Timestamp>,
    /// Milliseconds until the last login was through.
    pub connect_ms: Option<f64>,
    /// From then until the answer.
    pub answer_ms: Option<f64>,
    /// Why the last check found no answer, or not the one expected.
    pub failure: Option<Failure>,
    /// Nobody is told of it until then.
    #[ts(type = "string | null")]
    pub muted_until: Option<Timestamp>,
}

/// A database's state, from its checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(tag = "is", rename_all = "snake_case")]
#[ts(export)]
pub enum HealthState {
    /// It answers.
    Up,
    /// It answers, slowly.
    Slow,
    /// It failed so often in a row; it is down from `of` on.
    Failing {
        /// How often.
        times: u32,
        /// From how many on it is down.
        of: u32,
    },
    /// It does not answer.
    Down,
    /// It is being worked on; whatever it answers tells nobody.
    Maintenance,
    /// Nobody can tell.
    NoData {
        /// Why.
        why: Blind,
    },
    /// It is not checked.
    Off,
}

impl From<Health> for HealthState {
    fn from(health: Health) -> Self {
        match health {
            Health::Up => Self::Up,
            Health::Slow => Self::Slow,
            Health::Failing { times, of } => Self::Failing { times, of },
            Health::Down => Self::Down,
            Health::NoData { why } => Self::NoData { why },
        }
    }
}

/// Stretches of time that the window shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum Span {
    /// 24 hours.
    Day,
    /// 7 days.
    Week,
    /// 30 days.
    Month,
    /// 90 days.
    Quarter,
    /// 365 days.
    Year,
}

impl Span {
    /// All of them, shortest first.
    pub const ALL: [Self; 5] = [Self::Day, Self::Week, Self::Month, Self::Quarter, Self::Year];

    /// Its hours.
    pub fn hours(self) -> i64 {
        match self {
            Self::Day => 24,
            Self::Week => 7 * 24,
            Self::Month => 30 * 24,
            Self::Quarter => 90 * 24,
            Self::Year => 365 * 24,
        }
    }
}

/// What of a database's availability is asked for.
#[derive(Debug, Clone, Deserialize, TS)]
#[ts(export)]
pub struct AvailabilityRequest {
    /// Which database.
    pub database_id: DatabaseId,
    /// From when on.
    #[ts(type = "string")]
    pub from: Timestamp,
    /// Until when; later than now is now.
    #[ts(type = "string")]
    pub to: Timestamp,
    /// At most so many buckets and points each, as many as there are pixels to draw them; 1 to 2000.
    pub points: u32,
}

/// A database's availability in a stretch of time.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct Availability {
    /// When the first bucket begins.
    #[ts(type = "string")]
    pub from: Timestamp,
    /// When the last one ends.
    #[ts(type = "string")]
    pub to: Timestamp,
    /// How long a bucket is, in milliseconds; the last one may be shorter.
    #[ts(type = "number")]
    pub bucket_ms: i64,
    /// The buckets, without gaps. What is missing in one was not watched: Howdah did not run, or the database was not known yet.
    pub buckets: Vec<Bucket>,
    /// All of them together.
    pub total: TimeIn,
    /// The share of the known time in which it was not down, 0 to 1; none where nothing is known.
    pub uptime: Option<f64>,
    /// Incidents in it, newest first; at most 200.
    pub incidents: Vec<IncidentView>,
}

/// A part of the stretch.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct Bucket {
    /// Milliseconds in each state.
    pub time: TimeIn,
    /// The median of the answers' milliseconds, from the first step of connecting; none without an answer.
    pub median_ms: Option<f64>,
    /// Their 95th percentile.
    pub p95_ms: Option<f64>,
}

/// A bar of buckets, for lists.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct Bar {
    /// When the first bucket begins.
    #[ts(type = "string")]
    pub from: Timestamp,
    /// How long a bucket is, in milliseconds.
    #[ts(type = "number")]
    pub bucket_ms: i64,
    /// The buckets.
    pub buckets: Vec<TimeIn>,
    /// The uptime of all together.
    pub uptime: Option<f64>,
}

/// What the page of a database's availability shows beside a stretch.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct WatchPage {
    /// The database.
    pub database_id: DatabaseId,
    /// Its name.
    pub name: String,
    /// Its server's name.
    pub server_name: String,
    /// What it is used for.
    pub environment: Environment,
    /// How it is checked.
    pub rule: CheckRule,
    /// How it stands.
    pub health: HealthView,
    /// Since when it has been watched.
    #[ts(type = "string | null")]
    pub watched_since: Option<Timestamp>,
    /// The uptime of each stretch that can be chosen.
    pub uptimes: Vec<Uptime>,
    /// The incident that is open.
    pub incident: Option<IncidentView>,
    /// Maintenance windows that concern it, and have not passed.
    pub maintenance: Vec<MaintenanceView>,
    /// The server itself, as it was last looked at.
    pub server: Option<ServerFacts>,
}

/// The uptime of a stretch up to now.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct Uptime {
    /// Which stretch.
    pub span: Span,
    /// The share of the known time in which it was not down, 0 to 1; none where nothing is known.
    pub uptime: Option<f64>,
}

/// A stretch in which one or several databases were down for one reason.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct IncidentView {
    /// Its id.
    pub id: IncidentId,
    /// The first failure.
    #[ts(type = "string")]
    pub began_at: Timestamp,
    /// When all of them answered again; none while it lasts.
    #[ts(type = "string | null")]
    pub ended_at: Option<Timestamp>,
    /// What was found first.
    pub cause: Failure,
    /// The databases concerned.
    pub databases: Vec<String>,
    /// What does not answer, where it is more than one database: `db.example.com:5432`, or a tunnel.
    pub place: Option<String>,
    /// What somebody wrote about it.
    pub note: Option<String>,
    /// When somebody said that they know.
    #[ts(type = "string | null")]
    pub acknowledged_at: Option<Timestamp>,
}

/// A maintenance window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct MaintenanceView {
    /// Its id; none makes a new one.
    #[serde(default)]
    pub id: Option<MaintenanceId>,
    /// The databases concerned; empty is all.
    pub databases: Vec<DatabaseId>,
    /// When.
    pub when: MaintenanceTime,
    /// What for.
    #[serde(default)]
    pub note: String,
}
