//! The one place where SQLSTATEs, errors of the operating system and libpq's texts become [`FailureCode`]s.
//! What is said to people about a code stands in [`crate::words`].
//!
//! SQLSTATE decides where there is one. Texts are matched only where the protocol gives nothing else: what a client
//! program wrote to stderr, and what poolers say under a SQLSTATE that means nothing (PgBouncer: 08P01 for all).

use std::error::Error as _;
use std::io;

use howdah_domain::{Failure, FailureCode};
use tokio_postgres::error::DbError;

use crate::words;

/// What the server or the driver said, in one line or a few: `ERROR: permission denied for table x (42501)`, followed
/// by the server's DETAIL and HINT.
pub fn server_text(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        let mut text = format!("{}: {} ({})", db.severity(), db.message(), db.code().code());
        if let Some(detail) = db.detail() {
            text.push_str("\nDETAIL: ");
            text.push_str(detail);
        }
        if let Some(hint) = db.hint() {
            text.push_str("\nHINT: ");
            text.push_str(hint);
        }
        return text;
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The code of a SQLSTATE with its message, where it has one of its own (PostgreSQL manual, "PostgreSQL Error Codes").
pub fn sqlstate_code(state: &str, message: &str) -> Option<FailureCode> {
    let code = match state {
        "28P01" => FailureCode::AuthenticationFailed,
        "28000" => {
            return Some(classify_libpq(message).unwrap_or(FailureCode::AuthenticationFailed));
        }
        "3D000" => FailureCode::DatabaseNotFound,
        "53100" => FailureCode::DiskFull,
        "53300" => FailureCode::TooManyConnections,
        "57P03" => FailureCode::ServerStarting,
        "57P01" | "57P02" | "57P04" | "57P05" | "25P03" | "08000" | "08001" | "08003" | "08006" => {
            FailureCode::ConnectionLost
        }
        "26000" | "42P05" => FailureCode::PoolerUnsuitable,
        "42501" if message.contains("row-level security") => FailureCode::RowSecurity,
        "42501" => FailureCode::PermissionDenied,
        "55P03" => FailureCode::LockTimeout,
        // statement_timeout, or somebody who cancelled the statement on the server.
        "57014" if message.contains("timeout") => FailureCode::Timeout,
        // A hot standby that could not wait any longer for the dump's snapshot.
        "40001" | "57014" => FailureCode::ConnectionLost,
        _ => return classify_libpq(message),
    };
    Some(code)
}

/// The code of what a server answered, at login or later.
pub fn db_code(error: &DbError) -> Option<FailureCode> {
    sqlstate_code(error.code().code(), error.message())
}

/// The code of a statement's error on a connection that stood.
pub fn query_code(error: &tokio_postgres::Error) -> FailureCode {
    if let Some(db) = error.as_db_error() {
        return db_code(db).unwrap_or(FailureCode::Internal);
    }
    if error.is_closed() || io_cause(error).is_some() {
        return FailureCode::ConnectionLost;
    }
    FailureCode::Internal
}

/// The operating system's error under a driver's error, where there is one.
pub fn io_cause(error: &tokio_postgres::Error) -> Option<&io::Error> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return Some(io);
        }
        source = cause.source();
    }
    None
}

/// A statement's error in words. `what` is what was being done, as a noun phrase: `listing the databases`.
pub fn query_failure(what: &str, error: &tokio_postgres::Error) -> Failure {
    let code = query_code(error);
    words::statement(code, what).details(server_text(error))
}

/// The code of an error of the operating system on this machine (not of one met while connecting: see [`dial_code`]).
pub fn io_code(error: &io::Error) -> FailureCode {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FailureCode::DiskFull,
        io::ErrorKind::TimedOut => FailureCode::Timeout,
        _ => FailureCode::Internal,
    }
}

/// An error of the operating system in words. `what` is what was being done, as a noun phrase.
pub fn io_failure(what: &str, error: &io::Error) -> Failure {
    let code = io_code(error);
    let message = format!("{} failed on this machine: {error}.", words::capitalised(what));
    Failure::new(code, message).details(format!("{what}: {error} ({:?})", error.kind()))
}

/// The code of an error met while a TCP or Unix socket was being opened.
pub fn dial_code(error: &io::Error) -> FailureCode {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => FailureCode::ConnectionRefused,
        io::ErrorKind::TimedOut => FailureCode::Timeout,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => FailureCode::ConnectionLost,
        // EAGAIN on a Unix socket: its queue of waiting connections is full.
        io::ErrorKind::WouldBlock => FailureCode::TooManyConnections,
        _ => FailureCode::Unreachable,
    }
}

/// Texts of libpq, of the server's FATAL messages and of PgBouncer, the more telling ones first: a client's stderr may
/// hold several. Sources: libpq's `fe-connect.c` and `fe-secure-openssl.c` messages, the server's `postinit.c`,
/// `auth.c` and `acl` messages, PgBouncer's `client.c` and `objects.c`.
const TEXTS: &[(&str, FailureCode)] = &[
    ("could not translate host name", FailureCode::HostNotFound),
    ("could not parse network address", FailureCode::HostNotFound),
    (
        "aborting because of server version mismatch",
        FailureCode::UnsupportedVersion,
    ),
    ("row-level security policy", FailureCode::RowSecurity),
    ("row security policy", FailureCode::RowSecurity),
    ("due to lock timeout", FailureCode::LockTimeout),
    ("could not obtain lock on", FailureCode::LockTimeout),
    ("due to statement timeout", FailureCode::Timeout),
    ("due to conflict with recovery", FailureCode::ConnectionLost),
    ("unsupported startup parameter", FailureCode::PoolerUnsuitable),
    ("statement pooling", FailureCode::PoolerUnsuitable),
    ("no more connections allowed", FailureCode::TooManyConnections),
    ("too many clients already", FailureCode::TooManyConnections),
    ("connection slots are reserved", FailureCode::TooManyConnections),
    ("too many connections for", FailureCode::TooManyConnections),
    ("max clients reached", FailureCode::TooManyConnections),
    ("query_wait_timeout", FailureCode::TooManyConnections),
    ("the database system is", FailureCode::ServerStarting),
    ("server login has been failing", FailureCode::ServerStarting),
    ("client_login_timeout", FailureCode::ServerStarting),
    ("pgbouncer cannot connect to server", FailureCode::ServerStarting),
    ("no password supplied", FailureCode::PasswordRequired),
    (
        "password authentication failed",
        FailureCode::AuthenticationFailed,
    ),
    ("tenant or user not found", FailureCode::RoleNotFound),
    ("no such user", FailureCode::RoleNotFound),
    ("no such database", FailureCode::DatabaseNotFound),
    ("requires a valid client certificate", FailureCode::TlsRequired),
    ("ssl required", FailureCode::TlsRequired),
    ("ssl connection is required", FailureCode::TlsRequired),
    ("pg_hba.conf rejects connection", FailureCode::NotAllowedByHba),
    ("no pg_hba.conf entry", FailureCode::NotAllowedByHba),
    ("is not permitted to log in", FailureCode::AuthenticationFailed),
    ("authentication failed", FailureCode::AuthenticationFailed),
    ("authentication method", FailureCode::AuthenticationFailed),
    ("server does not support ssl", FailureCode::TlsUnavailable),
    ("certificate verify failed", FailureCode::TlsUntrusted),
    ("does not match host name", FailureCode::TlsUntrusted),
    ("root certificate file", FailureCode::TlsUntrusted),
    ("private key file", FailureCode::InvalidConnection),
    ("invalid response to ssl negotiation", FailureCode::NotPostgres),
    ("invalid response to gssapi negotiation", FailureCode::NotPostgres),
    (
        "expected authentication request from server",
        FailureCode::NotPostgres,
    ),
    (
        "server closed the connection unexpectedly",
        FailureCode::ConnectionLost,
    ),
    (
        "connection has been closed unexpectedly",
        FailureCode::ConnectionLost,
    ),
    ("terminating connection", FailureCode::ConnectionLost),
    ("no connection to the server", FailureCode::ConnectionLost),
    ("lost synchronization with server", FailureCode::ConnectionLost),
    ("could not receive data from server", FailureCode::ConnectionLost),
    ("could not send data to server", FailureCode::ConnectionLost),
    ("connection not open", FailureCode::ConnectionLost),
    ("ssl syscall error", FailureCode::ConnectionLost),
    ("ssl error", FailureCode::TlsUnavailable),
    ("timeout expired", FailureCode::Timeout),
    ("connection timed out", FailureCode::Timeout),
    ("connection refused", FailureCode::ConnectionRefused),
    ("no route to host", FailureCode::Unreachable),
    ("network is unreachable", FailureCode::Unreachable),
    ("host is down", FailureCode::Unreachable),
    ("no matching schemas were found", FailureCode::NotFound),
    ("no matching tables were found", FailureCode::NotFound),
    ("no matching extensions were found", FailureCode::NotFound),
    ("permission denied", FailureCode::PermissionDenied),
    ("must be superuser", FailureCode::PermissionDenied),
    ("must be owner of", FailureCode::PermissionDenied),
    ("no space left on device", FailureCode::DiskFull),
];

/// The code of what a libpq program wrote to stderr, or of a FATAL message, where it is one of the known texts.
/// Works on English messages: run the programs with `LC_ALL=C`. A server may still answer in its own language
/// (`lc_messages`); then there is no code, and the text itself is shown.
pub fn classify_libpq(text: &str) -> Option<FailureCode> {
    let lower = text.to_lowercase();
    // "… no encryption" (14 on) and "… SSL off" (13): the lines that exist are for TLS only, perhaps.
    if lower.contains("no pg_hba.conf entry")
        && (lower.contains(", no encryption") || lower.contains(", ssl off"))
    {
        return Some(FailureCode::TlsRequired);
    }
    // A pooler that hands the session to another backend between statements.
    if lower.contains("prepared statement \"")
        && (lower.contains("already exists") || lower.contains("does not exist"))
    {
        return Some(FailureCode::PoolerUnsuitable);
    }
    if let Some((_, code)) = TEXTS.iter().find(|(needle, _)| lower.contains(needle)) {
        return Some(*code);
    }
    if on_socket(&lower) && lower.contains("no such file or directory") {
        return Some(FailureCode::ConnectionRefused);
    }
    if lower.contains("does not exist") {
        if fatal_of(&lower, "role \"") || fatal_of(&lower, "user \"") {
            return Some(FailureCode::RoleNotFound);
        }
        if fatal_of(&lower, "database \"") {
            return Some(FailureCode::DatabaseNotFound);
        }
    }
    // All that pg_dumpall says where its first connection fails (13 to 18): it keeps libpq's reason to itself.
    if lower.contains("could not connect to database") {
        return Some(FailureCode::ConnectionLost);
    }
    None
}

fn on_socket(lower: &str) -> bool {
    lower.contains("on socket \"") || lower.contains("could not connect to server")
}

/// Whether a line of the text says that `subject` (`role "`) is missing, as the server's login does; a `CREATE` or
/// `GRANT` that fails in a restore has `ERROR:` there instead.
fn fatal_of(lower: &str, subject: &str) -> bool {
    lower.lines().any(|line| {
        line.contains("does not exist")
            && !line.contains("error:  ")
            && line
                .rsplit_once("fatal:")
                .map_or(line, |(_, after)| after)
                .trim_start()
                .starts_with(subject)
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    // What libpq 13 and 18, the server and PgBouncer 1.18 really say.
    #[rstest]
    #[case(
        "psql: error: could not translate host name \"db.invalid\" to address: Name or service not known",
        FailureCode::HostNotFound
    )]
    #[case(
        "pg_dump: error: connection to server at \"127.0.0.1\", port 1 failed: Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?",
        FailureCode::ConnectionRefused
    )]
    #[case(
        "connection to server on socket \"/tmp/.s.PGSQL.1\" failed: No such file or directory",
        FailureCode::ConnectionRefused
    )]
    #[case(
        "could not connect to server: No such file or directory\n\tIs the server running locally",
        FailureCode::ConnectionRefused
    )]
    #[case(
        "connection to server at \"10.0.0.1\", port 5432 failed: No route to host",
        FailureCode::Unreachable
    )]
    #[case(
        "connection to server at \"10.0.0.1\", port 5432 failed: timeout expired",
        FailureCode::Timeout
    )]
    #[case(
        "connection to server at \"h\" (1.2.3.4), port 5432 failed: FATAL:  password authentication failed for user \"u\"",
        FailureCode::AuthenticationFailed
    )]
    #[case(
        "connection to server at \"h\" (1.2.3.4), port 5432 failed: fe_sendauth: no password supplied",
        FailureCode::PasswordRequired
    )]
    #[case(
        "connection to server at \"h\", port 5432 failed: FATAL:  database \"shop\" does not exist",
        FailureCode::DatabaseNotFound
    )]
    #[case("FATAL:  role \"nobody\" does not exist", FailureCode::RoleNotFound)]
    #[case("role \"nobody\" does not exist", FailureCode::RoleNotFound)]
    #[case(
        "FATAL:  no pg_hba.conf entry for host \"1.2.3.4\", user \"u\", database \"d\", SSL encryption",
        FailureCode::NotAllowedByHba
    )]
    #[case(
        "FATAL:  no pg_hba.conf entry for host \"1.2.3.4\", user \"u\", database \"d\", no encryption",
        FailureCode::TlsRequired
    )]
    #[case(
        "FATAL:  no pg_hba.conf entry for host \"1.2.3.4\", user \"u\", database \"d\", SSL off",
        FailureCode::TlsRequired
    )]
    #[case(
        "FATAL:  connection requires a valid client certificate",
        FailureCode::TlsRequired
    )]
    #[case(
        "connection to server at \"h\" failed: server does not support SSL, but SSL was required",
        FailureCode::TlsUnavailable
    )]
    #[case(
        "connection to server at \"h\" failed: SSL error: certificate verify failed",
        FailureCode::TlsUntrusted
    )]
    #[case(
        "server certificate for \"a\" does not match host name \"b\"",
        FailureCode::TlsUntrusted
    )]
    #[case("FATAL:  sorry, too many clients already", FailureCode::TooManyConnections)]
    #[case(
        "FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute",
        FailureCode::TooManyConnections
    )]
    #[case(
        "FATAL:  too many connections for role \"u\"",
        FailureCode::TooManyConnections
    )]
    #[case("FATAL:  the database system is starting up", FailureCode::ServerStarting)]
    #[case(
        "FATAL:  the database system is not yet accepting connections\nDETAIL:  Consistent recovery state has not been yet reached.",
        FailureCode::ServerStarting
    )]
    #[case("received invalid response to SSL negotiation: H", FailureCode::NotPostgres)]
    #[case(
        "expected authentication request from server, but received H",
        FailureCode::NotPostgres
    )]
    #[case(
        "pg_dump: error: query failed: server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally",
        FailureCode::ConnectionLost
    )]
    #[case(
        "FATAL:  terminating connection due to administrator command",
        FailureCode::ConnectionLost
    )]
    #[case(
        "pg_dump: error: query failed: ERROR:  permission denied for table t\npg_dump: detail: Query was: LOCK TABLE public.t IN ACCESS SHARE MODE",
        FailureCode::PermissionDenied
    )]
    #[case(
        "ERROR:  query would be affected by row-level security policy for table \"t\"",
        FailureCode::RowSecurity
    )]
    #[case("ERROR:  canceling statement due to lock timeout", FailureCode::LockTimeout)]
    #[case("ERROR:  canceling statement due to statement timeout", FailureCode::Timeout)]
    #[case(
        "ERROR:  prepared statement \"dumpfunc\" already exists",
        FailureCode::PoolerUnsuitable
    )]
    #[case(
        "FATAL:  unsupported startup parameter: options",
        FailureCode::PoolerUnsuitable
    )]
    #[case(
        "FATAL:  no more connections allowed (max_client_conn)",
        FailureCode::TooManyConnections
    )]
    #[case(
        "FATAL:  server login has been failing, try again later (server_login_retry)",
        FailureCode::ServerStarting
    )]
    #[case("FATAL:  SASL authentication failed", FailureCode::AuthenticationFailed)]
    #[case("FATAL:  Tenant or user not found", FailureCode::RoleNotFound)]
    #[case(
        "pg_dump: error: aborting because of server version mismatch\npg_dump: detail: server version: 19.0; pg_dump version: 18.4",
        FailureCode::UnsupportedVersion
    )]
    #[case(
        "pg_dump: error: no matching tables were found for pattern \"x\"",
        FailureCode::NotFound
    )]
    #[case(
        "pg_dumpall: error: could not connect to database \"dbname='shop' keepalives=1\"",
        FailureCode::ConnectionLost
    )]
    #[case(
        "pg_dumpall: error: could not connect to databases \"postgres\" or \"template1\"\nPlease specify an alternative database.",
        FailureCode::ConnectionLost
    )]
    #[case(
        "pg_dumpall: error: could not connect to database \"shop\": FATAL:  database \"shop\" does not exist",
        FailureCode::DatabaseNotFound
    )]
    #[case(
        "private key file \"/k.pem\" has group or world access; permissions should be u=rw (0600) or less",
        FailureCode::InvalidConnection
    )]
    fn what_client_programs_say_has_a_code(#[case] text: &str, #[case] expected: FailureCode) {
        assert_eq!(classify_libpq(text), Some(expected));
    }

    #[rstest]
    #[case("")]
    #[case(
        "pg_restore: error: could not execute query: ERROR:  role \"app\" does not exist\nCommand was: ALTER TABLE t OWNER TO app;"
    )]
    #[case("ERROR:  relation \"t\" does not exist")]
    #[case("ERROR:  syntax error at or near \"x\"")]
    fn what_is_not_known_has_none(#[case] text: &str) {
        assert_eq!(classify_libpq(text), None);
    }

    #[rstest]
    #[case("28P01", "", FailureCode::AuthenticationFailed)]
    #[case("28000", "role \"x\" does not exist", FailureCode::RoleNotFound)]
    #[case(
        "28000",
        "pg_hba.conf rejects connection for host \"1.2.3.4\"",
        FailureCode::NotAllowedByHba
    )]
    #[case(
        "28000",
        "role \"x\" is not permitted to log in",
        FailureCode::AuthenticationFailed
    )]
    #[case(
        "28000",
        "in a language that nobody here reads",
        FailureCode::AuthenticationFailed
    )]
    #[case("3D000", "", FailureCode::DatabaseNotFound)]
    #[case("53300", "", FailureCode::TooManyConnections)]
    #[case("57P03", "", FailureCode::ServerStarting)]
    #[case("57P01", "", FailureCode::ConnectionLost)]
    #[case("26000", "", FailureCode::PoolerUnsuitable)]
    #[case("42P05", "", FailureCode::PoolerUnsuitable)]
    #[case("42501", "permission denied for table t", FailureCode::PermissionDenied)]
    #[case(
        "42501",
        "query would be affected by row-level security policy",
        FailureCode::RowSecurity
    )]
    #[case("55P03", "", FailureCode::LockTimeout)]
    #[case("57014", "canceling statement due to statement timeout", FailureCode::Timeout)]
    #[case(
        "40001",
        "canceling statement due to conflict with recovery",
        FailureCode::ConnectionLost
    )]
    #[case(
        "08P01",
        "unsupported startup parameter: options",
        FailureCode::PoolerUnsuitable
    )]
    fn a_sqlstate_decides(#[case] state: &str, #[case] message: &str, #[case] expected: FailureCode) {
        assert_eq!(sqlstate_code(state, message), Some(expected));
    }

    #[test]
    fn an_error_of_this_machine_is_told_in_words() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(io_failure("writing the dump", &full).code, FailureCode::DiskFull);
        let failure = io_failure(
            "starting pg_dump",
            &io::Error::from(io::ErrorKind::PermissionDenied),
        );
        assert!(
            failure
                .message
                .starts_with("Starting pg_dump failed on this machine"),
            "{}",
            failure.message
        );
    }
}
