//! Figures for Prometheus, on a port of this machine alone, where the settings name one. Text format 0.0.4.
//!
//! Whoever may open a port of this machine can read them: names of servers and databases, times and sizes; no secret, no address. A page in a
//! browser may try as well, by a name that leads to this machine: a request under another host's name is refused.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::sync::broadcast::error::RecvError;

use crate::api::{Event, HealthState, Overview};
use crate::engine::Engine;

/// Connections that are served at once.
const AT_ONCE: usize = 4;

/// Bytes of a request's head.
const LONGEST_HEAD: usize = 8 * 1024;

/// How long a request may take.
const LIMIT: Duration = Duration::from_secs(5);

/// A port that cannot be had is tried again after this.
const TRY_AGAIN: Duration = Duration::from_secs(30);

/// Runs until the engine ends.
pub(crate) async fn run(engine: Engine) {
    let mut events = engine.events();
    loop {
        let port = engine.settings().await.metrics_port;
        let served = async {
            match port {
                None => std::future::pending::<()>().await,
                Some(port) => {
                    if let Err(error) = serve(&engine, port).await {
                        tracing::warn!(%error, port, "figures for Prometheus cannot be served");
                    }
                    tokio::time::sleep(TRY_AGAIN).await;
                }
            }
        };
        tokio::select! {
            () = engine.0.ending.cancelled() => return,
            () = served => {}
            () = changed(&engine, &mut events, port) => {}
        }
    }
}

/// Waits until the settings name another port.
async fn changed(engine: &Engine, events: &mut tokio::sync::broadcast::Receiver<Event>, port: Option<u16>) {
    loop {
        match events.recv().await {
            Ok(Event::Settings) | Err(RecvError::Lagged(_)) => {
                if engine.settings().await.metrics_port != port {
                    return;
                }
            }
            Ok(_) => {}
            Err(RecvError::Closed) => return std::future::pending().await,
        }
    }
}

async fn serve(engine: &Engine, port: u16) -> std::io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let room = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let (stream, _) = listener.accept().await?;
        // With all places taken the connection is closed.
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            continue;
        };
        let engine = engine.clone();
        let ending = engine.0.ending.clone();
        engine.clone().spawn(async move {
            let _permit = permit;
            tokio::select! {
                () = ending.cancelled() => {}
                answered = tokio::time::timeout(LIMIT, answer(&engine, stream)) => {
                    if let Ok(Err(error)) = answered {
                        tracing::debug!(%error, "a request for figures was not answered");
                    }
                }
            }
        });
    }
}

async fn answer(engine: &Engine, mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        let read = stream.read(&mut buffer).await?;
        if read == 0 || head.len() + read > LONGEST_HEAD {
            return Ok(());
        }
        head.extend_from_slice(&buffer[..read]);
    }
    let (status, body) = match asked(&String::from_utf8_lossy(&head)) {
        Asked::Figures => match engine.overview().await {
            Ok(overview) => ("200 OK", figures(&overview)),
            Err(failure) => ("500 Internal Server Error", format!("{failure}\n")),
        },
        Asked::Other => ("404 Not Found", "Figures are at /metrics.\n".to_owned()),
        Asked::ByAnotherName => ("403 Forbidden", "Ask for localhost or 127.0.0.1.\n".to_owned()),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Figures,
    Other,
    ByAnotherName,
}

fn asked(head: &str) -> Asked {
    let mut lines = head.lines();
    let first = lines.next().unwrap_or_default();
    let host = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("host"))
        .map(|(_, value)| value.trim().to_owned())
        .unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
    if !["localhost", "127.0.0.1"].contains(&name) {
        return Asked::ByAnotherName;
    }
    let path = first
        .strip_prefix("GET ")
        .and_then(|rest| rest.split([' ', '?']).next());
    if path == Some("/metrics") {
        Asked::Figures
    } else {
        Asked::Other
    }
}

/// The figures as text.
fn figures(overview: &Overview) -> String {
    let mut text = Text::default();
    let databases = || {
        overview
            .databases
            .iter()
            .map(|database| (labels(&database.server_name, &database.name), database))
    };
    text.head(
        "howdah_database_up",
        "Whether the database answered its last check; absent where nobody can tell.",
    );
    for (labels, database) in databases() {
        let up = match database.health.as_ref().map(|health| health.state) {
            Some(HealthState::Up | HealthState::Slow | HealthState::Failing { .. }) => 1.0,
            Some(HealthState::Down) => 0.0,
            _ => continue,
        };
        text.line("howdah_database_up", &labels, up);
    }
    text.head(
        "howdah_check_seconds",
        "How long the last good check took, from the first step of connecting.",
    );
    for (labels, database) in databases() {
        let health = database.health.as_ref();
        if let Some((connect, answer)) = health.and_then(|health| health.connect_ms.zip(health.answer_ms)) {
            text.line("howdah_check_seconds", &labels, (connect + answer) / 1000.0);
        }
    }
    text.head(
        "howdah_uptime_ratio",
        "The share of the known time of the last 24 hours in which the database was not down.",
    );
    for (labels, database) in databases() {
        if let Some(uptime) = database.day.as_ref().and_then(|day| day.uptime) {
            text.line("howdah_uptime_ratio", &labels, uptime);
        }
    }
    text.head(
        "howdah_backup_timestamp_seconds",
        "When the newest good backup ended.",
    );
    for (labels, database) in databases() {
        if let Some(backup) = &database.last_backup {
            text.line(
                "howdah_backup_timestamp_seconds",
                &labels,
                seconds(backup.finished_at),
            );
        }
    }
    text.head(
        "howdah_backup_stored_bytes",
        "Bytes of the newest good backup as stored.",
    );
    for (labels, database) in databases() {
        if let Some(backup) = &database.last_backup {
            text.line("howdah_backup_stored_bytes", &labels, size(backup.stored_bytes));
        }
    }
    text.head(
        "howdah_proved_timestamp_seconds",
        "When a drill last proved a backup.",
    );
    for (labels, database) in databases() {
        if let Some(at) = database.proved_at {
            text.line("howdah_proved_timestamp_seconds", &labels, seconds(at));
        }
    }
    text.head("howdah_needs", "Things that need somebody.");
    text.line("howdah_needs", "", size(overview.needs.len() as u64));
    text.head("howdah_runs_active", "Runs that are queued, waiting or at work.");
    text.line("howdah_runs_active", "", size(overview.active_runs.len() as u64));
    text.head("howdah_stored_bytes", "Bytes of all copies of all backups.");
    text.line("howdah_stored_bytes", "", size(overview.storage.bytes));
    text.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} gauge");
    }

    fn line(&mut self, name: &str, labels: &str, value: f64) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

fn seconds(at: jiff::Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

#[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn size(bytes: u64) -> f64 {
    bytes as f64
}

/// The labels of a database, escaped as the format has it.
fn labels(server: &str, database: &str) -> String {
    let escape = |text: &str| {
        text.replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
    };
    format!(
        "{{server=\"{}\",database=\"{}\"}}",
        escape(server),
        escape(database)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_request_for_the_figures_of_this_machine_is_answered() {
        let head = |line: &str, host: &str| format!("{line}\r\nUser-Agent: x\r\nhost: {host}\r\n\r\n");
        assert_eq!(
            asked(&head("GET /metrics HTTP/1.1", "localhost:9187")),
            Asked::Figures
        );
        assert_eq!(
            asked(&head("GET /metrics?x=1 HTTP/1.1", "127.0.0.1")),
            Asked::Figures
        );
        assert_eq!(asked(&head("GET / HTTP/1.1", "localhost")), Asked::Other);
        assert_eq!(asked(&head("POST /metrics HTTP/1.1", "localhost")), Asked::Other);
        assert_eq!(
            asked(&head("GET /metrics HTTP/1.1", "evil.example:9187")),
            Asked::ByAnotherName
        );
        assert_eq!(asked("GET /metrics HTTP/1.0\r\n\r\n"), Asked::ByAnotherName);
    }

    #[test]
    fn names_cannot_break_out_of_their_labels() {
        assert_eq!(
            labels("a\"b", "c\\d\ne"),
            "{server=\"a\\\"b\",database=\"c\\\\d\\ne\"}"
        );
    }
}
