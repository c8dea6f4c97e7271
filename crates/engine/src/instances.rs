//! Local instances: PostgreSQLs that Howdah runs on this machine, for the user or for a drill.
//!
//! A row in the store stands from before an instance's folder is made until the folder is gone, and names the process that works on
//! it while it is not the user's yet. Whether one runs is asked of its folder, since the command line may have started it. What the
//! app starts ends with the app; what a command starts for the user goes on.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use howdah_domain::{Connection, Failure, FailureCode, InstanceId, Secret};
use howdah_postgres::children::Parting;
use howdah_postgres::instance::{self, Elsewhere, Instance, Setup, Stop};
use howdah_postgres::programs::ServerPrograms;
use howdah_store::tables::instances::{self, InstanceRow};
use tokio_util::sync::CancellationToken;

use crate::api::{Event, InstanceView};
use crate::engine::{Engine, OrFailure, internal, lock};

mod making;
mod view;

pub(crate) use making::{Making, NewInstance, Purpose, warn_of_leavings};
pub(crate) use view::checked_name;
use view::{url, view};

/// The superuser of every instance.
const SUPERUSER: &str = "postgres";

/// How long an instance may take to close itself; then it is ended by force.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// As [`STOP_PATIENCE`], when Howdah ends.
const FAREWELL: Duration = Duration::from_secs(10);

/// The instances that this process started.
#[derive(Default)]
pub(crate) struct Started(Mutex<HashMap<InstanceId, Instance>>);

/// Whether it is the user's, or will be; not a drill's.
fn is_shown(row: &InstanceRow) -> bool {
    row.owner.is_none() || row.secret_reference.is_some()
}

impl Engine {
    /// All local instances, newest first; those of drills are not shown.
    pub async fn list_instances(&self) -> Result<Vec<InstanceView>, Failure> {
        let rows = self.0.store.read(instances::list).await.or_failure()?;
        tokio::task::spawn_blocking(move || rows.iter().filter(|row| is_shown(row)).map(view).collect())
            .await
            .map_err(|error| internal("Looking at the local instances died.", &error))
    }

    /// The local instance of that name or id.
    pub async fn find_instance(&self, name_or_id: &str) -> Result<InstanceView, Failure> {
        let rows = self.0.store.read(instances::list).await.or_failure()?;
        let found = rows
            .into_iter()
            .filter(is_shown)
            .find(|row| row.name == name_or_id || row.id.as_str() == name_or_id);
        match found {
            Some(row) => self.instance_view(&row.id).await,
            None => Err(Failure::new(
                FailureCode::NotFound,
                format!("There is no local instance called {name_or_id}."),
            )
            .hint("`howdah instance list` shows the local instances.")),
        }
    }

    /// Starts a local instance. One that runs is left as it is. `parting`: what becomes of it when this process ends.
    ///
    /// # Errors
    /// Those of [`Instance::start`]; the keyring's.
    pub async fn start_instance(&self, id: &InstanceId, parting: Parting) -> Result<InstanceView, Failure> {
        let row = self.instance_row(id).await?;
        if row.owner.is_some() {
            return Err(being_made(&row.name));
        }
        if Elsewhere::find(&row.folder).is_none() {
            let cancel = self.0.ending.child_token();
            let programs = self.0.programs.server(major(&row)).or_failure()?;
            let setup = Setup {
                superuser: SUPERUSER.to_owned(),
                password: self.instance_password(&row).await?,
                ..Setup::default()
            };
            self.start_durable(id, &programs, &row.folder, &setup, parting, &cancel)
                .await?;
        }
        self.0.events.send(Event::Instances);
        self.instance_view(id).await
    }

    /// Stops a local instance, whoever started it.
    pub async fn stop_instance(&self, id: &InstanceId) -> Result<InstanceView, Failure> {
        let row = self.instance_row(id).await?;
        if row.owner.is_some() {
            return Err(being_made(&row.name));
        }
        self.end(&row).await?;
        self.0.events.send(Event::Instances);
        self.instance_view(id).await
    }

    /// Deletes a local instance with everything in it.
    pub async fn delete_instance(&self, id: &InstanceId) -> Result<(), Failure> {
        let row = self.instance_row(id).await?;
        if row.owner.is_some() {
            return Err(being_made(&row.name));
        }
        // From here on the next start goes on with it, should this process die.
        let (wanted, owner) = (id.clone(), self.0.store.owner().clone());
        self.0
            .store
            .write(move |tx| instances::take_over(tx, &wanted, &owner))
            .await
            .or_failure()?;
        let removed = self.remove_instance(&row).await;
        if removed.is_err() {
            // It is the user's again, who can try once more.
            let id = id.clone();
            self.0
                .store
                .write(move |tx| instances::give_back(tx, &id))
                .await
                .or_failure()?;
        }
        self.0.events.send(Event::Instances);
        removed
    }

    /// Calls a local instance something else.
    pub async fn rename_instance(&self, id: &InstanceId, name: &str) -> Result<InstanceView, Failure> {
        let name = checked_name(name)?;
        let wanted = id.clone();
        self.0
            .store
            .write(move |tx| instances::rename(tx, &wanted, &name))
            .await
            .or_failure()?;
        self.0.events.send(Event::Instances);
        self.instance_view(id).await
    }

    /// How a running local instance is reached, with its password: for the clipboard, a terminal, or a program.
    ///
    /// # Errors
    /// [`FailureCode::Unreachable`] where it does not run; the keyring's.
    pub async fn instance_url(&self, id: &InstanceId) -> Result<Secret, Failure> {
        let row = self.instance_row(id).await?;
        let running = Elsewhere::find(&row.folder).ok_or_else(|| {
            Failure::new(
                FailureCode::ConnectionRefused,
                format!("The local instance {} does not run.", row.name),
            )
            .hint("Start it first.")
        })?;
        let password = self.instance_password(&row).await?;
        Ok(Secret::new(url(&row, running.port, Some(password.expose()))))
    }

    /// How a running local instance's database is reached, and its password.
    pub async fn instance_connection(&self, id: &InstanceId) -> Result<(Connection, Secret), Failure> {
        let url = self.instance_url(id).await?;
        let parsed = howdah_postgres::parse::parse_connection(
            url.expose(),
            &howdah_postgres::parse::Defaults::default(),
        )
        .or_failure()?;
        let password = parsed
            .password
            .ok_or_else(|| internal("A local instance's URL has no password.", &id))?;
        Ok((parsed.connection, password))
    }

    /// Removes what dead processes left of instances: those in the making, those of drills, those half deleted.
    pub(crate) async fn clear_instances(&self, left: Vec<InstanceRow>) {
        for row in left {
            tracing::info!(folder = %row.folder.display(), "removing a local PostgreSQL that nobody finished");
            if let Err(failure) = self.remove_instance(&row).await {
                tracing::warn!(%failure, folder = %row.folder.display(), "it could not be removed yet");
            }
        }
    }

    /// Ends the instances that this process started, at its end. They close themselves properly, all at the same time.
    pub(crate) async fn farewell_to_instances(&self) {
        let started: Vec<Instance> = lock(&self.0.instances.0).drain().map(|(_, one)| one).collect();
        let stops = started.into_iter().map(|instance| async {
            if let Err(error) = instance
                .stop(Stop::Fast, FAREWELL, &CancellationToken::new())
                .await
            {
                tracing::warn!(%error, "a local instance had to be killed");
            }
        });
        futures_util::future::join_all(stops).await;
    }

    async fn start_durable(
        &self,
        id: &InstanceId,
        programs: &ServerPrograms,
        folder: &Path,
        setup: &Setup,
        parting: Parting,
        cancel: &CancellationToken,
    ) -> Result<(), Failure> {
        let options = instance::Options {
            parting,
            ..instance::Options::for_setup(setup)
        };
        let instance = Instance::start(programs, folder, &options, cancel)
            .await
            .or_failure()?;
        if parting == Parting::Stay {
            instance.leave();
        } else {
            lock(&self.0.instances.0).insert(id.clone(), instance);
        }
        Ok(())
    }

    /// Ends whatever runs in an instance's folder.
    async fn end(&self, row: &InstanceRow) -> Result<(), Failure> {
        let never = CancellationToken::new();
        let ours = lock(&self.0.instances.0).remove(&row.id);
        if let Some(instance) = ours {
            instance
                .stop(Stop::Fast, STOP_PATIENCE, &never)
                .await
                .or_failure()?;
        }
        if let Some(elsewhere) = Elsewhere::find(&row.folder) {
            elsewhere
                .stop(&row.folder, STOP_PATIENCE, &never)
                .await
                .or_failure()?;
        }
        Ok(())
    }

    /// Removes an instance: its process, its folder, its password, its row, in this order.
    async fn remove_instance(&self, row: &InstanceRow) -> Result<(), Failure> {
        self.end(row).await?;
        let folder = row.folder.clone();
        tokio::task::spawn_blocking(move || match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::new(
                FailureCode::DiskFull,
                format!("{} could not be removed.", folder.display()),
            )
            .details(error.to_string())),
            _ => Ok(()),
        })
        .await
        .map_err(|error| internal("Removing a local instance died.", &error))??;
        if let Some(reference) = &row.secret_reference
            && let Err(error) = self.0.secrets.delete(reference).await
        {
            // It opens nothing any more.
            tracing::warn!(%error, "a local instance's password could not be removed from the keyring");
        }
        let id = row.id.clone();
        self.0
            .store
            .write(move |tx| instances::remove(tx, &id))
            .await
            .or_failure()
    }

    async fn instance_row(&self, id: &InstanceId) -> Result<InstanceRow, Failure> {
        let wanted = id.clone();
        self.0
            .store
            .read(move |c| instances::get(c, &wanted))
            .await
            .or_failure()?
            .ok_or_else(|| Failure::new(FailureCode::NotFound, "This local instance was deleted."))
    }

    /// A local instance as it is now.
    pub async fn instance_view(&self, id: &InstanceId) -> Result<InstanceView, Failure> {
        let row = self.instance_row(id).await?;
        tokio::task::spawn_blocking(move || view(&row))
            .await
            .map_err(|error| internal("Looking at a local instance died.", &error))
    }

    async fn instance_password(&self, row: &InstanceRow) -> Result<Secret, Failure> {
        let held = match &row.secret_reference {
            Some(reference) => self.0.secrets.get(reference).await.or_failure()?,
            None => None,
        };
        held.ok_or_else(|| {
            Failure::new(
                FailureCode::PasswordRequired,
                format!(
                    "The keyring no longer holds the password of the local instance {}.",
                    row.name
                ),
            )
            .hint("Restore the backup into a new local instance.")
        })
    }
}

fn being_made(name: &str) -> Failure {
    Failure::new(
        FailureCode::Busy,
        format!("A backup is being restored into the local instance {name}, or it is being deleted."),
    )
    .hint("Wait for the end of that run, or cancel it.")
}

fn major(row: &InstanceRow) -> u16 {
    u16::try_from(row.major).unwrap_or(u16::MAX)
}
