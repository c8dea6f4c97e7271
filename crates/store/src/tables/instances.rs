//! Local instances: PostgreSQLs that Howdah runs on this machine. Whether one runs is not written here; its folder says so.

use std::path::{Path, PathBuf};

use howdah_domain::{BackupId, InstanceId};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{found, name_taken};
use crate::{
    Error, OwnerId, Result,
    column::{Id, Time},
};

/// A local instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceRow {
    /// Its id.
    pub id: InstanceId,
    /// What the user calls it.
    pub name: String,
    /// PostgreSQL's major version.
    pub major: u32,
    /// Its folder, absolute.
    pub folder: PathBuf,
    /// The database that was restored into it.
    pub database: Option<String>,
    /// The backup that was restored into it.
    pub backup_id: Option<BackupId>,
    /// The superuser's password in the keyring.
    pub secret_reference: Option<String>,
    /// The process that makes it, or for whose work it is. None once it is the user's.
    pub owner: Option<OwnerId>,
    /// When it was made.
    pub created_at: Timestamp,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<InstanceRow> {
    Ok(InstanceRow {
        id: row.get::<_, Id<_>>("id")?.0,
        name: row.get("name")?,
        major: row.get("major")?,
        folder: row.get::<_, String>("folder")?.into(),
        database: row.get("database")?,
        backup_id: row.get::<_, Option<Id<_>>>("backup_id")?.map(|id| id.0),
        secret_reference: row.get("secret_reference")?,
        owner: row.get::<_, Option<Id<_>>>("owner")?.map(|id| id.0),
        created_at: row.get::<_, Time>("created_at")?.0,
    })
}

/// Adds an instance: before its folder is made.
///
/// # Errors
/// [`Error::NameTaken`].
pub fn insert(connection: &Connection, instance: &InstanceRow) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO instances (id, name, major, folder, database, backup_id, secret_reference, owner, created_at)
             VALUES (:id, :name, :major, :folder, :database, :backup_id, :secret_reference, :owner, :created_at)",
        )?
        .execute(named_params! {
            ":id": Id(&instance.id),
            ":name": instance.name,
            ":major": instance.major,
            ":folder": text(&instance.folder)?,
            ":database": instance.database,
            ":backup_id": instance.backup_id.as_ref().map(Id),
            ":secret_reference": instance.secret_reference,
            ":owner": instance.owner.as_ref().map(Id),
            ":created_at": Time(instance.created_at),
        })
        .map_err(|error| name_taken(error, "local instance", &instance.name))?;
    Ok(())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str()
        .ok_or_else(|| Error::Unreadable(format!("{} is no text", path.display())))
}

/// Makes it the user's: what was to be restored into it is there.
///
/// # Errors
/// [`Error::NotFound`].
pub fn hand_over(connection: &Connection, id: &InstanceId, database: Option<&str>) -> Result<()> {
    let changed = connection
        .prepare_cached("UPDATE instances SET owner = NULL, database = ?2 WHERE id = ?1")?
        .execute((Id(id), database))?;
    found(changed, "local instance")
}

/// Makes it this process's: it is being deleted, and whoever comes after this process goes on with that.
///
/// # Errors
/// [`Error::NotFound`].
pub fn take_over(connection: &Connection, id: &InstanceId, owner: &OwnerId) -> Result<()> {
    let changed = connection
        .prepare_cached("UPDATE instances SET owner = ?2 WHERE id = ?1")?
        .execute((Id(id), Id(owner)))?;
    found(changed, "local instance")
}

/// Makes it the user's again: it could not be deleted.
///
/// # Errors
/// [`Error::NotFound`].
pub fn give_back(connection: &Connection, id: &InstanceId) -> Result<()> {
    let changed = connection
        .prepare_cached("UPDATE instances SET owner = NULL WHERE id = ?1")?
        .execute([Id(id)])?;
    found(changed, "local instance")
}

/// Calls it something else.
///
/// # Errors
/// [`Error::NameTaken`], [`Error::NotFound`].
pub fn rename(connection: &Connection, id: &InstanceId, name: &str) -> Result<()> {
    let changed = connection
        .prepare_cached("UPDATE instances SET name = ?2 WHERE id = ?1")?
        .execute((Id(id), name))
        .map_err(|error| name_taken(error, "local instance", name))?;
    found(changed, "local instance")
}

/// An instance.
pub fn get(connection: &Connection, id: &InstanceId) -> Result<Option<InstanceRow>> {
    Ok(connection
        .prepare_cached("SELECT * FROM instances WHERE id = ?1")?
        .query_row([Id(id)], from_row)
        .optional()?)
}

/// All instances, those in the making too, newest first.
pub fn list(connection: &Connection) -> Result<Vec<InstanceRow>> {
    Ok(connection
        .prepare_cached("SELECT * FROM instances ORDER BY created_at DESC, id")?
        .query_map([], from_row)?
        .collect::<rusqlite::Result<_>>()?)
}

/// Forgets an instance: its folder is gone. One that is not there is no error.
pub fn remove(connection: &Connection, id: &InstanceId) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM instances WHERE id = ?1")?
        .execute([Id(id)])?;
    Ok(())
}
