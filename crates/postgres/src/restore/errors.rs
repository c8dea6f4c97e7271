//! What a restore could not do, and what is in the target then.

use howdah_domain::{Failure, FailureCode, RestoreContent};

use super::{Options, Prepared, Restore, Restored};
use crate::Error;
use crate::running::Ended;
use crate::verdict::{RestoreError, restore_errors, restore_failure, verdict};

/// Errors of a restore, the first of them by name.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    list: Vec<RestoreError>,
    count: u64,
}

impl Errors {
    pub(crate) fn take(&mut self, errors: Vec<RestoreError>) {
        self.count += errors.len() as u64;
        self.list.extend(errors);
    }

    /// Whether there is any.
    pub(crate) fn are_any(&self) -> bool {
        self.count > 0
    }

    /// What an older server refuses although it is nothing to it.
    fn forget_the_harmless(&mut self) {
        self.forget(RestoreError::is_harmless);
    }

    pub(super) fn forget(&mut self, mut what: impl FnMut(&RestoreError) -> bool) {
        let before = self.list.len();
        self.list.retain(|error| !what(error));
        self.count -= (before - self.list.len()) as u64;
    }

    pub(crate) fn append(&mut self, more: Self) {
        self.count += more.count;
        self.list.extend(more.list);
    }

    /// Success, or the failure that names them.
    pub(crate) fn into_result(
        mut self,
        options: &Options,
        database: &str,
        prepared: Prepared,
    ) -> Result<Restored, Error> {
        // One that stopped at an error is not whole, whatever the error came from.
        let left_out = if options.exit_on_error && self.are_any() {
            Vec::new()
        } else {
            self.excused(prepared.tamed)
        };
        if self.count == 0 {
            return Ok(Restored {
                warnings: prepared.warnings,
                part: prepared.part,
                left_out,
            });
        }
        let failure = restore_failure(&self.list, self.count);
        if let Some(full) = self.list.iter().find(|error| error.is_about_room()) {
            // Not about the thing that met it: there is no room for the rest either, and what is there takes what is left.
            return Err(Failure::new(
                FailureCode::DiskFull,
                format!("The server ran out of disk space: {}", full.error),
            )
            .hint("Make room on the server’s disk, then restore again.")
            .details(failure.details.unwrap_or_default())
            .into());
        }
        Err(failure.hint(what_is_there(options, database)).into())
    }
}

impl Restore {
    /// The errors of a pg_restore that has ended.
    ///
    /// # Errors
    /// Where it did not even get to the end: killed, connection lost, login refused.
    pub(crate) fn judge(&self, ended: &Ended) -> Result<Errors, Error> {
        let mut errors = Errors {
            list: restore_errors(&ended.stderr),
            count: ended.stderr.error_count(),
        };
        let any = errors.are_any();
        errors.forget_the_harmless();
        if ended.status.success() {
            return Ok(errors);
        }
        // It says so itself when it has got to the end in spite of errors.
        let got_to_the_end = ended
            .stderr
            .warnings()
            .any(|warning| warning.text.starts_with("errors ignored on restore"));
        // Told to stop at what the server refuses, it ends with that; it ends with other words when the server is gone.
        let was_refused = self.options.stops_at_an_error()
            && ended
                .stderr
                .errors()
                .rfind(|error| !is_of_workers(&error.text))
                .is_some_and(|error| error.text.contains("ERROR:  "));
        if was_refused {
            errors.forget(|error| is_of_workers(&error.error));
        }
        if any && (got_to_the_end || was_refused) {
            return Ok(errors);
        }
        let failure = verdict(&ended.stderr, ended.status, &self.target);
        Err(failure
            .hint(what_is_left(&self.options, &self.target.database))
            .into())
    }
}

/// What pg_restore's leader says of a worker that ended with an error of its own (parallel.c).
fn is_of_workers(text: &str) -> bool {
    text.contains("worker process died unexpectedly")
}

/// What a user has to know after a restore with errors.
fn what_is_there(options: &Options, database: &str) -> String {
    if options.content == RestoreContent::Rows {
        return nothing_changed(database);
    }
    let roles = "Roles that are missing can be created from the backup's globals first, or owners and privileges be left out.";
    match options {
        Options {
            exit_on_error: true,
            create: true,
            ..
        } => format!("It stopped there, and {database} is not kept. {roles}"),
        Options {
            exit_on_error: true, ..
        } => format!("It stopped there. {} {roles}", left_behind(database)),
        _ => format!(
            "What is in {database} now is not all of the backup. The details name each error. {roles}"
        ),
    }
}

/// What a user has to know after a restore that was broken off.
fn what_is_left(options: &Options, database: &str) -> String {
    if options.content == RestoreContent::Rows {
        nothing_changed(database)
    } else {
        left_behind(database)
    }
}

fn nothing_changed(database: &str) -> String {
    format!("Nothing was changed in {database}: all rows come in one transaction.")
}

fn left_behind(database: &str) -> String {
    format!(
        "Database {database} holds a part of the backup now. Drop it before you try again, or restore under another name."
    )
}
