//! Which backups stay and which go: rules one by one and together, bad days, and what holds for any rule and any backups.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests are tests

mod calendar;
mod chance;
mod decision;
mod notation;
mod promises;
mod rules;
