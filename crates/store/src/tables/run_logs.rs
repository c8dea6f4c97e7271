//! Run logs: lines, appended. A log is bounded; where it grows beyond, its middle gives way, since a log says at its beginning
//! what was tried and at its end what went wrong.

use howdah_domain::RunId;
use jiff::Timestamp;
use rusqlite::{Connection, named_params};
use serde::{Deserialize, Serialize};

use crate::{
    Result,
    column::{Id, Time, Word},
};

/// Lines that are kept from the beginning of a log.
pub const HEAD: i64 = 5_000;

/// Lines that are kept from its end. One more line stands between the two, and says how many are left out.
pub const TAIL: i64 = 15_000;

/// The longest line, in bytes; of a longer one the beginning and the end are kept.
pub const LONGEST_LINE: usize = 16 * 1024;

/// How grave a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// What was done.
    Info,
    /// Worth knowing.
    Warning,
    /// What went wrong.
    Error,
}

/// A line of a run's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When.
    pub at: Timestamp,
    /// How grave.
    pub level: LogLevel,
    /// What.
    pub text: String,
}

/// The last lines of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogTail {
    /// Oldest first.
    pub lines: Vec<LogLine>,
    /// Whether there are earlier ones that were not asked for.
    pub shortened: bool,
}

/// Appends lines to a run's log.
pub fn append(connection: &Connection, run_id: &RunId, lines: &[LogLine]) -> Result<()> {
    let last: i64 = connection
        .prepare_cached("SELECT coalesce(max(number), 0) FROM run_logs WHERE run_id = ?1")?
        .query_row([Id(run_id)], |row| row.get(0))?;
    let mut number = last;
    let mut insert = connection.prepare_cached(
        "INSERT INTO run_logs (run_id, number, at, level, text) VALUES (:run_id, :number, :at, :level, :text)",
    )?;
    for line in lines {
        number += 1;
        insert.execute(named_params! {
            ":run_id": Id(run_id),
            ":number": number,
            ":at": Time(line.at),
            ":level": Word(line.level),
            ":text": bounded(&line.text),
        })?;
    }
    if number > HEAD + 1 + TAIL {
        leave_out_the_middle(connection, run_id, number)?;
    }
    Ok(())
}

/// Keeps lines 1 to [`HEAD`] and the last [`TAIL`]; line `HEAD + 1` becomes the one that counts what is between.
fn leave_out_the_middle(connection: &Connection, run_id: &RunId, last: i64) -> Result<()> {
    let marker = HEAD + 1;
    let kept_from = last - TAIL + 1;
    connection
        .prepare_cached("DELETE FROM run_logs WHERE run_id = ?1 AND number > ?2 AND number < ?3")?
        .execute((Id(run_id), marker, kept_from))?;
    connection
        .prepare_cached("UPDATE run_logs SET level = 'info', text = ?3 WHERE run_id = ?1 AND number = ?2")?
        .execute((
            Id(run_id),
            marker,
            format!("… {} lines are left out here …", kept_from - marker),
        ))?;
    Ok(())
}

/// A run's last lines, oldest first.
pub fn last(connection: &Connection, run_id: &RunId, limit: u32) -> Result<LogTail> {
    let mut lines: Vec<LogLine> = connection
        .prepare_cached(
            "SELECT at, level, text FROM run_logs WHERE run_id = ?1 ORDER BY number DESC LIMIT ?2",
        )?
        .query_map((Id(run_id), i64::from(limit) + 1), |row| {
            Ok(LogLine {
                at: row.get::<_, Time>(0)?.0,
                level: row.get::<_, Word<_>>(1)?.0,
                text: row.get(2)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let shortened = lines.len() > limit;
    lines.truncate(limit);
    lines.reverse();
    Ok(LogTail { lines, shortened })
}

/// Removes the logs of runs that ended before `before`, and returns how many lines. The runs stay.
pub fn prune(connection: &Connection, before: Timestamp) -> Result<usize> {
    Ok(connection
        .prepare_cached("DELETE FROM run_logs WHERE run_id IN (SELECT id FROM runs WHERE finished_at < ?1)")?
        .execute([Time(before)])?)
}

/// A line of bearable length.
fn bounded(text: &str) -> std::borrow::Cow<'_, str> {
    if text.len() <= LONGEST_LINE {
        return text.into();
    }
    let head = text.floor_char_boundary(LONGEST_LINE / 2);
    let tail = text.ceil_char_boundary(text.len() - LONGEST_LINE / 2);
    format!(
        "{} … {} bytes are left out here … {}",
        &text[..head],
        tail - head,
        &text[tail..]
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_keeps_its_beginning_and_its_end() {
        let text = format!("begin {} end", "é".repeat(LONGEST_LINE));
        let short = bounded(&text);
        assert!(short.starts_with("begin é") && short.ends_with("é end"));
        assert!(short.len() < LONGEST_LINE + 60);
        assert_eq!(bounded("short"), "short");
    }
}
