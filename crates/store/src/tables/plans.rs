//! Plans, and to which destinations each writes.

use std::collections::HashMap;

use howdah_domain::{DestinationId, Plan, PlanId, ServerId};
use rusqlite::{Connection, Row, ToSql, named_params};

use super::found;
use crate::{
    Result,
    column::{Id, Json, Time},
};

const COLUMNS: &str = "id, server_id, scope, selection, globals, schedule, time_zone, level, enabled, created_at, encryption, retention, drill, conditions";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Plan> {
    Ok(Plan {
        id: row.get::<_, Id<_>>("id")?.0,
        server_id: row.get::<_, Id<_>>("server_id")?.0,
        scope: row.get::<_, Json<_>>("scope")?.0,
        selection: row.get::<_, Json<_>>("selection")?.0,
        globals: row.get("globals")?,
        schedule: row.get::<_, Json<_>>("schedule")?.0,
        time_zone: row.get("time_zone")?,
        destinations: Vec::new(),
        encryption: row.get::<_, Json<_>>("encryption")?.0,
        retention: row.get::<_, Json<_>>("retention")?.0,
        drill: row.get::<_, Json<_>>("drill")?.0,
        conditions: row.get::<_, Json<_>>("conditions")?.0,
        level: row.get("level")?,
        enabled: row.get("enabled")?,
        created_at: row.get::<_, Time>("created_at")?.0,
    })
}

/// Adds a plan.
pub fn insert(connection: &Connection, plan: &Plan) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO plans (id, server_id, scope, selection, globals, schedule, time_zone, level, enabled, created_at,
                encryption, retention, drill, conditions)
             VALUES (:id, :server_id, :scope, :selection, :globals, :schedule, :time_zone, :level, :enabled, :created_at,
                :encryption, :retention, :drill, :conditions)",
        )?
        .execute(named_params! {
            ":id": Id(&plan.id),
            ":server_id": Id(&plan.server_id),
            ":scope": Json(&plan.scope),
            ":selection": Json(&plan.selection),
            ":globals": plan.globals,
            ":schedule": Json(&plan.schedule),
            ":time_zone": plan.time_zone,
            ":level": plan.level,
            ":enabled": plan.enabled,
            ":encryption": Json(&plan.encryption),
            ":retention": Json(&plan.retention),
            ":drill": Json(&plan.drill),
            ":conditions": Json(&plan.conditions),
            ":created_at": Time(plan.created_at),
        })?;
    write_destinations(connection, plan)
}

/// Writes a plan anew, but for its id, server and time of making. Backups made so far stay where they are, whatever its
/// destinations become.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound).
pub fn update(connection: &Connection, plan: &Plan) -> Result<()> {
    let changed = connection
        .prepare_cached(
            "UPDATE plans SET scope = :scope, selection = :selection, globals = :globals, schedule = :schedule,
                time_zone = :time_zone, level = :level, enabled = :enabled, encryption = :encryption, retention = :retention,
                drill = :drill, conditions = :conditions
             WHERE id = :id",
        )?
        .execute(named_params! {
            ":id": Id(&plan.id),
            ":scope": Json(&plan.scope),
            ":selection": Json(&plan.selection),
            ":globals": plan.globals,
            ":schedule": Json(&plan.schedule),
            ":time_zone": plan.time_zone,
            ":level": plan.level,
            ":enabled": plan.enabled,
            ":encryption": Json(&plan.encryption),
            ":retention": Json(&plan.retention),
            ":drill": Json(&plan.drill),
            ":conditions": Json(&plan.conditions),
        })?;
    found(changed, "plan")?;
    connection
        .prepare_cached("DELETE FROM plan_destinations WHERE plan_id = ?1")?
        .execute([Id(&plan.id)])?;
    write_destinations(connection, plan)
}

fn write_destinations(connection: &Connection, plan: &Plan) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO plan_destinations (plan_id, position, destination_id) VALUES (?1, ?2, ?3)",
    )?;
    for (position, destination) in (0_i64..).zip(&plan.destinations) {
        statement.execute((Id(&plan.id), position, Id(destination)))?;
    }
    Ok(())
}

/// A plan.
pub fn get(connection: &Connection, id: &PlanId) -> Result<Option<Plan>> {
    Ok(query(connection, "WHERE id = ?1", &[&Id(id)])?.pop())
}

/// All plans, oldest first.
pub fn list(connection: &Connection) -> Result<Vec<Plan>> {
    query(connection, "", &[])
}

/// A server's plans, oldest first.
pub fn of_server(connection: &Connection, server_id: &ServerId) -> Result<Vec<Plan>> {
    query(connection, "WHERE server_id = ?1", &[&Id(server_id)])
}

/// Removes a plan with its occurrences. Its runs and backups stay.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound).
pub fn remove(connection: &Connection, id: &PlanId) -> Result<()> {
    let changed = connection
        .prepare_cached("DELETE FROM plans WHERE id = ?1")?
        .execute([Id(id)])?;
    found(changed, "plan")
}

/// Plans with their destinations, in two queries.
fn query(connection: &Connection, condition: &str, parameters: &[&dyn ToSql]) -> Result<Vec<Plan>> {
    let mut plans: Vec<Plan> = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM plans {condition} ORDER BY created_at, id"
        ))?
        .query_map(parameters, from_row)?
        .collect::<rusqlite::Result<_>>()?;
    let mut destinations: HashMap<PlanId, Vec<DestinationId>> = HashMap::new();
    let mut statement = connection.prepare_cached(&format!(
        "SELECT plan_id, destination_id FROM plan_destinations
         WHERE plan_id IN (SELECT id FROM plans {condition}) ORDER BY plan_id, position"
    ))?;
    let rows = statement.query_map(parameters, |row| {
        Ok((
            row.get::<_, Id<PlanId>>(0)?.0,
            row.get::<_, Id<DestinationId>>(1)?.0,
        ))
    })?;
    for row in rows {
        let (plan, destination) = row?;
        destinations.entry(plan).or_default().push(destination);
    }
    for plan in &mut plans {
        plan.destinations = destinations.remove(&plan.id).unwrap_or_default();
    }
    Ok(plans)
}
