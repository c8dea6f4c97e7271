//! What the store's tests share: rows to begin with, and the test program as a child process of itself.

#![allow(clippy::unwrap_used, dead_code)] // helpers of tests are tests; not every test needs all

use std::{
    path::Path,
    process::{Command, Stdio},
};

use howdah_domain::{
    BackupId, Connection, DatabaseId, DestinationId, Encryption, Environment, Place, Plan, PlanId,
    RetentionRule, RunId, RunKind, Schedule, Scope, Selection, Server, ServerId, Tls, Trigger,
    schedule::TimeOfDay,
};
use howdah_store::{
    Store,
    tables::{
        backups::{Backup, BackupCopy},
        databases,
        destinations::{self, Destination},
        plans,
        runs::NewRun,
        servers::{self, ServerRow},
    },
};
use jiff::{SignedDuration, Timestamp};

/// The variable that tells a child process what to do.
pub(crate) const ROLE: &str = "HOWDAH_TEST_ROLE";

/// The test program itself, to run its ignored test `child_process` with a role.
pub(crate) fn child(role: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child_process", "--ignored", "--nocapture"])
        .env(ROLE, role)
        .env("HOWDAH_TEST_DIR", dir)
        .stdin(Stdio::null());
    command
}

/// What a child process was told: its role and its directory. `None` in the test program itself.
pub(crate) fn role() -> Option<(String, std::path::PathBuf)> {
    Some((
        std::env::var(ROLE).ok()?,
        std::env::var_os("HOWDAH_TEST_DIR")?.into(),
    ))
}

/// Ten random bytes, for an id.
pub(crate) fn random() -> [u8; 10] {
    let mut bytes = [0; 10];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A time that fits whole microseconds, some seconds after a fixed one.
pub(crate) fn moment(seconds: i64) -> Timestamp {
    time("2026-11-23T04:00:00Z") + SignedDuration::from_secs(seconds)
}

pub(crate) fn server(name: &str) -> ServerRow {
    ServerRow {
        server: Server {
            id: ServerId::from_random(random()),
            name: name.to_owned(),
            connection: Connection {
                host: "db.example.com".to_owned(),
                port: 5432,
                role: "backup".to_owned(),
                database: "shop".to_owned(),
                tls: Tls::default(),
                tunnel: None,
                forwarded: None,
            },
            environment: Environment::Production,
            created_at: moment(0),
        },
        secret_reference: None,
        tunnel_secret_reference: None,
    }
}

pub(crate) fn destination(name: &str) -> Destination {
    Destination {
        id: DestinationId::from_random(random()),
        name: name.to_owned(),
        place: Place::folder(format!("/backups/{name}")),
        secret_reference: None,
        created_at: moment(0),
        prepared_at: None,
        checked_at: None,
        failure: None,
    }
}

pub(crate) fn plan(server_id: &ServerId, destinations: Vec<DestinationId>) -> Plan {
    Plan {
        id: PlanId::from_random(random()),
        server_id: server_id.clone(),
        scope: Scope::Database {
            name: "shop".to_owned(),
        },
        selection: Selection::default(),
        globals: true,
        schedule: Schedule::Daily {
            at: TimeOfDay { hour: 4, minute: 0 },
        },
        time_zone: "Europe/Berlin".to_owned(),
        destinations,
        encryption: Encryption::None,
        retention: RetentionRule::default(),
        drill: howdah_domain::DrillRule::default(),
        conditions: howdah_domain::Conditions::default(),
        level: 3,
        enabled: true,
        created_at: moment(0),
    }
}

/// One of each: a server with one database, a destination, a plan.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) database_id: DatabaseId,
    pub(crate) destination: Destination,
    pub(crate) plan: Plan,
}

impl World {
    /// Writes one of each into a store.
    pub(crate) async fn make(store: &Store) -> Self {
        store
            .write(|c| {
                let row = server("production");
                servers::insert(c, &row)?;
                let database = databases::ensure(
                    c,
                    DatabaseId::from_random(random()),
                    &row.server.id,
                    "shop",
                    moment(0),
                )?;
                let destination = destination("disk");
                destinations::insert(c, &destination)?;
                let plan = plan(&row.server.id, vec![destination.id.clone()]);
                plans::insert(c, &plan)?;
                Ok(Self {
                    server: row.server,
                    database_id: database.id,
                    destination,
                    plan,
                })
            })
            .await
            .unwrap()
    }

    pub(crate) fn run(&self, store: &Store) -> NewRun {
        NewRun {
            id: RunId::from_random(random()),
            kind: RunKind::Backup,
            trigger: Trigger::Schedule,
            owner: store.owner().clone(),
            plan_id: Some(self.plan.id.clone()),
            occurrence_id: None,
            database_id: Some(self.database_id.clone()),
            database_name: "shop".to_owned(),
            server_name: self.server.name.clone(),
            backup_id: None,
            due_at: None,
            queued_at: moment(1),
        }
    }

    /// A good backup that began then.
    pub(crate) fn backup(&self, started_at: Timestamp) -> Backup {
        let id = BackupId::new(started_at, random());
        Backup {
            database_id: self.database_id.clone(),
            run_id: None,
            database_name: "shop".to_owned(),
            server_name: self.server.name.clone(),
            started_at,
            finished_at: started_at + SignedDuration::from_secs(60),
            raw_bytes: 1_000_000,
            stored_bytes: 200_000,
            tables: 12,
            rows: 34_567,
            server_version: "17.5".to_owned(),
            client_version: "17.5".to_owned(),
            pinned: false,
            encryption: None,
            proof: None,
            copies: vec![BackupCopy {
                destination_name: self.destination.name.clone(),
                ..BackupCopy::present(
                    self.destination.id.clone(),
                    self.destination.place.clone(),
                    format!("production/shop/{id}"),
                )
            }],
            id,
        }
    }
}
