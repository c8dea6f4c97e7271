//! An instance in the making: set up, tuned for loading, then given to the user or removed.

use std::path::PathBuf;

use howdah_domain::{BackupId, Connection, Failure, InstanceId, Secret};
use howdah_postgres::account::Account;
use howdah_postgres::children::Parting;
use howdah_postgres::instance::{self, Instance, Login, Setup, Stop};
use howdah_postgres::prepared;
use howdah_postgres::programs::ServerPrograms;
use howdah_store::tables::instances::{self, InstanceRow};
use tokio_util::sync::CancellationToken;

use super::view::free_name;
use super::{FAREWELL, STOP_PATIENCE, SUPERUSER};
use crate::api::Event;
use crate::engine::{Engine, OrFailure};

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
            Purpose::Kept => Some(format!("instance/{}", new.id)),
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
        // A keyring takes its time, and so does a new cluster.
        let keeping = async {
            if let Some(reference) = &recorded.secret_reference {
                let label = format!("Howdah: local instance {}", recorded.name);
                self.keep(reference.clone(), label, &setup.password).await?;
            }
            Ok::<_, Failure>(())
        };
        let kept = account.place_of_prepared(&self.data_dir().join("prepared"));
        let running = async {
            prepared::create(&programs, &folder, &setup, &kept, cancel).await?;
            let options = loading(&setup, new.purpose);
            let instance = Instance::start(&programs, &folder, &options, cancel).await?;
            if new.purpose == Purpose::Kept {
                prepared::set_password(&instance, cancel).await?;
            }
            Ok::<_, howdah_postgres::Error>(instance)
        };
        let making = async {
            // Neither is left in the middle: what is half made could not be removed while it is still being made.
            let (kept, running) = tokio::join!(keeping, running);
            kept?;
            running.or_failure()
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
            Err(failure) => {
                warn_of_leavings(self.remove_instance(&recorded).await);
                Err(failure)
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
            warn_of_leavings(self.remove_instance(&row).await);
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
}

/// What could not be removed has its row, and is removed by the next start; the failure to be told is the one before it.
pub(crate) fn warn_of_leavings(removed: Result<(), Failure>) {
    if let Err(failure) = removed {
        tracing::warn!(%failure, "what is left of a local PostgreSQL is removed by the next start");
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
        // What was written of the log goes at the end, instead of being kept for more.
        ("wal_recycle", "off"),
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
