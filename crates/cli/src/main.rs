//! The command `howdah`: the same engine without the window. It reads the command line, calls the engine, and tells what
//! came of it; everything else is the engine's.

mod arguments;
mod commands;
mod demo;
mod host_key;
mod installation;
mod output;
mod place;
mod private;
mod progress;
mod schedule;
mod table_name;
mod target;

use std::process::ExitCode;

use clap::error::ErrorKind;
use howdah_domain::{Failure, FailureCode};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::arguments::Arguments;
use crate::output::{Output, USAGE};

/// The variable that turns on the technical log, as in `HOWDAH_LOG=debug`.
const LOG_VARIABLE: &str = "HOWDAH_LOG";

fn main() -> ExitCode {
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    let output = Output {
        json: arguments.json,
        quiet: arguments.quiet,
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new("off")))
        .with_writer(std::io::stderr)
        .init();
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        let failure = Failure::new(FailureCode::Internal, "TLS was set up twice.");
        return output.finish(Err(failure));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure = Failure::new(FailureCode::Internal, "Howdah could not start its threads.")
                .details(error.to_string());
            return output.finish(Err(failure));
        }
    };
    let result = runtime.block_on(async {
        let cancel = CancellationToken::new();
        cancel_on_signals(&cancel);
        Box::pin(commands::run(arguments, output, &cancel)).await
    });
    // A thread that still waits for a dead share must not keep the command from ending.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    output.finish(result)
}

/// Help and version are no errors; everything else is wrong usage, told as JSON too where that was asked for.
fn refuse(error: &clap::Error) -> ExitCode {
    // Where even the terminal is gone there is nobody to tell.
    let _ = error.print();
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return ExitCode::SUCCESS;
    }
    if std::env::args_os().any(|argument| argument == "--json") {
        let text = error.to_string();
        let message = text
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("error: ")
            .to_owned();
        let failure =
            Failure::new(FailureCode::InvalidInput, message).hint("`howdah help` lists what there is.");
        output::print_json(&serde_json::json!({ "error": failure }));
    }
    ExitCode::from(USAGE)
}

/// The first SIGINT, SIGTERM or SIGHUP cancels; what is at work removes its leavings and ends.
fn cancel_on_signals(cancel: &CancellationToken) {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        for kind in [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ] {
            let cancel = cancel.clone();
            match signal(kind) {
                Ok(mut signals) => {
                    tokio::spawn(async move {
                        if signals.recv().await.is_some() {
                            cancel.cancel();
                        }
                    });
                }
                Err(error) => tracing::warn!("signals cannot be heard: {error}"),
            }
        }
    }
    #[cfg(not(unix))]
    {
        let cancel = cancel.clone();
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                cancel.cancel();
            }
        });
    }
}

/// Connections or threads that are used where nobody said how many.
fn processors() -> usize {
    std::thread::available_parallelism().map_or(2, |number| number.get().min(4))
}
