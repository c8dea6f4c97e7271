//! A restore as a run: into a new local instance, into one that is there, or into a new database on a server.

use std::sync::Arc;

use howdah_domain::{
    Connection, Failure, FailureCode, InstanceId, Phase, RestoreContent, RunId, RunKind, Secret, Trigger,
};
use howdah_postgres::children::Parting;
use howdah_postgres::restore::{Options, Restored};
use howdah_store::tables::backups::Backup;
use howdah_store::tables::runs::{self, Run};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::copies::subject;
use super::{Made, Recording};
use crate::api::{RestoreOptions, RestoreTarget, RestoreWish};
use crate::copies::{Copies, is_about_the_copy};
use crate::drill::{free_database, major_of};
use crate::engine::{Engine, OrFailure};
use crate::instances::{Making, NewInstance, Purpose, checked_name, warn_of_leavings};
use crate::random;
use crate::replacing::Replacing;
use crate::restore::{RestoreRequest, bring_roles, front, restore};
use crate::stored::StoredBackup;
use crate::work::Reporter;

/// Connections that load rows at once.
const JOBS: usize = 2;

/// What a restore run was asked to do, as it stands in the store.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) wish: RestoreWish,
    /// The local instance that it makes.
    #[serde(default)]
    pub(crate) instance_id: Option<InstanceId>,
}

/// A restore into a new local instance.
#[derive(Debug, Clone)]
pub(crate) struct IntoInstance {
    pub(crate) id: InstanceId,
    /// What to call it; without it, after the backup.
    pub(crate) name: Option<String>,
    pub(crate) options: RestoreOptions,
    /// Connections that load at once.
    pub(crate) jobs: usize,
    /// What becomes of it when this process ends.
    pub(crate) parting: Parting,
}

impl Engine {
    /// Records a run that restores a backup.
    ///
    /// # Errors
    /// [`FailureCode::InvalidInput`] for names that cannot be; [`FailureCode::NotFound`].
    pub async fn restore_backup(&self, wish: RestoreWish) -> Result<RunId, Failure> {
        let (backup, asked) = self.asked(wish).await?;
        let run = self.new_run(subject(RunKind::Restore, &backup, Trigger::Manual));
        let recorded = self
            .0
            .store
            .write(move |tx| {
                let recorded = runs::insert(tx, &run)?;
                runs::put_request(tx, &run.id, &asked)?;
                Ok(recorded)
            })
            .await
            .or_failure()?;
        let id = recorded.id.clone();
        self.announce(&[recorded]);
        Ok(id)
    }

    /// A wish that can be tried: its names can be, and what it names is known.
    pub(crate) async fn asked(&self, wish: RestoreWish) -> Result<(Backup, Asked), Failure> {
        let backup = self.known_backup(&wish.backup_id).await?;
        let mut asked = Asked {
            wish,
            instance_id: None,
        };
        match &mut asked.wish.to {
            RestoreTarget::NewInstance { .. } if asked.wish.options.content == RestoreContent::Rows => {
                return Err(rows_into_nothing());
            }
            RestoreTarget::NewInstance { name } => {
                if let Some(name) = name {
                    *name = checked_name(name)?;
                }
                asked.instance_id = Some(InstanceId::from_random(random::bytes()));
            }
            RestoreTarget::Instance {
                instance_id,
                database,
            } => {
                self.instance_view(instance_id).await?;
                check_database(database)?;
            }
            RestoreTarget::Server {
                server_id,
                database,
                replace,
            } => {
                self.server(server_id).await?;
                check_database(database)?;
                if *replace && !asked.wish.options.is_all() {
                    return Err(Failure::new(
                        FailureCode::InvalidInput,
                        "A database is not replaced by a part of what was backed up.",
                    )
                    .hint("Restore the part as a new database."));
                }
            }
        }
        Ok((backup, asked))
    }

    /// Restores what the run was asked to.
    pub(super) async fn bring_back(
        &self,
        run: &Run,
        recording: &Recording,
        cancel: &CancellationToken,
    ) -> Result<Made, Failure> {
        let id = run.id.clone();
        let asked: Asked = self
            .0
            .store
            .read(move |c| runs::request(c, &id))
            .await
            .or_failure()?
            .ok_or_else(|| Failure::new(FailureCode::Internal, "The run does not say what to restore."))?;
        let backup = self.known_backup(&asked.wish.backup_id).await?;
        Box::pin(self.restore_from_a_copy(&backup, &asked, &recording.reporter(), cancel)).await?;
        Ok(Made::default())
    }

    /// Restores what was asked from the first copy that can be read.
    pub(crate) async fn restore_from_a_copy(
        &self,
        backup: &Backup,
        asked: &Asked,
        reporter: &Arc<dyn Reporter>,
        cancel: &CancellationToken,
    ) -> Result<(), Failure> {
        let mut copies = Copies::of(backup);
        while let Some(copy) = copies.next() {
            let stored = match self.open_copy(&copy).await {
                Ok(stored) => stored,
                Err(failure) => {
                    copies.give_up(&copy, failure, reporter)?;
                    continue;
                }
            };
            let restored = Box::pin(self.restore_as_asked(&stored, asked, reporter, cancel)).await;
            match restored {
                Err(failure) if is_about_the_copy(&failure) => copies.give_up(&copy, failure, reporter)?,
                restored => return restored,
            }
        }
        Err(copies.none_left())
    }

    async fn restore_as_asked(
        &self,
        stored: &StoredBackup,
        asked: &Asked,
        reporter: &Arc<dyn Reporter>,
        cancel: &CancellationToken,
    ) -> Result<(), Failure> {
        let options = &asked.wish.options;
        match (&asked.wish.to, &asked.instance_id) {
            (RestoreTarget::NewInstance { name }, Some(id)) => {
                let into = IntoInstance {
                    id: id.clone(),
                    name: name.clone(),
                    options: options.clone(),
                    jobs: JOBS,
                    parting: Parting::Interrupt,
                };
                Box::pin(self.restore_into_instance(stored, into, reporter, cancel)).await?;
                Ok(())
            }
            (RestoreTarget::NewInstance { .. }, None) => {
                Err(Failure::new(FailureCode::Internal, "The run names no instance."))
            }
            (
                RestoreTarget::Instance {
                    instance_id,
                    database,
                },
                _,
            ) => {
                let (connection, password) = self.instance_connection(instance_id).await?;
                let target = connection.with_database(database);
                Box::pin(self.restore_into(stored, target, Some(password), options, reporter, cancel)).await
            }
            (
                RestoreTarget::Server {
                    server_id,
                    database,
                    replace,
                },
                _,
            ) => {
                let row = self.server(server_id).await?;
                let secrets = self.secrets_of(&row).await?;
                let reach = self
                    .reach(&row.server.connection, secrets.ssh.as_ref(), cancel)
                    .await?;
                let connection = reach.connection();
                let restored = if *replace {
                    let secret = secrets.password.as_ref();
                    if options.roles {
                        bring_roles(stored, connection, secret, reporter, cancel).await?;
                    }
                    let replacing = Replacing {
                        server_id,
                        connection,
                        secret,
                        database,
                        backup_id: &asked.wish.backup_id,
                        stored,
                        options,
                    };
                    Box::pin(self.replace_database(&replacing, reporter, cancel)).await
                } else {
                    let target = connection.with_database(database);
                    Box::pin(self.restore_into(stored, target, secrets.password, options, reporter, cancel))
                        .await
                };
                match restored {
                    Ok(()) => Ok(()),
                    Err(failure) => Err(reach.judge(failure).await),
                }
            }
        }
    }

    /// Restores a backup into a new PostgreSQL on this machine, which is the user's then. Where the restore could not do everything
    /// it is kept all the same, unless it was to stop at the first error: what there is may be what somebody looks for.
    pub(crate) async fn restore_into_instance(
        &self,
        stored: &StoredBackup,
        into: IntoInstance,
        reporter: &Arc<dyn Reporter>,
        cancel: &CancellationToken,
    ) -> Result<(InstanceId, Restored), Failure> {
        if into.options.content == RestoreContent::Rows {
            return Err(rows_into_nothing());
        }
        reporter.phase(Phase::Starting);
        let manifest = stored.manifest(cancel).await?;
        let with_rows = into.options.content.has_rows();
        let raw_bytes = if with_rows { manifest.raw_bytes } else { 0 };
        self.demand_room(&manifest.database, raw_bytes)?;
        let name = into.name.unwrap_or_else(|| {
            format!(
                "{} {}",
                manifest.database,
                manifest.started_at.strftime("%Y-%m-%d %H:%M")
            )
        });
        let new = NewInstance {
            id: into.id,
            name: name.chars().take(60).collect(),
            major: major_of(&manifest)?,
            backup_id: Some(manifest.id.clone()),
            purpose: Purpose::Kept,
        };
        let making = self.make_instance(new, cancel).await?;
        reporter.info(format!(
            "PostgreSQL {} runs on this machine as “{}”.",
            making.version(),
            making.name
        ));
        let database = free_database(&manifest.database);
        let loaded = async {
            let index = stored.index(&manifest, cancel).await?;
            let (contents, _) = front(stored, &manifest, &index, cancel).await?;
            for refused in self
                .bring_roles(&making, stored, &manifest, &contents, cancel)
                .await?
            {
                reporter.warn(refused);
            }
            let request = RestoreRequest {
                backup: stored.clone(),
                target: making.connection(&database),
                secret: Some(making.password().clone()),
                options: Options {
                    tablespaces: false,
                    isolated: true,
                    ..into.options.for_restore()
                },
                jobs: into.jobs,
            };
            Box::pin(restore(&request, &self.0.programs, reporter, cancel)).await
        };
        let keeps_a_part = !into.options.exit_on_error;
        let loaded = match loaded.await {
            Ok(restored) => Ok(restored),
            Err(failure) if failure.code == FailureCode::RestoreFailed && keeps_a_part => Err(failure),
            Err(failure) => {
                warn_of_leavings(self.give_up(making).await);
                return Err(failure);
            }
        };
        self.finish_instance(making, &database, into.parting, loaded, reporter, cancel)
            .await
    }

    async fn finish_instance(
        &self,
        making: Making,
        database: &str,
        parting: Parting,
        loaded: Result<Restored, Failure>,
        reporter: &Arc<dyn Reporter>,
        cancel: &CancellationToken,
    ) -> Result<(InstanceId, Restored), Failure> {
        reporter.phase(Phase::Finishing);
        let name = making.name.clone();
        let id = self.hand_over(making, database, parting, cancel).await?;
        match loaded {
            Ok(restored) => {
                reporter.info(format!("The local instance “{name}” is ready."));
                Ok((id, restored))
            }
            Err(failure) => Err(failure.hint(format!(
                "What could be restored is in the local instance “{name}”. The details name each error."
            ))),
        }
    }

    /// Restores a backup into a new database of a server that is there. Where something could not be restored it stays, and the failure
    /// names what; else it is there whole or not at all.
    async fn restore_into(
        &self,
        stored: &StoredBackup,
        target: Connection,
        secret: Option<Secret>,
        options: &RestoreOptions,
        reporter: &Arc<dyn Reporter>,
        cancel: &CancellationToken,
    ) -> Result<(), Failure> {
        if options.roles {
            bring_roles(stored, &target, secret.as_ref(), reporter, cancel).await?;
        }
        let request = RestoreRequest {
            backup: stored.clone(),
            target,
            secret,
            options: options.for_restore(),
            jobs: JOBS,
        };
        let restored = Box::pin(restore(&request, &self.0.programs, reporter, cancel)).await;
        if let Err(failure) = &restored
            && failure.is_cancelled()
            && let Some(left) = &failure.hint
        {
            reporter.warn(left.clone());
        }
        restored.map(drop)
    }
}

/// A database's name that PostgreSQL takes: 1 to 63 bytes, without a zero byte.
fn check_database(name: &str) -> Result<(), Failure> {
    if name.is_empty() || name.len() > 63 || name.contains('\0') {
        return Err(Failure::new(
            FailureCode::InvalidInput,
            "A database's name has 1 to 63 bytes.",
        ));
    }
    Ok(())
}

/// A new PostgreSQL has no tables that rows alone could come into.
pub(crate) fn rows_into_nothing() -> Failure {
    Failure::new(
        FailureCode::InvalidInput,
        "Rows alone come into tables that are there, and a new PostgreSQL has none.",
    )
    .hint("Restore everything, or choose a database that has the tables.")
}
