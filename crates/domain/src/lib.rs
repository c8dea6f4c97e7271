//! Words and decisions of Howdah.
//!
//! This crate knows what a server, a plan, a run and a backup *are*, and takes the decisions that need no I/O:
//! when a plan runs next, which backups are kept, which state a run may enter, what a failure is called. It knows no
//! database, no file, no network and no clock of its own: time and chance are arguments.

pub mod alert;
pub mod availability;
pub mod backup;
pub mod channel;
pub mod check;
pub mod clock;
pub mod conditions;
pub mod destination;
pub mod drill;
pub mod failure;
pub mod id;
pub mod latency;
pub mod maintenance;
pub mod plan;
pub mod restore;
pub mod retention;
pub mod routing;
pub mod run;
pub mod schedule;
pub mod secret;
pub mod server;
pub mod slug;
pub mod test;
pub mod units;

pub use alert::{AlertKind, Severity};
pub use backup::BackupId;
pub use channel::{Address, ChannelKind, ChannelSecret};
pub use clock::{Clock, SystemClock};
pub use conditions::{Conditions, Power};
pub use destination::{Place, PlaceKind};
pub use drill::{Assertion, DrillReport, DrillRule};
pub use failure::{Failure, FailureCode};
pub use id::{
    AlertId, ChannelId, DatabaseId, DestinationId, IncidentId, InstanceId, MaintenanceId, OccurrenceId,
    PlanId, ReplacementId, RunId, ServerId,
};
pub use maintenance::MaintenanceTime;
pub use plan::{Encryption, Plan, Scope, Selection, TableName};
pub use restore::RestoreContent;
pub use retention::RetentionRule;
pub use run::{Phase, Progress, RunKind, RunState, SkipReason, Trigger, WaitReason};
pub use schedule::Schedule;
pub use secret::Secret;
pub use server::{Connection, Environment, Server, Tls, TlsMode};
pub use test::{TestReport, TestState, TestStep, TestStepId};
