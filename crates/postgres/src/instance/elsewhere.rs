//! An instance that another process runs: whether it does, where it listens, and how it is ended from here.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use howdah_domain::{Failure, FailureCode};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio_util::sync::CancellationToken;

use crate::Error;

/// How often it is looked whether it has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A PostgreSQL that runs in a folder, whoever started it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// The postmaster's process number.
    pub pid: u32,
    /// Its port.
    pub port: u16,
}

impl Elsewhere {
    /// Looks into an instance's folder. None where nothing runs there, or nothing that takes connections yet. What `postmaster.pid`
    /// says counts only where that process works in the folder: after a `kill -9` another one may have its number.
    pub fn find(folder: &Path) -> Option<Self> {
        let data = folder.join("data");
        let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
        let mut lines = text.lines();
        let pid: u32 = lines.next()?.trim().parse().ok()?;
        // miscadmin.h: directory, start time, port.
        let port = lines.nth(2)?.trim().parse().ok()?;
        works_in(pid, &data).then_some(Self { pid, port })
    }

    /// Ends it properly, and waits for that; by force when `patience` is over.
    ///
    /// # Errors
    /// [`FailureCode::Timeout`] where it does not end within `patience`; [`Error::Cancelled`].
    pub async fn stop(
        &self,
        folder: &Path,
        patience: Duration,
        cancel: &CancellationToken,
    ) -> Result<(), Error> {
        let data = folder.join("data");
        let (mut until, mut forced) = (Instant::now() + patience, false);
        let pid = Pid::from_raw(self.pid.cast_signed());
        if works_in(self.pid, &data) {
            // ESRCH: it ended just now.
            let _ = kill(pid, Signal::SIGINT);
        }
        while works_in(self.pid, &data) {
            if Instant::now() > until && !forced {
                tracing::warn!(pid = self.pid, "PostgreSQL does not end and is killed");
                let _ = kill(pid, Signal::SIGKILL);
                forced = true;
                until += patience;
            } else if Instant::now() > until {
                return Err(Failure::new(
                    FailureCode::Timeout,
                    format!("PostgreSQL (process {}) does not end.", self.pid),
                )
                .hint("Look at its log; it ends by force with `kill -9` and its number.")
                .into());
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = cancel.cancelled() => return Err(Error::Cancelled),
            }
        }
        Ok(())
    }
}

/// Whether a process is there and works in that data directory, as a postmaster does.
pub(super) fn works_in(pid: u32, data: &Path) -> bool {
    if !cfg!(target_os = "linux") {
        return kill(Pid::from_raw(pid.cast_signed()), None).is_ok();
    }
    let data = data.canonicalize().unwrap_or_else(|_| data.to_path_buf());
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder == data)
}
