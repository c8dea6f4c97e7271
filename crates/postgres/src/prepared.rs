//! Clusters as initdb makes them, kept to be copied: initdb works for more than a second, a copy takes a tenth of one.
//!
//! A kept cluster is a folder named after all that initdb's work depends on, with `data` and a list of everything in it. What is copied is
//! compared with the list, so that a power cut or a bad disk costs a moment, not an instance: what is not as it was kept is made anew.
//! Copies share the system identifier of what they were copied from.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use howdah_archive::manifest::to_hex;
use jiff::tz::TimeZone;
use postgres_protocol::password::scram_sha_256;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use crate::account::Account;
use crate::connect::APPLICATION_NAME;
use crate::initdb::{self, Login, Setup};
use crate::instance::Instance;
use crate::programs::ServerPrograms;
use crate::restore::joined;
use crate::{Error, connect, quote};

/// Raised when clusters are set up in another way.
const VERSION: u32 = 1;

/// The file that names everything in `data`, beside it.
const LIST: &str = "list";

/// What a folder has in the list where a file has its checksum.
const FOLDER: &str = "folder";

/// How long a login may take, on this machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes a new cluster in `folder`/data, as [`initdb::create`] does, by copying the one that is kept in `kept`; where there is none, the
/// new one is kept. The superuser has no password yet, and nothing is waited for to be on the disk.
///
/// # Errors
/// As [`initdb::create`].
pub async fn create(
    programs: &ServerPrograms,
    folder: &Path,
    setup: &Setup,
    kept: &Path,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let account = Account::for_instances()?;
    account.make_folder(folder)?;
    let place = Place {
        kept: kept.join(name(programs, setup)),
        folder: folder.to_owned(),
    };
    let (from, stop) = (place.clone(), cancel.clone());
    let taken = tokio::task::spawn_blocking(move || from.take(&account, &stop));
    if joined(taken.await)?? {
        return Ok(());
    }
    initdb::run(programs, folder, setup, Login::Nobody, cancel).await?;
    if let Err(error) = joined(tokio::task::spawn_blocking(move || place.keep()).await)? {
        tracing::warn!(%error, "a new cluster could not be kept to be copied");
    }
    Ok(())
}

/// Gives the superuser of a copy that runs, and trusts on its socket, the password that [`Instance::password`] names.
///
/// # Errors
/// As [`connect`]'s, and what the server says.
pub async fn set_password(instance: &Instance, cancel: &CancellationToken) -> Result<(), Error> {
    let connection = instance.socket_connection();
    let session = connect(&connection, None, APPLICATION_NAME, PATIENCE, cancel).await?;
    // What the server makes of a password and keeps, so that no log of it can have the password itself.
    let verifier = scram_sha_256(instance.password().expose().as_bytes());
    let statement = format!(
        "ALTER ROLE {} PASSWORD {}",
        quote::ident(&connection.role),
        quote::literal(&verifier)
    );
    session
        .tell("setting the superuser's password", cancel, &statement)
        .await
}

/// All that a cluster depends on. The time zone is what initdb writes into postgresql.conf.
fn name(programs: &ServerPrograms, setup: &Setup) -> String {
    let mut digest = Sha256::new();
    let zone = TimeZone::system();
    for part in [
        &programs.stamp,
        &setup.superuser,
        &setup.locale,
        zone.iana_name().unwrap_or_default(),
        &format!("{:?}", setup.wal_segment),
    ] {
        digest.update(part);
        digest.update([0]);
    }
    format!(
        "{}-v{VERSION}-{}",
        programs.major,
        &to_hex(&digest.finalize())[..16]
    )
}

#[derive(Debug, Clone)]
struct Place {
    /// Where the cluster is kept.
    kept: PathBuf,
    /// The instance's folder.
    folder: PathBuf,
}

impl Place {
    /// Copies the kept cluster into the instance's folder; false where there is none, or none that is as it was kept.
    fn take(&self, account: &Account, cancel: &CancellationToken) -> Result<bool, Error> {
        let data = self.folder.join("data");
        let error = match copy_listed(&self.kept, &data, account, cancel) {
            Ok(()) => return Ok(true),
            Err(error) => error,
        };
        let _ = fs::remove_dir_all(&data);
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        if self.kept.exists() {
            tracing::warn!(%error, "a kept cluster cannot be copied, and is made anew");
            let _ = fs::remove_dir_all(&self.kept);
        }
        Ok(false)
    }

    /// Keeps what initdb has just made, instead of what was kept before of that major. It is whole before it has its name; until then it
    /// lies in the instance's folder, and goes with that.
    fn keep(&self) -> io::Result<()> {
        let above = self.kept.parent().unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(above)?;
        let new = tempfile::Builder::new()
            .prefix("kept-")
            .tempdir_in(&self.folder)?;
        let list = copy_and_list(&self.folder.join("data"), &new.path().join("data"))?;
        new_file(&new.path().join(LIST))?.write_all(list.as_bytes())?;
        match fs::rename(new.path(), &self.kept) {
            // Another process was faster.
            Err(_) if self.kept.exists() => return Ok(()),
            renamed => renamed?,
        }
        let name = self.kept.file_name().unwrap_or_default().to_string_lossy();
        let of_major = &name[..=name.find('-').unwrap_or(0)];
        for entry in fs::read_dir(above)?.flatten() {
            let other = entry.file_name();
            if other.to_string_lossy().starts_with(of_major) && *other != *name {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

/// Copies everything in a folder, and lists it. The list ends with its own checksum.
fn copy_and_list(from: &Path, to: &Path) -> io::Result<String> {
    let mut list = String::new();
    let mut left = vec![PathBuf::new()];
    while let Some(folder) = left.pop() {
        new_folder(&to.join(&folder))?;
        let _ = writeln!(list, "{FOLDER} {}", folder.display());
        for entry in fs::read_dir(from.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                left.push(path);
                continue;
            }
            let bytes = fs::read(entry.path())?;
            new_file(&to.join(&path))?.write_all(&bytes)?;
            let _ = writeln!(list, "{} {}", checksum(&bytes), path.display());
        }
    }
    let _ = writeln!(list, "{}", checksum(list.as_bytes()));
    Ok(list)
}

/// Copies what the list of a kept cluster names, for an account.
fn copy_listed(kept: &Path, to: &Path, account: &Account, cancel: &CancellationToken) -> Result<(), Error> {
    let failed = |error| Error::io("copying a new cluster", error);
    let damaged = |what: &str| failed(io::Error::new(io::ErrorKind::InvalidData, what));
    let list = fs::read_to_string(kept.join(LIST)).map_err(failed)?;
    let listed = list
        .trim_end()
        .rfind('\n')
        .map(|end| list.split_at(end + 1))
        .filter(|(listed, sum)| checksum(listed.as_bytes()) == sum.trim_end())
        .map(|(listed, _)| listed)
        .ok_or_else(|| damaged("its list is damaged"))?;
    for line in listed.lines() {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let (sum, path) = line.split_once(' ').ok_or_else(|| damaged(line))?;
        let path = Path::new(path);
        if !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(damaged(line));
        }
        let target = to.join(path);
        if sum == FOLDER {
            new_folder(&target).map_err(failed)?;
        } else {
            let bytes = fs::read(kept.join("data").join(path)).map_err(failed)?;
            if checksum(&bytes) != sum {
                return Err(damaged(line));
            }
            let copied = new_file(&target).and_then(|mut file| file.write_all(&bytes));
            copied.map_err(failed)?;
        }
        account.own(&target)?;
    }
    Ok(())
}

fn new_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)
}

fn new_file(path: &Path) -> io::Result<File> {
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

fn checksum(bytes: &[u8]) -> String {
    to_hex(&Sha256::digest(bytes))
}
