//! The commands, one file each. A command turns arguments into a call of the engine, and the answer into a result.

mod backup;
mod channel;
mod destination;
mod drill;
mod extract;
mod instance;
mod key;
mod list;
mod plan;
mod programs;
mod prune;
mod replaced;
mod restore;
mod run;
mod server;
mod settings;
mod show;
mod status;
mod verify;

pub(crate) use drill::assertion;
use howdah_domain::Failure;
use howdah_engine::{Engine, Role};
pub(crate) use restore::{mismatch_line, mismatch_object};
use tokio_util::sync::CancellationToken;

use crate::arguments::{Arguments, Command};
use crate::output::{Done, Output};
use crate::{demo, installation, place};

/// Runs the command that was given.
pub(crate) async fn run(
    arguments: Arguments,
    output: Output,
    cancel: &CancellationToken,
) -> Result<Done, Failure> {
    let data_dir = arguments.data_dir.as_deref();
    let key = arguments.key.as_deref();
    match arguments.command {
        Command::Programs => programs::run(),
        Command::Demo => demo::run(output, cancel).await,
        Command::Backup(backup) => {
            let engine = installation::open(data_dir, Role::Guest).await?;
            ended(
                &engine,
                backup::run(&engine, backup, data_dir, output, cancel).await,
            )
            .await
        }
        Command::Verify { backup } => {
            let backup = place::backup(&backup, data_dir, key, output).await?;
            verify::run(&backup, output, cancel).await
        }
        Command::Drill(drill) => {
            let backup = place::backup(&drill.backup, data_dir, key, output).await?;
            let engine = installation::open(data_dir, Role::Guest).await?;
            let done = Box::pin(drill::run(&engine, drill, backup, output, cancel)).await;
            ended(&engine, done).await
        }
        Command::Instance(command) => {
            let engine = installation::open(data_dir, Role::Guest).await?;
            ended(&engine, instance::run(&engine, command).await).await
        }
        Command::Replaced(command) => {
            let engine = installation::open(data_dir, Role::Guest).await?;
            ended(&engine, replaced::run(&engine, command).await).await
        }
        Command::Restore(restore) if restore.replace.is_some() => {
            let engine = installation::open(data_dir, Role::Guest).await?;
            let done = Box::pin(restore::replace(&engine, restore, output, cancel)).await;
            ended(&engine, done).await
        }
        Command::Restore(restore) if restore.local => {
            let backup = place::backup(&restore.backup, data_dir, key, output).await?;
            let engine = installation::open(data_dir, Role::Guest).await?;
            let done = Box::pin(restore::here(&engine, restore, &backup, output, cancel)).await;
            ended(&engine, done).await
        }
        Command::Restore(restore) => {
            let backup = place::backup(&restore.backup, data_dir, key, output).await?;
            Box::pin(restore::run(restore, backup, data_dir, output, cancel)).await
        }
        Command::List { place: Some(named) } => {
            list::at_place(&place::read(&named, output)?, data_dir, cancel).await
        }
        Command::List { place: None } => {
            let engine = installation::open(data_dir, Role::Guest).await?;
            ended(&engine, list::known(&engine).await).await
        }
        Command::Show { backup } => {
            show::run(&place::backup(&backup, data_dir, key, output).await?, cancel).await
        }
        Command::Extract(extract) => {
            let backup = place::backup(&extract.backup, data_dir, key, output).await?;
            extract::run(extract, &backup, output, cancel).await
        }
        Command::Server(command) => {
            let engine = installation::open(data_dir, Role::Guest).await?;
            ended(
                &engine,
                server::run(&engine, command, data_dir, output, cancel).await,
            )
            .await
        }
        Command::Plan(command) => {
            let engine = installation::open(data_dir, Role::Guest).await?;
            ended(&engine, plan::run(&engine, command, output).await).await
        }
        Command::Destination(command) => {
            let engine = installation::open(data_dir, Role::Guest).await?;
            ended(&engine, destination::run(&engine, command, output).await).await
        }
        Command::Channel(command) => {
            let engine = installation::open(data_dir, Role::Guest).await?;
            ended(&engine, channel::run(&engine, command, output).await).await
        }
        Command::Key(command) => {
            let engine = installation::open(data_dir, Role::Guest).await?;
            ended(&engine, key::run(&engine, command).await).await
        }
        Command::Settings(command) => {
            let engine = installation::open(data_dir, Role::Guest).await?;
            ended(&engine, settings::run(&engine, command).await).await
        }
        Command::Prune { plan, dry_run } => {
            let engine = installation::open(data_dir, Role::Guest).await?;
            ended(&engine, prune::run(&engine, plan, dry_run, cancel).await).await
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
