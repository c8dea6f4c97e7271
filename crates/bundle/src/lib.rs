//! Fetches, verifies and lays out the PostgreSQL programs that Howdah ships.
//!
//! A build-time program. It knows where packages come from (`programs.lock.toml`), how to fetch them with the
//! ordinary package clients, and how the folder `programs` is laid out; it knows nothing of Howdah itself. What reads
//! that folder is `programs.rs` of the crate howdah-postgres.

pub mod fetch;
pub mod layout;
pub mod lock;
pub mod unpack;
