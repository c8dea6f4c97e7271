//! Roles, memberships and tablespaces beside the dump: what the role may read of them, and saving that.

use std::io::Read;
use std::sync::Arc;

use howdah_archive::manifest::{FileEntry, GLOBALS_FILE, Globals};
use howdah_domain::{Failure, FailureCode};
use howdah_postgres::connect::Session;
pub(super) use howdah_postgres::globals::Readable;

use super::pump::minutes;
use super::{BackupRequest, Work, files, log_lines};
use crate::engine::OrFailure;
use crate::work::Reporter;

/// No server's roles make a text longer than this.
const LONGEST: u64 = 256 << 20;

/// What the role may read of the globals; none where the plan does not want them.
pub(super) async fn readable(
    request: &BackupRequest,
    session: &Session,
    reporter: &Arc<dyn Reporter>,
) -> Result<Option<Readable>, Failure> {
    if !request.globals {
        return Ok(None);
    }
    let readable = howdah_postgres::globals::readable(&session.client)
        .await
        .or_failure()?;
    match &readable {
        Readable::Everything => {}
        Readable::WithoutPasswords(why) | Readable::Nothing(why) => reporter.warn(why),
    }
    Ok(Some(readable))
}

/// Saves what may be read. A right that is missing after all leaves the globals out, and says so; any other error fails the backup.
pub(super) async fn save(
    work: &mut Work<'_>,
    readable: Option<Readable>,
) -> Result<(Globals, Option<FileEntry>), Failure> {
    let passwords = match readable {
        None | Some(Readable::Nothing(_)) => return Ok((Globals::None, None)),
        Some(Readable::WithoutPasswords(_)) => false,
        Some(Readable::Everything) => true,
    };
    let sql = match dump(work, passwords).await {
        Ok(sql) => sql,
        Err(failure) if failure.code == FailureCode::PermissionDenied => {
            work.reporter.warn(format!(
                "Roles and other globals are left out. {}",
                failure.message
            ));
            return Ok((Globals::None, None));
        }
        Err(failure) => return Err(failure),
    };
    let compressed = files::compress(&sql).map_err(|error| {
        Failure::new(FailureCode::Internal, "Compressing the globals failed.").details(error.to_string())
    })?;
    let file = work.put_sealed(GLOBALS_FILE, compressed).await?;
    Ok((
        if passwords {
            Globals::WithPasswords
        } else {
            Globals::WithoutPasswords
        },
        Some(file),
    ))
}

/// Runs pg_dumpall and reads what it writes: some kilobytes.
async fn dump(work: &Work<'_>, passwords: bool) -> Result<Vec<u8>, Failure> {
    let mut running = howdah_postgres::globals::Globals {
        client: work.client,
        connection: &work.request.connection,
        secret: work.request.secret.as_ref(),
        passwords,
    }
    .spawn(log_lines(work.reporter))
    .or_failure()?;
    let internal =
        |why: String| Failure::new(FailureCode::Internal, "Reading pg_dumpall's output failed.").details(why);
    let stdout = running
        .take_stdout()
        .ok_or_else(|| internal("it was started without an output".to_owned()))?;
    let reading = tokio::task::spawn_blocking(move || {
        let mut sql = Vec::new();
        stdout.take(LONGEST + 1).read_to_end(&mut sql).map(|_| sql)
    });
    // Cancelled or out of time, it is killed, and reading ends with its output.
    let ended = tokio::time::timeout(work.request.patience, running.wait(work.cancel)).await;
    let Ok(ended) = ended else {
        running.killer().kill_group();
        return Err(Failure::new(
            FailureCode::Stalled,
            format!(
                "pg_dumpall did not end within {}, so the backup was ended.",
                minutes(work.request.patience)
            ),
        )
        .hint("The server may be overloaded or the connection dead. Howdah tries again."));
    };
    ended.or_failure()?;
    let sql = reading
        .await
        .map_err(|error| internal(error.to_string()))?
        .map_err(|error| internal(error.to_string()))?;
    if sql.len() as u64 > LONGEST {
        return Err(internal("it is longer than any server's roles".to_owned()));
    }
    Ok(sql)
}
