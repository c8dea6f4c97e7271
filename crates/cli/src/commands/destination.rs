//! `howdah destination`: where copies of backups live.

use howdah_domain::Failure;
use howdah_domain::units::{counted, size};
use howdah_engine::api::{DestinationInput, DestinationReport, DestinationStepId, DestinationView};
use howdah_engine::{Engine, KNOWN_HOSTS_FILE};
use serde_json::json;

use crate::arguments::Destination;
use crate::host_key;
use crate::output::{Done, End, Output};
use crate::place::{self, Named};

pub(crate) async fn run(engine: &Engine, command: Destination, output: Output) -> Result<Done, Failure> {
    match command {
        Destination::Add {
            place,
            name,
            accept_host_key,
        } => {
            let named = place::read(&place, output)?;
            let known_hosts = engine.data_dir().join(KNOWN_HOSTS_FILE);
            let added = host_key::with_question(Some(&known_hosts), accept_host_key.as_deref(), async || {
                engine.add_destination(input(&named, name.clone())).await
            })
            .await?;
            let text = format!("{} is added: {}", added.name, added.location);
            Ok(Done::good(json!({ "destination": added }), text))
        }
        Destination::List => {
            let destinations = engine.list_destinations().await?;
            let text = if destinations.is_empty() {
                "No destinations yet. `howdah destination add DIR|URL` adds one.".to_owned()
            } else {
                destinations.iter().map(line).collect::<Vec<_>>().join("\n")
            };
            Ok(Done::good(json!({ "destinations": destinations }), text))
        }
        Destination::Test { destination } => {
            let known = engine.find_destination(&destination).await.ok();
            let input = match &known {
                Some(known) => DestinationInput {
                    id: Some(known.id.clone()),
                    name: None,
                    place: known.place.clone(),
                    secret: None,
                    sign_in: None,
                },
                None => input(&place::read(&destination, output)?, None),
            };
            Ok(tell(&engine.test_destination(input).await?))
        }
        Destination::Attach { destination } => {
            let destination = engine.find_destination(&destination).await?;
            let report = engine.attach(&destination.id).await?;
            let mut text = format!(
                "{}: {} there, {} new here, {} missing.",
                destination.name,
                counted(report.found, "backup", "backups"),
                report.added,
                report.missing
            );
            for unreadable in &report.unreadable {
                let why = unreadable
                    .failure
                    .as_ref()
                    .map_or("no reason is known", |failure| failure.message.as_str());
                text.push_str(&format!(
                    "
  cannot be read: {}: {why}",
                    unreadable.path
                ));
            }
            Ok(Done::good(json!({ "attached": report }), text))
        }
        Destination::Remove { destination } => {
            let destination = engine.find_destination(&destination).await?;
            engine.remove_destination(&destination.id).await?;
            let text = format!("{} is removed. What lies there stays.", destination.name);
            Ok(Done::good(json!({ "destination": destination }), text))
        }
    }
}

fn input(named: &Named, name: Option<String>) -> DestinationInput {
    DestinationInput {
        id: None,
        name,
        place: named.place.clone(),
        secret: named.secret.clone(),
        sign_in: None,
    }
}

fn line(destination: &DestinationView) -> String {
    let state = destination
        .failure
        .as_ref()
        .map_or_else(String::new, |failure| format!("  ! {}", failure.message));
    format!(
        "{}  {}, {}  {}{state}",
        destination.name,
        counted(destination.backups, "backup", "backups"),
        size(destination.bytes),
        destination.location,
    )
}

fn tell(report: &DestinationReport) -> Done {
    let mut lines: Vec<String> = report
        .steps
        .iter()
        .map(|step| {
            let what = match step.id {
                DestinationStepId::Reach => "reached, and let in",
                DestinationStepId::Write => "an object written",
                DestinationStepId::Read => "read back as it was",
                DestinationStepId::List => "found in the list",
                DestinationStepId::Delete => "deleted, and gone",
            };
            match (&step.failure, step.passed) {
                (Some(failure), _) => {
                    let hint = failure.hint.as_deref().unwrap_or_default();
                    format!("✕ {what}: {} {hint}", failure.message)
                }
                (None, true) => format!("✓ {what}"),
                (None, false) => format!("· {what}"),
            }
        })
        .collect();
    if let Some(free) = report.free_bytes {
        lines.push(format!("{} free", size(free)));
    }
    let text = lines.join("\n");
    let json = json!({ "usable": report.failure().is_none(), "report": report });
    match report.failure() {
        None => Done::good(json, text),
        Some(failure) => Done {
            json,
            text,
            end: End::Bad(Failure::new(
                failure.code,
                "The destination cannot be used as it is.",
            )),
        },
    }
}

/// The destination that a plan is to write to: one that is there, by its name or id, else one made of the folder or URL.
pub(crate) async fn chosen(engine: &Engine, named: &str, output: Output) -> Result<DestinationView, Failure> {
    if let Ok(known) = engine.find_destination(named).await {
        return Ok(known);
    }
    let input = input(&place::read(named, output)?, None);
    engine.destination_at(input).await
}
