//! The app as the operating system sees it: its process, the processes below it, their memory and time.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

/// The program under test.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_howdah-desktop"))
}

/// An app started without a driver, as a person would.
pub(crate) struct App {
    child: Child,
    data_dir: PathBuf,
}

impl App {
    /// Starts it.
    pub(crate) fn start(data_dir: &Path, arguments: &[&str]) -> Self {
        let child = command(data_dir, arguments)
            .kill_on_drop(true)
            .spawn()
            .expect("the app starts");
        Self {
            child,
            data_dir: data_dir.to_owned(),
        }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("the app runs")
    }

    /// Starts it a second time, which ends at once: the first one comes forward.
    pub(crate) async fn start_again(&self) {
        start_again(&self.data_dir).await;
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self, limit: Duration) -> std::process::ExitStatus {
        tokio::time::timeout(limit, self.child.wait())
            .await
            .expect("the app ends in time")
            .unwrap()
    }
}

fn command(data_dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .arg("--data-dir")
        .arg(data_dir)
        .args(arguments)
        .stdin(Stdio::null());
    command
}

/// Starts the app a second time in the same data directory and waits until that second one has ended.
pub(crate) async fn start_again(data_dir: &Path) {
    let status = tokio::time::timeout(Duration::from_secs(10), command(data_dir, &[]).status())
        .await
        .expect("a second start ends at once")
        .unwrap();
    assert!(status.success(), "a second start ended with {status}");
}

/// The process and all below it.
pub(crate) fn family(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let parents: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let child: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name may hold anything, so the fields are counted from the last parenthesis (proc(5)).
            let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
            Some((child, parent))
        })
        .collect();
    let mut next = 0;
    while next < all.len() {
        let of = all[next];
        all.extend(
            parents
                .iter()
                .filter(|(_, parent)| *parent == of)
                .map(|(child, _)| *child),
        );
        next += 1;
    }
    all
}

/// Private dirty memory of some processes, in kB (`smaps_rollup`, proc(5)), with the name of each.
pub(crate) fn private_dirty(pids: &[u32]) -> Vec<(String, u64)> {
    pids.iter()
        .filter_map(|pid| {
            let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            let line = rollup.lines().find(|line| line.starts_with("Private_Dirty:"))?;
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
            Some((
                name.trim().to_owned(),
                line.split_whitespace().nth(1)?.parse().ok()?,
            ))
        })
        .collect()
}

/// Processor time that some processes used so far, in clock ticks (a hundredth of a second on Linux).
pub(crate) fn ticks(pids: &[u32]) -> u64 {
    pids.iter()
        .filter_map(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
            Some(fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?)
        })
        .sum()
}
