//! Opening a session on a server: name (or tunnel), socket, TLS, login, each with its own error, within one time limit and
//! cancellable at any moment. What the session is for is not known here.
//!
//! tokio-postgres does the protocol from the login on. Name, dial and TLS request are done here, because only so can
//! it be told which of them failed, and what was agreed on.

use std::fmt;
use std::future::{Future, Ready, ready};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use howdah_domain::{Connection, Failure, FailureCode, Secret, TlsMode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::tls::TlsConnect;
use tokio_postgres::{Client, Config};
use tokio_util::sync::CancellationToken;

use crate::tls::{self, TlsState, Verified};
use crate::wire::Wire;
use crate::{Error, certificate, classify, dial, tunnel, words};

pub use crate::dial::{KEEPALIVE_IDLE, KEEPALIVE_INTERVAL};
pub use crate::version::ServerVersion;

/// The name under which Howdah appears in `pg_stat_activity`.
pub const APPLICATION_NAME: &str = "howdah";

/// A session on a server. Dropping it closes the connection at once, whatever it is doing.
pub struct Session {
    /// The driver's client. Beyond a pooler its named prepared statements may fail: prefer `query_typed`,
    /// `simple_query` and `batch_execute`.
    pub client: Client,
    /// What was agreed on.
    pub tls: TlsState,
    /// The server's version.
    pub server_version: ServerVersion,
    /// From the first step to the open socket, name resolution included.
    pub reached_after: Duration,
    /// From the first step to the end of the login.
    pub latency: Duration,
    task: JoinHandle<()>,
}

// Not the handle's own affair: with a `Drop` of its own, a session cannot be taken apart by a closure that captures
// `session.client` alone, which would end the connection under it.
impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("tls", &self.tls)
            .field("server_version", &self.server_version)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Waits for one statement or several, at most `timeout`, and not beyond a cancellation.
    ///
    /// # Errors
    /// [`Error::Query`] with `what` (a noun phrase: `listing the databases`); [`FailureCode::Timeout`];
    /// [`Error::Cancelled`]. After the last two the session still works on the abandoned statement: drop it.
    pub async fn run<T>(
        &self,
        what: &str,
        timeout: Duration,
        cancel: &CancellationToken,
        statements: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Error::Cancelled),
            outcome = statements => outcome.map_err(|error| Error::query(what, error)),
            () = tokio::time::sleep(timeout) => Err(words::statement(FailureCode::Timeout, what).into()),
        }
    }
}

/// How far a connection has come; each is reported once, in this order.
#[derive(Debug, Clone)]
pub enum Stage {
    /// The socket is open.
    Reached(Duration),
    /// TLS is agreed on, or is not to be had and not demanded.
    Secured(TlsState),
}

/// Opens a session.
///
/// `timeout` covers everything from resolving the name to the end of the login.
///
/// # Errors
/// [`Error::Failed`] with one of the codes for reaching a server; [`Error::Cancelled`].
pub async fn connect(
    connection: &Connection,
    password: Option<&Secret>,
    application_name: &str,
    timeout: Duration,
    cancel: &CancellationToken,
) -> Result<Session, Error> {
    connect_in_stages(
        connection,
        password,
        application_name,
        timeout,
        cancel,
        &mut |_| {},
    )
    .await
}

/// As [`connect`], telling each stage as it is reached.
///
/// # Errors
/// As [`connect`].
pub async fn connect_in_stages(
    connection: &Connection,
    password: Option<&Secret>,
    application_name: &str,
    timeout: Duration,
    cancel: &CancellationToken,
    on_stage: &mut (dyn FnMut(Stage) + Send),
) -> Result<Session, Error> {
    let reached = AtomicBool::new(false);
    let attempt = Box::pin(attempt(
        connection,
        password,
        application_name,
        &reached,
        on_stage,
    ));
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::Cancelled),
        outcome = attempt => outcome,
        () = tokio::time::sleep(timeout) => Err(out_of_time(connection, reached.load(Ordering::Relaxed), timeout).into()),
    }
}

fn out_of_time(connection: &Connection, reached: bool, timeout: Duration) -> Failure {
    let seconds = timeout.as_secs_f32();
    if !reached {
        return words::connecting(FailureCode::Timeout, connection)
            .details(format!("no connection within {seconds:.1} s"));
    }
    Failure::new(
        FailureCode::Timeout,
        format!(
            "{} took the connection and then said nothing.",
            words::place_first(connection)
        ),
    )
    .hint("Check that PostgreSQL listens there and not something else; a server under heavy load, or a tunnel whose far end is down, looks the same.")
    .details(format!("connected, no answer within {seconds:.1} s"))
}

async fn attempt(
    connection: &Connection,
    password: Option<&Secret>,
    application_name: &str,
    reached: &AtomicBool,
    on_stage: &mut (dyn FnMut(Stage) + Send),
) -> Result<Session, Error> {
    let begun = Instant::now();
    let (wire, state) = reach(connection, begun, &mut |stage| {
        if matches!(stage, Stage::Reached(_)) {
            reached.store(true, Ordering::Relaxed);
        }
        on_stage(stage);
    })
    .await?;
    let reached_after = begun.elapsed();
    let (client, driver) = log_in(connection, password, application_name, wire).await?;
    let latency = begun.elapsed();
    let server_version = driver
        .parameter("server_version")
        .and_then(ServerVersion::parse)
        .ok_or_else(|| words::connecting(FailureCode::NotPostgres, connection))?;
    let task = tokio::spawn(async move {
        if let Err(error) = driver.await {
            tracing::debug!(error = %classify::server_text(&error), "a session ended");
        }
    });
    Ok(Session {
        client,
        tls: state,
        server_version,
        reached_after,
        latency,
        task,
    })
}

/// Everything before the login: the name, the socket, TLS. Times are told from `begun`; there is no limit.
pub(crate) async fn reach(
    connection: &Connection,
    begun: Instant,
    on_stage: &mut (dyn FnMut(Stage) + Send),
) -> Result<(Wire, TlsState), Error> {
    let (wire, state) = if let Some(near_end) = tunnel::near_end(connection)? {
        let (address, dialled) = dial::dial_address(near_end).await;
        let stream = dialled.map_err(|error| {
            words::connecting(FailureCode::ConnectionLost, connection).details(format!("{address}: {error}"))
        })?;
        on_stage(Stage::Reached(begun.elapsed()));
        if connection.is_socket() {
            // The server's own socket, on which there is no TLS.
            (Wire::tcp(stream), TlsState::plain(connection))
        } else {
            secure(connection, stream).await?
        }
    } else if connection.is_socket() {
        let wire = dial::dial_socket(connection).await?;
        on_stage(Stage::Reached(begun.elapsed()));
        (wire, TlsState::plain(connection))
    } else {
        let stream = dial::dial_tcp(connection).await?;
        on_stage(Stage::Reached(begun.elapsed()));
        secure(connection, stream).await?
    };
    on_stage(Stage::Secured(state.clone()));
    Ok((wire, state))
}

/// What reads and writes for a client: nothing happens unless it is polled. It ends after its client was dropped, with a goodbye.
pub(crate) type Driver = tokio_postgres::Connection<Wire, Wire>;

/// Logs in over a wire. There is no limit.
pub(crate) async fn log_in(
    connection: &Connection,
    password: Option<&Secret>,
    application_name: &str,
    wire: Wire,
) -> Result<(Client, Driver), Error> {
    let encrypted = wire.is_encrypted();
    let mut config = Config::new();
    config
        .user(&connection.role)
        .dbname(&connection.database)
        .application_name(application_name);
    if let Some(password) = password.filter(|password| !password.is_empty()) {
        config.password(password.expose());
    }
    if encrypted {
        // The handshake is done: what "connects" below hands over the stream as it is.
        config
            .ssl_mode(SslMode::Require)
            .ssl_negotiation(SslNegotiation::Direct);
    } else {
        config.ssl_mode(SslMode::Disable);
    }
    config
        .connect_raw(wire, Secured)
        .await
        .map_err(|error| login_failure(connection, encrypted, &error))
}

/// Asks for TLS where the mode wants it (PostgreSQL manual, "SSL Session Encryption" in "Message Flow").
async fn secure(connection: &Connection, mut stream: TcpStream) -> Result<(Wire, TlsState), Error> {
    const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
    if connection.tls.mode == TlsMode::Disable {
        return Ok((Wire::tcp(stream), TlsState::plain(connection)));
    }
    // Settings that cannot work are told before the server is asked anything.
    let config = tls::shared_config(&connection.tls)?;
    let mut answer = [0_u8];
    let asked = async {
        stream.write_all(&SSL_REQUEST).await?;
        stream.read_exact(&mut answer).await
    };
    if let Err(error) = asked.await {
        return Err(words::connecting(FailureCode::ConnectionLost, connection)
            .details(format!("asking for TLS: {error}"))
            .into());
    }
    match answer[0] {
        b'S' => {}
        b'N' if connection.tls.mode == TlsMode::Prefer => {
            return Ok((Wire::tcp(stream), TlsState::plain(connection)));
        }
        b'N' => return Err(words::connecting(FailureCode::TlsUnavailable, connection).into()),
        b'E' => return Err(refusal_before_tls(connection, &mut stream).await.into()),
        other => {
            return Err(words::connecting(FailureCode::NotPostgres, connection)
                .details(format!("answered the request for TLS with the byte {other:#04x}"))
                .into());
        }
    }
    // A PostgreSQL server sends nothing more before the client's hello; an SSH server ("SSH-2.0…") has said S too.
    let mut more = [0_u8; 16];
    if let Ok(1..) = stream.try_read(&mut more) {
        return Err(words::connecting(FailureCode::NotPostgres, connection)
            .details("sent more than one byte in answer to the request for TLS")
            .into());
    }
    let connector = tokio_rustls::TlsConnector::from(config);
    let encrypted = connector
        .connect(tls::server_name(&connection.host), stream)
        .await
        .map_err(|error| tls::handshake_failure(connection, &error))?;
    let (_, session) = encrypted.get_ref();
    let state = TlsState {
        mode: connection.tls.mode,
        encrypted: true,
        protocol: session.protocol_version().map(|version| match version {
            rustls::ProtocolVersion::TLSv1_2 => "TLS 1.2".to_owned(),
            rustls::ProtocolVersion::TLSv1_3 => "TLS 1.3".to_owned(),
            other => format!("{other:?}"),
        }),
        cipher: session.negotiated_cipher_suite().map(|suite| {
            let name = format!("{:?}", suite.suite());
            name.strip_prefix("TLS13_")
                .map(|rest| format!("TLS_{rest}"))
                .unwrap_or(name)
        }),
        verified: tls::verified_by(&connection.tls),
        socket: false,
        names: session
            .peer_certificates()
            .and_then(<[_]>::first)
            .filter(|_| tls::verified_by(&connection.tls) == Verified::AuthorityAndName)
            .and_then(|certificate| certificate::names_for_old_libpq(certificate, &connection.host)),
    };
    let binding = session
        .peer_certificates()
        .and_then(|chain| chain.first())
        .and_then(certificate::server_end_point);
    Ok((Wire::encrypted(encrypted, binding), state))
}

/// A server that answers the request for TLS with an error message (it could not start a process, for one).
async fn refusal_before_tls(connection: &Connection, stream: &mut TcpStream) -> Failure {
    let mut rest = Vec::new();
    let mut limited = stream.take(8192);
    let read = tokio::time::timeout(Duration::from_secs(2), limited.read_to_end(&mut rest));
    let _ = read.await;
    let text: String = String::from_utf8_lossy(&rest)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let code = classify::classify_libpq(&text).unwrap_or(FailureCode::TooManyConnections);
    words::connecting(code, connection).details(text.trim().to_owned())
}

/// Hands the stream over as it is: the handshake is done.
struct Secured;

impl TlsConnect<Wire> for Secured {
    type Stream = Wire;
    type Error = io::Error;
    type Future = Ready<io::Result<Wire>>;

    fn connect(self, stream: Wire) -> Self::Future {
        ready(Ok(stream))
    }
}

fn login_failure(connection: &Connection, encrypted: bool, error: &tokio_postgres::Error) -> Error {
    let text = classify::server_text(error);
    if let Some(db) = error.as_db_error() {
        let state = db.code().code();
        let code = classify::db_code(db);
        let mut failure = match code {
            // Without TLS the server says so even where its lines are for other addresses; with TLS it cannot be that.
            Some(FailureCode::TlsRequired) if encrypted && db.message().contains("pg_hba.conf") => {
                words::connecting(FailureCode::NotAllowedByHba, connection)
            }
            Some(code) => words::connecting(code, connection),
            None => Failure::new(
                FailureCode::Internal,
                format!(
                    "{} refused the session: {}",
                    words::place_first(connection),
                    db.message()
                ),
            )
            .hint("See the details."),
        };
        if state == "28000" && db.message().to_lowercase().contains("peer authentication failed") {
            failure = failure.hint(
                "The server takes the operating system's user for the role on this socket (peer): use TCP (localhost) and a password, or that user's role.",
            );
        }
        return failure.details(text).into();
    }
    if text.contains("password missing") {
        return words::connecting(FailureCode::PasswordRequired, connection).into();
    }
    if text.contains("authentication") {
        return Failure::new(
            FailureCode::AuthenticationFailed,
            format!(
                "{} asks for a kind of login that Howdah does not know.",
                words::place_first(connection)
            ),
        )
        .hint("Howdah logs in by password (SCRAM or MD5), client certificate, peer or trust; not by Kerberos or SSPI.")
        .details(text)
        .into();
    }
    let code = match classify::io_cause(error).map(io::Error::kind) {
        Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => FailureCode::NotPostgres,
        Some(_) => FailureCode::ConnectionLost,
        None if error.is_closed() => FailureCode::ConnectionLost,
        None => FailureCode::NotPostgres,
    };
    words::connecting(code, connection).details(text).into()
}
