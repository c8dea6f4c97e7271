//! The engine: the only room that combines the others. Backups, verification and restores as runs; scheduler,
//! recovery at start, events. Both doors (window and command line) use it, and it knows neither.

pub mod api;
pub mod backup;
pub mod catalog;
pub mod decide;
pub mod engine;
pub mod events;
pub mod inside;
pub mod oneoff;
pub mod restore;
pub mod stored;
pub mod verify;
pub mod work;

mod attach;
mod claims;
mod copying;
mod destinations;
mod dispatcher;
mod drive;
mod export;
mod integrity;
mod keys;
mod kit_page;
mod needs;
mod pages;
mod places;
mod plans;
mod pruning;
mod random;
mod recovery;
mod runs;
mod scheduler;
mod servers;
mod settings;
mod upkeep;
mod views;

pub use engine::{Engine, KNOWN_HOSTS_FILE, Options, Role};
pub use export::{Export, LONGEST_EXPORT};
pub use kit_page::page_beside;
pub use settings::{absolute, with_tilde};
