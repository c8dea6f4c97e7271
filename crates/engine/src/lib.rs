//! The engine: the only room that combines the others. Backups, verification and restores as runs; scheduler,
//! recovery at start, events. Both doors (window and command line) use it, and it knows neither.

pub mod api;
pub mod backup;
pub mod catalog;
pub mod decide;
pub mod engine;
pub mod events;
pub mod oneoff;
pub mod restore;
pub mod stored;
pub mod verify;
pub mod work;

mod attach;
mod copying;
mod destinations;
mod dispatcher;
mod keys;
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
mod views;

pub use engine::{Engine, Options, Role};
pub use settings::{absolute, with_tilde};
