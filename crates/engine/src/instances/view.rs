//! Local instances as people see them: names, state, URL, size.

use std::path::Path;

use howdah_domain::{Failure, FailureCode};
use howdah_postgres::instance::Elsewhere;
use howdah_store::tables::instances::{self, InstanceRow};

use super::SUPERUSER;
use crate::api::{InstanceState, InstanceView};

/// The longest name, in characters.
const LONGEST_NAME: usize = 60;

/// A name that people can read, and that is not empty.
pub(crate) fn checked_name(name: &str) -> Result<String, Failure> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
        return Err(Failure::new(
            FailureCode::InvalidInput,
            format!("A local instance's name has 1 to {LONGEST_NAME} characters."),
        ));
    }
    Ok(name.to_owned())
}

/// The name wished for, with a number where it is taken.
pub(super) fn free_name(c: &howdah_store::Connection, wished: &str) -> howdah_store::Result<String> {
    let taken: Vec<String> = instances::list(c)?.into_iter().map(|row| row.name).collect();
    let mut name = wished.to_owned();
    let mut number = 2;
    while taken.contains(&name) {
        name = format!("{wished} ({number})");
        number += 1;
    }
    Ok(name)
}

/// An instance as it is now. Blocks: it asks the disk.
pub(super) fn view(row: &InstanceRow) -> InstanceView {
    let running = Elsewhere::find(&row.folder);
    let state = match (&row.owner, &running) {
        (Some(_), _) => InstanceState::Making,
        (None, Some(_)) => InstanceState::Running,
        (None, None) if row.folder.join("data/PG_VERSION").exists() => InstanceState::Stopped,
        (None, None) => InstanceState::Lost,
    };
    let port = running
        .filter(|_| row.owner.is_none())
        .map(|running| running.port);
    InstanceView {
        id: row.id.clone(),
        name: row.name.clone(),
        major: row.major,
        state,
        port,
        role: SUPERUSER.to_owned(),
        database: row.database.clone(),
        backup_id: row.backup_id.clone(),
        disk_bytes: bytes_below(&row.folder),
        folder: row.folder.clone(),
        url: port.map(|port| url(row, port, None)),
        created_at: row.created_at,
    }
}

pub(super) fn url(row: &InstanceRow, port: u16, password: Option<&str>) -> String {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    let database = row.database.as_deref().unwrap_or("postgres");
    let password = password.map_or_else(String::new, |password| format!(":{password}"));
    format!(
        "postgresql://{SUPERUSER}{password}@127.0.0.1:{port}/{}",
        utf8_percent_encode(database, NON_ALPHANUMERIC)
    )
}

/// Bytes that a folder takes on the disk, as far as it can be read.
fn bytes_below(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                bytes += metadata.blocks() * 512;
            }
        }
    }
    bytes
}
