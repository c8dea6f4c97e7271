//! The engine: the only room that combines the others. Backups, verification and restores as runs; scheduler,
//! recovery at start, events. Both doors (window and command line) use it, and it knows neither.

pub mod api;
pub mod backup;
pub mod catalog;
pub mod decide;
pub mod drill;
pub mod engine;
pub mod events;
pub mod inside;
pub mod oneoff;
pub mod restore;
pub mod stored;
pub mod verify;
pub mod work;

mod attach;
mod awake;
mod claims;
mod copies;
mod copying;
mod destinations;
mod dispatcher;
mod drill_page;
mod drive;
mod export;
mod html;
mod instances;
mod integrity;
mod keys;
mod kit_page;
mod metrics;
mod needs;
mod pages;
mod places;
mod plans;
mod preflight;
mod pruning;
mod random;
mod recovery;
mod replacing;
mod runs;
mod scheduler;
mod servers;
mod settings;
mod telling;
mod upkeep;
mod views;
mod watch;

pub use drill_page::page as drill_page;
pub use engine::{Engine, KNOWN_HOSTS_FILE, Options, Role};
pub use export::{Export, LONGEST_EXPORT};
pub use howdah_postgres::children::Parting;
pub use kit_page::page_beside;
pub use settings::{absolute, with_tilde};
