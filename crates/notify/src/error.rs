//! Why a message was not delivered.

use std::time::Duration;

use howdah_domain::{Failure, FailureCode};

/// An error of a channel.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody takes notifications on this desktop, or there is no desktop.
    #[error("no notification service answers on this desktop")]
    NoService {
        /// The technical text.
        details: String,
    },
    /// The other side did not answer in time.
    #[error("the notification service did not answer within {} seconds", .0.as_secs())]
    Timeout(Duration),
    /// The other side refused.
    #[error("the notification service refused the message")]
    Refused {
        /// The technical text.
        details: String,
    },
    /// The caller cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// Whether the same attempt may succeed a little later: a desktop's service is restarted, or starts after us.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::NoService { .. } | Self::Timeout(_))
    }

    /// Whether the caller cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }

    /// The failure as people see it.
    pub fn to_failure(&self) -> Failure {
        match self {
            Self::NoService { details } => Failure::new(
                FailureCode::NotFound,
                "Notifications cannot be shown: no notification service answers on this desktop.",
            )
            .hint("Start the desktop's notification service (GNOME and KDE bring one; elsewhere dunst or mako).")
            .details(details.clone()),
            Self::Timeout(limit) => Failure::new(
                FailureCode::Timeout,
                format!(
                    "The desktop's notification service did not answer within {} seconds.",
                    limit.as_secs()
                ),
            )
            .hint("Restart the notification service; it may hang."),
            Self::Refused { details } => Failure::new(
                FailureCode::Internal,
                "The desktop's notification service refused the notification.",
            )
            .details(details.clone()),
            Self::Cancelled => Failure::new(FailureCode::Cancelled, "It was cancelled."),
        }
    }
}
