//! The engine: the only room that combines the others. Runs, scheduler, recovery at start, events.

pub mod api;
