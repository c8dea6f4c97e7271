//! The one place where SQLSTATEs, errors of the operating system and libpq's texts become [`FailureCode`]s.
//! What is said to people about a code stands in [`crate::words`].
//!
//! SQLSTATE decides where there is one. Texts are matched only where the protocol gives nothing else: what a client
//! program wrote to stderr, and what poolers say under a SQLSTATE that means nothing (PgBouncer: 08P01 for all).

use std::error::Error as _;
use std::io;

use howdah_domain::{Failure, FailureCode};
use tokio_postgres::error::DbError;

use crate::wire::TooMuch;
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

/// The code of the error that a user's own question was answered by. A statement that the server cannot make sense of or may not carry out is
/// [`FailureCode::InvalidInput`]; any other error without a code of its own, and whatever the user's own functions raise, is another answer
/// than the one hoped for.
pub fn question_code(error: &tokio_postgres::Error) -> FailureCode {
    let Some(db) = error.as_db_error() else {
        return match query_code(error) {
            // What only COPY is answered by.
            FailureCode::Internal => FailureCode::InvalidInput,
            code => code,
        };
    };
    let state = db.code().code();
    // The text of these is the user's own.
    if state.starts_with("P0") {
        return FailureCode::NotEqual;
    }
    db_code(db).unwrap_or(match state {
        // Unknown schema; not supported; not in a read-only transaction.
        "3F000" | "0A000" | "25006" => FailureCode::InvalidInput,
        state if state.starts_with("42") => FailureCode::InvalidInput,
        _ => FailureCode::NotEqual,
    })
}

/// Whether more came than was to be read (see [`crate::wire`]).
pub(crate) fn is_too_much(error: &tokio_postgres::Error) -> bool {
    io_cause(error)
        .and_then(io::Error::get_ref)
        .is_some_and(|inner| inner.is::<TooMuch>())
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
mod tests;
