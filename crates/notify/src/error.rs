//! Why a message was not delivered, and whether trying again may help.

use std::time::Duration;

use howdah_domain::{Failure, FailureCode};

/// An error of a channel. Its texts hold no secret: neither a token nor the URL of a web hook.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody takes notifications on this desktop, or there is no desktop.
    #[error("no notification service answers on this desktop")]
    NoService {
        /// The technical text.
        details: String,
    },
    /// The other side could not be reached, or the connection broke.
    #[error("{service} could not be reached")]
    Unreachable {
        /// Who: `Telegram`, `the mail server smtp.example.com`.
        service: String,
        /// The technical text.
        details: String,
    },
    /// The other side did not answer in time.
    #[error("{service} did not answer within {} seconds", limit.as_secs())]
    Timeout {
        /// Who.
        service: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The other side has no time now: too many requests (429), a full queue, greylisting, or a fault of its own (5xx).
    #[error("{service} does not take it now")]
    Later {
        /// Who.
        service: String,
        /// How long it asks to wait, where it does.
        after: Option<Duration>,
        /// The technical text.
        details: String,
    },
    /// The other side does not let us in: a token that was revoked, a web hook that was deleted, a password that is wrong.
    #[error("{service} does not let Howdah in")]
    Denied {
        /// Who.
        service: String,
        /// What to do.
        hint: String,
        /// The technical text.
        details: String,
    },
    /// The other side refused the message, and will again.
    #[error("{service} refused the message")]
    Refused {
        /// Who.
        service: String,
        /// The technical text.
        details: String,
    },
    /// The certificate of the other side is not trusted.
    #[error("the certificate of {service} is not trusted")]
    Untrusted {
        /// Who.
        service: String,
        /// The certificate's SHA-256, in lower-case hex, where it was seen: what can be trusted on purpose.
        fingerprint: Option<String>,
        /// The technical text.
        details: String,
    },
    /// The channel is set up in a way that cannot work.
    #[error("{message}")]
    Misconfigured {
        /// What is wrong, as a sentence.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The caller cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// Whether the same attempt may succeed a little later, without anybody doing something.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::NoService { .. } | Self::Unreachable { .. } | Self::Timeout { .. } | Self::Later { .. }
        )
    }

    /// Whether the caller cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }

    /// How long the other side asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Later { after, .. } => *after,
            _ => None,
        }
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
            Self::Unreachable { service, details } => {
                Failure::new(FailureCode::Unreachable, format!("{} could not be reached.", capital(service)))
                    .hint("It is tried again for a week. Check the address, your network or the proxy.")
                    .details(details.clone())
            }
            Self::Timeout { service, limit } => Failure::new(
                FailureCode::Timeout,
                format!("{} did not answer within {} seconds.", capital(service), limit.as_secs()),
            )
            .hint("It is tried again for a day."),
            Self::Later { service, after, details } => {
                let message = match after {
                    Some(after) => format!(
                        "{} takes no message now, and asks to wait {} seconds.",
                        capital(service),
                        after.as_secs()
                    ),
                    None => format!("{} takes no message now.", capital(service)),
                };
                Failure::new(FailureCode::Busy, message)
                    .hint("It is tried again for a day.")
                    .details(details.clone())
            }
            Self::Denied { service, hint, details } => Failure::new(
                FailureCode::AuthenticationFailed,
                format!("{} does not let Howdah in.", capital(service)),
            )
            .hint(hint.clone())
            .details(details.clone()),
            Self::Refused { service, details } => Failure::new(
                FailureCode::InvalidInput,
                format!("{} refused the message.", capital(service)),
            )
            .details(details.clone()),
            Self::Untrusted {
                service,
                fingerprint,
                details,
            } => Failure::new(
                FailureCode::TlsUntrusted,
                format!("The certificate of {service} is not trusted."),
            )
            .hint(match fingerprint {
                Some(_) => "If the server signed it itself and you know that it is yours, trust this one certificate.",
                None => "Give the server a certificate of an authority that this machine trusts, or add its authority to this machine's.",
            })
            .details(details.clone()),
            Self::Misconfigured { message, hint } => {
                Failure::new(FailureCode::InvalidInput, message.clone()).hint(hint.clone())
            }
            Self::Cancelled => Failure::new(FailureCode::Cancelled, "It was cancelled."),
        }
    }
}

/// A sentence's beginning.
pub(crate) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}
