//! A mail server on 127.0.0.1, on Nodemailer's `smtp-server`: it has STARTTLS, TLS from the first byte, PLAIN, LOGIN and XOAUTH2 of
//! its own, so that what is tested speaks to code that mail programs speak to. It keeps every mail as it came, and misbehaves
//! as it is told.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use crate::certificates::Certificates;
use crate::tools::{Server, tool};

/// The user that may log in.
pub const USER: &str = "howdah@example.com";
/// The user's password.
pub const PASSWORD: &str = "corréct h0rse <battery>";
/// The user's access token, for XOAUTH2.
pub const TOKEN: &str = "ya29.c0ffee-and-cake_12345";

const PROGRAM: &str = include_str!("mail.js");

/// A place in the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Before the server's first word.
    Greeting,
    /// At the login.
    Login,
    /// At `MAIL FROM`.
    Sender,
    /// At `RCPT TO`.
    Recipient,
    /// After the mail, before it is said to be taken.
    Data,
}

impl Stage {
    fn as_str(self) -> &'static str {
        match self {
            Self::Greeting => "greeting",
            Self::Login => "login",
            Self::Sender => "sender",
            Self::Recipient => "recipient",
            Self::Data => "data",
        }
    }
}

/// A mail that the server took.
#[derive(Debug, Clone)]
pub struct Mail {
    /// It, as it came.
    pub raw: Vec<u8>,
    /// Who sent it, by the envelope.
    pub from: String,
    /// Who gets it, by the envelope.
    pub to: Vec<String>,
    /// Whether it came by TLS.
    pub encrypted: bool,
    /// How the sender logged in.
    pub method: Option<String>,
    /// What the sender called its machine.
    pub hello: String,
}

/// How the server is to be.
#[derive(Debug, Clone, Default)]
pub struct MailServerBuilder {
    told: Map<String, Value>,
    recipients: Map<String, Value>,
}

impl MailServerBuilder {
    fn set(mut self, name: &str, value: Value) -> Self {
        self.told.insert(name.to_owned(), value);
        self
    }

    /// With this certificate. Without, STARTTLS is offered with one of the library's own.
    #[must_use]
    pub fn certificate(self, certificates: &Certificates) -> Self {
        self.set("certificate", json!(certificates.server_certificate))
            .set("key", json!(certificates.server_key))
    }

    /// TLS from the first byte.
    #[must_use]
    pub fn implicit_tls(self) -> Self {
        self.set("implicit", json!(true))
    }

    /// No STARTTLS.
    #[must_use]
    pub fn without_starttls(self) -> Self {
        self.set("hideStarttls", json!(true))
    }

    /// No SMTPUTF8.
    #[must_use]
    pub fn without_utf8(self) -> Self {
        self.set("hideUtf8", json!(true))
    }

    /// A login as [`USER`] is demanded, by these mechanisms (`PLAIN`, `LOGIN`, `XOAUTH2`, `CRAM-MD5`).
    #[must_use]
    pub fn login(self, methods: &[&str]) -> Self {
        self.set("login", json!(true))
            .set("methods", json!(methods))
            .set("user", json!(USER))
            .set("password", json!(PASSWORD))
            .set("token", json!(TOKEN))
    }

    /// Every login is refused.
    #[must_use]
    pub fn refuse_login(self, code: u16, text: &str) -> Self {
        self.set("refuseLogin", json!({"code": code, "text": text}))
    }

    /// Every login is refused, with everything that the client said.
    #[must_use]
    pub fn echo_login(self) -> Self {
        self.set("echo", json!(true))
    }

    /// Every sender is refused.
    #[must_use]
    pub fn refuse_sender(self, code: u16, text: &str) -> Self {
        self.set("refuseSender", json!({"code": code, "text": text}))
    }

    /// Every mail is refused once it is there.
    #[must_use]
    pub fn refuse_data(self, code: u16, text: &str) -> Self {
        self.set("refuseData", json!({"code": code, "text": text}))
    }

    /// This recipient is refused.
    #[must_use]
    pub fn refuse(mut self, recipient: &str, code: u16, text: &str) -> Self {
        self.recipients
            .insert(recipient.to_owned(), json!({"code": code, "text": text}));
        self
    }

    /// This recipient is refused once, with 450, and taken from then on.
    #[must_use]
    pub fn greylist(mut self, recipient: &str) -> Self {
        self.recipients.insert(
            recipient.to_owned(),
            json!({"code": 450, "text": "greylisted", "times": 1}),
        );
        self
    }

    /// It says 421 instead of a greeting.
    #[must_use]
    pub fn busy(self) -> Self {
        self.set("busy", json!(true))
    }

    /// It falls silent there.
    #[must_use]
    pub fn hang_at(self, stage: Stage) -> Self {
        self.set("hangAt", json!(stage.as_str()))
    }

    /// It closes the connection there, without a word.
    #[must_use]
    pub fn close_at(self, stage: Stage) -> Self {
        self.set("closeAt", json!(stage.as_str()))
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(self) -> anyhow::Result<MailServer> {
        let Self { mut told, recipients } = self;
        told.insert("recipients".to_owned(), Value::Object(recipients));
        let modules = tool("mail/node_modules")?;
        let server = Server::start(Path::new("node"), |command, port, folder| {
            told.insert("port".to_owned(), json!(port));
            let program = folder.join("mail.cjs");
            fs::write(&program, PROGRAM)?;
            command
                .arg(program)
                .arg(Value::Object(told).to_string())
                .env("NODE_PATH", modules);
            Ok(())
        })?;
        Ok(MailServer { server })
    }
}

/// A running mail server; dropping it ends it, and what it kept.
#[derive(Debug)]
pub struct MailServer {
    server: Server,
}

impl MailServer {
    /// One that takes everything from everybody, until it is told otherwise.
    pub fn builder() -> MailServerBuilder {
        MailServerBuilder::default()
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// What it took so far, in order.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn mails(&self) -> anyhow::Result<Vec<Mail>> {
        let mut envelopes = Vec::new();
        for entry in fs::read_dir(self.server.folder().join("mails"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                envelopes.push(path);
            }
        }
        envelopes.sort();
        envelopes.iter().map(|envelope| read(envelope)).collect()
    }

    /// What it wrote so far: every command and answer.
    pub fn log(&self) -> String {
        self.server.log()
    }
}

fn read(envelope: &Path) -> anyhow::Result<Mail> {
    let raw = fs::read(envelope.with_extension("eml"))?;
    let envelope: Value = serde_json::from_slice(&fs::read(envelope)?)?;
    let text = |name: &str| envelope[name].as_str().map(str::to_owned);
    Ok(Mail {
        raw,
        from: text("from").context("an envelope without a sender")?,
        to: envelope["to"]
            .as_array()
            .context("an envelope without recipients")?
            .iter()
            .filter_map(|address| address.as_str().map(str::to_owned))
            .collect(),
        encrypted: envelope["encrypted"].as_bool().unwrap_or(false),
        method: text("method"),
        hello: text("hello").unwrap_or_default(),
    })
}
