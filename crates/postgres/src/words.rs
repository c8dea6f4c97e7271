//! What is said to people when a server cannot be reached or refuses: what happened, and what to do about it. Which
//! code an error has is decided in [`crate::classify`]; nothing here looks at an error.

use howdah_domain::{Connection, Failure, FailureCode, TlsMode};

/// Where a connection leads, in words: `db.example.com`, `db.example.com (port 5433)`, `the socket .s.PGSQL.5432 in
/// /run/postgresql`, each with the SSH server that it leads through.
pub fn place(connection: &Connection) -> String {
    let place = place_itself(connection);
    match &connection.tunnel {
        Some(ssh) => format!("{place} by way of the SSH server {}", ssh.host),
        None => place,
    }
}

fn place_itself(connection: &Connection) -> String {
    if connection.is_socket() {
        format!("the socket .s.PGSQL.{} in {}", connection.port, connection.host)
    } else if connection.port == Connection::DEFAULT_PORT {
        connection.host.clone()
    } else {
        format!("{} (port {})", connection.host, connection.port)
    }
}

/// The same at the beginning of a sentence. A host's name stays as it is written.
pub fn place_first(connection: &Connection) -> String {
    let place = place(connection);
    if connection.is_socket() {
        capitalised(&place)
    } else {
        place
    }
}

/// The first letter large.
pub fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

/// A failure to connect or to log in, in words. Details (the server's own text) are for the caller to add.
pub fn connecting(code: FailureCode, connection: &Connection) -> Failure {
    let place = place(connection);
    let Connection {
        host,
        port,
        role,
        database,
        ..
    } = connection;
    let (message, hint) = match code {
        FailureCode::HostNotFound => (
            format!("Howdah could not reach {host}: the name does not resolve."),
            "Check the host name, your network, or your VPN.".to_owned(),
        ),
        FailureCode::ConnectionRefused if connection.is_socket() => (
            format!("No PostgreSQL listens on {place}."),
            format!("Check that the server runs, that it uses port {port}, and which directory it puts its socket in (unix_socket_directories)."),
        ),
        FailureCode::ConnectionRefused => (
            format!("{host} refused the connection on port {port}: nothing listens there, or a firewall turns it away."),
            "Check the port, that the server runs, and that listen_addresses lets others in.".to_owned(),
        ),
        FailureCode::Unreachable => (
            format!("Howdah could not reach {place}: there is no way to it from this machine's network."),
            "Check your network, your VPN, and the address.".to_owned(),
        ),
        FailureCode::Timeout => (
            format!("{} did not answer in time.", place_first(connection)),
            "Check the host and port, your VPN, and whether a firewall lets this machine in; managed servers have a list of allowed addresses.".to_owned(),
        ),
        FailureCode::NotPostgres => (
            format!("What answers at {place} is not PostgreSQL."),
            format!("Check the port; PostgreSQL usually listens on {}.", Connection::DEFAULT_PORT),
        ),
        FailureCode::TlsUnavailable => (
            format!("{} does not offer an encrypted connection, and TLS mode {} demands one.", place_first(connection), connection.tls.mode.as_libpq()),
            "Turn TLS on at the server, or choose TLS mode prefer or disable if the way to it is safe without.".to_owned(),
        ),
        FailureCode::TlsUntrusted => (
            format!("The certificate of {place} is not trusted."),
            "Give the authority's certificate as CA file (managed services offer it for download), or check that the host name is the one in the certificate.".to_owned(),
        ),
        FailureCode::TlsRequired if connection.tls.mode == TlsMode::Disable => (
            format!("{} does not let role {role} in without encryption.", place_first(connection)),
            "Choose TLS mode require or stricter.".to_owned(),
        ),
        FailureCode::TlsRequired => (
            format!("{} does not let role {role} in without TLS or without a client certificate.", place_first(connection)),
            "Choose TLS mode require or stricter, and give the client certificate and its key if the server asks for one.".to_owned(),
        ),
        FailureCode::PasswordRequired => (
            format!("{} asks for a password for role {role}, and none was given.", place_first(connection)),
            "Enter the password.".to_owned(),
        ),
        FailureCode::AuthenticationFailed => (
            format!("{} rejected the login of role {role}: wrong password, or no such role.", place_first(connection)),
            "Check the role and its password. Through a pooler or at a managed service the role may have to be written differently (role.project, role@server).".to_owned(),
        ),
        FailureCode::NotAllowedByHba => (
            format!("{} does not let role {role} into database {database} from this machine: pg_hba.conf has no line that allows it.", place_first(connection)),
            "Add a line to the server's pg_hba.conf and reload it, or allow this machine's address at the managed service.".to_owned(),
        ),
        FailureCode::RoleNotFound => (
            format!("There is no role {role} on {place}."),
            "Check the role's spelling. Through a pooler or at a managed service it may have to be written differently (role.project).".to_owned(),
        ),
        FailureCode::DatabaseNotFound => (
            format!("There is no database {database} on {place}."),
            "Check its spelling; it may have been dropped or renamed.".to_owned(),
        ),
        FailureCode::TooManyConnections => (
            format!("All connections of {place} are taken."),
            "Howdah tries again. If it lasts, close idle connections or raise max_connections (or the limit of the role, the database or the pooler).".to_owned(),
        ),
        FailureCode::ServerStarting => (
            format!("{} is starting up, shutting down or recovering, and lets nobody in yet.", place_first(connection)),
            "Howdah tries again. If it lasts, look into the server's log.".to_owned(),
        ),
        FailureCode::PoolerUnsuitable => (
            format!("A connection pooler stands at {place} and does not keep one session for one client, which pg_dump needs."),
            POOLER_HINT.to_owned(),
        ),
        FailureCode::ConnectionLost => (
            format!("{} closed the connection while it was being made.", place_first(connection)),
            "Howdah tries again. If it lasts, look into the server's log, and check what stands between (firewall, load balancer, tunnel).".to_owned(),
        ),
        FailureCode::UnsupportedVersion => (
            format!("The PostgreSQL at {place} is of a version that Howdah cannot back up."),
            "Howdah backs up PostgreSQL 13 to 18.".to_owned(),
        ),
        FailureCode::Cancelled => return Failure::new(code, "Cancelled."),
        _ => (
            format!("The connection to {place} failed."),
            "See the details.".to_owned(),
        ),
    };
    Failure::new(code, message).hint(hint)
}

/// What to do about a pooler in transaction mode.
pub const POOLER_HINT: &str = "Connect to PostgreSQL directly, past the pooler, or to a pool in session mode. \
    At Supabase that is port 5432 instead of 6543; at Neon, the host without -pooler; at DigitalOcean, the \
    cluster's own port instead of the pool's.";

/// A statement that failed on a connection that stood, in words. `what` is what was being done, as a noun phrase.
pub fn statement(code: FailureCode, what: &str) -> Failure {
    let doing = capitalised(what);
    match code {
        FailureCode::ConnectionLost => Failure::new(code, format!("{doing} failed: the connection to the server broke."))
            .hint("Howdah tries again. If it lasts, look into the server's log, and check what stands between."),
        FailureCode::Timeout => Failure::new(code, format!("{doing} took too long and was ended."))
            .hint("The server is busy, or its statement_timeout is short for this role (ALTER ROLE … SET statement_timeout = 0)."),
        FailureCode::PoolerUnsuitable => Failure::new(
            code,
            format!("{doing} failed: a connection pooler does not keep one session for one client."),
        )
        .hint(POOLER_HINT),
        FailureCode::PermissionDenied => Failure::new(code, format!("{doing} failed: the role lacks a right."))
            .hint("Grant it, or use a role that has it; Test shows everything that is missing."),
        FailureCode::RowSecurity => Failure::new(
            code,
            format!("{doing} failed: row-level security would hide rows from this role."),
        )
        .hint("Use a role with BYPASSRLS, or the tables' owner."),
        FailureCode::LockTimeout => Failure::new(code, format!("{doing} failed: a lock was not to be had in time."))
            .hint("Somebody changes a table's definition at this moment. Howdah tries again."),
        FailureCode::DiskFull => Failure::new(code, format!("{doing} failed: the server ran out of disk space."))
            .hint("Make room on the server's disk, then try again."),
        FailureCode::Cancelled => Failure::new(code, "Cancelled."),
        _ => Failure::new(code, format!("{doing} failed.")).hint("See the details."),
    }
}
