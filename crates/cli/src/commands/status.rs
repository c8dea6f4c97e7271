//! `howdah status`: databases, their newest backups, and what is due next.

use howdah_domain::Failure;
use howdah_domain::units::{counted, size};
use howdah_engine::Engine;
use howdah_engine::api::{DatabaseSummary, Overview};
use serde_json::json;

use crate::output::Done;

pub(crate) async fn run(engine: &Engine) -> Result<Done, Failure> {
    let overview = engine.overview().await?;
    Ok(Done::good(json!(overview), tell(&overview)))
}

fn tell(overview: &Overview) -> String {
    let mut lines = vec![verdict(overview)];
    for need in &overview.needs {
        let what = format!("{:?}", need.kind);
        let name = need.database_name.as_deref().unwrap_or("Howdah");
        let why = need
            .failure
            .as_ref()
            .map_or_else(String::new, |failure| format!(": {}", failure.message));
        lines.push(format!("  {name}: {}{why}", in_words(&what)));
    }
    lines.push(String::new());
    lines.extend(overview.databases.iter().map(line));
    if overview.databases.is_empty() {
        lines.push("No databases yet. `howdah server add URL`, then `howdah plan add SERVER`.".to_owned());
    }
    lines.push(String::new());
    lines.push(format!(
        "{}, {}",
        counted(overview.storage.backups, "backup", "backups"),
        size(overview.storage.bytes)
    ));
    lines.push(match (&overview.scheduler.next, overview.scheduler.owned) {
        (Some(next), _) => format!("Next: {} at {}", next.name, next.at),
        (None, _) => "Nothing is due.".to_owned(),
    });
    lines.join("\n")
}

fn verdict(overview: &Overview) -> String {
    match (overview.databases.len(), overview.needs.len()) {
        (0, 0) => "Howdah looks after no database yet.".to_owned(),
        (1, 0) => "The database is backed up.".to_owned(),
        (many, 0) => format!("All {many} databases are backed up."),
        (_, 1) => "1 thing needs you:".to_owned(),
        (_, many) => format!("{many} things need you:"),
    }
}

/// `BackupFailed` as `backup failed`.
fn in_words(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

fn line(database: &DatabaseSummary) -> String {
    let last = database.last_backup.as_ref().map_or_else(
        || "no backup yet".to_owned(),
        |backup| format!("last {}, {}", backup.finished_at, size(backup.stored_bytes)),
    );
    let next = database
        .next_run
        .map_or_else(|| "not scheduled".to_owned(), |next| format!("next {next}"));
    format!(
        "{:<24} {:<10} {last}, {next}",
        format!("{} on {}", database.name, database.server_name),
        format!("{:?}", database.status).to_lowercase(),
    )
}
