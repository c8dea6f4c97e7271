//! The engine: the only room that combines the others. Backups, verification and restores as runs; scheduler,
//! recovery at start, events. Both doors (window and command line) use it, and it knows neither.

pub mod api;
pub mod catalog;
pub mod decide;
pub mod events;
pub mod work;
