//! The desktop shell: a door onto the engine. It owns the window, the tray and the process's life, and decides nothing
//! about backups.
#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

mod arguments;
mod clipboard;
mod commands;
mod desk;
mod events;
mod files;
mod links;
mod logging;
mod picker;
mod quit;
mod shell;
mod terminal;
mod tray;
mod window;

use anyhow::Context as _;
use clap::Parser as _;

use crate::arguments::Arguments;

fn main() -> anyhow::Result<()> {
    // First thing: whatever speaks TLS below finds this provider.
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        anyhow::bail!("another TLS provider is installed already");
    }
    let arguments = Arguments::parse();
    let data_dir = arguments.data_dir()?;
    let _log = logging::start(&data_dir)?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), data_dir = %data_dir.display(), "Howdah starts");

    // One runtime for all: Tauri's commands and the engine's tasks.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the async runtime does not start")?;
    tauri::async_runtime::set(runtime.handle().clone());
    let outcome = shell::run(&arguments, data_dir);
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    outcome
}
