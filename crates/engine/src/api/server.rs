//! Servers, and the test of a connection.

use howdah_domain::destination::SshTarget;
use howdah_domain::{Connection, Environment, Secret, Selection, ServerId};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// A server.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct ServerView {
    /// Its id.
    pub id: ServerId,
    /// What the user calls it.
    pub name: String,
    /// How it is reached.
    pub connection: Connection,
    /// What it is used for.
    pub environment: Environment,
    /// Whether the keyring is said to hold a password for it.
    pub has_password: bool,
    /// Whether the keyring is said to hold what opens its SSH tunnel.
    pub has_ssh_secret: bool,
}

/// A change to a server. Absent fields stay.
#[derive(Debug, Clone, Default, Deserialize, TS)]
#[ts(export)]
pub struct ServerChange {
    /// Its name.
    #[ts(optional)]
    pub name: Option<String>,
    /// How it is reached.
    #[ts(optional)]
    pub connection: Option<Connection>,
    /// A new password; the empty text removes the old one.
    #[ts(type = "string", optional)]
    pub password: Option<Secret>,
    /// A new passphrase or password of the SSH login; the empty text removes the old one.
    #[ts(type = "string", optional)]
    pub ssh_secret: Option<Secret>,
    /// What it is used for.
    #[ts(optional)]
    pub environment: Option<Environment>,
}

/// What was understood of a pasted connection.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct ParsedConnection {
    /// The connection, with defaults where the text is silent.
    pub connection: Connection,
    /// Whether the text held a password. It is handed back by no command: the form sends the text again.
    pub has_password: bool,
    /// What was left aside or is unwise, as sentences.
    pub warnings: Vec<String>,
}

/// What to test: a pasted text or a form, or a server known already.
#[derive(Debug, Clone, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
#[ts(export)]
pub enum ConnectionInput {
    /// A pasted text; may hold the password.
    Text {
        /// The text.
        #[ts(type = "string")]
        text: Secret,
        /// A password typed beside it.
        #[ts(type = "string | null")]
        password: Option<Secret>,
        /// The SSH server to go through, chosen beside it.
        #[serde(default)]
        #[ts(optional)]
        tunnel: Option<SshTarget>,
        /// The passphrase or password of the SSH login.
        #[serde(default)]
        #[ts(type = "string", optional)]
        ssh_secret: Option<Secret>,
    },
    /// A filled form.
    Form {
        /// The connection.
        connection: Connection,
        /// The password typed.
        #[ts(type = "string | null")]
        password: Option<Secret>,
        /// The passphrase or password of the SSH login, where the connection has a tunnel.
        #[serde(default)]
        #[ts(type = "string", optional)]
        ssh_secret: Option<Secret>,
    },
    /// A server known already, with the password in the keyring.
    Server {
        /// Its id.
        id: ServerId,
    },
}

/// A test of a connection.
#[derive(Debug, Clone, Deserialize, TS)]
#[ts(export)]
pub struct TestRequest {
    /// The caller's name for this test, sent with each of its events.
    pub test_id: String,
    /// What to test.
    pub input: ConnectionInput,
    /// What of the database the plan would take.
    #[serde(default)]
    pub selection: Selection,
}
