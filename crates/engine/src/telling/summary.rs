//! The summary that a channel gets each day or week: backups, proofs, uptime, growth.

use std::time::Duration;

use howdah_domain::availability::TimeIn;
use howdah_domain::routing::SummaryRule;
use howdah_domain::units::{counted, duration, size};
use howdah_domain::{AlertKind, ChannelId, Failure, Schedule, Severity};
use howdah_notify::Message;
use howdah_store::Connection;
use howdah_store::tables::overview::{self, Standing};
use howdah_store::tables::summaries::{self, Counts};
use howdah_store::tables::{alerts, availability, backups, channels, watches};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::News;
use crate::decide;
use crate::engine::{Engine, OrFailure};

/// The wall clock is read this often.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Databases with a line of their own.
const LISTED: usize = 50;

/// Runs until the engine ends.
pub(crate) async fn run(engine: Engine) {
    loop {
        if let Err(failure) = engine.sum_up().await {
            tracing::error!(%failure, "a summary could not be made");
        }
        tokio::select! {
            () = engine.0.ending.cancelled() => return,
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}

impl Engine {
    /// Puts the summaries that are due into the outbox; done by itself twice a minute.
    pub async fn sum_up(&self) -> Result<(), Failure> {
        let now = self.0.clock.now();
        let due = self
            .0
            .store
            .read(move |c| summaries_due(c, now))
            .await
            .or_failure()?;
        if due.is_empty() {
            return Ok(());
        }
        let told = self
            .0
            .store
            .write(move |tx| {
                let mut told = false;
                for (channel, rule, due) in due {
                    // Another process may have been quicker.
                    if !channels::summed_up(tx, &channel, due)? {
                        continue;
                    }
                    let news = News {
                        only_for: Some(channel),
                        ..News::new(summary(tx, rule, now)?)
                    };
                    told |= news.raise(tx)?;
                }
                Ok(told)
            })
            .await
            .or_failure()?;
        if told {
            self.told();
        }
        Ok(())
    }
}

/// The channels whose summary is due, and since when.
fn summaries_due(
    c: &Connection,
    now: Timestamp,
) -> howdah_store::Result<Vec<(ChannelId, SummaryRule, Timestamp)>> {
    let of_channel = |channel: channels::Channel| {
        let rule = channel.rule.summary.filter(|_| channel.enabled)?;
        let handled = channel.summed_up_at.unwrap_or(channel.created_at);
        let due = decide::latest_due(&schedule(rule), &TimeZone::system(), handled, now)?;
        Some((channel.id, rule, due))
    };
    Ok(channels::list(c)?.into_iter().filter_map(of_channel).collect())
}

fn schedule(rule: SummaryRule) -> Schedule {
    match rule.day {
        Some(day) => Schedule::Weekly {
            days: vec![day],
            at: rule.at,
        },
        None => Schedule::Daily { at: rule.at },
    }
}

/// The summary of the last day or week.
fn summary(c: &Connection, rule: SummaryRule, now: Timestamp) -> howdah_store::Result<Message> {
    let (span, word) = match rule.day {
        Some(_) => (SignedDuration::from_hours(7 * 24), "week"),
        None => (SignedDuration::from_hours(24), "day"),
    };
    let since = now.checked_sub(span).unwrap_or(Timestamp::MIN);
    let standings = overview::standings(c)?;
    let counts = summaries::since(c, since)?;
    let totals = backups::totals(c)?;
    let lasting = alerts::all_lasting(c)?;
    let mut all = Counts::default();
    for each in counts.values() {
        all.succeeded += each.succeeded;
        all.failed += each.failed;
        all.proved += each.proved;
        all.added_bytes += each.added_bytes;
    }
    let needed: Vec<&str> = lasting
        .iter()
        .filter(|alert| alert.severity > Severity::Info)
        .map(|alert| alert.title.as_str())
        .collect();
    let title = match needed.len() {
        0 => format!("The last {word}: all is well"),
        count => {
            let things = counted(count as u64, "thing needs", "things need");
            format!("The last {word}: {things} you")
        }
    };
    let mut lines = vec![format!(
        "{} made, {} failed. {} proved. {} added; {} kept in {}.",
        counted(u64::from(all.succeeded), "backup", "backups"),
        all.failed,
        counted(u64::from(all.proved), "backup", "backups"),
        size(all.added_bytes),
        size(totals.bytes),
        counted(totals.destinations, "place", "places"),
    )];
    lines.extend(needed.iter().map(|title| format!("! {title}")));
    lines.push(String::new());
    for standing in standings.iter().take(LISTED) {
        let of = counts.get(&standing.database.id).copied().unwrap_or_default();
        lines.push(line(c, standing, of, rule.day.is_some(), now)?);
    }
    if standings.len() > LISTED {
        lines.push(format!("… and {} more", standings.len() - LISTED));
    }
    Ok(Message::new(AlertKind::Summary, now, title, lines.join("\n")).route("/"))
}

/// A database in a line: its backups, its proof, its uptime in the last day or week.
fn line(
    c: &Connection,
    standing: &Standing,
    of: Counts,
    weekly: bool,
    now: Timestamp,
) -> howdah_store::Result<String> {
    let ago = |at: Timestamp| duration(now.duration_since(at).unsigned_abs());
    let newest = match &standing.last_backup {
        Some(backup) => format!(
            "newest backup {} ago, {}",
            ago(backup.finished_at),
            size(backup.stored_bytes)
        ),
        None => "no backup yet".to_owned(),
    };
    let failed = match of.failed {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    let proved = match standing.drills.as_ref().and_then(|drills| drills.proved_at) {
        Some(at) => format!("proved {} ago", ago(at)),
        None => "never proved".to_owned(),
    };
    let time = match watches::get(c, &standing.database.id)? {
        Some(watch) => availability::uptimes(c, watch.number, now)?[usize::from(weekly)],
        None => TimeIn::default(),
    };
    let up = match time.uptime() {
        // Rounded, it would be called whole though it was not.
        Some(share) if time.down > 0 => format!("; up {:.2} %", (share * 100.0).min(99.99)),
        Some(_) => "; up 100 %".to_owned(),
        None => String::new(),
    };
    Ok(format!(
        "{} ({}): {}{failed}; {newest}; {proved}{up}",
        standing.database.name,
        standing.server.name,
        counted(u64::from(of.succeeded), "backup", "backups"),
    ))
}
