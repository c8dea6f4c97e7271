//! A cluster per major, set up once and copied for each test, in memory where there is enough of it. Copies of tests that
//! were killed are swept away by the next one.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use howdah_domain::Secret;
use howdah_postgres::account::Account;
use howdah_postgres::instance::{self, Setup};
use howdah_postgres::programs::ServerPrograms;
use tokio_util::sync::CancellationToken;

/// Raised when templates are set up in another way.
const VERSION: u32 = 1;

/// A test's own copy of a cluster; removed when dropped.
#[derive(Debug)]
pub(crate) struct Copy {
    folder: PathBuf,
    /// The superuser's password.
    pub(crate) password: Secret,
    /// Locked as long as the test lives.
    _alive: File,
}

impl Copy {
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

/// Removes a copy, and the piece of System V memory that a postmaster killed with SIGKILL leaves in the kernel: its number
/// is the second on line 7 of postmaster.pid (miscadmin.h, `LOCK_FILE_LINE_SHMEM_KEY`).
fn remove(folder: &Path) {
    let lock = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap_or_default();
    if let Some(number) = lock
        .lines()
        .nth(6)
        .and_then(|line| line.split_whitespace().nth(1))
    {
        // Where it is gone already, ipcrm says so to nobody.
        let _ = Command::new("ipcrm")
            .args(["-m", number])
            .stderr(Stdio::null())
            .status();
    }
    let _ = fs::remove_dir_all(folder);
}

/// Copies the template of these programs, which is made first if there is none; in `place` or where it is quickest.
pub(crate) async fn copy(programs: &ServerPrograms, place: Option<&Path>) -> anyhow::Result<Copy> {
    let account = Account::for_instances()?;
    let root = root(place)?;
    let template = made(programs, &root).await?;

    // The lock is taken before the folder has the name that the sweep looks for.
    let unnamed = tempfile::Builder::new().prefix("new-").tempdir_in(&root)?.keep();
    let alive = File::create(unnamed.join("alive"))?;
    alive.lock()?;
    let folder = root.join(format!("run-{}", tail_of(&unnamed)));
    fs::rename(&unnamed, &folder)?;
    sweep(&root);

    // cp keeps owners and makes no copies where the file system can share blocks.
    let copied = Command::new("cp")
        .args(["-a", "--reflink=auto"])
        .arg(template.join("data"))
        .arg(&folder)
        .status()?;
    ensure!(
        copied.success(),
        "the cluster of a test could not be copied: {copied}"
    );
    account.make_folder(&folder)?;
    let password = fs::read_to_string(template.join("password"))?;
    Ok(Copy {
        folder,
        password: Secret::new(password),
        _alive: alive,
    })
}

fn tail_of(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.trim_start_matches("new-").to_owned()
}

/// Names the folder for clusters, where neither memory nor the temporary folder will do.
const FOLDER_VARIABLE: &str = "HOWDAH_TESTKIT_DIR";

/// A file system in memory: making the thousand files of a cluster took 1.1 s on a disk and 0.1 s here.
const MEMORY: &str = "/dev/shm";

/// How much must be free in memory for clusters to lie there, in bytes.
const MEMORY_NEEDED: u64 = 4 << 30;

/// Where templates and copies lie: short, for the sockets' paths, and reachable for the account that runs PostgreSQL.
fn root(place: Option<&Path>) -> anyhow::Result<PathBuf> {
    let named = std::env::var_os(FOLDER_VARIABLE).map(PathBuf::from);
    let place = match place.map(Path::to_path_buf).or(named) {
        Some(place) => place,
        None if free_bytes(Path::new(MEMORY)) >= MEMORY_NEEDED => PathBuf::from(MEMORY),
        None => std::env::temp_dir(),
    };
    let root = place.join(format!("howdah-testkit-{}", nix::unistd::geteuid()));
    fs::create_dir_all(&root)?;
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755))?;
    Ok(root)
}

fn free_bytes(folder: &Path) -> u64 {
    nix::sys::statvfs::statvfs(folder).map_or(0, |fs| fs.blocks_available() * fs.fragment_size())
}

async fn made(programs: &ServerPrograms, root: &Path) -> anyhow::Result<PathBuf> {
    let name = format!("template-{VERSION}-{}-{}", programs.major, &programs.stamp[..12]);
    let template = root.join(&name);
    if template.is_dir() {
        return Ok(template);
    }
    let lock = File::create(root.join(format!("{name}.lock")))?;
    // Blocking is fine here: whoever waits has nothing else to do.
    lock.lock()?;
    if template.is_dir() {
        return Ok(template);
    }
    let new = root.join(format!("{name}.new"));
    if new.exists() {
        fs::remove_dir_all(&new)?;
    }
    let setup = Setup {
        durable: false,
        wal_segment: Some(1),
        ..Setup::default()
    };
    instance::create(programs, &new, &setup, &CancellationToken::new())
        .await
        .map_err(|error| anyhow::anyhow!("{:?}", error.to_failure()))
        .context("the template of the tests' clusters could not be made")?;
    fs::write(new.join("password"), setup.password.expose())?;
    fs::set_permissions(new.join("password"), fs::Permissions::from_mode(0o600))?;
    fs::rename(&new, &template)?;
    Ok(template)
}

/// Removes copies whose test is gone.
fn sweep(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with("run-")
            && is_abandoned(&entry.path()).unwrap_or(false)
        {
            remove(&entry.path());
        }
    }
}

fn is_abandoned(copy: &Path) -> io::Result<bool> {
    let alive = File::open(copy.join("alive"))?;
    Ok(alive.try_lock().is_ok())
}
