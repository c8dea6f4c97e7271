//! `howdah server`: the servers that Howdah knows.

use std::path::Path;

use howdah_domain::{Failure, FailureCode};
use howdah_engine::Engine;
use howdah_engine::api::{ConnectionInput, ServerView, TestReport, TestRequest, TestState};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::arguments::{Server, Target};
use crate::output::{Done, End, Output};
use crate::target;

pub(crate) async fn run(
    engine: &Engine,
    command: Server,
    data_dir: Option<&Path>,
    output: Output,
    cancel: &CancellationToken,
) -> Result<Done, Failure> {
    match command {
        Server::Add {
            url,
            name,
            environment,
            password_stdin,
            tunnel,
        } => {
            let target = Target {
                url: Some(url),
                password_stdin,
                tunnel,
            };
            // The password goes from here to the keyring; the text itself is kept nowhere.
            let input = target::input(&target, data_dir, output, cancel).await?;
            let name = name.unwrap_or_default();
            let server = engine.add_server(input, &name, environment.into()).await?;
            let text = format!("{} is added: {}", server.name, server.connection.display());
            Ok(Done::good(json!({ "server": server }), text))
        }
        Server::List => {
            let servers = engine.list_servers().await?;
            let text = if servers.is_empty() {
                "No servers yet. `howdah server add URL` adds one.".to_owned()
            } else {
                servers.iter().map(line).collect::<Vec<_>>().join("\n")
            };
            Ok(Done::good(json!({ "servers": servers }), text))
        }
        Server::Test { server } => test(engine, &server, cancel).await,
        Server::Remove { server } => {
            let server = engine.find_server(&server).await?;
            engine.remove_server(&server.id).await?;
            let text = format!("{} is removed. Its backups stay where they are.", server.name);
            Ok(Done::good(json!({ "server": server }), text))
        }
    }
}

fn line(server: &ServerView) -> String {
    let environment = format!("{:?}", server.environment).to_lowercase();
    format!(
        "{}  {}  {}  {environment}{}",
        server.id,
        server.name,
        server.connection.display(),
        if server.has_password { "" } else { "  no password" }
    )
}

async fn test(engine: &Engine, name: &str, cancel: &CancellationToken) -> Result<Done, Failure> {
    let server = engine.find_server(name).await?;
    let request = TestRequest {
        test_id: "command-line".to_owned(),
        input: ConnectionInput::Server {
            id: server.id.clone(),
        },
        selection: howdah_domain::Selection::default(),
    };
    let report = tokio::select! {
        report = engine.test_connection(request) => report?,
        () = cancel.cancelled() => {
            engine.cancel_test("command-line");
            return Err(Failure::new(FailureCode::Cancelled, "The test was cancelled."));
        }
    };
    let text = tell(&report);
    let json = json!({ "ok": report.ok, "server": server, "report": report });
    let failed = report
        .steps
        .iter()
        .find(|step| step.state == TestState::Failed)
        .and_then(|step| step.failure.clone());
    let end = match (report.ok, failed) {
        (true, _) => End::Good,
        (false, Some(failure)) => End::Bad(failure),
        (false, None) => End::Bad(Failure::new(
            FailureCode::Internal,
            "The test failed and did not say why.",
        )),
    };
    Ok(Done { json, text, end })
}

fn tell(report: &TestReport) -> String {
    let mut lines = Vec::new();
    for step in &report.steps {
        let mark = match step.state {
            TestState::Passed => "ok",
            TestState::Warning => "warning",
            TestState::Failed => "FAILED",
            TestState::Skipped | TestState::Running => "skipped",
        };
        let name = format!("{:?}", step.id).to_lowercase();
        lines.push(format!(
            "{name:<10} {mark:<8} {}",
            step.finding.as_deref().unwrap_or_default()
        ));
        if step.state == TestState::Warning
            && let Some(failure) = &step.failure
        {
            lines.push(format!("{:<20}{}", "", failure.message));
        }
        if let Some(sql) = &step.sql {
            lines.extend(sql.lines().map(|line| format!("{:<20}{line}", "")));
        }
    }
    lines.join("\n")
}
