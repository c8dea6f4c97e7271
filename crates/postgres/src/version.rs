//! A server's version, and whether it is one that Howdah can back up.

use std::fmt;

use howdah_domain::{Failure, FailureCode};
use serde::Serialize;

/// A server's version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ServerVersion {
    /// `16` for 16.4; `9` for 9.6.24.
    pub major: u16,
    /// As the server gives it, without what a distributor adds: `16.4`, `19beta1`.
    pub text: String,
}

impl ServerVersion {
    /// The oldest major that can be backed up.
    pub const OLDEST: u16 = 13;
    /// The newest major that can be backed up.
    pub const NEWEST: u16 = 18;

    /// Reads what the server reports as `server_version`: `16.4 (Debian 16.4-1.pgdg120+1)`.
    pub fn parse(report: &str) -> Option<Self> {
        let text = report.split_whitespace().next()?;
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let major = text.get(..digits)?.parse().ok()?;
        Some(Self {
            major,
            text: text.to_owned(),
        })
    }

    /// Whether Howdah has client programs that can dump it.
    pub fn is_supported(&self) -> bool {
        (Self::OLDEST..=Self::NEWEST).contains(&self.major)
    }

    /// Why a server of this version cannot be backed up; none if it can.
    pub fn unsupported(&self) -> Option<Failure> {
        if self.is_supported() {
            return None;
        }
        let hint = if self.major < Self::OLDEST {
            "PostgreSQL this old gets no security fixes any more: upgrade the server."
        } else {
            "Howdah is older than this server: look for a newer Howdah."
        };
        Some(
            Failure::new(
                FailureCode::UnsupportedVersion,
                format!(
                    "The server is PostgreSQL {}; Howdah backs up PostgreSQL {} to {}.",
                    self.text,
                    Self::OLDEST,
                    Self::NEWEST
                ),
            )
            .hint(hint),
        )
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
