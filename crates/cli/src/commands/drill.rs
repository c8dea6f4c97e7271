//! `howdah drill`: restores a backup into a PostgreSQL of its own, compares every row, and removes it again.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use howdah_domain::drill::{Difference, ProofKind, TableProof};
use howdah_domain::units::{count, counted, duration};
use howdah_domain::{Assertion, DrillReport, Failure, FailureCode};
use howdah_engine::drill::{ASSERTION_PATIENCE, DrillRequest};
use howdah_engine::stored::StoredBackup;
use howdah_engine::work::Reporter;
use howdah_engine::{Engine, drill_page};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::arguments::Drill;
use crate::output::{Done, End, Output};
use crate::processors;
use crate::progress::Teller;

pub(crate) async fn run(
    engine: &Engine,
    arguments: Drill,
    backup: StoredBackup,
    output: Output,
    cancel: &CancellationToken,
) -> Result<Done, Failure> {
    let began = Instant::now();
    let request = DrillRequest {
        backup,
        assertions: arguments.assert.into_iter().map(assertion).collect(),
        assertion_patience: arguments
            .assert_timeout
            .map_or(ASSERTION_PATIENCE, Duration::from_secs),
        jobs: arguments.jobs.map_or_else(processors, usize::from),
    };
    let teller = Arc::new(Teller::new(output));
    let reporter: Arc<dyn Reporter> = Arc::clone(&teller) as _;
    let drilled = Box::pin(engine.drill_once(&request, reporter, cancel)).await;
    teller.finish();
    let report = drilled?;
    if let Some(path) = &arguments.report {
        write_page(path, &report)?;
    }
    Ok(tell(
        &request.backup,
        &report,
        arguments.report.as_deref(),
        began.elapsed(),
    ))
}

/// An assertion of the command line, which is called what it says.
pub(crate) fn assertion(sql: String) -> Assertion {
    Assertion {
        name: sql.clone(),
        sql,
    }
}

fn write_page(path: &Path, report: &DrillReport) -> Result<(), Failure> {
    std::fs::write(path, drill_page(report)).map_err(|error| {
        Failure::new(
            FailureCode::InvalidInput,
            format!("The report could not be written to {}.", path.display()),
        )
        .details(error.to_string())
    })
}

fn tell(backup: &StoredBackup, report: &DrillReport, page: Option<&Path>, took: Duration) -> Done {
    let proved = report.is_proved();
    let tables = report
        .tables
        .iter()
        .filter(|table| table.kind == ProofKind::Table)
        .count() as u64;
    let json = json!({
        "proved": proved,
        "path": backup.name(),
        "tables": tables,
        "rows": report.rows,
        "mismatches": report.tables.iter().filter(|table| !table.equal).map(mismatch).collect::<Vec<_>>(),
        "restore_errors": report.restore_errors,
        "definitions": report.definitions,
        "assertions": report.assertions.iter().map(|outcome| json!({
            "sql": outcome.assertion.sql,
            "held": outcome.held,
            "error": outcome.failure,
        })).collect::<Vec<_>>(),
        "amcheck_errors": report.amcheck_errors,
        "left_out": report.left_out,
        "remarks": report.remarks,
        "server_version": report.server_version,
        "timings": report.timings,
        "report": page,
        "seconds": took.as_secs_f64(),
    });
    let mut lines: Vec<String> = report
        .left_out
        .iter()
        .map(|line| format!("  left out: {line}"))
        .collect();
    if proved {
        lines.insert(
            0,
            format!(
                "Proved in {}: all {} and {} rows came back exactly as they were dumped.",
                duration(took),
                counted(tables, "table", "tables"),
                count(report.rows)
            ),
        );
        return Done::good(json, lines.join("\n"));
    }
    let mut told = vec![format!("Not proved. {}", report.verdict().unwrap_or_default())];
    told.extend(report.tables.iter().filter(|table| !table.equal).map(table_line));
    told.extend(report.restore_errors.iter().map(|error| format!("  {error}")));
    told.extend(report.definitions.iter().map(|one| {
        let how = match one.difference {
            Difference::Missing => "is missing",
            Difference::Unexpected => "was not dumped",
            Difference::Changed => "is another one",
        };
        format!("  {} {} {how}", one.kind, one.name)
    }));
    told.extend(
        report
            .amcheck_errors
            .iter()
            .flatten()
            .map(|error| format!("  {error}")),
    );
    told.extend(
        report
            .assertions
            .iter()
            .filter(|outcome| outcome.held != Some(true))
            .map(|outcome| match &outcome.failure {
                Some(failure) => format!("  {}: {}", outcome.assertion.sql, failure.message),
                None => format!("  {}: not true", outcome.assertion.sql),
            }),
    );
    told.append(&mut lines);
    Done {
        json,
        text: told.join("\n"),
        end: End::NotEqual,
    }
}

fn mismatch(table: &TableProof) -> Value {
    json!({
        "kind": table.kind,
        "schema": table.schema,
        "name": table.name,
        "expected_rows": table.expected_rows,
        "found_rows": table.found_rows,
        "expected": table.expected,
        "found": table.found,
        "why": table.why,
    })
}

fn table_line(table: &TableProof) -> String {
    let name = table.title();
    match (&table.why, table.found_rows) {
        (Some(why), _) => format!("  {name}: {why}"),
        (None, Some(found)) if found != table.expected_rows => format!(
            "  {name}: {} rows, {} were dumped",
            count(found),
            count(table.expected_rows)
        ),
        _ => format!("  {name}: as many, but not the same"),
    }
}
