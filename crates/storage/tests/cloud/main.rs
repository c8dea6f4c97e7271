//! Azure Blob Storage and Google Cloud Storage, each against an emulator of its API: what both promise alike, what each does in its
//! own way, and their bad days.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap like the tests")]

mod alike;
mod azblob;
mod azblob_bad_days;
#[path = "../common/mod.rs"]
mod common;
mod gcs;
mod gcs_bad_days;
mod support;
