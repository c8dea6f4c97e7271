//! Google Drive as a destination, against the emulator of its API: the conformance suite, and Drive's bad days.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap like the tests")]

mod bad_days;
#[path = "../common/mod.rs"]
mod common;
mod folders;
mod lists;
mod sign_in;
mod support;
mod uploads;
mod weather;
