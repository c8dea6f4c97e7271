//! What crosses between the engine and the doors (window and command line): plain data, no secrets on the way out.
//!
//! Every type here becomes a TypeScript type in `ui/src/lib/ipc/generated` (`make types`). Times are RFC 3339
//! strings in UTC, sizes are bytes, durations are milliseconds.

mod backup;
mod channel;
mod destination;
mod drive;
mod event;
mod inside;
mod instance;
mod key;
mod overview;
mod plan;
mod preflight;
mod restore;
mod retention;
mod run;
mod server;
mod settings;
mod state;
mod watch;

pub use backup::*;
pub use channel::*;
pub use destination::*;
pub use drive::*;
pub use event::*;
pub use inside::*;
pub use instance::*;
pub use key::*;
pub use overview::*;
pub use plan::*;
pub use preflight::*;
pub use restore::*;
pub use retention::*;
pub use run::*;
pub use server::*;
pub use settings::*;
pub use state::*;
pub use watch::*;

pub use howdah_domain::{TestReport, TestState, TestStep, TestStepId};
