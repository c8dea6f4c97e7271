//! A folder over SSH as a destination: the conformance suite on OpenSSH's and on rclone's server, and the bad days.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap like the tests")]

mod broken;
#[path = "../common/mod.rs"]
mod common;
mod files;
mod killed;
mod refused;
mod support;
mod ways_in;
