//! A server that is there, as a restore would find it.

use howdah_domain::units::size;
use howdah_domain::{Connection, Failure, RestoreContent, Secret};
use howdah_postgres::restore::{WhyUnfit, unfit};
use howdah_postgres::target::{Answer, Facts, facts};
use tokio_util::sync::CancellationToken;

use super::Looked;
use super::lines::{Lines, list, shortened};
use crate::api::{PreflightVerdict, RestoreOptions};
use crate::engine::OrFailure;
use crate::restore::{maintenance_session, session};

/// What is asked of a server that is there.
pub(super) struct Asked<'a> {
    pub(super) database: &'a str,
    pub(super) replace: bool,
    pub(super) options: &'a RestoreOptions,
}

impl Asked<'_> {
    /// Whether only rows are restored, into a database that is there.
    fn is_rows_alone(&self) -> bool {
        self.options.content == RestoreContent::Rows
    }
}

/// A server that is there. What it does not let us ask is a line; that it cannot be reached, too.
pub(super) async fn look_there(
    connection: &Connection,
    password: Option<&Secret>,
    asked: &Asked<'_>,
    looked: &Looked,
    lines: &mut Lines,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let session = match maintenance_session(connection, password, cancel).await {
        Ok(session) => session,
        Err(failure) if failure.is_cancelled() => return Err(failure),
        Err(failure) => {
            lines.failure(failure);
            return Ok(());
        }
    };
    let from_globals: &[String] = if asked.options.roles { &looked.roles } else { &[] };
    let found = facts(&session, asked.database, &looked.needs, from_globals, cancel).await;
    let found = match found {
        Ok(found) => found,
        Err(error) if error.is_cancelled() => return Err(error.to_failure()),
        Err(error) => {
            lines.failure(error.to_failure());
            return Ok(());
        }
    };
    server(&found, looked, lines);
    let client = found.version.major.max(looked.manifest.client.major);
    if let Some(failure) = asked
        .options
        .for_restore()
        .refused_by(found.version.major, client)
    {
        lines.failure(failure);
    }
    if asked.is_rows_alone() {
        drop(session);
        tables(&found, connection, password, asked, looked, lines, cancel).await?;
    } else {
        may_create(&found, lines);
        database(&found, asked, lines);
        what_it_has(&found, asked, lines);
    }
    slots(&found, lines);
    if looked.raw_bytes == 0 {
        return Ok(());
    }
    let needed = looked.raw_bytes.saturating_add(looked.raw_bytes / 2);
    match found.free_bytes(connection) {
        Some(free) if free < needed => lines.stops(
            format!("It takes about {} there; {} is free.", size(needed), size(free)),
            "Make room on the server’s disk.",
        ),
        Some(free) => lines.passes(format!(
            "It takes about {} there; {} is free.",
            size(needed),
            size(free)
        )),
        None => lines.warns(
            format!(
                "It takes about {} there; how much is free cannot be told from here.",
                size(needed)
            ),
            "Look at the server’s disk before you begin.",
        ),
    }
    Ok(())
}

fn server(found: &Facts, looked: &Looked, lines: &mut Lines) {
    let version = &found.version;
    if let Some(failure) = version.unsupported() {
        return lines.failure(failure);
    }
    if found.standby {
        return lines.stops(
            "The server is a standby: nothing can be restored into it.",
            "Choose its primary server.",
        );
    }
    match looked.needs.server_major {
        Some(major) if version.major < major => lines.warns(
            format!(
                "The server is PostgreSQL {}, older than the {major} that was dumped.",
                version.text
            ),
            "What the older one does not know fails, each thing named. A server of the same major or a newer one takes all of it.",
        ),
        _ => lines.passes(format!("The server is PostgreSQL {}.", version.text)),
    }
    for remark in &found.remarks {
        lines.warns(remark, "Nothing has to be done about it.");
    }
}

fn may_create(found: &Facts, lines: &mut Lines) {
    if !found.role.superuser && !found.role.create_databases {
        lines.stops(
            format!("The role {} may not create databases.", found.role.name),
            format!(
                "Let a superuser run: ALTER ROLE {} CREATEDB;",
                howdah_postgres::quote::ident(&found.role.name)
            ),
        );
    }
}

/// Rows alone: the database and its tables have to be there, and the tables be empty.
async fn tables(
    found: &Facts,
    connection: &Connection,
    password: Option<&Secret>,
    asked: &Asked<'_>,
    looked: &Looked,
    lines: &mut Lines,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let name = asked.database;
    if found.database.is_none() {
        lines.stops(
            format!("There is no database {name}."),
            "Rows alone come into tables that are there. Restore everything, or choose another database.",
        );
        return Ok(());
    }
    let looking = async {
        let session = session(&connection.with_database(name), password, cancel).await?;
        let options = asked.options.for_restore();
        unfit(&session, &looked.contents, &options, cancel)
            .await
            .or_failure()
    };
    let unfit = match looking.await {
        Ok(unfit) => unfit,
        Err(failure) if failure.is_cancelled() => return Err(failure),
        Err(failure) => {
            lines.failure(failure);
            return Ok(());
        }
    };
    if unfit.is_empty() {
        lines.passes(format!("The tables are there in {name}, and empty."));
    }
    for (why, says, hint) in [
        (
            WhyUnfit::Missing,
            "These tables are not there",
            "Restore what is defined first, or choose the tables whose rows are wanted.",
        ),
        (
            WhyUnfit::NotEmpty,
            "These tables hold rows",
            "Empty them first, or choose other tables. What is there is not added to.",
        ),
    ] {
        let names: Vec<String> = unfit
            .iter()
            .filter(|table| table.why == why)
            .map(|found| format!("{}.{}", found.table.schema, found.table.name))
            .collect();
        if !names.is_empty() {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            lines.stops(format!("{says}: {}.", shortened(&names)), hint);
        }
    }
    if !found.role.superuser {
        lines.warns(
            format!("{} is no superuser.", found.role.name),
            "Triggers fire and foreign keys are checked while the rows come in. If one refuses a row, nothing is changed.",
        );
    }
    Ok(())
}

fn database(found: &Facts, asked: &Asked<'_>, lines: &mut Lines) {
    let name = asked.database;
    match (&found.database, asked.replace) {
        (None, false) => lines.passes(format!("There is no database {name} yet; it is created.")),
        (None, true) => lines.stops(
            format!("There is no database {name} to replace."),
            "Restore it as a new database.",
        ),
        (Some(_), false) => lines.stops(
            format!("There is a database {name} already."),
            "Choose another name, or replace it.",
        ),
        (Some(there), true) => {
            let bytes = there
                .bytes
                .map_or_else(String::new, |bytes| format!(", {}", size(bytes)));
            lines.warns(
                format!("The database {name}{bytes} is replaced."),
                "It is kept beside the new one for seven days, and can be put back.",
            );
            if !there.mine {
                lines.stops(
                    format!("The role {} does not own {name}.", found.role.name),
                    format!("Use the role {}, which does.", there.owner),
                );
            }
            if !there.visitors.is_empty() {
                let labels: Vec<String> = there.visitors.iter().map(|visitor| visitor.label()).collect();
                let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
                let stuck = there.visitors.iter().any(|visitor| !visitor.may_end);
                lines.add(
                    if stuck { PreflightVerdict::Stops } else { PreflightVerdict::Warns },
                    format!("{} on it.", list("session is", "sessions are", &labels)),
                    Some(if stuck {
                        "The role may not end them all: end them yourself, or let a superuser GRANT pg_signal_backend.".to_owned()
                    } else {
                        "They are ended at the moment of the swap, and reconnect to the new database.".to_owned()
                    }),
                );
            }
        }
    }
}

fn what_it_has(found: &Facts, asked: &Asked<'_>, lines: &mut Lines) {
    let lacking: Vec<&str> = found
        .extensions
        .iter()
        .filter(|extension| extension.available.is_none())
        .map(|extension| extension.name.as_str())
        .collect();
    if asked.options.extensions && !lacking.is_empty() {
        lines.stops(
            format!("The server has no {}.", list("extension", "extensions", &lacking)),
            "Install them there, or restore onto this machine, where what needs them is left out.",
        );
    }
    let roles: Vec<&str> = found.missing_roles.iter().map(String::as_str).collect();
    if (asked.options.owners || asked.options.privileges) && !roles.is_empty() {
        lines.warns(
            format!("The server has no {}.", list("role", "roles", &roles)),
            "Make them there, let them be made from the backup’s globals, or leave owners and privileges out. Else each is an error.",
        );
    }
    let tablespaces: Vec<&str> = found.missing_tablespaces.iter().map(String::as_str).collect();
    if !tablespaces.is_empty() {
        lines.warns(
            format!(
                "The server has no {}.",
                list("tablespace", "tablespaces", &tablespaces)
            ),
            "What lies there is an error each; make them first.",
        );
    }
    let collations: Vec<&str> = found.missing_collations.iter().map(String::as_str).collect();
    if !collations.is_empty() {
        lines.stops(
            format!(
                "The server has no {}.",
                list("collation", "collations", &collations)
            ),
            "Columns that use them could not be made. Install the locales there.",
        );
    }
    for (what, answer) in [
        ("encoding", Some(&found.encoding)),
        ("locale", Some(&found.locale)),
        ("lz4 compression", found.lz4.as_ref()),
    ] {
        match answer {
            None => {}
            Some(Answer::Yes) if what == "lz4 compression" => {}
            Some(Answer::Yes) => lines.passes(format!("The server has the backup’s {what}.")),
            Some(Answer::No(why)) => lines.stops(
                why,
                format!("Without the {what} the database cannot be made as it was."),
            ),
            Some(Answer::Unknown(why)) => {
                lines.warns(why, "It shows when the database is made, before anything else.");
            }
        }
    }
}

fn slots(found: &Facts, lines: &mut Lines) {
    let free = found
        .slots
        .most
        .saturating_sub(found.slots.reserved)
        .saturating_sub(found.slots.used);
    if free < 4 {
        lines.warns(
            format!("Only {free} of {} connections are free there.", found.slots.most),
            "The restore takes some of them; the application may find none meanwhile.",
        );
    }
}
