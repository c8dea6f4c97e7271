//! Files that a person chose, and that hold what nobody else may read.

use std::io::{self, Read as _, Write as _};
use std::path::Path;

use howdah_domain::{Failure, FailureCode};

/// Does blocking work on its own thread: a stick or a share may take its time.
pub(crate) async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        Failure::new(FailureCode::Internal, "The file could not be worked on.").details(error.to_string())
    })
}

/// Nobody but this user can read it, from its first byte on. It takes the place of a file of that name as a whole or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let mut beside = name.to_owned();
    beside.push(".part");
    let beside = path.with_file_name(beside);
    // One that a crash left. Made anew, because the rights of a file that is there would stay as they are.
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        // What is left of it may hold a key.
        drop(std::fs::remove_file(&beside));
    }
    written
}

/// A name for a file, with nothing in it that a file system or a dialog would take for something else.
pub(crate) fn tame_name(name: &str) -> String {
    let tame: String = name
        .chars()
        .take(120)
        .map(|c| {
            if c.is_alphanumeric() || "._- ".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    tame.trim_start_matches(['.', ' ']).to_owned()
}

/// Reads a file of at most `longest` bytes.
pub(crate) fn read(path: &Path, longest: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(longest).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// `what`, begun with a capital letter, could not be written.
pub(crate) fn not_written(what: &str, path: &str, error: &io::Error) -> Failure {
    Failure::new(
        FailureCode::Internal,
        format!("{what} could not be written to {path}: {error}."),
    )
    .hint("Choose another folder, one that you may write to.")
}

/// The file could not be read.
pub(crate) fn not_read(path: &str, error: &io::Error) -> Failure {
    Failure::new(
        FailureCode::InvalidInput,
        format!("{path} could not be read: {error}."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_file_is_written_for_this_user_alone_also_over_one_that_everybody_could_read() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kit.txt");
        std::fs::write(&path, "an older one").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        write(&path, b"# kit\nAGE-SECRET-KEY-1").unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(read(&path, 1 << 20).unwrap(), b"# kit\nAGE-SECRET-KEY-1");
        assert_eq!(read(&path, 5).unwrap(), b"# kit");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_put_in_place_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kit.txt");
        std::fs::create_dir_all(path.join("in the way")).unwrap();
        assert!(write(&path, b"secret").is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
