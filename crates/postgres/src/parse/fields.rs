//! The parameters that a text gives, by libpq's names, whatever form they came in; and what is made of them.

use std::path::PathBuf;

use howdah_domain::{Connection, Secret, Tls, TlsMode};

use super::{Defaults, FORMS, Parsed, invalid};
use crate::Error;

/// Parameters as given; nothing is checked before [`Fields::finish`]. No `Debug`: a text that was cut in the wrong place
/// may have left a part of its password in any of them.
#[derive(Default)]
pub(crate) struct Fields {
    host: Option<String>,
    hostaddr: Option<String>,
    port: Option<String>,
    user: Option<String>,
    password: Option<Secret>,
    dbname: Option<String>,
    sslmode: Option<String>,
    sslrootcert: Option<String>,
    sslcert: Option<String>,
    sslkey: Option<String>,
    warnings: Vec<String>,
    unknown: usize,
}

/// What happens to a known parameter that [`Connection`] has no place for.
enum Aside {
    /// Howdah sets it itself, or it makes no difference to a backup.
    Silently,
    /// It is told.
    Told(&'static str),
}

/// Parameters of libpq (PostgreSQL manual, "Parameter Key Words") and of common drivers.
fn aside(name: &str) -> Option<Aside> {
    Some(match name {
        "connect_timeout"
        | "application_name"
        | "fallback_application_name"
        | "client_encoding"
        | "keepalives"
        | "keepalives_idle"
        | "keepalives_interval"
        | "keepalives_count"
        | "tcp_user_timeout"
        | "gssencmode"
        | "krbsrvname"
        | "gsslib"
        | "sslcompression"
        | "sslsni"
        | "ssl_min_protocol_version"
        | "ssl_max_protocol_version"
        | "sslnegotiation"
        | "load_balance_hosts"
        | "tty"
        | "connection_limit"
        | "pool_timeout"
        | "statement_cache_size"
        | "prepared_statements"
        | "preparethreshold"
        | "logintimeout"
        | "connecttimeout"
        | "sockettimeout"
        | "applicationname"
        | "pooling"
        | "timeout"
        | "commandtimeout"
        | "sslpassword_prompt"
        | "max_protocol_version"
        | "min_protocol_version"
        | "socket_timeout"
        | "supa"
        | "uselibpqcompat" => Aside::Silently,
        "channel_binding" => {
            Aside::Told("channel_binding was left aside: it is used wherever the server offers it.")
        }
        "options" => {
            Aside::Told("options was left aside: a backup sets what it needs, and poolers refuse it.")
        }
        "target_session_attrs" => Aside::Told(
            "target_session_attrs was left aside: the backup is taken from the server that is named first.",
        ),
        "service" | "servicefile" => Aside::Told(
            "service was left aside: Howdah does not read pg_service.conf. Fill in what it stands for.",
        ),
        "passfile" => Aside::Told("passfile was left aside: enter the password instead."),
        "sslpassword" => Aside::Told("sslpassword was left aside: the client key must be unencrypted."),
        "sslcrl" | "sslcrldir" => Aside::Told("Certificate revocation lists were left aside."),
        "sslcertmode" => Aside::Told("sslcertmode was left aside."),
        "requirepeer" => Aside::Told("requirepeer was left aside."),
        "require_auth" => Aside::Told("require_auth was left aside."),
        "gssdelegation" => Aside::Told("gssdelegation was left aside."),
        "replication" => Aside::Told("replication was left aside: a backup uses an ordinary session."),
        "pgbouncer" => Aside::Told(
            "This is the address of a connection pooler; a backup needs a direct connection or a pool in session mode.",
        ),
        "schema" | "currentschema" | "search_path" | "searchpath" => {
            Aside::Told("The schema was left aside: choose schemas in the plan.")
        }
        "sslaccept" => Aside::Told("sslaccept was left aside: choose the TLS mode instead."),
        "trustservercertificate" => Aside::Told(
            "Trust Server Certificate was left aside: TLS modes prefer and require do not verify.",
        ),
        _ => return None,
    })
}

impl Fields {
    /// Takes a parameter in. Later ones win, as in libpq. The name's case does not matter.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        let name = name.to_ascii_lowercase();
        let given = || Some(value.to_owned());
        match name.as_str() {
            "host" => self.host = given(),
            "hostaddr" => self.hostaddr = given(),
            "port" => self.port = given(),
            "user" => self.user = given(),
            "password" => self.set_password(value),
            "dbname" => self.dbname = given(),
            "sslmode" => self.sslmode = given(),
            "sslrootcert" => self.sslrootcert = given(),
            "sslcert" => self.sslcert = given(),
            "sslkey" => self.sslkey = given(),
            // "for JDBC's sake", and requiressl of old.
            "ssl" | "requiressl" => {
                if matches!(
                    value.to_ascii_lowercase().as_str(),
                    "true" | "1" | "on" | "require"
                ) && self.sslmode.is_none()
                {
                    self.sslmode = Some("require".to_owned());
                }
            }
            name => match aside(name) {
                Some(Aside::Silently) => {}
                Some(Aside::Told(sentence)) => self.warn(sentence),
                None => self.unknown += 1,
            },
        }
    }

    pub(crate) fn set_password(&mut self, value: &str) {
        let placeholder = value
            .trim_matches(['[', ']', '<', '>', '{', '}', '*'])
            .replace(['-', '_', ' '], "")
            .to_ascii_lowercase();
        if placeholder == "yourpassword" || (placeholder.is_empty() && !value.is_empty()) {
            self.password = None;
            self.warn("The text has a placeholder where the password belongs: enter the password.");
        } else {
            self.password = Some(Secret::new(value)).filter(|password| !password.is_empty());
        }
    }

    /// What the default host is for this text; a host that was set stays.
    pub(crate) fn default_host(&mut self, host: &str) {
        if self.host.is_none() {
            self.host = Some(host.to_owned());
        }
    }

    /// What the default role is for this text; a role that was set stays.
    pub(crate) fn default_user(&mut self, user: &str) {
        if self.user.is_none() {
            self.user = Some(user.to_owned());
        }
    }

    /// Lets another text's parameters win over these.
    pub(crate) fn overlay(&mut self, other: Self) {
        for (own, others) in [
            (&mut self.host, other.host),
            (&mut self.hostaddr, other.hostaddr),
            (&mut self.port, other.port),
            (&mut self.user, other.user),
            (&mut self.dbname, other.dbname),
            (&mut self.sslmode, other.sslmode),
            (&mut self.sslrootcert, other.sslrootcert),
            (&mut self.sslcert, other.sslcert),
            (&mut self.sslkey, other.sslkey),
        ] {
            if others.is_some() {
                *own = others;
            }
        }
        if other.password.is_some() {
            self.password = other.password;
        }
        for warning in other.warnings {
            self.warn(warning);
        }
        self.unknown += other.unknown;
    }

    /// Tells something once.
    pub(crate) fn warn(&mut self, sentence: impl Into<String>) {
        let sentence = sentence.into();
        if !self.warnings.contains(&sentence) {
            self.warnings.push(sentence);
        }
    }

    /// Whether nothing at all was given.
    pub(crate) fn is_empty(&self) -> bool {
        let texts = [
            &self.host,
            &self.hostaddr,
            &self.port,
            &self.user,
            &self.dbname,
            &self.sslmode,
        ];
        texts.iter().all(|text| text.is_none()) && self.password.is_none()
    }

    /// Makes a connection of it.
    pub(crate) fn finish(mut self, defaults: &Defaults) -> Result<Parsed, Error> {
        if self.is_empty() && self.unknown > 0 {
            return Err(invalid(
                "This is not a connection that Howdah understands.",
                FORMS,
            ));
        }
        let host = self.host()?.unwrap_or_else(|| defaults.host.clone());
        let port = self.port()?.unwrap_or(defaults.port);
        let role = present(self.user.take()).unwrap_or_else(|| defaults.role.clone());
        let database = present(self.dbname.take())
            .or_else(|| defaults.database.clone())
            .unwrap_or_else(|| role.clone());
        let tls = self.tls(&defaults.tls)?;
        for (what, text) in [("host", &host), ("role", &role), ("database", &database)] {
            if text.chars().any(char::is_control) {
                return Err(invalid(
                    format!("The {what}'s name holds a control character."),
                    FORMS,
                ));
            }
        }
        if host.chars().any(char::is_whitespace) && !host.starts_with('/') {
            return Err(invalid("The host's name holds a space.", FORMS));
        }
        match self.unknown {
            0 => {}
            1 => self.warn("One parameter that Howdah does not know was left aside."),
            count => self.warn(format!(
                "{count} parameters that Howdah does not know were left aside."
            )),
        }
        Ok(Parsed {
            connection: Connection {
                host,
                port,
                role,
                database,
                tls,
                tunnel: None,
                forwarded: None,
            },
            password: self.password,
            warnings: self.warnings,
        })
    }

    fn host(&mut self) -> Result<Option<String>, Error> {
        if present(self.host.clone()).is_none() {
            self.host = self.hostaddr.take();
        } else if self.hostaddr.is_some() {
            self.warn("hostaddr was left aside: the host's name is used.");
        }
        let Some(given) = present(self.host.take()) else {
            return Ok(None);
        };
        let first = match given.split_once(',') {
            Some((first, _)) => {
                self.warn("Several hosts are given; the first is used.");
                first.trim().to_owned()
            }
            None => given,
        };
        let host = first
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .map_or(first.clone(), str::to_owned);
        if host.starts_with('@') {
            return Err(invalid(
                "Abstract Unix sockets (@…) are not supported.",
                "Use TCP, or a socket in a directory.",
            ));
        }
        Ok(present(Some(host)))
    }

    fn port(&mut self) -> Result<Option<u16>, Error> {
        let Some(given) = present(self.port.take()) else {
            return Ok(None);
        };
        let first = given.split(',').next().unwrap_or_default().trim();
        if first.is_empty() {
            return Ok(None);
        }
        match first.parse::<u16>() {
            Ok(port) if port > 0 => Ok(Some(port)),
            _ => Err(invalid(
                "The port is not a number from 1 to 65535.",
                "If the password holds one of : / ? # @ %, write it percent-encoded (%3A %2F %3F %23 %40 %25), or fill in the form.",
            )),
        }
    }

    fn tls(&mut self, defaults: &Tls) -> Result<Tls, Error> {
        let mut tls = defaults.clone();
        if let Some(mode) = present(self.sslmode.take()) {
            tls.mode = match mode.to_ascii_lowercase().replace(['_', ' '], "-").as_str() {
                "disable" => TlsMode::Disable,
                "allow" => {
                    self.warn("TLS mode allow is read as prefer: encrypted wherever the server offers it.");
                    TlsMode::Prefer
                }
                "prefer" => TlsMode::Prefer,
                "require" | "no-verify" => TlsMode::Require,
                "verify-ca" | "verifyca" => TlsMode::VerifyCa,
                "verify-full" | "verifyfull" => TlsMode::VerifyFull,
                _ => {
                    return Err(invalid(
                        "The TLS mode (sslmode) is not one that exists.",
                        "It is one of disable, prefer, require, verify-ca and verify-full.",
                    ));
                }
            };
        }
        if let Some(file) = present(self.sslrootcert.take()) {
            if file == "system" {
                // libpq 16: the system's authorities, and nothing weaker than verify-full.
                tls.ca_file = None;
                tls.mode = TlsMode::VerifyFull;
            } else {
                tls.ca_file = Some(PathBuf::from(file));
            }
        }
        if let Some(file) = present(self.sslcert.take()) {
            tls.certificate_file = Some(PathBuf::from(file));
        }
        if let Some(file) = present(self.sslkey.take()) {
            tls.key_file = Some(PathBuf::from(file));
        }
        if tls.mode == TlsMode::Require && tls.ca_file.is_some() {
            // libpq's own rule, made visible.
            tls.mode = TlsMode::VerifyCa;
            self.warn("With a CA file, TLS mode require verifies the certificate: it is read as verify-ca.");
        }
        Ok(tls)
    }
}

fn present(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}
