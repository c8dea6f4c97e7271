//! The choices of a restore, and what they are to pg_restore.

use howdah_domain::{Failure, FailureCode, RestoreContent, TableName};

use crate::Error;
use crate::choice::{self, Part};
use crate::contents::Contents;

/// Choices of a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Create the target database, with the archive's encoding, locale, settings, privileges and comment.
    pub create: bool,
    /// Drop what the archive holds before making it anew (`--clean --if-exists`). Not together with `create`.
    pub clean: bool,
    /// Keep owners. Roles that the target lacks are errors then, each named.
    pub owners: bool,
    /// Keep privileges, on the same terms.
    pub privileges: bool,
    /// Which of the archive's sections. Rows alone come into a database that is there: not together with `create` or `clean`.
    pub content: RestoreContent,
    /// Stop at the first error (`--exit-on-error`), and drop what was created; else go on, and name each.
    pub exit_on_error: bool,
    /// Keep tablespaces. Those that the target lacks are errors then.
    pub tablespaces: bool,
    /// Only these tables: their definition, rows, indexes, constraints and triggers; with `create`, also the types, functions
    /// and extensions that they stand on. Empty means everything.
    pub tables: Vec<TableName>,
    /// Only these schemas, with all that lies in them, besides `tables`. Empty means as `tables` says.
    pub schemas: Vec<String>,
    /// Create the extensions. Without, what needs one that the target does not have is an error.
    pub extensions: bool,
    /// Whether pg_restore tells of each step on stderr.
    pub verbose: bool,
    /// For a throw-away instance, as its superuser: what would reach out of it is left out or switched off, and what the machine cannot
    /// have does not fail the restore; all of it is told in [`Restored::left_out`]. See [`crate::tame`].
    pub isolated: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            create: false,
            clean: false,
            owners: true,
            privileges: true,
            content: RestoreContent::All,
            exit_on_error: false,
            tablespaces: true,
            tables: Vec::new(),
            schemas: Vec::new(),
            extensions: true,
            verbose: true,
            isolated: false,
        }
    }
}

impl Options {
    /// Whether the first error ends it: it was asked for, or all of it is one transaction.
    pub(crate) fn stops_at_an_error(&self) -> bool {
        self.exit_on_error || self.content == RestoreContent::Rows
    }

    /// What a server of that major, with a pg_restore of another, does not let be done. From 17 on, pg_restore begins with a setting
    /// that an older server refuses, which ends whatever is to end at the first error.
    pub fn refused_by(&self, server: u16, client: u16) -> Option<Failure> {
        if !self.stops_at_an_error() || client < 17 || server >= 17 {
            return None;
        }
        let what = match self.content {
            RestoreContent::Rows => "Rows alone cannot come into it",
            _ => "It cannot be told to stop at the first error",
        };
        let failure = Failure::new(
            FailureCode::InvalidInput,
            format!(
                "The server is PostgreSQL {server}. {what} from a backup by PostgreSQL {client}, whose pg_restore always meets an error there."
            ),
        );
        Some(failure.hint("Restore the backup into a new database and let the errors be listed, or use a server of 17 or newer."))
    }

    /// The part of an archive that is chosen; none where that is all of it. What could not go along is told in `warnings`.
    ///
    /// # Errors
    /// [`FailureCode::NotFound`] for a table or a schema that the archive does not hold.
    pub(crate) fn part(
        &self,
        contents: &Contents,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Part>, Error> {
        let mut part = None;
        // What else of a table cannot come along is nothing to its rows.
        let mut of_definitions = Vec::new();
        let warnings = if self.content.has_definitions() {
            warnings
        } else {
            &mut of_definitions
        };
        if !(self.tables.is_empty() && self.schemas.is_empty()) {
            let (tables, schemas) = (&self.tables, &self.schemas);
            part = Some(choice::part_of(contents, tables, schemas, self.create, warnings)?);
        }
        if !self.content.has_rows() {
            part = Some(Part::without_refreshes(contents, part.as_ref()));
        }
        if !self.extensions {
            part = Some(Part::without_extensions(contents, part.as_ref()));
        }
        Ok(part)
    }

    /// # Errors
    /// [`FailureCode::InvalidInput`] for choices that exclude each other.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = match self {
            Self {
                create: true,
                clean: true,
                ..
            } => "A database that is created for the restore has nothing to clean: leave out one of the two.",
            Self {
                content: RestoreContent::Rows,
                create: true,
                ..
            } => "Rows alone come into tables that are there: a database that is created for them has none.",
            Self {
                content: RestoreContent::Rows,
                clean: true,
                ..
            } => "Rows alone come into tables that are there: nothing can be dropped before.",
            _ => return Ok(()),
        };
        Err(Error::new(FailureCode::InvalidInput, wrong))
    }

    /// pg_restore's flags.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        for (wanted, flags) in [
            (self.verbose, ["--verbose"].as_slice()),
            (self.clean, &["--clean", "--if-exists"]),
            (!self.owners, &["--no-owner"]),
            (!self.privileges, &["--no-privileges"]),
            (!self.content.has_rows(), &["--schema-only"]),
            (
                !self.content.has_definitions(),
                &["--data-only", "--single-transaction"],
            ),
            (self.exit_on_error, &["--exit-on-error"]),
            (!self.tablespaces, &["--no-tablespaces"]),
        ] {
            if wanted {
                arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
            }
        }
        arguments
    }
}
