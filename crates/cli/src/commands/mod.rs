//! The commands, one file each. A command turns arguments into a call of the engine, and the answer into a result.

mod backup;
mod list;
mod plan;
mod programs;
mod restore;
mod run;
mod server;
mod show;
mod status;
mod verify;

pub(crate) use restore::{mismatch_line, mismatch_object};
use std::path::{Path, PathBuf};

use howdah_domain::{BackupId, Failure};
use howdah_engine::{Engine, Role};
use tokio_util::sync::CancellationToken;

use crate::arguments::{Arguments, Command};
use crate::output::{Done, Output};
use crate::{backup_place, demo, installation};

/// Runs the command that was given.
pub(crate) async fn run(
    arguments: Arguments,
    output: Output,
    cancel: &CancellationToken,
) -> Result<Done, Failure> {
    let data_dir = arguments.data_dir.as_deref();
    match arguments.command {
        Command::Programs => programs::run(),
        Command::Demo => demo::run(output, cancel).await,
        Command::Backup(backup) => {
            let engine = installation::open(data_dir, Role::Guest).await?;
            ended(&engine, backup::run(&engine, backup, output, cancel).await).await
        }
        Command::Verify { backup } => {
            let folder = named_backup(&backup, data_dir).await?;
            verify::run(&folder, output, cancel).await
        }
        Command::Restore(restore) => {
            let folder = named_backup(&restore.backup, data_dir).await?;
            Box::pin(restore::run(restore, &folder, data_dir, output, cancel)).await
        }
        Command::List { folder: Some(folder) } => list::in_folder(&folder, cancel).await,
        Command::List { folder: None } => {
            let engine = installation::open(data_dir, Role::Guest).await?;
            ended(&engine, list::known(&engine).await).await
        }
        Command::Show { backup } => show::run(&named_backup(&backup, data_dir).await?).await,
        Command::Server(command) => {
            let engine = installation::open(data_dir, Role::Guest).await?;
            ended(&engine, server::run(&engine, command, output, cancel).await).await
        }
        Command::Plan(command) => {
            let engine = installation::open(data_dir, Role::Guest).await?;
            ended(&engine, plan::run(&engine, command).await).await
        }
        Command::Status => {
            let engine = installation::open(data_dir, Role::Guest).await?;
            ended(&engine, status::run(&engine).await).await
        }
        Command::Run => {
            let engine = installation::open(data_dir, Role::Owner).await?;
            ended(&engine, run::run(&engine, output, cancel).await).await
        }
    }
}

/// Ends the engine before the result is told: what it had at work is set right by then.
async fn ended(engine: &Engine, result: Result<Done, Failure>) -> Result<Done, Failure> {
    engine.shutdown(installation::FAREWELL).await;
    result
}

/// The folder of the backup that was named: a path, or the id of one that the data directory knows. The data directory is
/// opened only for an id.
async fn named_backup(named: &str, data_dir: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(folder) = backup_place::as_path(named) {
        return Ok(folder);
    }
    let Some(id) = BackupId::parse(named) else {
        return Err(backup_place::none(named));
    };
    let engine = installation::open(data_dir, Role::Guest).await?;
    let page = engine.backup_page(&id).await;
    engine.shutdown(installation::FAREWELL).await;
    let copies = page.map_err(|_| backup_place::none(named))?.backup.copies;
    let present = copies.iter().find(|copy| copy.present).or(copies.first());
    present
        .map(|copy| copy.path.clone())
        .ok_or_else(|| backup_place::none(named))
}
