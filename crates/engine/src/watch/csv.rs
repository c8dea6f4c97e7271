//! What is kept of a database's checks, as a CSV file (RFC 4180).

use std::io::Write as _;
use std::path::Path;

use howdah_domain::availability::State;
use howdah_domain::check::Blind;
use howdah_domain::{DatabaseId, Failure, FailureCode};
use howdah_store::Connection;
use howdah_store::tables::availability::{self, Exported};
use howdah_store::tables::watches;
use jiff::Timestamp;

use crate::engine::OrFailure;

/// Writes the file beside its place, and puts it there when it is complete.
pub(super) fn write(
    c: &Connection,
    id: &DatabaseId,
    from: Timestamp,
    to: Timestamp,
    now: Timestamp,
    file: &Path,
) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(
            FailureCode::DestinationFailed,
            format!("{} could not be written.", file.display()),
        )
        .details(error.to_string())
    };
    let Some(watch) = watches::get(c, id).or_failure()? else {
        return Err(Failure::new(
            FailureCode::NotFound,
            "This database was never checked.",
        ));
    };
    let part = file.with_extension("csv.part");
    let written = (|| {
        let mut out = std::io::BufWriter::new(std::fs::File::create(&part)?);
        writeln!(
            out,
            "time,seconds,state,connect_ms,answer_ms,code,text,checks,failures,up_s,slow_s,failing_s,down_s,maintenance_s,no_data_s,median_ms,p95_ms"
        )?;
        let mut broken = None;
        let exported = availability::export(c, watch.number, from, to, now, |row| {
            if let Err(error) = write_row(&mut out, &row) {
                broken = Some(error);
                return Err(howdah_store::Error::Stopped("the file cannot be written"));
            }
            Ok(())
        });
        if let Some(error) = broken {
            return Err(error);
        }
        exported.map_err(std::io::Error::other)?;
        out.into_inner()
            .map_err(std::io::IntoInnerError::into_error)?
            .sync_all()?;
        std::fs::rename(&part, file)
    })();
    written.map_err(|error: std::io::Error| {
        drop(std::fs::remove_file(&part));
        failed(&error)
    })
}

fn write_row(out: &mut impl std::io::Write, row: &Exported) -> std::io::Result<()> {
    let ms = |micros: Option<u32>| {
        micros
            .map(|micros| format!("{:.3}", f64::from(micros) / 1000.0))
            .unwrap_or_default()
    };
    let s = |millis: u64| millis / 1000;
    match row {
        Exported::Check(check) => {
            let (code, text) = match &check.failure {
                Some((code, text)) => (
                    serde_json::to_value(code)
                        .ok()
                        .and_then(|value| value.as_str().map(str::to_owned))
                        .unwrap_or_default(),
                    quoted(text),
                ),
                None => Default::default(),
            };
            writeln!(
                out,
                "{},,{},{},{},{code},{text},,,,,,,,,,",
                check.at,
                word(check.state),
                ms(check.connect_us),
                ms(check.answer_us)
            )
        }
        Exported::Sum { from, length_ms, sum } => {
            let time = &sum.time;
            writeln!(
                out,
                "{from},{},,,,,,{},{},{},{},{},{},{},{},{},{}",
                length_ms / 1000,
                sum.checks,
                sum.failures,
                s(time.up),
                s(time.slow),
                s(time.failing),
                s(time.down),
                s(time.maintenance),
                s(time.asleep + time.offline + time.paused + time.locked),
                ms(sum.latencies.percentile(0.5)),
                ms(sum.latencies.percentile(0.95)),
            )
        }
    }
}

/// As RFC 4180 has it. What a spreadsheet would take for a formula begins with an apostrophe.
fn quoted(text: &str) -> String {
    let harmless = if text.starts_with(['=', '+', '-', '@']) {
        "'"
    } else {
        ""
    };
    format!("\"{harmless}{}\"", text.replace('"', "\"\""))
}

fn word(state: State) -> &'static str {
    match state {
        State::Up => "up",
        State::Slow => "slow",
        State::Failing => "failing",
        State::Down => "down",
        State::Maintenance => "maintenance",
        State::NoData(Blind::Asleep) => "asleep",
        State::NoData(Blind::Offline) => "offline",
        State::NoData(Blind::Paused) => "paused",
        State::NoData(Blind::KeyringLocked) => "keyring_locked",
        State::NoData(Blind::NotRunning) => "not_running",
    }
}
