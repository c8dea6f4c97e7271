//! A PostgreSQL client program at work: started with a connection, its stderr read to the end by a thread, its exit
//! turned into success or a [`Failure`](howdah_domain::Failure). What goes through its stdin and stdout is the caller's.

use std::fs::File;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use howdah_domain::{Connection, FailureCode, Secret};
use tokio_util::sync::CancellationToken;

use crate::children::{self, Child, Killer, Parting};
use crate::programs::Client;
use crate::stderr::{Severity, Stderr, read_lines};
use crate::verdict::verdict;
use crate::{Error, libpq, tunnel};

/// How much of a program's stderr is kept, in bytes: the first and the last half of it.
pub const STDERR_KEPT: usize = 4 << 20;

/// Is told each line of a program's stderr as it comes, with its gravity. Called on a thread of its own.
pub type OnLine = Box<dyn FnMut(Severity, &str) + Send>;

/// A callback that hears nothing.
pub fn ignore_lines() -> OnLine {
    Box::new(|_, _| {})
}

/// A program at work. Dropping it kills it and what it started.
#[derive(Debug)]
pub struct Running {
    child: Child,
    connection: Connection,
    stderr: Arc<Mutex<Stderr>>,
    reader: Option<JoinHandle<()>>,
}

/// A program that has ended, however it did.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit status.
    pub(crate) status: ExitStatus,
    /// All it said.
    pub(crate) stderr: Stderr,
}

impl Running {
    /// Starts `command`, whose program calls itself `name`. Its stderr is read; stdin and stdout are as the command has them.
    pub(crate) fn start(
        name: &str,
        mut command: Command,
        connection: &Connection,
        mut on_line: OnLine,
    ) -> Result<Self, Error> {
        tunnel::near_end(connection)?;
        let program = command.get_program().to_owned();
        command.stderr(Stdio::piped());
        let mut child = children::spawn(command, Parting::Kill).map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                let path = Path::new(&program).display();
                return Error::new(FailureCode::ProgramMissing, format!("{name} is not at {path}."));
            }
            Error::io(format!("starting {name}"), error)
        })?;
        let stderr = Arc::new(Mutex::new(Stderr::new(name, STDERR_KEPT)));
        let reader = child
            .take_stderr()
            .map(|pipe| {
                let stderr = Arc::clone(&stderr);
                std::thread::Builder::new()
                    .name(format!("{name}-stderr"))
                    .stack_size(256 * 1024)
                    .spawn(move || {
                        read_lines(pipe, |line| {
                            let severity = lock(&stderr).push(line);
                            on_line(severity, line);
                        });
                    })
            })
            .transpose()
            .map_err(|error| Error::io(format!("reading what {name} says"), error))?;
        Ok(Self {
            child,
            connection: connection.clone(),
            stderr,
            reader,
        })
    }

    /// Its stdin, a blocking writer; `None` if taken or not piped.
    pub fn take_stdin(&mut self) -> Option<File> {
        self.child.take_stdin()
    }

    /// Its stdout, a blocking reader; `None` if taken or not piped.
    pub fn take_stdout(&mut self) -> Option<File> {
        self.child.take_stdout()
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Something that kills it from another thread.
    pub fn killer(&self) -> Killer {
        self.child.killer()
    }

    /// What it has said so far, shortened in the middle where it is long.
    pub fn stderr_so_far(&self) -> String {
        lock(&self.stderr).text()
    }

    /// Waits for its end. Take and read its stdout first (on another thread): a program with a full pipe never ends.
    ///
    /// # Errors
    /// [`Error::Cancelled`] when `cancel` fires first: it was killed and is gone then.
    pub(crate) async fn ended(&mut self, cancel: &CancellationToken) -> Result<Ended, Error> {
        let status = self.child.wait(cancel).await?;
        if let Some(reader) = self.reader.take() {
            // Its whole group is gone, so the pipe is at its end.
            let _ = tokio::task::spawn_blocking(move || reader.join()).await;
        }
        let mut stderr = lock(&self.stderr);
        let program = stderr.program().to_owned();
        let mut stderr = std::mem::replace(&mut *stderr, Stderr::new(program, 0));
        stderr.finish();
        Ok(Ended { status, stderr })
    }

    /// Waits for its end and for its success. As [`Running::ended`]; its warnings come back.
    ///
    /// # Errors
    /// [`Error::Cancelled`]; [`Error::Failed`] with the meaningful end of its stderr when it failed.
    pub async fn wait(&mut self, cancel: &CancellationToken) -> Result<Vec<String>, Error> {
        let ended = self.ended(cancel).await?;
        if ended.status.success() {
            return Ok(ended
                .stderr
                .warnings()
                .map(|warning| warning.full_text())
                .collect());
        }
        Err(verdict(&ended.stderr, ended.status, &self.connection).into())
    }
}

fn lock(stderr: &Mutex<Stderr>) -> std::sync::MutexGuard<'_, Stderr> {
    stderr.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A command for one of the client's programs, told how to connect by its environment, the password included: arguments
/// are seen by every user of the machine, a process's environment only by its own.
pub(crate) fn command(
    client: &Client,
    program: &Path,
    connection: &Connection,
    secret: Option<&Secret>,
) -> Command {
    let mut command = client.command(program);
    command.envs(libpq::libpq_environment(connection, secret, client.major));
    command.arg("--no-password");
    command
}

/// The argument that names the database. One called `a=b` is no connection string here.
pub(crate) fn dbname(connection: &Connection) -> String {
    format!("--dbname={}", libpq::conninfo(connection))
}
