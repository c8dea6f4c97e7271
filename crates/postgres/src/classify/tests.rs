//! What servers, poolers and client programs say, and the codes that it has.

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
