//! What is told, as plain text. It knows no channel: channels escape it, give it their form, and shorten it to their limits.

use howdah_domain::units::{counted, duration, size};
use howdah_domain::{AlertKind, Environment, Failure, Severity};
use jiff::Timestamp;
use std::time::Duration;

/// A message to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// A name of its own, the same however often its delivery is tried: services that can tell twins by it show one.
    pub id: String,
    /// What happened.
    pub kind: AlertKind,
    /// How grave it is.
    pub severity: Severity,
    /// One line, without control characters.
    pub title: String,
    /// What happened, why, and what to do: a few lines.
    pub body: String,
    /// The technical text: a server's or program's own words, as long as it likes. What matters most is in its last lines.
    pub details: Option<String>,
    /// The databases concerned.
    pub databases: Vec<Subject>,
    /// When it happened.
    pub at: Timestamp,
    /// The page of the window that tells more, such as `/runs/abc`.
    pub route: Option<String>,
    /// How many messages this one stands for; 1 is itself.
    pub stands_for: u32,
}

/// A database that a message is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its name on the server.
    pub database: String,
    /// Its server's name.
    pub server: String,
    /// What it is used for.
    pub environment: Environment,
}

/// The figures of a backup that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackedUp<'a> {
    /// The database's name.
    pub database: &'a str,
    /// Tables with data.
    pub tables: u64,
    /// Bytes of the dump, uncompressed.
    pub raw_bytes: u64,
    /// Bytes of all files as stored.
    pub stored_bytes: u64,
    /// From the first connection to the manifest.
    pub took: Duration,
}

impl Message {
    /// A message of a kind, as grave as the kind is. Without an id, a route, details or databases.
    pub fn new(kind: AlertKind, at: Timestamp, title: impl Into<String>, body: impl Into<String>) -> Self {
        Self {
            id: String::new(),
            kind,
            severity: kind.severity(),
            title: one_line(&title.into()),
            body: body.into(),
            details: None,
            databases: Vec::new(),
            at,
            route: None,
            stands_for: 1,
        }
    }

    /// Adds the page that tells more.
    #[must_use]
    pub fn route(mut self, route: impl Into<String>) -> Self {
        self.route = Some(route.into());
        self
    }

    /// A backup succeeded.
    pub fn backed_up(at: Timestamp, outcome: &BackedUp<'_>) -> Self {
        Self::new(
            AlertKind::BackupSucceeded,
            at,
            format!("{} is backed up", outcome.database),
            format!(
                "{}, {} as {} in {}",
                counted(outcome.tables, "table", "tables"),
                size(outcome.raw_bytes),
                size(outcome.stored_bytes),
                duration(outcome.took)
            ),
        )
    }

    /// Something failed.
    pub fn failed(kind: AlertKind, at: Timestamp, title: impl Into<String>, failure: &Failure) -> Self {
        let mut body = failure.message.clone();
        if let Some(hint) = &failure.hint {
            body.push('\n');
            body.push_str(hint);
        }
        let details = failure
            .details
            .as_deref()
            .map(str::trim)
            .filter(|details| !details.is_empty() && !failure.message.contains(details))
            .map(str::to_owned);
        Self {
            details,
            ..Self::new(kind, at, title, body)
        }
    }

    /// Body and details as one text.
    pub fn text(&self) -> String {
        match &self.details {
            Some(details) => format!("{}\n\n{details}", self.body),
            None => self.body.clone(),
        }
    }
}

/// A name may hold line breaks; a title may not.
pub fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_control())
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use howdah_domain::FailureCode;

    use super::*;

    const AT: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn a_success_tells_tables_sizes_and_time() {
        let message = Message::backed_up(
            AT,
            &BackedUp {
                database: "shop",
                tables: 214,
                raw_bytes: 1_200_000_000,
                stored_bytes: 148_000_000,
                took: Duration::from_secs(34),
            },
        );
        assert_eq!(message.severity, Severity::Info);
        assert_eq!(message.title, "shop is backed up");
        assert_eq!(message.body, "214 tables, 1.2 GB as 148 MB in 34 s");
    }

    #[test]
    fn a_failure_tells_what_why_and_what_to_do() {
        let failure = Failure::new(
            FailureCode::ConnectionRefused,
            "Nothing listens on db.example:5432.",
        )
        .hint("Start the server, or check the port.")
        .details("connection refused (os error 111)\n");
        let message = Message::failed(AlertKind::BackupFailed, AT, "shop was not backed up", &failure)
            .route("/runs/abc");
        assert_eq!(message.title, "shop was not backed up");
        assert_eq!(
            message.text(),
            "Nothing listens on db.example:5432.\nStart the server, or check the port.\n\nconnection refused (os error 111)"
        );
        assert_eq!(
            message.details.as_deref(),
            Some("connection refused (os error 111)")
        );
        assert_eq!(message.route.as_deref(), Some("/runs/abc"));
    }

    #[test]
    fn a_name_with_a_line_break_stays_on_one_line() {
        let message = Message::new(AlertKind::BackupFailed, AT, "a\nb\t<i> was not backed up", "");
        assert_eq!(message.title, "a b <i> was not backed up");
    }
}
