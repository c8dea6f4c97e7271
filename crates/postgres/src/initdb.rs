//! Sets up a new cluster with the bundled initdb.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use howdah_archive::manifest::to_hex;
use howdah_domain::{Failure, FailureCode, Secret};
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::account::Account;
use crate::children::{self, Parting};
use crate::programs::ServerPrograms;

/// How much of what initdb says an error carries.
const SAID_BYTES: usize = 16 * 1024;

/// How to set up a new cluster.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The superuser's name.
    pub superuser: String,
    /// The superuser's password.
    pub password: Secret,
    /// The locale of the template databases, as the operating system names it; the encoding is UTF8.
    pub locale: String,
    /// Wait until it is on disk. Tests need not.
    pub durable: bool,
    /// The size of a WAL segment in MiB, where it should not be 16.
    pub wal_segment: Option<u32>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            superuser: "postgres".into(),
            password: random_password(),
            locale: if cfg!(target_os = "linux") { "C.UTF-8" } else { "C" }.into(),
            durable: true,
            wal_segment: None,
        }
    }
}

/// A password of 128 random bits, in hexadecimal digits.
pub fn random_password() -> Secret {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).expect("BUG: the operating system has no random numbers");
    Secret::new(to_hex(&bytes))
}

/// Who may log in to a cluster until pg_hba.conf is written anew.
pub(crate) enum Login {
    /// Whoever has the superuser's password.
    Password,
    /// Nobody but the account that it runs as: there is no password.
    Nobody,
}

/// Makes a new cluster with initdb in `folder`/data. The folder must be one that the account of instances reaches
/// ([`Account::place`]); it is made if it is not there, and given to that account.
///
/// # Errors
/// [`FailureCode::ProgramFailed`] with what initdb said; [`Error::Cancelled`]. Either way no `data` is left.
pub async fn create(
    programs: &ServerPrograms,
    folder: &Path,
    setup: &Setup,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    run(programs, folder, setup, Login::Password, cancel).await
}

pub(crate) async fn run(
    programs: &ServerPrograms,
    folder: &Path,
    setup: &Setup,
    login: Login,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let account = Account::for_instances()?;
    let programs = account.reachable(programs)?;
    account.make_folder(folder)?;
    let data = folder.join("data");

    let mut command = programs.command(&programs.initdb);
    command.arg("--pgdata").arg(&data);
    command.args([
        "--username",
        &setup.superuser,
        "--encoding=UTF8",
        "--locale",
        &setup.locale,
    ]);
    let mut password = None;
    match login {
        Login::Password => {
            // initdb takes a password from a file only; tempfile makes it 0600 and removes it whatever happens.
            let writing = |e| Error::io("handing the password to initdb", e);
            let file = password.insert(tempfile::NamedTempFile::new_in(folder).map_err(writing)?);
            writeln!(file, "{}", setup.password.expose()).map_err(writing)?;
            account.own(file.path())?;
            command.arg("--pwfile").arg(file.path());
            command.args(["--auth-local=scram-sha-256", "--auth-host=scram-sha-256"]);
        }
        Login::Nobody => {
            command.args(["--auth-local=peer", "--auth-host=reject"]);
        }
    }
    if !setup.durable {
        command.arg("--no-sync");
    }
    if let Some(megabytes) = setup.wal_segment {
        command.arg(format!("--wal-segsize={megabytes}"));
    }
    command.current_dir(folder);
    account.applied_to(&mut command);
    let child = children::spawn(command, Parting::Kill).map_err(|e| Error::io("starting initdb", e))?;
    let outcome = child.finish(cancel, SAID_BYTES).await;
    drop(password);
    let made = match outcome {
        Ok(finished) if finished.status.success() => include_our_settings(&data),
        Ok(finished) => Err(Failure::new(
            FailureCode::ProgramFailed,
            format!(
                "A new PostgreSQL {} could not be set up: initdb ended with {}.",
                programs.major, finished.status
            ),
        )
        .details(finished.stderr.text())
        .into()),
        Err(error) => Err(error),
    };
    if made.is_err() {
        let _ = fs::remove_dir_all(&data);
    }
    made
}

/// Writes what a cluster that ran without `fsync` holds to the disk. It must not run.
///
/// # Errors
/// [`FailureCode::ProgramFailed`] with what initdb said; [`Error::Cancelled`].
pub async fn sync(programs: &ServerPrograms, folder: &Path, cancel: &CancellationToken) -> Result<(), Error> {
    let account = Account::for_instances()?;
    let programs = account.reachable(programs)?;
    let mut command = programs.command(&programs.initdb);
    command
        .arg("--sync-only")
        .arg("--pgdata")
        .arg(folder.join("data"))
        .current_dir(folder);
    account.applied_to(&mut command);
    let child = children::spawn(command, Parting::Kill).map_err(|e| Error::io("starting initdb", e))?;
    let finished = child.finish(cancel, SAID_BYTES).await?;
    if finished.status.success() {
        return Ok(());
    }
    Err(Failure::new(
        FailureCode::ProgramFailed,
        "What was restored could not be written to the disk.",
    )
    .details(finished.stderr.text())
    .into())
}

/// The file that holds an instance's own settings; postgresql.conf, as initdb made it, includes it at its end.
pub(crate) const SETTINGS: &str = "howdah.conf";

fn include_our_settings(data: &Path) -> Result<(), Error> {
    let add = || {
        let mut file = File::options().append(true).open(data.join("postgresql.conf"))?;
        writeln!(file, "\ninclude_if_exists = '{SETTINGS}'")
    };
    add().map_err(|e| Error::io("writing postgresql.conf", e))
}
