//! Which backups stay and which go: rules one by one and together, bad days, and what holds for any rule and any backups.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests are tests

mod calendar;
#[path = "../chance/mod.rs"]
mod chance;
mod decision;
mod notation;
mod promises;
mod random;
mod rules;
