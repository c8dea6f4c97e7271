//! `howdah backup`: one database to a folder or a URL, without configuration.

use std::sync::Arc;
use std::time::{Duration, Instant};

use howdah_archive::EncodeOptions;
use howdah_domain::Failure;
use howdah_domain::units::{count, counted, duration, size};
use howdah_engine::oneoff::{OneOffBackedUp, OneOffBackup};
use howdah_engine::work::Reporter;
use howdah_engine::{Engine, catalog};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::arguments::Backup;
use crate::output::{Done, Output};
use crate::progress::Teller;
use crate::{place, target};

pub(crate) async fn run(
    engine: &Engine,
    arguments: Backup,
    output: Output,
    cancel: &CancellationToken,
) -> Result<Done, Failure> {
    let began = Instant::now();
    let named = place::read(&arguments.to, output)?;
    let target = target::resolve(&arguments.target, output, cancel).await?;
    let defaults = EncodeOptions::default();
    let wanted = OneOffBackup {
        connection: target.connection,
        secret: target.password,
        selection: arguments.what.into_selection(),
        globals: !arguments.no_globals,
        place: named.place,
        place_secret: named.secret,
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
    Ok(tell(&made?, began.elapsed()))
}

fn tell(made: &OneOffBackedUp, took: Duration) -> Done {
    let manifest = &made.manifest;
    let text = format!(
        "{} is backed up: {}, {} rows, {} as {} in {}\n{}",
        manifest.database,
        counted(manifest.tables, "table", "tables"),
        count(manifest.rows),
        size(manifest.raw_bytes),
        size(made.stored_bytes),
        duration(took),
        made.stored.name(),
    );
    let json = json!({
        "id": manifest.id,
        "path": made.stored.name(),
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
    Done::good(json, text)
}
