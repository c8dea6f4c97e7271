//! `howdah instance`: the PostgreSQLs that backups were restored into on this machine.

use howdah_domain::Failure;
use howdah_domain::units::size;
use howdah_engine::Engine;
use howdah_engine::api::{InstanceState, InstanceView};
use howdah_postgres::children::Parting;
use serde_json::json;

use crate::arguments::Instance;
use crate::output::Done;

pub(crate) async fn run(engine: &Engine, command: Instance) -> Result<Done, Failure> {
    match command {
        Instance::List => {
            let all = engine.list_instances().await?;
            let lines: Vec<String> = all.iter().map(line).collect();
            let text = if lines.is_empty() {
                "There are no local instances. `howdah restore BACKUP --local` makes one.".to_owned()
            } else {
                lines.join("\n")
            };
            Ok(Done::good(json!({ "instances": all }), text))
        }
        Instance::Start { instance } => {
            let known = engine.find_instance(&instance).await?;
            let started = engine.start_instance(&known.id, Parting::Stay).await?;
            let url = engine.instance_url(&known.id).await?;
            Ok(Done::good(
                json!({ "instance": started, "url": url.expose() }),
                url.expose(),
            ))
        }
        Instance::Stop { instance } => {
            let known = engine.find_instance(&instance).await?;
            let stopped = engine.stop_instance(&known.id).await?;
            let text = format!("{} is stopped.", stopped.name);
            Ok(Done::good(json!({ "instance": stopped }), text))
        }
        Instance::Delete { instance } => {
            let known = engine.find_instance(&instance).await?;
            engine.delete_instance(&known.id).await?;
            let text = format!("{} is deleted, {}.", known.name, size(known.disk_bytes));
            Ok(Done::good(json!({ "deleted": known }), text))
        }
        Instance::Url { instance } => {
            let known = engine.find_instance(&instance).await?;
            let url = engine.instance_url(&known.id).await?;
            Ok(Done::good(json!({ "url": url.expose() }), url.expose()))
        }
    }
}

fn line(instance: &InstanceView) -> String {
    let state = match instance.state {
        InstanceState::Making => "being made".to_owned(),
        InstanceState::Running => instance
            .port
            .map_or_else(|| "running".to_owned(), |port| format!("running on port {port}")),
        InstanceState::Stopped => "stopped".to_owned(),
        InstanceState::Lost => "its folder is gone".to_owned(),
    };
    format!(
        "{}  PostgreSQL {}, {state}, {}, database {}",
        instance.name,
        instance.major,
        size(instance.disk_bytes),
        instance.database.as_deref().unwrap_or("–")
    )
}
