//! `howdah plan`: what is backed up, when, to where.

use howdah_domain::{DrillRule, Encryption, Failure, Plan as DomainPlan, PlanId, RetentionRule, Scope};
use howdah_engine::Engine;
use howdah_engine::api::{PlanDraft, ScheduleQuestion};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::arguments::{Plan, PlanAdd};
use crate::commands::{assertion, destination};
use crate::output::{Done, Output};
use crate::schedule;

pub(crate) async fn run(engine: &Engine, command: Plan, output: Output) -> Result<Done, Failure> {
    match command {
        Plan::Add(arguments) => add(engine, *arguments, output).await,
        Plan::List => list(engine).await,
        Plan::Remove { plan } => {
            let plan = engine.plan(&PlanId::from_text(plan)).await?;
            engine.remove_plan(&plan.id).await?;
            let text = format!("Plan {} is removed. Its backups stay where they are.", plan.id);
            Ok(Done::good(json!({ "plan": plan }), text))
        }
    }
}

async fn add(engine: &Engine, arguments: PlanAdd, output: Output) -> Result<Done, Failure> {
    let server = engine.find_server(&arguments.server).await?;
    let database = arguments
        .database
        .unwrap_or_else(|| server.connection.database.clone());
    let proposal = engine.propose_plan(&server.id, &database).await?;
    let scope = if arguments.all_databases {
        Scope::AllDatabases {
            except: arguments.except,
        }
    } else {
        Scope::Database { name: database }
    };
    let mut recipients = arguments.encrypt_to;
    if arguments.encrypt {
        recipients.insert(0, engine.own_key().await?.recipient);
    }
    let encryption = if recipients.is_empty() {
        Encryption::None
    } else {
        Encryption::Keys { recipients }
    };
    let retention = RetentionRule {
        keep_last: arguments.keep_last,
        keep_within_days: arguments.keep_days,
        daily: arguments.keep_daily,
        weekly: arguments.keep_weekly,
        monthly: arguments.keep_monthly,
        yearly: arguments.keep_yearly,
        ..RetentionRule::default()
    };
    let mut destinations = Vec::new();
    for named in &arguments.to {
        destinations.push(destination::chosen(engine, named, output).await?);
    }
    let places = match destinations.as_slice() {
        [] => proposal.folder.display().to_string(),
        chosen => chosen
            .iter()
            .map(|view| view.location.as_str())
            .collect::<Vec<_>>()
            .join(" and "),
    };
    let plan = engine
        .save_plan(PlanDraft {
            id: None,
            server_id: server.id.clone(),
            scope,
            selection: arguments.what.into_selection(),
            globals: !arguments.no_globals,
            schedule: arguments.schedule,
            time_zone: arguments.time_zone.unwrap_or(proposal.time_zone),
            folder: destinations.is_empty().then_some(proposal.folder),
            destinations: destinations.into_iter().map(|view| view.id).collect(),
            encryption: Some(encryption),
            passphrase: None,
            retention: Some(retention),
            drill: Some(DrillRule {
                when: arguments.prove.into(),
                assertions: arguments.assert.into_iter().map(assertion).collect(),
            }),
            conditions: Some(arguments.when.into()),
            enabled: true,
        })
        .await?;
    let next = next_runs(engine, &plan)?;
    let mut text = format!(
        "Plan {}: {} on {}, {} ({}), to {places}",
        plan.id,
        scope_words(&plan.scope),
        server.name,
        schedule::tell(&plan.schedule),
        plan.time_zone,
    );
    if let Some(first) = next.first() {
        text.push_str(&format!("\nNext: {first}"));
    }
    Ok(Done::good(json!({ "plan": plan, "next_runs": next }), text))
}

async fn list(engine: &Engine) -> Result<Done, Failure> {
    let plans = engine.list_plans().await?;
    let servers = engine.list_servers().await?;
    let mut lines = Vec::new();
    let mut objects: Vec<Value> = Vec::new();
    for plan in &plans {
        let server = servers
            .iter()
            .find(|server| server.id == plan.server_id)
            .map_or("an unknown server", |server| server.name.as_str());
        let next = next_runs(engine, plan)?;
        lines.push(format!(
            "{}  {} on {server}  {} ({}){}",
            plan.id,
            scope_words(&plan.scope),
            schedule::tell(&plan.schedule),
            plan.time_zone,
            if plan.enabled { "" } else { "  disabled" }
        ));
        objects.push(json!({ "plan": plan, "server": server, "next_runs": next }));
    }
    if lines.is_empty() {
        lines.push("No plans yet. `howdah plan add SERVER` adds one.".to_owned());
    }
    Ok(Done::good(json!({ "plans": objects }), lines.join("\n")))
}

fn next_runs(engine: &Engine, plan: &DomainPlan) -> Result<Vec<Timestamp>, Failure> {
    if !plan.enabled {
        return Ok(Vec::new());
    }
    engine.next_runs(&ScheduleQuestion {
        schedule: plan.schedule.clone(),
        time_zone: plan.time_zone.clone(),
    })
}

fn scope_words(scope: &Scope) -> String {
    match scope {
        Scope::Database { name } => name.clone(),
        Scope::AllDatabases { except } if except.is_empty() => "all databases".to_owned(),
        Scope::AllDatabases { except } => format!("all databases but {}", except.join(", ")),
    }
}
