//! What can go wrong in this crate. Most errors are classified where they arise and carry a [`Failure`]; the rest
//! keep their technical cause until [`Error::to_failure`] puts it into words.

use howdah_domain::{Failure, FailureCode};

use crate::classify;

/// An error of this crate. Holds no secret, neither in its text nor in its causes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Classified already: its code, message and hint are final.
    #[error("{0}")]
    Failed(Box<Failure>),
    /// The caller cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The operating system refused something on this machine.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, as a noun phrase: `starting pg_dump`.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A statement failed on a server that was connected already.
    #[error("{what}: {}", classify::server_text(.source))]
    Query {
        /// What was being done, as a noun phrase: `listing the databases`.
        what: String,
        /// What the driver or the server said.
        source: Box<tokio_postgres::Error>,
    },
}

impl Error {
    /// A classified error with a message alone.
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self::Failed(Box::new(Failure::new(code, message)))
    }

    /// An error of the operating system, met while doing `what`.
    pub fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io {
            what: what.into(),
            source,
        }
    }

    /// A statement's error, met while doing `what`.
    pub fn query(what: impl Into<String>, source: tokio_postgres::Error) -> Self {
        Self::Query {
            what: what.into(),
            source: Box::new(source),
        }
    }

    /// Its stable code.
    pub fn code(&self) -> FailureCode {
        match self {
            Self::Failed(failure) => failure.code,
            Self::Cancelled => FailureCode::Cancelled,
            Self::Io { source, .. } => classify::io_code(source),
            Self::Query { source, .. } => classify::query_code(source),
        }
    }

    /// Whether the same attempt may succeed a little later without anybody doing something.
    pub fn is_retryable(&self) -> bool {
        self.code().is_retryable()
    }

    /// Whether the caller cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.code() == FailureCode::Cancelled
    }

    /// What people and scripts see of it.
    pub fn to_failure(&self) -> Failure {
        match self {
            Self::Failed(failure) => (**failure).clone(),
            Self::Cancelled => Failure::new(FailureCode::Cancelled, "Cancelled."),
            Self::Io { what, source } => classify::io_failure(what, source),
            Self::Query { what, source } => classify::query_failure(what, source),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Failed(Box::new(failure))
    }
}
