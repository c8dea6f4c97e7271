//! Files that hold what nobody else may read: a recovery kit, an export.

use std::io::{Read as _, Write as _};
use std::path::Path;

use howdah_domain::{Failure, FailureCode};

/// Writes a file that only its owner can read. One that is there is not overwritten: it may be another machine's. `what`, begun
/// with a capital letter, is what it holds.
pub(crate) fn write(file: &Path, bytes: &[u8], what: &str) -> Result<(), Failure> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(file)
        .and_then(|mut opened| {
            opened.write_all(bytes)?;
            opened.sync_all()
        })
        .map_err(|error| {
            Failure::new(
                FailureCode::InvalidInput,
                format!("{what} could not be written to {}.", file.display()),
            )
            .hint("Name a file that is not there yet, in a folder that you may write to.")
            .details(error.to_string())
        })
}

/// Reads a file of at most `longest` bytes.
pub(crate) fn read(file: &Path, longest: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|opened| opened.take(longest).read_to_end(&mut bytes))
        .map_err(|error| {
            Failure::new(
                FailureCode::NotFound,
                format!("{} cannot be read.", file.display()),
            )
            .details(error.to_string())
        })?;
    Ok(bytes)
}
