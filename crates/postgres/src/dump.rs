//! pg_dump at work: one database's archive as a stream of bytes.
//!
//! The custom format without compression (`-Fc -Z0`) comes out of stdout exactly as pg_dump writes it; whether all of it
//! came is for the archive's scanner and the exit status together to say. Where it goes is not known here.

use std::time::Duration;

use howdah_domain::{Connection, Secret};

use crate::Error;
use crate::programs::Client;
use crate::running::{self, OnLine, Running};
use crate::selection::Chosen;

/// A dump to be taken.
#[derive(Debug, Clone, Copy)]
pub struct Dump<'a> {
    /// The programs to take it with.
    pub client: &'a Client,
    /// Where, and which database.
    pub connection: &'a Connection,
    /// The password.
    pub secret: Option<&'a Secret>,
    /// What of the database, and its encoding.
    pub chosen: &'a Chosen,
    /// How long pg_dump waits for a lock on a table (`--lock-wait-timeout`), per statement.
    pub lock_wait: Duration,
    /// Whether pg_dump tells of each step on stderr (`--verbose`): some lines per table.
    pub verbose: bool,
}

impl Dump<'_> {
    /// Starts pg_dump. Read [`Running::take_stdout`] to its end on a thread, then [`Running::wait`]; only a wait that
    /// is `Ok` makes what was read a dump. `on_line` hears each line of stderr.
    ///
    /// # Errors
    /// [`Error::Failed`] with `ProgramMissing`; [`Error::Io`] where the system starts no process.
    pub fn spawn(&self, on_line: OnLine) -> Result<Running, Error> {
        let mut command = running::command(self.client, &self.client.pg_dump, self.connection, self.secret);
        command
            .args(["--format=custom", "--compress=0"])
            .arg(format!("--encoding={}", self.chosen.encoding))
            .arg(format!(
                "--lock-wait-timeout={}",
                self.lock_wait.as_millis().max(1)
            ))
            .args(&self.chosen.flags)
            .arg(running::dbname(self.connection));
        if self.verbose {
            command.arg("--verbose");
        }
        Running::start("pg_dump", command, self.connection, on_line)
    }
}
