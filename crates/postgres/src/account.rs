//! Which operating-system account runs a local instance. `postgres` refuses to run as root, so as root another account
//! does it, and then its files must be owned by that account and lie where it can reach them.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use howdah_domain::{Failure, FailureCode};
use nix::unistd::{User, geteuid};

use crate::Error;
use crate::programs::ServerPrograms;

/// Where root keeps what another account must reach; root's own folders are usually closed to it.
const ROOTS_PLACE: &str = "/var/lib/howdah";

/// Accounts that may run an instance for root, the first that exists.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// The account that runs an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// `None`: our own. Otherwise user and group number of the one that runs it for root.
    other: Option<(u32, u32)>,
}

impl Account {
    /// Our own account, unless that is root: then `postgres`, or `nobody` where there is no such account.
    ///
    /// # Errors
    /// [`FailureCode::Internal`] when we are root and neither exists.
    pub fn for_instances() -> Result<Self, Error> {
        if !geteuid().is_root() {
            return Ok(Self { other: None });
        }
        let user = CANDIDATES.iter().find_map(|name| User::from_name(name).ok().flatten()).ok_or_else(|| {
            Failure::new(
                FailureCode::Internal,
                "PostgreSQL does not run as root, and this machine has no account `postgres` or `nobody` to run it.",
            )
            .hint("Start Howdah as an ordinary user.")
        })?;
        Ok(Self {
            other: Some((user.uid.as_raw(), user.gid.as_raw())),
        })
    }

    /// Whether it is another account than ours.
    pub fn is_other(&self) -> bool {
        self.other.is_some()
    }

    /// Makes a command run as this account, without any further groups.
    pub fn applied_to(&self, command: &mut Command) {
        if let Some((user, group)) = self.other {
            // For root, the standard library empties the supplementary groups too.
            command.uid(user).gid(group);
        }
    }

    /// Gives a file or folder to this account.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn own(&self, path: &Path) -> Result<(), Error> {
        if let Some((user, group)) = self.other {
            chown(path, Some(user), Some(group))
                .map_err(|e| Error::io(format!("giving {} away", path.display()), e))?;
        }
        Ok(())
    }

    /// Makes a folder (and those above it) that only this account can enter; one that exists is kept.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn make_folder(&self, path: &Path) -> Result<(), Error> {
        let failed = |e| Error::io(format!("making {}", path.display()), e);
        fs::create_dir_all(path).map_err(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        self.own(path)
    }

    /// Whether this account can pass through every folder above `path`, and read it.
    pub fn reaches(&self, path: &Path) -> bool {
        let Some((user, group)) = self.other else {
            return true;
        };
        let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        path.ancestors().filter(|p| p.exists()).all(|folder| {
            fs::metadata(folder).is_ok_and(|meta| {
                let shift = if meta.uid() == user {
                    6
                } else if meta.gid() == group {
                    3
                } else {
                    0
                };
                (meta.mode() >> shift) & 0o1 != 0
            })
        })
    }

    /// Where an instance's folder may lie: where it was wanted, or, when another account runs it and could not get
    /// there, under the same name below `/var/lib/howdah/instances`.
    pub fn place(&self, wanted: &Path) -> PathBuf {
        if wanted.parent().is_none_or(|above| self.reaches(above)) {
            return wanted.to_path_buf();
        }
        let name = wanted.file_name().unwrap_or(wanted.as_os_str());
        Path::new(ROOTS_PLACE).join("instances").join(name)
    }

    /// Where clusters are kept to be copied ([`crate::prepared`]): in `own`, or for root beside the programs' copies.
    pub fn place_of_prepared(&self, own: &Path) -> PathBuf {
        if self.is_other() {
            return Path::new(ROOTS_PLACE).join("prepared");
        }
        own.to_path_buf()
    }

    /// The server programs where this account can run them: where they are, or a copy below `/var/lib/howdah/programs`,
    /// made once per version. Blocks for the copy, some 30 MB.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn reachable(&self, programs: &ServerPrograms) -> Result<ServerPrograms, Error> {
        if self.reaches(&programs.root) && programs.library_path.iter().all(|folder| self.reaches(folder)) {
            return Ok(programs.clone());
        }
        let key = programs.stamp.get(..16).unwrap_or(&programs.stamp);
        let place = Path::new(ROOTS_PLACE).join("programs");
        copied(programs, &place, key)
            .map_err(|e| Error::io("copying the server programs to where they can run", e))
    }
}

fn copied(programs: &ServerPrograms, place: &Path, key: &str) -> io::Result<ServerPrograms> {
    fs::create_dir_all(place)?;
    let lock = fs::File::create(place.join("lock"))?;
    lock.lock()?;
    let home = place.join(key);
    if !home.is_dir() {
        let new = place.join(format!("{key}.new"));
        if new.exists() {
            fs::remove_dir_all(&new)?;
        }
        copy_tree(&programs.root, &new.join("server"))?;
        for (number, folder) in programs.library_path.iter().enumerate() {
            copy_tree(folder, &new.join(format!("lib{number}")))?;
        }
        fs::rename(&new, &home)?;
    }
    let root = home.join("server");
    let moved = |path: &Path| {
        path.strip_prefix(&programs.root)
            .map_or_else(|_| path.into(), |p| root.join(p))
    };
    Ok(ServerPrograms {
        postgres: moved(&programs.postgres),
        initdb: moved(&programs.initdb),
        pg_ctl: moved(&programs.pg_ctl),
        library_path: (0..programs.library_path.len())
            .map(|n| home.join(format!("lib{n}")))
            .collect(),
        root,
        ..programs.clone()
    })
}

/// Copies a folder with everything in it, permissions included, owners not.
///
/// # Errors
/// Those of the file system.
pub fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    fs::set_permissions(to, fs::metadata(from)?.permissions())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_account_does_not_reach_what_lies_in_a_closed_folder() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let inside = folder.path().join("programs");
        fs::create_dir(&inside).unwrap();
        let other = Account {
            other: Some((65_000, 65_000)),
        };
        let wanted = folder.path().join("instance");
        assert!(!other.reaches(&inside));
        assert_eq!(
            other.place(&wanted),
            Path::new("/var/lib/howdah/instances/instance")
        );

        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(other.reaches(&inside));
        assert_eq!(other.place(&wanted), wanted);
        assert_eq!(
            Account { other: None }.place(Path::new("/root/x")),
            Path::new("/root/x")
        );
    }

    #[test]
    fn programs_are_copied_once_with_their_libraries() {
        let folder = tempfile::tempdir().unwrap();
        let (root, shared) = (folder.path().join("17/server"), folder.path().join("shared/abc"));
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::create_dir_all(&shared).unwrap();
        fs::write(root.join("bin/postgres"), "p").unwrap();
        fs::write(shared.join("libicudata.so.60"), "i").unwrap();
        let programs = ServerPrograms {
            major: 17,
            version: "17.10".into(),
            postgres: root.join("bin/postgres"),
            initdb: root.join("bin/initdb"),
            pg_ctl: root.join("bin/pg_ctl"),
            library_path: vec![shared],
            stamp: "0123".into(),
            root,
        };
        let place = folder.path().join("place");
        let copy = copied(&programs, &place, "0123").unwrap();
        assert_eq!(copy.postgres, place.join("0123/server/bin/postgres"));
        assert_eq!(fs::read_to_string(&copy.postgres).unwrap(), "p");
        assert_eq!(
            fs::read_to_string(copy.library_path[0].join("libicudata.so.60")).unwrap(),
            "i"
        );

        fs::remove_dir_all(folder.path().join("17")).unwrap();
        assert_eq!(copied(&programs, &place, "0123").unwrap(), copy);
    }
}
