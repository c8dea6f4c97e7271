//! A server: where a PostgreSQL answers and how it is reached. Passwords are not part of it.

use std::net::SocketAddr;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::ServerId;
use crate::destination::SshTarget;

/// What a database is used for. Production is marked wherever something can change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum Environment {
    /// Real data of real people.
    Production,
    /// A rehearsal of production.
    Staging,
    /// A developer's own.
    Development,
    /// Not tagged.
    #[default]
    None,
}

/// How much of TLS is demanded; libpq's `sslmode` without `allow`
/// (PostgreSQL manual, "Protection Provided in Different Modes").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, TS)]
#[serde(rename_all = "kebab-case")]
#[ts(export)]
pub enum TlsMode {
    /// Never encrypted.
    Disable,
    /// Encrypted if the server offers it; nothing is verified.
    #[default]
    Prefer,
    /// Encrypted or not at all; nothing is verified, unless a CA file is given (then as verify-ca, as libpq has it).
    Require,
    /// Encrypted, and the certificate comes from a trusted authority.
    VerifyCa,
    /// As verify-ca, and the certificate names the host.
    VerifyFull,
}

impl TlsMode {
    /// libpq's word for it.
    pub fn as_libpq(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// TLS settings of a connection. Paths name PEM files on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct Tls {
    /// How much is demanded.
    #[serde(default)]
    pub mode: TlsMode,
    /// Authorities to trust instead of the system's (`sslrootcert`).
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The client's certificate (`sslcert`).
    #[serde(default)]
    pub certificate_file: Option<PathBuf>,
    /// The client certificate's key (`sslkey`), unencrypted.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
}

/// How to reach a database on a server, without its password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct Connection {
    /// A host name, an IPv4 or IPv6 address (no brackets), or the absolute path of a directory with a Unix socket.
    pub host: String,
    /// The TCP port, or the number in the socket's name.
    pub port: u16,
    /// The role to log in as.
    pub role: String,
    /// The database to connect to; when all of a server's databases are meant, the one from which they are listed.
    pub database: String,
    /// TLS settings.
    #[serde(default)]
    pub tls: Tls,
    /// The SSH server to go through, which then resolves and reaches the host; none is straight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub tunnel: Option<SshTarget>,
    /// Where the tunnel's near end listens while it is open. It is never stored; a connection with a tunnel and without this
    /// cannot be used.
    #[serde(skip)]
    #[ts(skip)]
    pub forwarded: Option<SocketAddr>,
}

impl Connection {
    /// PostgreSQL's registered port.
    pub const DEFAULT_PORT: u16 = 5432;

    /// Whether the host is a directory with a Unix socket, of this machine or of the tunnel's far side.
    pub fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    /// Whether it is reached without a network: the server is on this machine, or the SSH server that leads to it.
    pub fn is_local(&self) -> bool {
        let host = self.tunnel.as_ref().map_or(&self.host, |tunnel| &tunnel.host);
        host.starts_with('/')
            || host == "localhost"
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }

    /// The same server and role, another database.
    #[must_use]
    pub fn with_database(&self, database: impl Into<String>) -> Self {
        Self {
            database: database.into(),
            ..self.clone()
        }
    }

    /// `role@host:port/database`, for people; holds no secret.
    pub fn display(&self) -> String {
        let host = bracketed(&self.host);
        format!("{}@{host}:{}/{}", self.role, self.port, self.database)
    }

    /// What to call the server where nobody has named it: `db.example.com`, with the port where it is another than 5432, so
    /// that two servers on one host are two; `local` for a Unix socket.
    pub fn server_name(&self) -> String {
        let host = if self.is_socket() { "local" } else { &self.host };
        if self.port == Self::DEFAULT_PORT {
            host.to_owned()
        } else {
            format!("{}:{}", bracketed(host), self.port)
        }
    }
}

/// A host before a port: an IPv6 address stands in brackets.
fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// A PostgreSQL server that the user has added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct Server {
    /// Its id.
    pub id: ServerId,
    /// What the user calls it; unique among servers.
    pub name: String,
    /// How to reach it.
    pub connection: Connection,
    /// What it is used for.
    pub environment: Environment,
    /// When it was added.
    #[ts(type = "string")]
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::slug::slug;

    #[rstest]
    #[case("db.example.com", 5432, "db.example.com")]
    #[case("db.example.com", 5433, "db.example.com:5433")]
    #[case("::1", 5432, "::1")]
    #[case("::1", 5433, "[::1]:5433")]
    #[case("/run/postgresql", 5432, "local")]
    #[case("/run/postgresql", 5433, "local:5433")]
    fn a_server_without_a_name_is_called_by_its_host_and_an_unusual_port(
        #[case] host: &str,
        #[case] port: u16,
        #[case] expected: &str,
    ) {
        let connection = Connection {
            host: host.to_owned(),
            port,
            role: "u".to_owned(),
            database: "d".to_owned(),
            tls: Tls::default(),
            tunnel: None,
            forwarded: None,
        };
        assert_eq!(connection.server_name(), expected);
    }

    #[test]
    fn two_ports_of_one_host_have_folders_of_their_own() {
        assert_ne!(slug("db.example.com:5433"), slug("db.example.com:5434"));
        assert_ne!(slug("db.example.com:5433"), slug("db.example.com"));
    }
}
