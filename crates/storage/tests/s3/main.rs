//! S3 against real servers: rclone's, which keeps credentials and knows little else, and moto's, which knows conditions, checksums
//! and classes and believes everybody; bad days through a gate before them.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap like the tests")]

mod bad_days;
#[path = "../common/mod.rs"]
mod common;
mod killed;
mod place;
mod support;
mod uploads;
mod volume;
