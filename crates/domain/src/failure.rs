//! What went wrong, in the form that crosses to people: a stable code, what happened, what to do.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// The stable name of a failure. The window and scripts branch on this and on nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum FailureCode {
    // Reaching a server.
    /// What was typed or pasted is not a connection.
    InvalidConnection,
    /// The host name does not resolve.
    HostNotFound,
    /// Nothing listens there.
    ConnectionRefused,
    /// No route, or the network is down.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// What answers is not PostgreSQL.
    NotPostgres,
    /// TLS could not be agreed on, or the server has none where it is demanded.
    TlsUnavailable,
    /// The server's certificate is not from a trusted authority, has expired, or names another host.
    TlsUntrusted,
    /// The server demands TLS (or a client certificate) that was not offered.
    TlsRequired,
    /// Password missing.
    PasswordRequired,
    /// Password or other credentials rejected.
    AuthenticationFailed,
    /// pg_hba.conf has no line that lets this role in from here.
    NotAllowedByHba,
    /// No such role.
    RoleNotFound,
    /// No such database.
    DatabaseNotFound,
    /// All connection slots are taken.
    TooManyConnections,
    /// The server is starting up, shutting down or in recovery.
    ServerStarting,
    /// A pooler in transaction mode stands between, or one that refuses what pg_dump needs.
    PoolerUnsuitable,
    /// Older than 13 or newer than 18.
    UnsupportedVersion,
    /// The connection broke in the middle.
    ConnectionLost,
    /// The SSH tunnel to the server could not be made, or the SSH login was refused.
    TunnelFailed,
    /// The SSH tunnel to the server broke.
    TunnelLost,
    /// An SSH server shows a key that nobody has accepted yet.
    HostKeyUnknown,
    /// An SSH server shows another key than the one that was accepted.
    HostKeyChanged,
    // Doing the work.
    /// The role lacks a right.
    PermissionDenied,
    /// Row-level security would hide rows from the dump.
    RowSecurity,
    /// A lock was not to be had in time.
    LockTimeout,
    /// pg_dump wrote nothing for too long.
    Stalled,
    /// A PostgreSQL program ended with an error that has no code of its own.
    ProgramFailed,
    /// A PostgreSQL program was killed by a signal.
    ProgramKilled,
    /// A bundled PostgreSQL program is not there or does not run.
    ProgramMissing,
    /// The dump ended before its end.
    DumpTruncated,
    /// The dump is not what the scanner understands.
    DumpMalformed,
    /// A restore ended with errors.
    RestoreFailed,
    /// The target database exists already.
    DatabaseExists,
    /// Fingerprints differ.
    NotEqual,
    // Storing it.
    /// No space left.
    DiskFull,
    /// The destination's folder is not there.
    DestinationMissing,
    /// The destination cannot be written.
    DestinationReadOnly,
    /// The destination does not accept the password or key.
    DestinationDenied,
    /// The destination cannot be reached, or has no time now.
    DestinationUnreachable,
    /// A sign-in in the browser is needed.
    SignInNeeded,
    /// The destination gave some other error.
    DestinationFailed,
    /// A backup's file is missing, truncated or altered.
    BackupDamaged,
    /// The folder is not a backup, or is one of a newer format.
    BackupUnreadable,
    /// No such backup.
    BackupNotFound,
    /// The backup is encrypted, and no key that opens it is at hand.
    KeyMissing,
    /// The key or passphrase given does not open the backup.
    KeyWrong,
    // This machine.
    /// The keyring is locked.
    KeyringLocked,
    /// There is no keyring.
    KeyringAbsent,
    /// Howdah's data directory cannot be used.
    DataDirUnusable,
    /// The data directory was written by a newer Howdah.
    DataDirNewer,
    /// Another Howdah holds what this one needs.
    Busy,
    /// What was asked for is not there (any more).
    NotFound,
    /// What was asked for makes no sense.
    InvalidInput,
    /// The user cancelled.
    Cancelled,
    /// Howdah ended in the middle.
    Interrupted,
    /// A fault of ours.
    Internal,
}

impl FailureCode {
    /// Whether the same attempt may succeed a little later without anybody doing something.
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::HostNotFound
                | Self::ConnectionRefused
                | Self::Unreachable
                | Self::Timeout
                | Self::TooManyConnections
                | Self::ServerStarting
                | Self::ConnectionLost
                | Self::TunnelLost
                | Self::DestinationUnreachable
                | Self::LockTimeout
                | Self::Stalled
                | Self::ProgramKilled
        )
    }
}

/// A failure as people and scripts see it. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS, thiserror::Error)]
#[error("{message}")]
#[ts(export)]
pub struct Failure {
    /// Its stable code.
    pub code: FailureCode,
    /// What happened, and why, in a sentence.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The technical text: a server's or program's own words.
    pub details: Option<String>,
}

impl Failure {
    /// The failure that an error of a reader or writer carries, where whoever made that error knew more than the system's word for it.
    pub fn inside(error: &std::io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// A failure with a message alone.
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
            details: None,
        }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what else is to be known, after the hint that is there.
    #[must_use]
    pub fn and_hint(mut self, more: impl Into<String>) -> Self {
        let more = more.into();
        self.hint = Some(match self.hint.take() {
            Some(hint) => format!("{hint} {more}"),
            None => more,
        });
        self
    }

    /// Adds the technical text.
    #[must_use]
    pub fn details(mut self, details: impl Into<String>) -> Self {
        self.details = Some(details.into());
        self
    }

    /// Whether the user ended it.
    pub fn is_cancelled(&self) -> bool {
        self.code == FailureCode::Cancelled
    }

    /// Whether trying again a little later may help.
    pub fn is_retryable(&self) -> bool {
        self.code.is_retryable()
    }
}
