//! What is told, as plain text: titles and bodies rendered from the outcome of a run. It knows no channel.

use std::time::Duration;

use howdah_domain::Failure;
use howdah_domain::units::{counted, duration, size};

/// How grave a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// All is well.
    Success,
    /// Worth a look.
    Warning,
    /// Somebody is needed.
    Failure,
}

/// A message to a person. Plain text; channels escape and shorten it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// How grave it is.
    pub severity: Severity,
    /// One line.
    pub title: String,
    /// A few lines; may be long, with what matters most at the beginning and the end.
    pub body: String,
    /// The page of the window that tells more, such as `/runs/abc`.
    pub route: Option<String>,
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
    /// A message without a route.
    pub fn new(severity: Severity, title: impl Into<String>, body: impl Into<String>) -> Self {
        Self {
            severity,
            title: one_line(&title.into()),
            body: body.into(),
            route: None,
        }
    }

    /// Adds the page that tells more.
    #[must_use]
    pub fn route(mut self, route: impl Into<String>) -> Self {
        self.route = Some(route.into());
        self
    }

    /// A backup succeeded.
    pub fn backed_up(outcome: &BackedUp<'_>) -> Self {
        Self::new(
            Severity::Success,
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

    /// A backup failed, and is not tried again by itself before the plan's next due time.
    pub fn backup_failed(database: &str, failure: &Failure) -> Self {
        Self::failed(format!("{database} was not backed up"), failure)
    }

    /// Anything else failed.
    pub fn failed(title: impl Into<String>, failure: &Failure) -> Self {
        let mut body = failure.message.clone();
        if let Some(hint) = &failure.hint {
            body.push('\n');
            body.push_str(hint);
        }
        if let Some(details) = failure.details.as_deref().map(str::trim)
            && !details.is_empty()
            && !failure.message.contains(details)
        {
            body.push_str("\n\n");
            body.push_str(details);
        }
        Self::new(Severity::Failure, title, body)
    }
}

/// A name may hold line breaks; a title may not.
fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_control())
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use howdah_domain::FailureCode;

    use super::*;

    #[test]
    fn a_success_tells_tables_sizes_and_time() {
        let message = Message::backed_up(&BackedUp {
            database: "shop",
            tables: 214,
            raw_bytes: 1_200_000_000,
            stored_bytes: 148_000_000,
            took: Duration::from_secs(34),
        });
        assert_eq!(message.severity, Severity::Success);
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
        let message = Message::backup_failed("shop", &failure).route("/runs/abc");
        assert_eq!(message.title, "shop was not backed up");
        assert_eq!(
            message.body,
            "Nothing listens on db.example:5432.\nStart the server, or check the port.\n\nconnection refused (os error 111)"
        );
        assert_eq!(message.route.as_deref(), Some("/runs/abc"));
    }

    #[test]
    fn a_name_with_a_line_break_stays_on_one_line() {
        let failure = Failure::new(FailureCode::Internal, "x");
        assert_eq!(
            Message::backup_failed("a\nb\t<i>", &failure).title,
            "a b <i> was not backed up"
        );
    }
}
