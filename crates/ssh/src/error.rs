//! What can go wrong on the way through SSH, and how it is told.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use howdah_domain::{Failure, FailureCode};

/// The key that an SSH server shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKey {
    /// The host, with its port where that is not 22, as `known_hosts` writes it.
    pub host: String,
    /// The key's kind: `ssh-ed25519`.
    pub algorithm: String,
    /// `SHA256:…`, as ssh shows it.
    pub fingerprint: String,
    /// The key as `known_hosts` holds it: kind and base64.
    pub line: String,
}

impl HostKey {
    /// The line of a `known_hosts` file that accepts the key.
    pub fn known_hosts_line(&self) -> String {
        format!("{} {}", self.host, self.line)
    }

    /// The failure as people see it where nobody has accepted the key yet. Its details are [`HostKey::known_hosts_line`].
    pub fn unknown(&self) -> Failure {
        Failure::new(
            FailureCode::HostKeyUnknown,
            format!(
                "{} shows a key that nobody has accepted yet: {} {}.",
                self.host, self.algorithm, self.fingerprint
            ),
        )
        .hint("Compare the fingerprint with the server's own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then accept it.")
        .details(self.known_hosts_line())
    }

    /// The failure as people see it where another key was accepted; `known_in` is the file, and the line in it, that holds
    /// that one.
    pub fn changed(&self, known_in: &str) -> Failure {
        Failure::new(
            FailureCode::HostKeyChanged,
            format!(
                "{} shows another key than before: {} {}. Somebody may stand between, so Howdah does not connect.",
                self.host, self.algorithm, self.fingerprint
            ),
        )
        .hint(format!("If the server was set up anew, remove its old key ({known_in}) and test again."))
        .details(&self.line)
    }

    /// The failure as people see it where the key was revoked; `known_in` is the file, and the line in it, that says so.
    pub fn revoked(&self, known_in: &str) -> Failure {
        Failure::new(
            FailureCode::HostKeyChanged,
            format!(
                "{} shows a key that was revoked: {} {}. Howdah does not connect.",
                self.host, self.algorithm, self.fingerprint
            ),
        )
        .hint(format!(
            "The key is revoked in {known_in}. Give the server a new one."
        ))
        .details(&self.line)
    }
}

/// An error of SSH. Holds no secret. It can be cloned, because everything that used a session wants to hear how it ended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// What is configured cannot work, here or in `~/.ssh/config`.
    #[error("{why}")]
    Misconfigured {
        /// What is wrong, and what would be right, in sentences.
        why: String,
    },
    /// The host's name does not resolve.
    #[error("the name {host} does not resolve: {source}")]
    HostNotFound {
        /// The host.
        host: String,
        /// The system's words.
        source: Arc<io::Error>,
    },
    /// No connection to the host: nobody listens, no route.
    #[error("{host} cannot be reached: {source}")]
    Unreachable {
        /// The host, with its port.
        host: String,
        /// The system's words.
        source: Arc<io::Error>,
    },
    /// The host did not answer in time.
    #[error("{host} did not answer within {} s", after.as_secs_f32())]
    Timeout {
        /// The host, with its port.
        host: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// What answers is not an SSH server, or one that nothing can be agreed on with.
    #[error("{host} is no SSH server that Howdah can talk to: {why}")]
    Protocol {
        /// The host, with its port.
        host: String,
        /// In the library's words.
        why: String,
    },
    /// A server whose key nobody has accepted yet.
    #[error("the key of {} is not known: {}", key.host, key.fingerprint)]
    UnknownHostKey {
        /// The key, for the user to accept.
        key: HostKey,
    },
    /// A server that shows another key than the one that was accepted.
    #[error("{} shows another key than the one that was accepted: {}", key.host, key.fingerprint)]
    ChangedHostKey {
        /// The key it shows.
        key: HostKey,
        /// The file, and the line in it, that holds the other one: `/home/ada/.ssh/known_hosts line 7`.
        known_in: String,
    },
    /// A server that shows a key that was revoked.
    #[error("the key of {} was revoked: {}", key.host, key.fingerprint)]
    RevokedHostKey {
        /// The key it shows.
        key: HostKey,
        /// The file, and the line in it, that revokes it.
        known_in: String,
    },
    /// A private key's file cannot be used.
    #[error("the key {} cannot be used: {why}", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// Why.
        why: String,
        /// Whether (another) passphrase would help.
        passphrase: bool,
    },
    /// The agent cannot be asked.
    #[error("the SSH agent cannot be used: {why}")]
    Agent {
        /// Why.
        why: String,
    },
    /// The server did not let us in.
    #[error("{host} does not let {user} in: {tried}")]
    Denied {
        /// The host, with its port.
        host: String,
        /// The user we said we were.
        user: String,
        /// What was tried, and what the server would take, in words.
        tried: String,
    },
    /// The server let us in, and does not do what we asked for: forward a connection, start SFTP.
    #[error("{host} did not {what}: {why}")]
    Refused {
        /// The SSH server, with its port.
        host: String,
        /// What was asked for: `connect to db:5432`.
        what: String,
        /// Why, in words.
        why: String,
        /// Whether it did try and only met nobody there, so that it may go better later.
        nobody_there: bool,
    },
    /// The session ended in the middle.
    #[error("the connection to {host} broke: {why}")]
    Lost {
        /// The host, with its port.
        host: String,
        /// How.
        why: String,
    },
    /// A file of this machine cannot be read or written.
    #[error("{what} {} failed: {source}", path.display())]
    Io {
        /// What was tried: `reading`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: Arc<io::Error>,
    },
    /// The caller cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    pub(crate) fn misconfigured(why: impl Into<String>) -> Self {
        Self::Misconfigured { why: why.into() }
    }

    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io {
            what,
            path: path.into(),
            source: Arc::new(source),
        }
    }

    /// Whether the same attempt may succeed a little later without anybody doing something.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::HostNotFound { .. }
            | Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::Lost { .. } => true,
            Self::Refused { nobody_there, .. } => *nobody_there,
            _ => false,
        }
    }

    /// Whether the caller cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }

    /// The failure as people see it, where the session is the way to a server.
    pub fn to_failure(&self) -> Failure {
        use FailureCode as Code;
        match self {
            Self::Misconfigured { why } => Failure::new(Code::TunnelFailed, why),
            Self::HostNotFound { host, source } => Failure::new(
                Code::HostNotFound,
                format!("Howdah could not reach the SSH server {host}: the name does not resolve."),
            )
            .hint("Check the host name or alias, your network, or your VPN.")
            .details(source.to_string()),
            Self::Unreachable { host, source } => {
                let (code, why) = match source.kind() {
                    io::ErrorKind::ConnectionRefused => (
                        Code::ConnectionRefused,
                        "nothing listens there, or a firewall turns it away",
                    ),
                    _ => (
                        Code::Unreachable,
                        "there is no way to it from this machine's network",
                    ),
                };
                Failure::new(
                    code,
                    format!("Howdah could not reach the SSH server {host}: {why}."),
                )
                .hint("Check its address and port, your network, and your VPN.")
                .details(source.to_string())
            }
            Self::Timeout { host, .. } => Failure::new(
                Code::Timeout,
                format!("The SSH server {host} did not answer in time."),
            )
            .hint("Check its address and port, your VPN, and whether a firewall lets this machine in.")
            .details(self.to_string()),
            Self::Protocol { host, why } => Failure::new(
                Code::TunnelFailed,
                format!("{host} is not an SSH server that Howdah can talk to."),
            )
            .hint("Check the port; SSH usually listens on 22.")
            .details(why),
            Self::UnknownHostKey { key } => key.unknown(),
            Self::ChangedHostKey { key, known_in } => key.changed(known_in),
            Self::RevokedHostKey { key, known_in } => key.revoked(known_in),
            Self::Key {
                file,
                why,
                passphrase,
            } => {
                let hint = if *passphrase {
                    "Enter the key's passphrase as the secret of this SSH login, or load the key into the agent (ssh-add)."
                } else {
                    "Choose a private key in OpenSSH, PKCS #8, PKCS #1 or SEC1 form that this user may read."
                };
                Failure::new(
                    Code::TunnelFailed,
                    format!("The SSH key {} cannot be used: {why}.", file.display()),
                )
                .hint(hint)
            }
            Self::Agent { why } => Failure::new(
                Code::TunnelFailed,
                format!("The SSH agent cannot be used: {why}."),
            )
            .hint("Start the agent and load the key (ssh-add), or choose a key file."),
            Self::Denied { host, user, tried } => Failure::new(
                Code::TunnelFailed,
                format!("The SSH server {host} does not let {user} in."),
            )
            .hint(
                "Check the user, and that its authorized_keys holds your key, or that the password is right.",
            )
            .details(tried),
            Self::Refused {
                host,
                what,
                why,
                nobody_there,
            } => {
                let code = if *nobody_there {
                    Code::ConnectionRefused
                } else {
                    Code::TunnelFailed
                };
                Failure::new(code, format!("The SSH server {host} let Howdah in, but did not {what}: {why}."))
                    .hint(if *nobody_there {
                        "Host and port are as the SSH server sees them: check that PostgreSQL listens there (localhost is the SSH server itself)."
                    } else {
                        "Check AllowTcpForwarding, AllowStreamLocalForwarding and PermitOpen in the server's sshd_config."
                    })
            }
            Self::Lost { host, why } => {
                Failure::new(Code::TunnelLost, format!("The SSH connection to {host} broke."))
                    .hint("Howdah tries again. If it lasts, check the network and the server's log.")
                    .details(why)
            }
            Self::Io { what, path, source } => Failure::new(
                Code::TunnelFailed,
                format!("{} {} failed: {source}.", capitalised(what), path.display()),
            )
            .hint("Check the file and its permissions."),
            Self::Cancelled => Failure::new(Code::Cancelled, "Cancelled."),
        }
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// What the library's session task ends with; the host is filled in by who waits for it.
impl From<russh::Error> for Error {
    fn from(error: russh::Error) -> Self {
        Self::of_session("", &error)
    }
}

impl Error {
    /// An error of a session or its beginning, by the library's own.
    pub(crate) fn of_session(host: &str, error: &russh::Error) -> Self {
        use russh::Error as Library;
        let why = match error {
            Library::HUP | Library::Disconnect | Library::SendError | Library::RecvError => {
                "the server closed it".to_owned()
            }
            Library::KeepaliveTimeout => "the server no longer answers".to_owned(),
            other => other.to_string(),
        };
        match error {
            Library::IO(_)
            | Library::HUP
            | Library::Disconnect
            | Library::SendError
            | Library::RecvError
            | Library::KeepaliveTimeout
            | Library::ConnectionTimeout
            | Library::InactivityTimeout
            | Library::Join(_) => Self::Lost {
                host: host.to_owned(),
                why,
            },
            _ => Self::Protocol {
                host: host.to_owned(),
                why,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_heal_by_itself_has_a_code_that_says_so() {
        let io = || Arc::new(io::Error::from(io::ErrorKind::NetworkUnreachable));
        let errors = [
            Error::HostNotFound {
                host: "h".into(),
                source: io(),
            },
            Error::Unreachable {
                host: "h".into(),
                source: io(),
            },
            Error::Timeout {
                host: "h".into(),
                after: Duration::from_secs(1),
            },
            Error::Lost {
                host: "h".into(),
                why: "x".into(),
            },
            Error::misconfigured("x"),
            Error::Denied {
                host: "h".into(),
                user: "u".into(),
                tried: "x".into(),
            },
            Error::Refused {
                host: "h".into(),
                what: "x".into(),
                why: "y".into(),
                nobody_there: true,
            },
            Error::Refused {
                host: "h".into(),
                what: "x".into(),
                why: "y".into(),
                nobody_there: false,
            },
            Error::Cancelled,
        ];
        for error in errors {
            assert_eq!(
                error.is_retryable(),
                error.to_failure().is_retryable(),
                "{error:?}"
            );
            assert_eq!(
                error.is_cancelled(),
                error.to_failure().is_cancelled(),
                "{error:?}"
            );
        }
    }
}
