//! `howdah settings`: all settings as one encrypted file, and back on another machine.

use howdah_domain::{Failure, FailureCode, Secret};
use howdah_engine::api::{ExportRequest, ImportReport};
use howdah_engine::{Engine, LONGEST_EXPORT};
use serde_json::json;

use crate::arguments::Settings;
use crate::output::Done;
use crate::private;

/// Holds the passphrase of an export.
const PASSPHRASE_VARIABLE: &str = "HOWDAH_EXPORT_PASSPHRASE";

pub(crate) async fn run(engine: &Engine, command: Settings) -> Result<Done, Failure> {
    let passphrase = || std::env::var(PASSPHRASE_VARIABLE).ok().map(Secret::new);
    match command {
        Settings::Export {
            file,
            with_secrets,
            passphrase: with_passphrase,
        } => {
            let passphrase = match with_passphrase {
                true => Some(passphrase().ok_or_else(|| {
                    Failure::new(
                        FailureCode::KeyMissing,
                        format!("There is no passphrase in {PASSPHRASE_VARIABLE}."),
                    )
                })?),
                false => None,
            };
            let export = engine
                .export_settings(ExportRequest {
                    with_secrets,
                    passphrase,
                })
                .await?;
            private::write(&file, &export.bytes, "The settings")?;
            let text = format!("The settings are in {}.", file.display());
            Ok(Done::good(json!({ "path": file }), text))
        }
        Settings::Import { file } => {
            let bytes = private::read(&file, LONGEST_EXPORT)?;
            let view = engine.read_export(bytes, passphrase()).await?;
            let report = engine.import_settings(&view.id).await?;
            let text = tell(&view.machine, &report);
            Ok(Done::good(json!({ "export": view, "imported": report }), text))
        }
        Settings::ImportFrom { destination, machine } => {
            let destination = engine.find_destination(&destination).await?;
            let stored = engine.stored_exports(&destination.id).await?;
            let chosen = stored
                .iter()
                .find(|export| machine.as_ref().is_none_or(|machine| *machine == export.machine))
                .ok_or_else(|| {
                    Failure::new(
                        FailureCode::NotFound,
                        format!("No machine's settings lie at {}.", destination.name),
                    )
                    .hint("They are copied there for plans whose backups are encrypted.")
                })?;
            let view = engine.read_stored_export(&destination.id, &chosen.path).await?;
            let report = engine.import_settings(&view.id).await?;
            let text = tell(&view.machine, &report);
            Ok(Done::good(json!({ "export": view, "imported": report }), text))
        }
    }
}

fn tell(machine: &str, report: &ImportReport) -> String {
    let mut lines = vec![format!(
        "From {machine}: {} servers, {} destinations, {} plans, {} channels and {} secrets are new here.",
        report.servers, report.destinations, report.plans, report.channels, report.secrets
    )];
    lines.extend(report.remarks.iter().map(|remark| format!("  {remark}")));
    lines.join("\n")
}
