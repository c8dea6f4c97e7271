//! A disk so small that a test can fill it: a file system in memory, mounted for as long as the test lasts.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// What takes up the room.
const FILLER: &str = "filler";

/// A small file system of a test's own, unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Mounts one of this size (`2m`, `64k`). `None` where that is not allowed, as for everybody but root: the test then says
    /// what it leaves out.
    ///
    /// # Errors
    /// When there is no room for a folder to mount it on.
    pub fn mount(size: &str) -> std::io::Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let mounted = nix::unistd::geteuid().is_root()
            && Command::new("mount")
                .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
                .arg(folder.path())
                .status()
                .is_ok_and(|status| status.success());
        Ok(mounted.then_some(Self { folder }))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Makes it read-only.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn make_read_only(&self) -> std::io::Result<()> {
        let status = Command::new("mount")
            .args(["-o", "remount,ro"])
            .arg(self.path())
            .status()?;
        if status.success() {
            Ok(())
        } else {
            Err(std::io::Error::other("the disk could not be made read-only"))
        }
    }

    /// The bytes that are free on it.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn free(&self) -> std::io::Result<u64> {
        let space = nix::sys::statvfs::statvfs(self.path())?;
        Ok(space.blocks_available().saturating_mul(space.fragment_size()))
    }

    /// Fills whatever space is left.
    ///
    /// # Errors
    /// When the file that takes the space cannot be made.
    pub fn fill(&self) -> std::io::Result<()> {
        let mut filler = File::create(self.path().join(FILLER))?;
        while filler.write_all(&[0; 4096]).is_ok() {}
        Ok(())
    }

    /// Gives the space back.
    ///
    /// # Errors
    /// When it was not filled.
    pub fn make_room(&self) -> std::io::Result<()> {
        std::fs::remove_file(self.path().join(FILLER))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: somebody may still have a file open there.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}
