//! `howdah backup`: one database to a folder or a URL, without configuration.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use howdah_archive::EncodeOptions;
use howdah_domain::Failure;
use howdah_domain::units::{count, counted, duration, size};
use howdah_engine::oneoff::{OneOffBackedUp, OneOffBackup, OneOffPlace};
use howdah_engine::work::Reporter;
use howdah_engine::{Engine, catalog};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::arguments::Backup;
use crate::output::{Done, End, Output};
use crate::progress::Teller;
use crate::{place, target};

pub(crate) async fn run(
    engine: &Engine,
    arguments: Backup,
    data_dir: Option<&Path>,
    output: Output,
    cancel: &CancellationToken,
) -> Result<Done, Failure> {
    let began = Instant::now();
    let to = place::read_all(&arguments.to, output)?
        .into_iter()
        .map(|named| OneOffPlace {
            place: named.place,
            secret: named.secret,
        })
        .collect();
    let target = target::reach(&arguments.target, data_dir, output, cancel).await?;
    let defaults = EncodeOptions::default();
    let wanted = OneOffBackup {
        connection: target.connection().clone(),
        secret: target.password.clone(),
        selection: arguments.what.into_selection(),
        globals: !arguments.no_globals,
        to,
        recipients: place::recipients(&arguments.encrypt_to, arguments.encrypt_passphrase)?,
        encode: EncodeOptions {
            level: arguments.level.unwrap_or(defaults.level),
            threads: arguments.jobs.map_or(defaults.threads, usize::from),
        },
    };
    let teller = Arc::new(Teller::new(output));
    let reporter: Arc<dyn Reporter> = Arc::clone(&teller) as _;
    let made = Box::pin(engine.back_up_once(&wanted, reporter, cancel)).await;
    teller.finish();
    Ok(tell(&target.judged(made).await?, began.elapsed()))
}

fn tell(made: &OneOffBackedUp, took: Duration) -> Done {
    let manifest = &made.manifest;
    let mut text = format!(
        "{} is backed up: {}, {} rows, {} as {} in {}",
        manifest.database,
        counted(manifest.tables, "table", "tables"),
        count(manifest.rows),
        size(manifest.raw_bytes),
        size(made.stored_bytes),
        duration(took),
    );
    for copy in &made.copies {
        text.push('\n');
        match copy {
            Ok(path) => text.push_str(path),
            Err(failure) => text.push_str(&format!("not there: {}", failure.message)),
        }
    }
    let copies: Vec<Value> = made
        .copies
        .iter()
        .map(|copy| match copy {
            Ok(path) => json!({ "path": path }),
            Err(failure) => json!({ "error": failure }),
        })
        .collect();
    let json = json!({
        "id": manifest.id,
        "path": made.stored.name(),
        "copies": copies,
        "server": manifest.server.name,
        "database": manifest.database,
        "raw_bytes": manifest.raw_bytes,
        "stored_bytes": made.stored_bytes,
        "sha256": manifest.dump_file().map(|file| &file.sha256),
        "seconds": took.as_secs_f64(),
        "server_version": manifest.server.version,
        "client_version": manifest.client.version,
        "rows": manifest.rows,
        "tables": catalog::tables(&made.index),
    });
    // A script that asked for two copies has to hear that there is one.
    let end = match made.copies.iter().find_map(|copy| copy.as_ref().err()) {
        None => End::Good,
        Some(failure) => End::Bad(failure.clone()),
    };
    Done { json, text, end }
}
