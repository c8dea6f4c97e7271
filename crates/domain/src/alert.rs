//! What people may want to hear of: its kinds, and how grave each is. Who hears of what is in [`crate::routing`].

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// How grave it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Worth a look soon.
    Warning,
    /// Somebody is needed now. It is told within quiet hours too.
    Critical,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum AlertKind {
    /// A backup began. For a dead man's switch alone.
    BackupStarted,
    /// A backup succeeded.
    BackupSucceeded,
    /// Backups of a database fail.
    BackupFailed,
    /// No good backup within the plan's period and a half.
    BackupOverdue,
    /// A backup is far smaller, or has far fewer rows, than those before it.
    BackupShrunk,
    /// A restore succeeded.
    RestoreSucceeded,
    /// A restore failed.
    RestoreFailed,
    /// A drill found that a backup does not come back as it was dumped, or could not be made.
    DrillFailed,
    /// No backup of a database was proved for 90 days.
    Unproved,
    /// A copy is damaged or missing, and there is none to repair it from.
    CopyLost,
    /// A copy is owed and could not be made for a day.
    CopyOwed,
    /// A destination could not be used when it was last looked at.
    DestinationUnreachable,
    /// A destination is full.
    DestinationFull,
    /// A sign-in is about to expire, or has.
    SignInExpiring,
    /// A database does not answer.
    DatabaseDown,
    /// It answers again.
    DatabaseRecovered,
    /// A database answers, and takes longer than it may.
    DatabaseSlow,
    /// A server's certificate is about to expire, or has.
    CertificateExpiring,
    /// More than nine tenths of a server's connections are taken.
    ConnectionsHigh,
    /// A database's transaction ids run out (PostgreSQL manual, "Preventing Transaction ID Wraparound Failures").
    TransactionIdsLow,
    /// This machine's disk is nearly full.
    DiskLow,
    /// A database is new on its server, and is backed up from now on.
    DatabaseJoined,
    /// A database is no longer on its server.
    DatabaseVanished,
    /// What happened lately, as a whole.
    Summary,
    /// Somebody pressed *Send a test*.
    Test,
}

impl AlertKind {
    /// Every kind that an alert may be of, in the order in which people choose among them.
    pub const CHOICE: [Self; 23] = [
        Self::BackupFailed,
        Self::BackupOverdue,
        Self::BackupShrunk,
        Self::BackupSucceeded,
        Self::BackupStarted,
        Self::DrillFailed,
        Self::Unproved,
        Self::RestoreFailed,
        Self::RestoreSucceeded,
        Self::CopyLost,
        Self::CopyOwed,
        Self::DestinationUnreachable,
        Self::DestinationFull,
        Self::SignInExpiring,
        Self::DatabaseDown,
        Self::DatabaseRecovered,
        Self::DatabaseSlow,
        Self::DatabaseVanished,
        Self::DatabaseJoined,
        Self::ConnectionsHigh,
        Self::TransactionIdsLow,
        Self::CertificateExpiring,
        Self::DiskLow,
    ];

    /// How grave it is.
    pub fn severity(self) -> Severity {
        match self {
            Self::BackupFailed
            | Self::BackupOverdue
            | Self::CopyLost
            | Self::DatabaseDown
            | Self::DrillFailed
            | Self::TransactionIdsLow => Severity::Critical,
            Self::BackupShrunk
            | Self::RestoreFailed
            | Self::Unproved
            | Self::CopyOwed
            | Self::DestinationUnreachable
            | Self::DestinationFull
            | Self::SignInExpiring
            | Self::DatabaseSlow
            | Self::CertificateExpiring
            | Self::ConnectionsHigh
            | Self::DiskLow
            | Self::DatabaseVanished => Severity::Warning,
            Self::BackupStarted
            | Self::BackupSucceeded
            | Self::RestoreSucceeded
            | Self::DatabaseRecovered
            | Self::DatabaseJoined
            | Self::Summary
            | Self::Test => Severity::Info,
        }
    }

    /// Whether it is good news.
    pub fn is_good(self) -> bool {
        matches!(
            self,
            Self::BackupSucceeded | Self::RestoreSucceeded | Self::DatabaseRecovered | Self::DatabaseJoined
        )
    }

    /// What this is the end of: it is as welcome as that was not.
    pub fn ends(self) -> Option<Self> {
        match self {
            Self::DatabaseRecovered => Some(Self::DatabaseDown),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_but_those_that_nobody_chooses_is_in_the_choice() {
        let mut kinds = AlertKind::CHOICE.to_vec();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), AlertKind::CHOICE.len());
        assert!(!kinds.contains(&AlertKind::Summary) && !kinds.contains(&AlertKind::Test));
    }
}
