//! All SQL but pragmas: one file per entity, functions over a connection.
//!
//! A function reads or writes; several of them in one [`Store::write`](crate::Store::write) are one transaction. What is
//! read back is equal to what was written, but for times, which are kept to the microsecond.

pub mod alerts;
pub mod availability;
pub mod backups;
pub mod channels;
pub mod checks;
pub mod databases;
pub mod deliveries;
pub mod destinations;
pub mod drills;
pub mod identities;
pub mod incidents;
pub mod instances;
pub mod ledger;
pub mod maintenance;
pub mod occurrences;
pub mod overview;
pub mod plans;
pub mod replacements;
pub mod run_logs;
pub mod runs;
pub mod server_facts;
pub mod servers;
pub mod settings;
mod stretches;
pub mod summaries;
mod sums;
pub mod troubles;
pub mod watches;

use rusqlite::ErrorCode;

use crate::Error;

/// Tells a violated unique constraint from other errors.
fn name_taken(error: rusqlite::Error, what: &'static str, name: &str) -> Error {
    match &error {
        rusqlite::Error::SqliteFailure(code, _)
            if code.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE =>
        {
            Error::NameTaken {
                what,
                name: name.to_owned(),
            }
        }
        _ => error.into(),
    }
}

/// Tells a violated foreign key from other errors.
fn in_use(error: rusqlite::Error, what: &'static str, by: &'static str) -> Error {
    match &error {
        rusqlite::Error::SqliteFailure(code, _)
            if code.code == ErrorCode::ConstraintViolation
                && code.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY =>
        {
            Error::InUse { what, by }
        }
        _ => error.into(),
    }
}

/// Turns "no row changed" into an error.
fn found(changed: usize, what: &'static str) -> crate::Result<()> {
    if changed == 0 {
        Err(Error::NotFound(what))
    } else {
        Ok(())
    }
}
