//! `howdah status`: databases, their newest backups, and what is due next.

use howdah_domain::Failure;
use howdah_domain::units::{counted, size};
use howdah_engine::Engine;
use howdah_engine::api::{DatabaseSummary, HealthState, Overview};
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
        "{:<24} {:<18} {:<10} {last}, {next}",
        format!("{} on {}", database.name, database.server_name),
        health(database),
        format!("{:?}", database.status).to_lowercase(),
    )
}

/// Whether it answers: `up 12 ms, 99.98 %`.
fn health(database: &DatabaseSummary) -> String {
    let Some(health) = &database.health else {
        return "not checked".to_owned();
    };
    let state = match health.state {
        HealthState::Up | HealthState::Slow => {
            let took = health
                .connect_ms
                .zip(health.answer_ms)
                .map(|(connect, answer)| connect + answer);
            let word = if health.state == HealthState::Up {
                "up"
            } else {
                "slow"
            };
            took.map_or_else(|| word.to_owned(), |took| format!("{word} {took:.0} ms"))
        }
        HealthState::Failing { times, of } => format!("failing {times} of {of}"),
        HealthState::Down => "down".to_owned(),
        HealthState::Maintenance => "maintenance".to_owned(),
        HealthState::NoData { .. } => "no data".to_owned(),
        HealthState::Off => "not checked".to_owned(),
    };
    match database.day.as_ref().and_then(|day| day.uptime) {
        Some(uptime) if uptime < 1.0 => format!("{state}, {:.2} %", uptime * 100.0),
        _ => state,
    }
}
