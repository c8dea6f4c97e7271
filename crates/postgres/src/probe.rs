//! The test of a connection: a checklist from "does the host answer" to "could every object be dumped", each line told as
//! it is done, all within ten seconds. Changes nothing on the server and leaves nothing behind.

use std::path::Path;
use std::time::{Duration, Instant};

use howdah_domain::units;
use howdah_domain::{
    Connection, Failure, FailureCode, Secret, Selection, TestReport, TestState, TestStep, TestStepId, TlsMode,
};
use tokio_util::sync::CancellationToken;

use crate::connect::{APPLICATION_NAME, Session, Stage, connect_in_stages};
use crate::programs::Programs;
use crate::rights::{self, Query, Rights};
use crate::scope::{CTES, Scope};
use crate::tls::{self, TlsState, Verified};
use crate::{Error, Reach, databases, outside, pooler, role_sql};

/// The longest a test takes.
pub const LIMIT: Duration = Duration::from_secs(10);

/// What to test.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// How to connect.
    pub connection: &'a Connection,
    /// The password, if there is one.
    pub password: Option<&'a Secret>,
    /// What opens the connection's SSH tunnel: a passphrase or a password, if it needs one.
    pub ssh_secret: Option<&'a Secret>,
    /// Howdah's own file of accepted SSH host keys.
    pub known_hosts: Option<&'a Path>,
    /// What of the database a backup would take.
    pub selection: &'a Selection,
    /// The programs that a backup would be taken with.
    pub programs: &'a Programs,
}

/// Tests a connection. Each line of the checklist is told to `on_step` when it begins ([`TestState::Running`]) and when it
/// is done; the report holds them all in order, those that were not reached as [`TestState::Skipped`].
///
/// A failure is a finding, not an error: it stands in the line that failed.
pub async fn test(
    request: Request<'_>,
    on_step: &mut (dyn FnMut(TestStep) + Send + Sync),
    cancel: &CancellationToken,
) -> TestReport {
    let mut checklist = Checklist {
        deadline: Instant::now() + LIMIT,
        on_step,
        report: TestReport {
            ok: false,
            steps: TestStepId::ALL
                .iter()
                .filter(|id| **id != TestStepId::Tunnel || request.connection.tunnel.is_some())
                .map(|id| TestStep::new(*id, TestState::Skipped))
                .collect(),
            server_version: None,
            latency_ms: None,
            database_bytes: None,
            tables: None,
            databases: Vec::new(),
            schemas: Vec::new(),
            role_sql: None,
        },
    };
    if let Some(reach) = checklist.open_tunnel(&request, cancel).await {
        let through = Request {
            connection: reach.connection(),
            ..request
        };
        if let Some(session) = checklist.connect(&through, cancel).await {
            checklist.look_into(&through, session, cancel).await;
        }
        checklist.judge(&reach).await;
    }
    let mut report = checklist.report;
    let failed = report.steps.iter().any(|step| step.state == TestState::Failed);
    let logged_in = report
        .steps
        .iter()
        .any(|step| step.id == TestStepId::Version && step.state == TestState::Passed);
    report.ok = !failed && logged_in;
    report
}

struct Checklist<'a> {
    deadline: Instant,
    on_step: &'a mut (dyn FnMut(TestStep) + Send + Sync),
    report: TestReport,
}

impl Checklist<'_> {
    fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    fn tell(&mut self, step: TestStep) {
        if let Some(own) = self.report.steps.iter_mut().find(|own| own.id == step.id) {
            *own = step.clone();
        }
        (self.on_step)(step);
    }

    fn begin(&mut self, id: TestStepId) {
        self.tell(TestStep::new(id, TestState::Running));
    }

    fn fail(&mut self, id: TestStepId, failure: Failure) {
        self.tell(TestStep::new(id, TestState::Failed).failure(failure));
    }

    /// A line that could not be worked out: a backup may well work, but nobody knows.
    fn unknown(&mut self, id: TestStepId, error: &Error) {
        if error.is_cancelled() {
            self.fail(id, error.to_failure());
        } else {
            self.tell(TestStep::new(id, TestState::Warning).failure(error.to_failure()));
        }
    }

    /// The tunnel, where the connection has one.
    async fn open_tunnel(&mut self, request: &Request<'_>, cancel: &CancellationToken) -> Option<Reach> {
        let tunnel = request.connection.tunnel.as_ref();
        if tunnel.is_some() {
            self.begin(TestStepId::Tunnel);
        }
        let begun = Instant::now();
        let opening = Reach::open(
            request.connection,
            request.ssh_secret,
            request.known_hosts,
            cancel,
        );
        let opened = tokio::time::timeout(self.remaining(), opening).await;
        let failure = match (opened, tunnel) {
            (Ok(Ok(reach)), None) => return Some(reach),
            (Ok(Ok(reach)), Some(tunnel)) => {
                let finding = format!("by {}, after {} ms", tunnel.host, begun.elapsed().as_millis());
                self.tell(TestStep::new(TestStepId::Tunnel, TestState::Passed).finding(finding));
                return Some(reach);
            }
            (Ok(Err(error)), _) => error.to_failure(),
            (Err(_), tunnel) => Failure::new(
                FailureCode::Timeout,
                format!(
                    "The SSH server {} did not let Howdah in within {} s.",
                    tunnel.map_or("", |tunnel| &tunnel.host),
                    LIMIT.as_secs()
                ),
            )
            .hint("Check its address and port, your VPN, and whether a firewall lets this machine in."),
        };
        self.fail(TestStepId::Tunnel, failure);
        None
    }

    /// Where the tunnel broke, says so instead of what the server's lines made of it.
    async fn judge(&mut self, reach: &Reach) {
        let failed = self.report.steps.iter().find_map(|step| match step.state {
            TestState::Failed => Some((step.id, step.failure.clone()?)),
            _ => None,
        });
        if let Some((id, failure)) = failed {
            let judged = reach.judge(failure.clone()).await;
            if judged != failure {
                self.fail(id, judged);
            }
        }
    }

    /// Reach, TLS, login, and whether a pooler stands between.
    async fn connect(&mut self, request: &Request<'_>, cancel: &CancellationToken) -> Option<Session> {
        self.begin(TestStepId::Reach);
        let mut at = TestStepId::Reach;
        let limit = self.remaining();
        let connection = request.connection;
        let mut on_stage = |stage| match stage {
            Stage::Reached(after) => {
                self.tell(
                    TestStep::new(TestStepId::Reach, TestState::Passed)
                        .finding(format!("answers after {} ms", after.as_millis())),
                );
                at = TestStepId::Tls;
                self.begin(at);
            }
            Stage::Secured(state) => {
                self.tell(tls_step(connection, &state));
                at = TestStepId::Login;
                self.begin(at);
            }
        };
        let outcome = connect_in_stages(
            connection,
            request.password,
            APPLICATION_NAME,
            limit,
            cancel,
            &mut on_stage,
        )
        .await;
        let session = match outcome {
            Ok(session) => session,
            Err(error) => {
                self.not_connected(at, &error);
                return None;
            }
        };
        self.report.latency_ms = u32::try_from(session.latency.as_millis()).ok();
        let shared =
            pooler::shares_sessions(&session, connection, request.password, self.remaining(), cancel);
        match shared.await {
            Ok(Some(true)) => self.fail(TestStepId::Login, pooler::failure(connection)),
            Ok(_) => self.tell(
                TestStep::new(TestStepId::Login, TestState::Passed)
                    .finding(format!("as {}", connection.role)),
            ),
            Err(error) => {
                self.fail(TestStepId::Login, error.to_failure());
                return None;
            }
        }
        Some(session)
    }

    /// Puts a connection's failure into the line that it belongs to.
    fn not_connected(&mut self, at: TestStepId, error: &Error) {
        let failure = error.to_failure();
        let of_tls = matches!(
            failure.code,
            FailureCode::TlsUnavailable
                | FailureCode::TlsUntrusted
                | FailureCode::TlsRequired
                | FailureCode::InvalidConnection
        );
        // What breaks down at the request for TLS has mostly nothing to do with TLS.
        let line = match at {
            TestStepId::Tls if !of_tls => TestStepId::Reach,
            TestStepId::Login if failure.code == FailureCode::NotPostgres => TestStepId::Reach,
            at => at,
        };
        if line != at {
            self.tell(TestStep::new(at, TestState::Skipped));
        }
        self.fail(line, failure);
    }

    /// Everything that is asked of the server once logged in.
    async fn look_into(&mut self, request: &Request<'_>, session: Session, cancel: &CancellationToken) {
        self.begin(TestStepId::Version);
        let version = session.server_version.clone();
        self.report.server_version = Some(version.text.clone());
        if let Some(failure) = version.unsupported() {
            self.fail(TestStepId::Version, failure);
            return;
        }
        match self.product(&session, cancel).await {
            Ok(product) if product.starts_with("PostgreSQL") || product.starts_with("EnterpriseDB") => {
                if !self.tell_programs(request, &session) {
                    return;
                }
            }
            Ok(product) => {
                let name = product
                    .split_whitespace()
                    .next()
                    .unwrap_or("another product")
                    .to_owned();
                let message = format!(
                    "The server is {name}, which speaks PostgreSQL's protocol; pg_dump cannot dump it."
                );
                self.fail(
                    TestStepId::Version,
                    Failure::new(FailureCode::UnsupportedVersion, message).details(product),
                );
                return;
            }
            Err(error) => {
                self.fail(TestStepId::Version, error.to_failure());
                return;
            }
        }

        self.begin(TestStepId::Size);
        if let Err(error) = rights::begin(&session, self.remaining(), cancel).await {
            self.fail(TestStepId::Size, error.to_failure());
            return;
        }
        if let Err(error) = self.size(request, &session, cancel).await {
            self.unknown(TestStepId::Size, &error);
            return;
        }

        self.begin(TestStepId::Rights);
        match rights::check(&session, request.selection, self.remaining(), cancel).await {
            Ok(found) => self.tell_rights(&found, &session),
            Err(error) => {
                self.unknown(TestStepId::Rights, &error);
                return;
            }
        }

        self.begin(TestStepId::Selection);
        match outside::find(&session, request.selection, self.remaining(), cancel).await {
            Ok(found) => self.tell(selection_step(request.selection, &found)),
            Err(error) => {
                self.unknown(TestStepId::Selection, &error);
                return;
            }
        }

        self.begin(TestStepId::Globals);
        match self.globals(&session, cancel).await {
            Ok(step) => self.tell(step),
            Err(error) => self.unknown(TestStepId::Globals, &error),
        }
        // The transaction ends with the session.
    }

    /// Whether there are programs for this server, and whether they accept the way to it as Howdah itself did.
    fn tell_programs(&mut self, request: &Request<'_>, session: &Session) -> bool {
        let version = &session.server_version;
        let client = match request.programs.client_for(version.major) {
            Ok(client) => client,
            Err(error) => {
                self.fail(TestStepId::Version, error.to_failure());
                return false;
            }
        };
        if let Some(failure) = tls::refused_by_client(request.connection, &session.tls, client.major) {
            self.fail(TestStepId::Tls, failure);
        }
        let finding = if client.newer_than_server {
            format!(
                "PostgreSQL {version}, to be dumped with pg_dump {}",
                client.version
            )
        } else {
            format!("PostgreSQL {version}")
        };
        self.tell(TestStep::new(TestStepId::Version, TestState::Passed).finding(finding));
        true
    }

    async fn product(&self, session: &Session, cancel: &CancellationToken) -> Result<String, Error> {
        let query = Query {
            session,
            timeout: self.remaining(),
            cancel,
        };
        let rows = query
            .rows("asking for the version", "SELECT pg_catalog.version()", &[])
            .await?;
        Ok(rows.first().map(|row| row.get(0)).unwrap_or_default())
    }

    /// Size, number of tables, and the names to choose from.
    async fn size(
        &mut self,
        request: &Request<'_>,
        session: &Session,
        cancel: &CancellationToken,
    ) -> Result<(), Error> {
        self.report.databases = databases::list(session, self.remaining(), cancel)
            .await?
            .into_iter()
            .filter(|database| database.can_connect)
            .map(|database| database.name)
            .collect();
        self.report.schemas = databases::schemas(session, self.remaining(), cancel).await?;
        let scope = Scope::new(request.selection, &session.server_version);
        let query = Query {
            session,
            timeout: self.remaining(),
            cancel,
        };
        let sql = format!(
            "{CTES}SELECT count(*) FILTER (WHERE relkind = 'r' AND NOT configuration),
                 pg_database_size(current_database()) FROM dumped"
        );
        let rows = query
            .rows("measuring the database", &sql, &scope.parameters())
            .await?;
        let Some(row) = rows.first() else {
            return Ok(());
        };
        let (tables, bytes): (i64, i64) = (row.get(0), row.get(1));
        let (tables, bytes) = (
            u64::try_from(tables).unwrap_or(0),
            u64::try_from(bytes).unwrap_or(0),
        );
        self.report.tables = u32::try_from(tables).ok();
        self.report.database_bytes = Some(bytes);
        let finding = format!(
            "{}, {}",
            units::size(bytes),
            units::counted(tables, "table", "tables")
        );
        self.tell(TestStep::new(TestStepId::Size, TestState::Passed).finding(finding));
        Ok(())
    }

    fn tell_rights(&mut self, found: &Rights, session: &Session) {
        let version = &session.server_version;
        self.report.role_sql = Some(role_sql::role_sql(&found.facts, version));
        let mut step = match found.failure() {
            Some(failure) => TestStep::new(TestStepId::Rights, TestState::Failed).failure(failure),
            None if found.left_out.is_empty() => {
                TestStep::new(TestStepId::Rights, TestState::Passed).finding("everything can be read")
            }
            None => TestStep::new(TestStepId::Rights, TestState::Warning)
                .finding("all rows can be read")
                .failure(
                    Failure::new(FailureCode::PermissionDenied, found.left_out.join(" "))
                        .hint("Back up as a superuser if you need them."),
                ),
        };
        step.sql = role_sql::missing_sql(found, version);
        self.tell(step);
    }

    async fn globals(&self, session: &Session, cancel: &CancellationToken) -> Result<TestStep, Error> {
        let query = Query {
            session,
            timeout: self.remaining(),
            cancel,
        };
        let sql = "SELECT has_table_privilege('pg_catalog.pg_authid', 'SELECT')";
        let rows = query.rows("asking whether roles can be read", sql, &[]).await?;
        let with_passwords = rows.first().is_some_and(|row| row.get(0));
        let finding = if with_passwords {
            "roles with their passwords, tablespaces"
        } else {
            "roles without their passwords, which only a superuser may read; tablespaces"
        };
        Ok(TestStep::new(TestStepId::Globals, TestState::Passed).finding(finding))
    }
}

fn tls_step(connection: &Connection, state: &TlsState) -> TestStep {
    let step = TestStep::new(TestStepId::Tls, TestState::Passed).finding(state.describe());
    let near = state.socket || is_near(&connection.host);
    if state.encrypted || near {
        return step;
    }
    let message = format!("The connection to {} is not encrypted.", connection.host);
    let hint = if connection.tls.mode == TlsMode::Disable {
        "Choose TLS mode prefer or stricter, unless the way to the server is safe."
    } else {
        "The server offers no TLS: turn it on there, unless the way to it is safe (VPN, tunnel)."
    };
    debug_assert_eq!(state.verified, Verified::Nothing);
    TestStep {
        state: TestState::Warning,
        ..step.failure(Failure::new(FailureCode::TlsUnavailable, message).hint(hint))
    }
}

/// Whether the host is this machine.
fn is_near(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn selection_step(selection: &Selection, found: &outside::Outside) -> TestStep {
    let state = if found.missing.is_empty() {
        TestState::Warning
    } else {
        TestState::Failed
    };
    match found.failure() {
        Some(failure) => TestStep::new(TestStepId::Selection, state).failure(failure),
        None => TestStep::new(TestStepId::Selection, TestState::Passed).finding(
            if *selection == Selection::default() {
                "the whole database"
            } else {
                "nothing that is needed is left out"
            },
        ),
    }
}
