//! The decision itself: one walk over the backups from the newest to the oldest, then the total size.

use std::collections::HashMap;

use jiff::{Span, Timestamp, tz::TimeZone};

use super::{Candidate, Decision, DropReason, DroppedBackup, KeepReason, KeptBackup, Period, RetentionRule};

/// Decides what stays and what goes of all backups of one database. Every id is in the answer exactly once; one that is among
/// the candidates several times is one backup, good or pinned where one of them is. `zone` is the plan's, `now` the
/// present moment.
///
/// The answer depends on nothing but the arguments, and not on the order of the candidates: of two backups taken at the same
/// moment the one with the greater id counts as the newer. Deciding again on what was kept drops nothing. A further
/// field among those that say what to keep never makes more go, with two exceptions that lie in what the fields mean: the
/// first such field ends "keep everything"; and where the total size is exceeded, what one field keeps more may push
/// out something older.
pub fn decide(
    rule: &RetentionRule,
    candidates: &[Candidate],
    newest_run_failed: bool,
    zone: &TimeZone,
    now: Timestamp,
) -> Decision {
    let mut backups: Vec<Judged> = newest_first(candidates)
        .into_iter()
        .map(|candidate| Judged::new(candidate, now))
        .collect();
    let good = backups.iter().filter(|backup| backup.counts()).count();
    let good = u32::try_from(good).unwrap_or(u32::MAX);
    let of_no_rule = if rule.keeps_everything() {
        Some(KeepReason::NoLimit)
    } else if newest_run_failed && good < rule.least_good() {
        Some(KeepReason::LastRunFailed { good })
    } else {
        None
    };
    match of_no_rule {
        Some(reason) => backups.iter_mut().for_each(|backup| backup.kept(reason)),
        None => {
            keep(rule, &mut backups, zone, now);
            if let Some(limit) = rule.max_total_bytes {
                fit(limit, &mut backups);
            }
        }
    }
    conclude(rule, backups)
}

/// A backup, and what was decided about it so far.
struct Judged {
    candidate: Candidate,
    in_the_future: bool,
    /// Without any it goes.
    reasons: Vec<KeepReason>,
    /// It stays also where the total size is exceeded.
    must_stay: bool,
    beyond_total: bool,
}

impl Judged {
    fn new(candidate: Candidate, now: Timestamp) -> Self {
        let in_the_future = candidate.taken_at > now;
        let mut reasons = Vec::new();
        if candidate.pinned {
            reasons.push(KeepReason::Pinned);
        }
        if in_the_future {
            reasons.push(KeepReason::InTheFuture);
        }
        Self {
            must_stay: !reasons.is_empty(),
            candidate,
            in_the_future,
            reasons,
            beyond_total: false,
        }
    }

    /// Whether it takes a place in the counts.
    fn counts(&self) -> bool {
        self.candidate.good && !self.in_the_future
    }

    fn kept(&mut self, reason: KeepReason) {
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }

    /// The rule keeps good backups of its age: one that is damaged stays for that alone.
    fn within_reach(&mut self, reason: KeepReason) {
        let damaged = !self.candidate.good;
        self.kept(if damaged { KeepReason::Damaged } else { reason });
    }

    fn stays(&self) -> bool {
        !self.reasons.is_empty() && !self.beyond_total
    }
}

/// The candidates, each id once, newest first.
fn newest_first(candidates: &[Candidate]) -> Vec<Candidate> {
    let mut places = HashMap::with_capacity(candidates.len());
    let mut backups: Vec<Candidate> = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let place = *places.entry(&candidate.id).or_insert(backups.len());
        let Some(same) = backups.get_mut(place) else {
            backups.push(candidate.clone());
            continue;
        };
        // Whatever is said of one backup, what keeps it is believed.
        same.good |= candidate.good;
        same.pinned |= candidate.pinned;
        same.taken_at = same.taken_at.max(candidate.taken_at);
        same.stored_bytes = same.stored_bytes.max(candidate.stored_bytes);
    }
    backups.sort_unstable_by(|a, b| (b.taken_at, &b.id).cmp(&(a.taken_at, &a.id)));
    backups
}

/// Notes what keeps each backup.
fn keep(rule: &RetentionRule, backups: &mut [Judged], zone: &TimeZone, now: Timestamp) {
    let oldest_young = rule.keep_within_days.map(|days| days_before(now, days, zone));
    let mut newer_good = 0_u32;
    for backup in backups.iter_mut().filter(|backup| !backup.in_the_future) {
        if backup.candidate.good && newer_good < rule.least_good() {
            backup.kept(KeepReason::Minimum);
            backup.must_stay = true;
        }
        if rule.keep_last.is_some_and(|last| newer_good < last) {
            backup.within_reach(KeepReason::Last);
        }
        if oldest_young.is_some_and(|oldest| backup.candidate.taken_at >= oldest) {
            backup.within_reach(KeepReason::Young);
        }
        if !rule.limits_number_or_age() {
            backup.kept(KeepReason::Fits);
        }
        newer_good = newer_good.saturating_add(u32::from(backup.candidate.good));
    }
    for (period, limit) in rule.periods() {
        if let Some(limit) = limit {
            keep_newest_of(period, limit, backups, zone);
        }
    }
}

/// Keeps the newest good backup of each of the last `limit` periods that have one. Of a period between them that
/// has only damaged ones the newest of those is kept, beside the others.
fn keep_newest_of(period: Period, limit: u32, backups: &mut [Judged], zone: &TimeZone) {
    let mut left = limit;
    let mut at_work = None;
    let mut has_good = false;
    let mut damaged: Option<usize> = None;
    for index in 0..backups.len() {
        if backups[index].in_the_future {
            continue;
        }
        let this = period.of(backups[index].candidate.taken_at, zone);
        // Going back in time; where midnight comes twice the day before would come again after its end.
        if at_work.is_none_or(|at_work| this < at_work) {
            if let Some(damaged) = damaged.take() {
                backups[damaged].kept(KeepReason::Damaged);
            }
            if left == 0 {
                return;
            }
            at_work = Some(this);
            has_good = false;
        }
        if has_good {
            continue;
        }
        if backups[index].candidate.good {
            backups[index].kept(KeepReason::NewestOf { period });
            has_good = true;
            damaged = None;
            left -= 1;
        } else {
            damaged = damaged.or(Some(index));
        }
    }
    if let Some(damaged) = damaged {
        backups[damaged].kept(KeepReason::Damaged);
    }
}

/// The moment so many days of the calendar before `now`; the beginning of time where there is none.
fn days_before(now: Timestamp, days: u32, zone: &TimeZone) -> Timestamp {
    Span::new()
        .try_days(days)
        .and_then(|span| now.to_zoned_datetime(zone.clone()).checked_sub(span))
        .map_or(Timestamp::MIN, |moment| moment.timestamp())
}

/// Lets go what may go until the rest fits into `limit` bytes: damaged ones first, then good ones, each oldest first.
/// What frees nothing stays.
fn fit(limit: u64, backups: &mut [Judged]) {
    let mut total = total_bytes(backups.iter().filter(|backup| backup.stays()));
    for good in [false, true] {
        for backup in backups.iter_mut().rev() {
            if total <= u128::from(limit) {
                return;
            }
            let candidate = &backup.candidate;
            if candidate.good == good && candidate.stored_bytes > 0 && backup.stays() && !backup.must_stay {
                total -= u128::from(candidate.stored_bytes);
                backup.beyond_total = true;
            }
        }
    }
}

/// Wide enough for any number of backups.
fn total_bytes<'a>(backups: impl Iterator<Item = &'a Judged>) -> u128 {
    backups
        .map(|backup| u128::from(backup.candidate.stored_bytes))
        .sum()
}

fn conclude(rule: &RetentionRule, backups: Vec<Judged>) -> Decision {
    let fitting = |bytes: u128| u64::try_from(bytes).unwrap_or(u64::MAX);
    let all = total_bytes(backups.iter());
    let kept_bytes = total_bytes(backups.iter().filter(|backup| backup.stays()));
    let mut decision = Decision {
        kept: Vec::with_capacity(backups.len()),
        dropped: Vec::new(),
        bytes_kept: fitting(kept_bytes),
        bytes_freed: fitting(all - kept_bytes),
        bytes_beyond_total: rule
            .max_total_bytes
            .map_or(0, |limit| fitting(kept_bytes.saturating_sub(u128::from(limit)))),
        good: 0,
    };
    for backup in backups {
        if backup.stays() {
            decision.good = decision.good.saturating_add(u32::from(backup.counts()));
            decision.kept.push(KeptBackup {
                id: backup.candidate.id,
                reasons: backup.reasons,
            });
            continue;
        }
        let reason = match (backup.candidate.good, backup.beyond_total) {
            (true, false) => DropReason::Outlived,
            (false, false) => DropReason::DamagedAndOutlived,
            (true, true) => DropReason::TotalSize,
            (false, true) => DropReason::DamagedAndTotalSize,
        };
        decision.dropped.push(DroppedBackup {
            id: backup.candidate.id,
            stored_bytes: backup.candidate.stored_bytes,
            reason,
        });
    }
    decision.dropped.reverse();
    decision
}
