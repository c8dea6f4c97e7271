//! What Howdah remembers on this machine: SQLite in the data directory, passwords in the keyring.
//!
//! [`Store`] opens the data directory and lets work run on it without blocking the async runtime; [`tables`] holds all SQL,
//! one file per entity, as functions that take a connection; [`owner`] and [`repair`] tell who of several processes is
//! alive and set right what a dead one left; [`keychain`] keeps passwords. The crate knows no server and no
//! destination: it is told what happened and remembers it.

pub mod error;
pub mod keychain;
pub mod owner;
pub mod repair;
pub mod store;
pub mod tables;

mod column;
mod migrate;

pub use error::{Error, Result};
pub use keychain::{KeyringState, PassphraseFile, SecretService, SecretStore};
pub use owner::{Guard, OwnerId};
pub use repair::Repair;
/// What the functions of [`tables`] take; named here so that callers need not know SQLite.
pub use rusqlite::Connection;
pub use store::Store;
