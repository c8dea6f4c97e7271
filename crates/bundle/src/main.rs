//! The command `howdah-bundle`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use howdah_bundle::fetch::{Clients, Fetching, Outcome};
use howdah_bundle::layout::{major_folder, size_of};
use howdah_bundle::lock::{BUILT_IN, Lock, Package, this_platform};

/// Fetches, verifies and lays out the PostgreSQL programs that Howdah ships.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Fetch what is missing or out of date; a second run downloads nothing.
    Fetch {
        /// The folder to lay the programs out in.
        #[arg(long, default_value = "programs")]
        into: PathBuf,
        /// Only these majors (default: all).
        #[arg(long = "major", num_args = 1..)]
        majors: Vec<u16>,
        /// The platform, as in `linux-x86_64` (default: this machine's).
        #[arg(long)]
        platform: Option<String>,
        /// Another lock file than the one built in.
        #[arg(long)]
        lock: Option<PathBuf>,
        /// Where fetched packages are kept for the next time (default: howdah/packages in the user's cache folder).
        #[arg(long, env = "HOWDAH_PACKAGE_CACHE")]
        cache: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let Action::Fetch {
        into,
        majors,
        platform,
        lock,
        cache,
    } = Arguments::parse().command;
    match fetch(&into, &majors, platform, lock, cache) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("howdah-bundle: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn fetch(
    into: &Path,
    majors: &[u16],
    platform: Option<String>,
    lock: Option<PathBuf>,
    cache: Option<PathBuf>,
) -> anyhow::Result<()> {
    let lock = match lock {
        None => Lock::parse(BUILT_IN)?,
        Some(path) => {
            let text = std::fs::read_to_string(&path);
            Lock::parse(&text.with_context(|| format!("cannot read {}", path.display()))?)?
        }
    };
    let packages = lock.for_platform(&platform.unwrap_or_else(this_platform))?;
    for major in majors {
        anyhow::ensure!(
            packages.iter().any(|p| p.major == *major),
            "there are no programs of PostgreSQL {major}"
        );
    }
    let cache = match cache {
        Some(cache) => cache,
        None => dirs::cache_dir()
            .context("this user has no cache folder; name one with --cache")?
            .join("howdah/packages"),
    };
    let into = std::path::absolute(into)?;
    let fetching = Fetching {
        programs: &into,
        cache: &std::path::absolute(cache)?,
        fetcher: Clients,
    };
    for of_major in packages.chunk_by(|a, b| a.major == b.major) {
        let major = of_major[0].major;
        if majors.is_empty() || majors.contains(&major) {
            report(&fetching, major, of_major)?;
        }
    }
    Ok(())
}

fn report(fetching: &Fetching<'_, Clients>, major: u16, packages: &[&Package]) -> anyhow::Result<()> {
    let began = Instant::now();
    let outcome = fetching.major(major, packages)?;
    let megabytes = size_of(&major_folder(fetching.programs, major)).div_ceil(1_000_000);
    match outcome {
        Outcome::Current => println!("PostgreSQL {major}: there already, {megabytes} MB"),
        Outcome::Made => {
            println!(
                "PostgreSQL {major}: {megabytes} MB in {:.1} s",
                began.elapsed().as_secs_f32()
            );
        }
        Outcome::MadeWithoutClient(reason) => {
            println!("PostgreSQL {major}: {megabytes} MB, without its client programs: {reason}");
            if let Some(why) = packages.iter().find_map(|p| p.optional.as_deref()) {
                println!("  ({why})");
            }
        }
    }
    Ok(())
}
