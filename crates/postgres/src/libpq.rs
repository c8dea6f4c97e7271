//! How a client program (pg_dump, psql, …) is told to connect as [`crate::connect::connect`] does: environment variables for
//! everything, the password included, and a conninfo string for what has no variable. Starts no program.
//!
//! Nothing here goes into a child's arguments that others may not see: the conninfo string holds the database's name
//! and keepalive settings only.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use howdah_domain::{Connection, Secret, TlsMode};

use crate::connect::{APPLICATION_NAME, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL};

/// A path that names no file: libpq then neither reads nor demands the one that would be its default in the home
/// directory (`~/.postgresql/…`, `~/.pgpass`).
const NO_FILE: &str = "/nonexistent/howdah";

/// Seconds a client program may take to connect.
const CONNECT_TIMEOUT: &str = "15";

/// Where systems keep all their trusted authorities in one PEM file.
const SYSTEM_BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/opt/homebrew/etc/openssl@3/cert.pem",
    "/usr/local/etc/openssl@3/cert.pem",
];

/// The variables that make a libpq program of `client_major` connect as [`crate::connect::connect`] does
/// (PostgreSQL manual, "Environment Variables" of libpq). Before they are set, every inherited `PG…` variable must be
/// removed: [`inherited_variables`].
///
/// `PGOPTIONS` is not among them: poolers refuse it. `PGTZ=UTC` makes a dump's timestamps comparable.
pub fn libpq_environment(
    connection: &Connection,
    password: Option<&Secret>,
    client_major: u16,
) -> Vec<(OsString, OsString)> {
    let tls = &connection.tls;
    let mut variables: Vec<(OsString, OsString)> = Vec::new();
    let mut set = |name: &str, value: OsString| variables.push((name.into(), value));
    match connection.forwarded {
        None => {
            set("PGHOST", connection.host.clone().into());
            set("PGPORT", connection.port.to_string().into());
        }
        // The host is what certificates are compared with, the address where to go. A socket of the far side is a port here.
        Some(near_end) => {
            let host = if connection.is_socket() {
                "localhost"
            } else {
                &connection.host
            };
            set("PGHOST", host.into());
            set("PGHOSTADDR", near_end.ip().to_string().into());
            set("PGPORT", near_end.port().to_string().into());
        }
    }
    set("PGUSER", connection.role.clone().into());
    if let Some(password) = password.filter(|password| !password.is_empty()) {
        set("PGPASSWORD", password.expose().into());
    }
    set("PGPASSFILE", NO_FILE.into());
    // On a socket a server has no TLS, whichever way one comes to it.
    let mode = if connection.is_socket() {
        TlsMode::Disable
    } else {
        tls.mode
    };
    set("PGSSLMODE", mode.as_libpq().into());
    set("PGSSLROOTCERT", root_certificates(connection, client_major));
    set("PGSSLCERT", file_or_none(tls.certificate_file.as_deref()));
    set("PGSSLKEY", file_or_none(tls.key_file.as_deref()));
    set("PGSSLCRL", NO_FILE.into());
    set("PGGSSENCMODE", "disable".into());
    set("PGCONNECT_TIMEOUT", CONNECT_TIMEOUT.into());
    set("PGAPPNAME", APPLICATION_NAME.into());
    set("PGTZ", "UTC".into());
    variables
}

fn file_or_none(file: Option<&Path>) -> OsString {
    file.map_or_else(|| NO_FILE.into(), |path| path.as_os_str().to_owned())
}

/// The value of `sslrootcert`. Without a CA file of the user's own, the verifying modes use the system's authorities:
/// libpq 16 and later knows the word `system` for it (with verify-full only), older ones need the system's file.
fn root_certificates(connection: &Connection, client_major: u16) -> OsString {
    let tls = &connection.tls;
    if let Some(path) = &tls.ca_file {
        return path.as_os_str().to_owned();
    }
    match tls.mode {
        TlsMode::VerifyCa | TlsMode::VerifyFull => match system_bundle() {
            Some(bundle) => bundle.into_os_string(),
            None if client_major >= 16 && tls.mode == TlsMode::VerifyFull => "system".into(),
            None => NO_FILE.into(),
        },
        // With a file that exists, libpq would verify in these modes too.
        TlsMode::Disable | TlsMode::Prefer | TlsMode::Require => NO_FILE.into(),
    }
}

/// The system's file of trusted authorities, as OpenSSL programs find it.
fn system_bundle() -> Option<PathBuf> {
    std::env::var_os("SSL_CERT_FILE")
        .map(PathBuf::from)
        .into_iter()
        .chain(SYSTEM_BUNDLES.iter().map(PathBuf::from))
        .find(|path| path.is_file())
}

/// The names of this process's own libpq variables, which a client program must not inherit.
pub fn inherited_variables() -> Vec<OsString> {
    std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| name.to_string_lossy().starts_with("PG"))
        .collect()
}

/// What to hand a client program as `--dbname=…`: the database's name and TCP keepalives, no secret. Being a conninfo
/// string it takes any name, one with `=`, quotes, spaces or a leading dash too.
pub fn conninfo(connection: &Connection) -> String {
    let database = quote_conninfo(&connection.database);
    if connection.is_socket() && connection.forwarded.is_none() {
        return format!("dbname={database}");
    }
    format!(
        "dbname={database} keepalives=1 keepalives_idle={} keepalives_interval={} keepalives_count=6",
        KEEPALIVE_IDLE.as_secs(),
        KEEPALIVE_INTERVAL.as_secs()
    )
}

/// A value of a conninfo string (PostgreSQL manual, "Keyword/Value Connection Strings").
pub fn quote_conninfo(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('\'');
    for c in value.chars() {
        if matches!(c, '\'' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use howdah_domain::Tls;
    use rstest::rstest;

    use super::*;

    fn connection(mode: TlsMode, ca_file: Option<&str>) -> Connection {
        Connection {
            host: "db.example.com".to_owned(),
            port: 5433,
            role: "backup".to_owned(),
            database: "shop".to_owned(),
            tls: Tls {
                mode,
                ca_file: ca_file.map(PathBuf::from),
                ..Tls::default()
            },
            tunnel: None,
            forwarded: None,
        }
    }

    fn value(variables: &[(OsString, OsString)], name: &str) -> Option<String> {
        variables
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.to_string_lossy().into_owned())
    }

    #[test]
    fn a_client_program_is_told_everything_by_its_environment() {
        let secret = Secret::new("hunter2");
        let variables = libpq_environment(&connection(TlsMode::Prefer, None), Some(&secret), 16);
        assert_eq!(value(&variables, "PGHOST").as_deref(), Some("db.example.com"));
        assert_eq!(value(&variables, "PGPORT").as_deref(), Some("5433"));
        assert_eq!(value(&variables, "PGUSER").as_deref(), Some("backup"));
        assert_eq!(value(&variables, "PGPASSWORD").as_deref(), Some("hunter2"));
        assert_eq!(value(&variables, "PGTZ").as_deref(), Some("UTC"));
        assert_eq!(value(&variables, "PGOPTIONS"), None);
        assert!(!conninfo(&connection(TlsMode::Prefer, None)).contains("hunter2"));
    }

    #[test]
    fn a_dead_connection_is_noticed_by_keepalives_and_the_server_sees_who_connects() {
        let tcp = connection(TlsMode::Prefer, None);
        assert_eq!(
            conninfo(&tcp),
            "dbname='shop' keepalives=1 keepalives_idle=30 keepalives_interval=10 keepalives_count=6"
        );
        let variables = libpq_environment(&tcp, None, 16);
        assert_eq!(value(&variables, "PGAPPNAME").as_deref(), Some("howdah"));
        let socket = Connection {
            host: "/run/postgresql".to_owned(),
            ..tcp
        };
        assert_eq!(conninfo(&socket), "dbname='shop'");
    }

    #[test]
    fn through_a_tunnel_the_host_stays_and_the_address_is_the_near_end() {
        let mut connection = connection(TlsMode::VerifyFull, Some("/own/ca.pem"));
        connection.forwarded = Some(([127, 0, 0, 1], 40_000).into());
        let variables = libpq_environment(&connection, None, 13);
        assert_eq!(value(&variables, "PGHOST").as_deref(), Some("db.example.com"));
        assert_eq!(value(&variables, "PGHOSTADDR").as_deref(), Some("127.0.0.1"));
        assert_eq!(value(&variables, "PGPORT").as_deref(), Some("40000"));
        assert_eq!(value(&variables, "PGSSLMODE").as_deref(), Some("verify-full"));
        connection.host = "/run/postgresql".to_owned();
        let variables = libpq_environment(&connection, None, 13);
        assert_eq!(value(&variables, "PGHOST").as_deref(), Some("localhost"));
        assert_eq!(value(&variables, "PGSSLMODE").as_deref(), Some("disable"));
    }

    #[rstest]
    #[case(TlsMode::Require, None, NO_FILE)]
    #[case(TlsMode::Prefer, None, NO_FILE)]
    #[case(TlsMode::Require, Some("/own/ca.pem"), "/own/ca.pem")]
    #[case(TlsMode::VerifyFull, Some("/own/ca.pem"), "/own/ca.pem")]
    fn the_users_ca_file_is_used_and_none_is_found_by_accident(
        #[case] mode: TlsMode,
        #[case] ca_file: Option<&str>,
        #[case] expected: &str,
    ) {
        let variables = libpq_environment(&connection(mode, ca_file), None, 16);
        assert_eq!(value(&variables, "PGSSLROOTCERT").as_deref(), Some(expected));
    }

    #[test]
    fn a_verifying_mode_without_a_ca_file_gets_the_systems_authorities() {
        let variables = libpq_environment(&connection(TlsMode::VerifyCa, None), None, 13);
        let bundle = value(&variables, "PGSSLROOTCERT");
        let expected = system_bundle().map_or(NO_FILE.to_owned(), |path| path.display().to_string());
        assert_eq!(bundle, Some(expected));
    }

    #[rstest]
    #[case("shop", "'shop'")]
    #[case("a=b c", "'a=b c'")]
    #[case(r"it's a \ name", r"'it\'s a \\ name'")]
    #[case("-t", "'-t'")]
    #[case("🐘", "'🐘'")]
    #[case("", "''")]
    fn any_database_name_can_be_written_in_a_conninfo_string(#[case] name: &str, #[case] expected: &str) {
        assert_eq!(quote_conninfo(name), expected);
    }
}
