//! Local instances: PostgreSQLs that Howdah runs on this machine, for the user or for a drill.
//!
//! A row in the store stands from before an instance's folder is made until the folder is gone, and names the process that works on
//! it while it is not the user's yet. Whether one runs is asked of its folder, since the command line may have started it. What the
//! app starts ends with the app; what a command starts for the user goes on.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use howdah_domain::{BackupId, Connection, Failure, FailureCode, InstanceId, Secret};
use howdah_postgres::account::Account;
use howdah_postgres::children::Parting;
use howdah_postgres::instance::{self, Elsewhere, Instance, Login, Setup, Stop};
use howdah_postgres::programs::ServerPrograms;
use howdah_store::tables::instances::{self, InstanceRow};
use tokio_util::sync::CancellationToken;

use crate::api::{Event, InstanceState, InstanceView};
use crate::engine::{Engine, OrFailure, internal, lock};

/// The superuser of every instance.
const SUPERUSER: &str = "postgres";

/// How long an instance may take to close itself; then it is ended by force.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// As [`STOP_PATIENCE`], when Howdah ends.
const FAREWELL: Duration = Duration::from_secs(10);

/// The longest name, in characters.
const LONGEST_NAME: usize = 60;

/// The instances that this process started.
#[derive(Default)]
pub(crate) struct Started(Mutex<HashMap<InstanceId, Instance>>);

/// What an instance is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The user's, once a backup is restored into it.
    Kept,
    /// A drill's: no network, no password, nothing of it need survive.
    ThrowAway,
}

/// An instance to be made.
#[derive(Debug, Clone)]
pub(crate) struct NewInstance {
    pub(crate) id: InstanceId,
    /// Wished for; a number is added where it is taken.
    pub(crate) name: String,
    pub(crate) major: u16,
    pub(crate) backup_id: Option<BackupId>,
    pub(crate) purpose: Purpose,
}

/// An instance in the making, running and tuned for loading.
pub(crate) struct Making {
    pub(crate) id: InstanceId,
    pub(crate) name: String,
    pub(crate) instance: Instance,
    programs: ServerPrograms,
    folder: PathBuf,
    setup: Setup,
}

impl Making {
    /// How a database of it is reached by its socket, as superuser.
    pub(crate) fn connection(&self, database: &str) -> Connection {
        self.instance.socket_connection().with_database(database)
    }

    /// The superuser's password.
    pub(crate) fn password(&self) -> &Secret {
        self.instance.password()
    }

    /// The version of its server.
    pub(crate) fn version(&self) -> &str {
        &self.programs.version
    }
}

impl Engine {
    /// All local instances, newest first; those of drills are not shown.
    pub async fn list_instances(&self) -> Result<Vec<InstanceView>, Failure> {
        let rows = self.0.store.read(instances::list).await.or_failure()?;
        tokio::task::spawn_blocking(move || {
            rows.iter()
                .filter(|row| row.owner.is_none() || row.secret_reference.is_some())
                .map(view)
                .collect()
        })
        .await
        .map_err(|error| internal("Looking at the local instances died.", &error))
    }

    /// The local instance of that name or id.
    pub async fn find_instance(&self, name_or_id: &str) -> Result<InstanceView, Failure> {
        let all = self.list_instances().await?;
        all.into_iter()
            .find(|one| one.name == name_or_id || one.id.as_str() == name_or_id)
            .ok_or_else(|| {
                Failure::new(
                    FailureCode::NotFound,
                    format!("There is no local instance called {name_or_id}."),
                )
                .hint("`howdah instance list` shows the local instances.")
            })
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
        self.remove_instance(&row).await?;
        self.0.events.send(Event::Instances);
        Ok(())
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

    /// Sets up and starts a PostgreSQL for a backup to be restored into. Until it is handed over it belongs to this process: whatever
    /// happens, this or a later process removes it.
    pub(crate) async fn make_instance(
        &self,
        new: NewInstance,
        cancel: &CancellationToken,
    ) -> Result<Making, Failure> {
        let programs = self.0.programs.server(new.major).or_failure()?;
        let account = Account::for_instances().or_failure()?;
        let folder = account.place(&self.data_dir().join("instances").join(new.id.as_str()));
        let setup = Setup {
            superuser: SUPERUSER.to_owned(),
            durable: false,
            ..Setup::default()
        };
        let secret_reference = match new.purpose {
            Purpose::Kept => Some(
                self.keep(
                    format!("instance/{}", new.id),
                    format!("Howdah: local instance {}", new.name),
                    &setup.password,
                )
                .await?,
            ),
            Purpose::ThrowAway => None,
        };
        let row = InstanceRow {
            id: new.id.clone(),
            name: new.name.clone(),
            major: u32::from(new.major),
            folder: folder.clone(),
            database: None,
            backup_id: new.backup_id.clone(),
            secret_reference,
            owner: Some(self.0.store.owner().clone()),
            created_at: self.0.clock.now(),
        };
        let recorded = self
            .0
            .store
            .write(move |tx| {
                let row = InstanceRow {
                    name: free_name(tx, &row.name)?,
                    ..row
                };
                instances::insert(tx, &row)?;
                Ok(row)
            })
            .await
            .or_failure()?;
        let making = async {
            instance::create(&programs, &folder, &setup, cancel).await?;
            let options = loading(&setup, new.purpose);
            Instance::start(&programs, &folder, &options, cancel).await
        };
        match making.await {
            Ok(instance) => {
                self.0.events.send(Event::Instances);
                Ok(Making {
                    id: recorded.id,
                    name: recorded.name,
                    instance,
                    programs,
                    folder,
                    setup,
                })
            }
            Err(error) => {
                self.remove_instance(&recorded).await?;
                Err(error.to_failure())
            }
        }
    }

    /// Gives an instance to the user: what was loaded is written to the disk, and it runs anew as one that survives a power cut.
    pub(crate) async fn hand_over(
        &self,
        making: Making,
        database: &str,
        parting: Parting,
        cancel: &CancellationToken,
    ) -> Result<InstanceId, Failure> {
        let Making {
            id,
            instance,
            programs,
            folder,
            setup,
            ..
        } = making;
        let written = async {
            instance.stop(Stop::Fast, STOP_PATIENCE, cancel).await?;
            instance::sync(&programs, &folder, cancel).await
        };
        if let Err(error) = written.await {
            let row = self.instance_row(&id).await?;
            self.remove_instance(&row).await?;
            self.0.events.send(Event::Instances);
            return Err(error.to_failure());
        }
        // It is the user's before it runs for them: what outlives this process must not be somebody's leavings.
        let (wanted, database) = (id.clone(), database.to_owned());
        self.0
            .store
            .write(move |tx| instances::hand_over(tx, &wanted, Some(&database)))
            .await
            .or_failure()?;
        self.start_durable(&id, &programs, &folder, &setup, parting, cancel)
            .await?;
        self.0.events.send(Event::Instances);
        Ok(id)
    }

    /// Ends an instance in the making, and removes everything of it.
    pub(crate) async fn give_up(&self, making: Making) -> Result<(), Failure> {
        let row = self.instance_row(&making.id).await?;
        // Nothing of it is wanted any more, so it need not close itself properly.
        let never = CancellationToken::new();
        let stopped = making.instance.stop(Stop::Immediate, FAREWELL, &never).await;
        if let Err(error) = stopped {
            tracing::warn!(%error, "a local PostgreSQL had to be killed");
        }
        self.remove_instance(&row).await?;
        self.0.events.send(Event::Instances);
        Ok(())
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

/// How a PostgreSQL that a backup is loaded into runs: nothing of it need survive a power cut before it is complete.
fn loading(setup: &Setup, purpose: Purpose) -> instance::Options {
    let mut options = instance::Options {
        tcp: false,
        login: Login::TrustOnSocket,
        isolated: purpose == Purpose::ThrowAway,
        parting: Parting::Quit,
        ..instance::Options::for_setup(setup)
    };
    for (name, value) in [
        ("fsync", "off"),
        ("synchronous_commit", "off"),
        ("full_page_writes", "off"),
        ("autovacuum", "off"),
        ("wal_level", "minimal"),
        ("max_wal_senders", "0"),
        ("archive_mode", "off"),
        ("max_wal_size", "8GB"),
        ("checkpoint_timeout", "1h"),
        ("shared_buffers", "256MB"),
        ("maintenance_work_mem", "512MB"),
        ("max_locks_per_transaction", "1024"),
        ("shared_preload_libraries", ""),
    ] {
        options = options.set(name, value);
    }
    options
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

/// A name that people can read, and that is not empty.
pub(crate) fn checked_name(name: &str) -> Result<String, Failure> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
        return Err(Failure::new(
            FailureCode::InvalidInput,
            format!("A local instance's name has 1 to {LONGEST_NAME} characters."),
        ));
    }
    Ok(name.to_owned())
}

/// The name wished for, with a number where it is taken.
fn free_name(c: &howdah_store::Connection, wished: &str) -> howdah_store::Result<String> {
    let taken: Vec<String> = instances::list(c)?.into_iter().map(|row| row.name).collect();
    let mut name = wished.to_owned();
    let mut number = 2;
    while taken.contains(&name) {
        name = format!("{wished} ({number})");
        number += 1;
    }
    Ok(name)
}

/// An instance as it is now. Blocks: it asks the disk.
fn view(row: &InstanceRow) -> InstanceView {
    let running = Elsewhere::find(&row.folder);
    let state = match (&row.owner, &running) {
        (Some(_), _) => InstanceState::Making,
        (None, Some(_)) => InstanceState::Running,
        (None, None) if row.folder.join("data/PG_VERSION").exists() => InstanceState::Stopped,
        (None, None) => InstanceState::Lost,
    };
    let port = running
        .filter(|_| row.owner.is_none())
        .map(|running| running.port);
    InstanceView {
        id: row.id.clone(),
        name: row.name.clone(),
        major: row.major,
        state,
        port,
        role: SUPERUSER.to_owned(),
        database: row.database.clone(),
        backup_id: row.backup_id.clone(),
        disk_bytes: bytes_below(&row.folder),
        folder: row.folder.clone(),
        url: port.map(|port| url(row, port, None)),
        created_at: row.created_at,
    }
}

fn url(row: &InstanceRow, port: u16, password: Option<&str>) -> String {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    let database = row.database.as_deref().unwrap_or("postgres");
    let password = password.map_or_else(String::new, |password| format!(":{password}"));
    format!(
        "postgresql://{SUPERUSER}{password}@127.0.0.1:{port}/{}",
        utf8_percent_encode(database, NON_ALPHANUMERIC)
    )
}

/// Bytes that a folder takes on the disk, as far as it can be read.
fn bytes_below(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                bytes += metadata.blocks() * 512;
            }
        }
    }
    bytes
}
