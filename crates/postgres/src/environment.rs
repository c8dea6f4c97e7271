//! What the environment says about a connection, as libpq has it: `PG…` variables and the password file. For the
//! command line only; the app asks people instead. Variables come through a function, so that tests bring their own.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use howdah_domain::{Connection, Secret};

use crate::Error;
use crate::parse::Defaults;
use crate::parse::fields::Fields;

/// Where servers put their socket by default: PostgreSQL's own place and that of the distributions. A connection to one
/// of these is `localhost` to the password file.
const SOCKET_FOLDERS: [&str; 3] = ["/var/run/postgresql", "/run/postgresql", "/tmp"];

/// The largest password file that is read, in bytes.
const LARGEST: u64 = 1024 * 1024;

/// Variables of libpq that say how to connect (PostgreSQL manual, "Environment Variables" of libpq) and their parameters.
const VARIABLES: &[(&str, &str)] = &[
    ("PGHOST", "host"),
    ("PGHOSTADDR", "hostaddr"),
    ("PGPORT", "port"),
    ("PGUSER", "user"),
    ("PGDATABASE", "dbname"),
    ("PGSSLMODE", "sslmode"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGSSLCERT", "sslcert"),
    ("PGSSLKEY", "sslkey"),
    ("PGSERVICE", "service"),
    ("PGOPTIONS", "options"),
    ("PGTARGETSESSIONATTRS", "target_session_attrs"),
    ("PGCHANNELBINDING", "channel_binding"),
];

/// What the environment says.
#[derive(Debug, Clone)]
pub struct Environment {
    /// What holds where a text is silent.
    pub defaults: Defaults,
    /// What was left aside, as sentences.
    pub warnings: Vec<String>,
    password: Option<Secret>,
    password_file: Option<PathBuf>,
}

impl Environment {
    /// Reads this process's environment.
    ///
    /// # Errors
    /// As [`Environment::read`].
    pub fn of_process() -> Result<Self, Error> {
        Self::read(
            &|name| std::env::var(name).ok(),
            &|path| path.exists(),
            &system_user(),
        )
    }

    /// Reads variables through `variable`. Without `PGHOST` the host is the first folder with a server's socket, by
    /// `exists`, and `localhost` where there is none; without `PGUSER` the role is `system_user`.
    ///
    /// # Errors
    /// [`howdah_domain::FailureCode::InvalidConnection`] when a variable makes no sense, such as `PGPORT=x`.
    pub fn read(
        variable: &dyn Fn(&str) -> Option<String>,
        exists: &dyn Fn(&Path) -> bool,
        system_user: &str,
    ) -> Result<Self, Error> {
        let present = |name: &str| variable(name).filter(|value| !value.is_empty());
        let mut fields = Fields::default();
        for (name, parameter) in VARIABLES {
            if let Some(value) = present(name) {
                fields.set(parameter, &value);
            }
        }
        let named_host = present("PGHOST").is_some() || present("PGHOSTADDR").is_some();
        let named_database = present("PGDATABASE").is_some();
        let parsed = fields.finish(&Defaults {
            role: system_user.to_owned(),
            ..Defaults::default()
        })?;
        let connection = parsed.connection;
        let host = if named_host {
            connection.host
        } else {
            let socket = format!(".s.PGSQL.{}", connection.port);
            SOCKET_FOLDERS
                .iter()
                .find(|folder| exists(&Path::new(folder).join(&socket)))
                .map_or(connection.host, |folder| (*folder).to_owned())
        };
        let home_file = || Some(Path::new(&present("HOME")?).join(".pgpass"));
        Ok(Self {
            defaults: Defaults {
                host,
                port: connection.port,
                role: connection.role,
                database: named_database.then_some(connection.database),
                tls: connection.tls,
            },
            warnings: parsed.warnings,
            password: present("PGPASSWORD").map(Secret::new),
            password_file: present("PGPASSFILE").map(PathBuf::from).or_else(home_file),
        })
    }

    /// The password for a connection whose text holds none: `PGPASSWORD`, or the password file's. With it, why a
    /// password file was not used, as a sentence.
    pub fn password_for(&self, connection: &Connection) -> (Option<Secret>, Option<String>) {
        if let Some(password) = &self.password {
            return (Some(password.clone()), None);
        }
        let Some(path) = &self.password_file else {
            return (None, None);
        };
        match read_password_file(path) {
            Ok(Some(text)) => (find_password(text.expose(), connection), None),
            Ok(None) => (None, None),
            Err(warning) => (None, Some(warning)),
        }
    }
}

#[cfg(unix)]
fn system_user() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid());
    user.ok()
        .flatten()
        .map_or("postgres".to_owned(), |user| user.name)
}

#[cfg(not(unix))]
fn system_user() -> String {
    std::env::var("USERNAME").unwrap_or_else(|_| "postgres".to_owned())
}

/// The password file's text; none where there is no such file; a sentence where it is not used.
fn read_password_file(path: &Path) -> Result<Option<Secret>, String> {
    let shown = path.display();
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("The password file {shown} was not used: {error}.")),
    };
    if !metadata.is_file() {
        return Err(format!(
            "The password file {shown} was not used: it is no plain file."
        ));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // libpq's rule: nothing for group and others, or it is ignored.
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(format!(
                "The password file {shown} was not used: others may read it. Make it yours alone with: chmod 600 {shown}"
            ));
        }
    }
    let mut text = String::new();
    let file = File::open(path).map(|file| file.take(LARGEST));
    match file.and_then(|mut file| file.read_to_string(&mut text)) {
        Ok(_) => Ok(Some(Secret::new(text))),
        Err(error) => Err(format!("The password file {shown} was not used: {error}.")),
    }
}

/// The first line's password that fits (PostgreSQL manual, "The Password File"): `host:port:database:role:password`, a
/// field that is `*` fits anything, a backslash takes `:` and `\` as they are.
pub fn find_password(text: &str, connection: &Connection) -> Option<Secret> {
    let local = SOCKET_FOLDERS.contains(&connection.host.trim_end_matches('/'));
    let host = if local {
        "localhost"
    } else {
        connection.host.as_str()
    };
    let port = connection.port.to_string();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let mut rest = line;
            for wanted in [host, &port, &connection.database, &connection.role] {
                let (field, wildcard, after) = field(rest);
                if !wildcard && field.expose() != wanted {
                    return None;
                }
                rest = after?;
            }
            let (password, _, _) = field(rest);
            Some(password).filter(|password| !password.is_empty())
        })
}

/// A field without its backslashes, whether it is a lone unescaped star, and what follows its colon.
fn field(text: &str) -> (Secret, bool, Option<&str>) {
    let mut plain = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            ':' => return (Secret::new(plain), &text[..at] == "*", Some(&text[at + 1..])),
            '\\' => {
                if let Some((_, escaped)) = letters.next() {
                    plain.push(escaped);
                }
            }
            letter => plain.push(letter),
        }
    }
    (Secret::new(plain), text == "*", None)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use howdah_domain::{FailureCode, Tls, TlsMode};
    use rstest::rstest;

    use super::*;

    fn environment(variables: &[(&str, &str)], sockets: &[&str]) -> Result<Environment, Error> {
        let variables: HashMap<String, String> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Environment::read(
            &|name| variables.get(name).cloned(),
            &|path| sockets.iter().any(|socket| Path::new(socket) == path),
            "me",
        )
    }

    fn connection(host: &str) -> Connection {
        Connection {
            host: host.to_owned(),
            port: 5432,
            role: "u".to_owned(),
            database: "db".to_owned(),
            tls: Tls::default(),
            tunnel: None,
            forwarded: None,
        }
    }

    #[test]
    fn an_empty_environment_means_the_systems_user_on_localhost() {
        let defaults = environment(&[], &[]).unwrap().defaults;
        assert_eq!((defaults.host.as_str(), defaults.port), ("localhost", 5432));
        assert_eq!((defaults.role.as_str(), defaults.database), ("me", None));
    }

    #[test]
    fn a_servers_socket_comes_before_localhost() {
        let sockets = ["/run/postgresql/.s.PGSQL.5433"];
        let defaults = environment(&[("PGPORT", "5433")], &sockets).unwrap().defaults;
        assert_eq!(defaults.host, "/run/postgresql");
        let defaults = environment(&[("PGPORT", "5433"), ("PGHOST", "h")], &sockets)
            .unwrap()
            .defaults;
        assert_eq!(defaults.host, "h");
    }

    #[test]
    fn the_variables_of_libpq_are_honoured() {
        let variables = [
            ("PGHOST", "h"),
            ("PGPORT", "5433"),
            ("PGUSER", "u"),
            ("PGDATABASE", "db"),
            ("PGSSLMODE", "verify-full"),
            ("PGSSLROOTCERT", "/ca.pem"),
            ("PGPASSWORD", "pw"),
            ("PGSERVICE", "shop"),
        ];
        let environment = environment(&variables, &[]).unwrap();
        let defaults = &environment.defaults;
        assert_eq!((defaults.host.as_str(), defaults.port), ("h", 5433));
        assert_eq!(
            (defaults.role.as_str(), defaults.database.as_deref()),
            ("u", Some("db"))
        );
        assert_eq!(defaults.tls.mode, TlsMode::VerifyFull);
        assert_eq!(defaults.tls.ca_file.as_deref(), Some(Path::new("/ca.pem")));
        let (password, warning) = environment.password_for(&connection("elsewhere"));
        assert_eq!((password.unwrap().expose(), warning), ("pw", None));
        assert!(
            environment
                .warnings
                .iter()
                .any(|warning| warning.contains("service"))
        );
        assert!(!format!("{environment:?}").contains("pw\""));
    }

    #[rstest]
    #[case("PGPORT", "x")]
    #[case("PGSSLMODE", "perhaps")]
    fn a_variable_that_makes_no_sense_is_an_error(#[case] name: &str, #[case] value: &str) {
        let error = environment(&[(name, value)], &[]).unwrap_err();
        assert_eq!(error.code(), FailureCode::InvalidConnection);
    }

    #[rstest]
    #[case("h:5432:db:u:pw", "h", Some("pw"))]
    #[case("*:*:*:*:pw", "h", Some("pw"))]
    #[case("x:5432:db:u:no\nh:5432:db:u:pw", "h", Some("pw"))]
    #[case("h:5432:db:u:first\n*:*:*:*:second", "h", Some("first"))]
    #[case("# h:5432:db:u:no\nh:5432:db:u:pw", "h", Some("pw"))]
    #[case("h:5432:db:u:p\\:w\\\\x", "h", Some("p:w\\x"))]
    #[case("h:5432:db:u:pw\r\n", "h", Some("pw"))]
    #[case("\\:\\:1:5432:db:u:pw", "::1", Some("pw"))]
    #[case("localhost:5432:db:u:pw", "/var/run/postgresql", Some("pw"))]
    #[case("localhost:5432:db:u:pw", "/srv/socket", None)]
    #[case("/srv/socket:5432:db:u:pw", "/srv/socket", Some("pw"))]
    #[case("\\*:5432:db:u:pw", "h", None)]
    #[case("h:5433:db:u:pw", "h", None)]
    #[case("h:5432:other:u:pw", "h", None)]
    #[case("h:5432:db:other:pw", "h", None)]
    #[case("h:5432:db:u", "h", None)]
    #[case("h:5432:db:u:", "h", None)]
    #[case("", "h", None)]
    fn the_first_line_that_fits_gives_the_password(
        #[case] text: &str,
        #[case] host: &str,
        #[case] expected: Option<&str>,
    ) {
        let found = find_password(text, &connection(host));
        assert_eq!(found.as_ref().map(Secret::expose), expected);
    }

    #[cfg(unix)]
    #[test]
    fn a_password_file_that_others_may_read_is_ignored_and_told() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pgpass");
        std::fs::write(&file, "*:*:*:*:Kr0kodil\n").unwrap();
        let environment = environment(&[("PGPASSFILE", file.to_str().unwrap())], &[]).unwrap();

        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        let (password, warning) = environment.password_for(&connection("h"));
        assert_eq!(password, None);
        let warning = warning.unwrap();
        assert!(
            warning.contains("chmod 600") && !warning.contains("Kr0kodil"),
            "{warning}"
        );

        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let (password, warning) = environment.password_for(&connection("h"));
        assert_eq!((password.unwrap().expose(), warning), ("Kr0kodil", None));
    }

    #[test]
    fn a_missing_password_file_is_nothing_to_tell() {
        let environment = environment(&[("HOME", "/nonexistent")], &[]).unwrap();
        assert_eq!(environment.password_for(&connection("h")), (None, None));
    }
}
