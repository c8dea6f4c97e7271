//! `howdah extract`: one table's rows out of a backup, to standard output or into a file.

use std::io;
use std::time::Instant;

use howdah_domain::units::{counted, duration, size};
use howdah_domain::{Failure, Progress};
use howdah_engine::api::RowFormat;
use howdah_engine::inside::save::{SaveMeter, Saved, Target, save};
use howdah_engine::inside::{Inside, Table};
use howdah_engine::stored::StoredBackup;
use howdah_engine::work::{Rate, Reporter as _, TICK};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::arguments::Extract;
use crate::output::{Done, Output};
use crate::progress::Teller;

pub(crate) async fn run(
    arguments: Extract,
    backup: &StoredBackup,
    output: Output,
    cancel: &CancellationToken,
) -> Result<Done, Failure> {
    let began = Instant::now();
    let table = Inside::open(backup, cancel).await?.table(&arguments.table)?;
    let format = RowFormat::from(arguments.format);
    let target = match &arguments.to {
        Some(path) => Target::File(path.clone()),
        None => Target::Stream(Box::new(io::stdout())),
    };
    // A bar would stand in the middle of rows on the same terminal.
    let quiet = output.quiet || (arguments.to.is_none() && io::IsTerminal::is_terminal(&io::stdout()));
    let saved = save_told(&table, format, target, Output { quiet, ..output }, cancel).await?;
    let Some(path) = &arguments.to else {
        return Ok(Done::good(json!({}), ""));
    };
    let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let json = json!({
        "schema": table.name().schema,
        "name": table.name().name,
        "columns": table.columns(),
        "rows": table.rows(),
        "format": format,
        "encoding": table.encoding(),
        "path": path,
        "bytes": saved.bytes,
        "stored_bytes": table.stored_bytes(),
        "backup": backup.name(),
        "seconds": began.elapsed().as_secs_f64(),
    });
    let text = format!(
        "{} of {}.{}, {} in {}, are in {} ({}).",
        counted(table.rows(), "row", "rows"),
        table.name().schema,
        table.name().name,
        size(saved.bytes),
        table.encoding(),
        path.display(),
        duration(began.elapsed())
    );
    Ok(Done::good(json, text))
}

/// Saves, and tells on standard error how far it is.
async fn save_told(
    table: &Table,
    format: RowFormat,
    target: Target,
    output: Output,
    cancel: &CancellationToken,
) -> Result<Saved, Failure> {
    let teller = Teller::new(output);
    let meter = SaveMeter::default();
    let mut rate = Rate::new(Instant::now());
    let saving = save(table, format, target, &meter, cancel);
    let mut saving = std::pin::pin!(saving);
    let mut ticks = tokio::time::interval(TICK);
    let saved = loop {
        tokio::select! {
            biased;
            saved = &mut saving => break saved,
            _ = ticks.tick() => {
                let raw_bytes = meter.read();
                let (bytes_per_second, elapsed_ms) = rate.sample(Instant::now(), raw_bytes);
                teller.progress(Progress {
                    raw_bytes,
                    raw_bytes_expected: Some(table.raw_bytes()),
                    bytes_per_second,
                    elapsed_ms,
                    ..Progress::default()
                });
            }
        }
    };
    teller.finish();
    saved
}
