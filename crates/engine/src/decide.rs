//! Decisions that need no I/O: what is tried again and when, what is overdue, which missed due time is made up for.

use howdah_domain::{Failure, FailureCode, Schedule};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Minutes after which a transient failure is tried again: after the first, the second and the third attempt.
const RETRY_MINUTES: [i64; 3] = [1, 5, 15];

/// When a run that failed at `now` in its attempt number `attempt` (from 1) is tried again; `None` means never: the
/// failure would be the same, or it was tried often enough.
pub fn next_attempt(failure: &Failure, attempt: u32, now: Timestamp) -> Option<Timestamp> {
    let keyring = matches!(
        failure.code,
        FailureCode::KeyringLocked | FailureCode::KeyringAbsent
    );
    if !failure.is_retryable() && !keyring {
        return None;
    }
    let index = usize::try_from(attempt.checked_sub(1)?).ok()?;
    let minutes = RETRY_MINUTES.get(index)?;
    now.checked_add(SignedDuration::from_mins(*minutes)).ok()
}

/// Minutes after which a copy that could not be made or deleted is tried again; the last for ever: a destination may be away
/// for a week.
const COPY_RETRY_MINUTES: [i64; 5] = [5, 15, 60, 180, 360];

/// When making or deleting a copy that failed for the `attempts`th time (from 1) is tried again.
pub fn next_copy_attempt(attempts: u32, now: Timestamp) -> Timestamp {
    let index = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    let minutes = COPY_RETRY_MINUTES[index.min(COPY_RETRY_MINUTES.len() - 1)];
    now.checked_add(SignedDuration::from_mins(minutes))
        .unwrap_or(Timestamp::MAX)
}

/// Whether a database is overdue: no good backup within the plan's period and a half, counted from the last good one
/// or, where there is none yet, from when the plan was made.
pub fn is_overdue(since: Timestamp, period: SignedDuration, now: Timestamp) -> bool {
    let allowed = period.as_secs().saturating_mul(3) / 2;
    now.duration_since(since).as_secs() > allowed
}

/// The due time to run now: the latest at or before `now` and after `handled`. Of several that were missed only the
/// latest is made up for.
pub fn latest_due(
    schedule: &Schedule,
    zone: &TimeZone,
    handled: Timestamp,
    now: Timestamp,
) -> Option<Timestamp> {
    let first = schedule.next_after(handled, zone).filter(|due| *due <= now)?;
    // After a year of absence, do not walk through every minute of it: begin two periods back, if something is due there.
    let shortcut = schedule
        .period()
        .and_then(|period| period.checked_mul(2))
        .and_then(|span| now.checked_sub(span).ok())
        .filter(|start| *start > first)
        .and_then(|start| schedule.next_after(start, zone))
        .filter(|due| *due <= now);
    let mut latest = shortcut.unwrap_or(first);
    while let Some(due) = schedule.next_after(latest, zone).filter(|due| *due <= now) {
        latest = due;
    }
    Some(latest)
}

/// How much a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Bytes of the dump, uncompressed.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
}

/// What backups before it usually held, where this one holds less than half of that: in bytes, or in rows. Three at least are to
/// compare with, and the little that comes and goes in a small database counts for nothing.
pub fn shrunk(earlier: &[Size], now: Size) -> Option<Size> {
    if earlier.len() < 3 {
        return None;
    }
    let median = |of: fn(&Size) -> u64| {
        let mut all: Vec<u64> = earlier.iter().map(of).collect();
        all.sort_unstable();
        all[all.len() / 2]
    };
    let usual = Size {
        bytes: median(|size| size.bytes),
        rows: median(|size| size.rows),
    };
    let fewer = |now: u64, usual: u64, least: u64| usual >= least && now < usual / 2;
    (fewer(now.bytes, usual.bytes, 1_000_000) || fewer(now.rows, usual.rows, 100)).then_some(usual)
}

#[cfg(test)]
mod tests {
    use howdah_domain::schedule::TimeOfDay;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    const NOW: &str = "2026-11-22T04:00:00Z";

    #[test]
    fn a_transient_failure_is_tried_after_1_5_and_15_minutes_and_then_no_more() {
        let failure = Failure::new(FailureCode::ConnectionRefused, "refused");
        let times: Vec<_> = (1..=4)
            .map(|attempt| next_attempt(&failure, attempt, at(NOW)))
            .collect();
        assert_eq!(
            times,
            [
                Some(at("2026-11-22T04:01:00Z")),
                Some(at("2026-11-22T04:05:00Z")),
                Some(at("2026-11-22T04:15:00Z")),
                None
            ]
        );
    }

    #[test]
    fn a_permanent_failure_is_never_tried_again() {
        for code in [
            FailureCode::AuthenticationFailed,
            FailureCode::PermissionDenied,
            FailureCode::DiskFull,
        ] {
            assert_eq!(next_attempt(&Failure::new(code, "no"), 1, at(NOW)), None);
        }
    }

    #[test]
    fn a_daily_plan_is_overdue_after_a_day_and_a_half() {
        let day = SignedDuration::from_hours(24);
        assert!(!is_overdue(at("2026-11-20T16:00:00Z"), day, at(NOW)));
        assert!(is_overdue(at("2026-11-20T15:59:58Z"), day, at(NOW)));
    }

    #[test]
    fn of_several_missed_due_times_only_the_latest_is_made_up_for() {
        let daily = Schedule::Daily {
            at: TimeOfDay { hour: 3, minute: 0 },
        };
        let zone = TimeZone::UTC;
        assert_eq!(
            latest_due(&daily, &zone, at("2026-11-18T03:00:00Z"), at(NOW)),
            Some(at("2026-11-22T03:00:00Z"))
        );
        assert_eq!(
            latest_due(&daily, &zone, at("2026-11-22T03:00:00Z"), at(NOW)),
            None
        );
    }

    #[test]
    fn a_year_of_missed_minutes_is_not_walked_through() {
        let every_minute = Schedule::Cron {
            expression: "* * * * *".to_owned(),
        };
        let begun = std::time::Instant::now();
        let due = latest_due(&every_minute, &TimeZone::UTC, at("2025-11-22T04:00:00Z"), at(NOW));
        assert_eq!(due, Some(at(NOW)));
        assert!(begun.elapsed().as_millis() < 500, "took {:?}", begun.elapsed());
    }

    #[test]
    fn a_clock_that_was_set_back_makes_nothing_due() {
        let hourly = Schedule::Hourly { minute: 0 };
        assert_eq!(
            latest_due(&hourly, &TimeZone::UTC, at("2026-11-22T05:00:00Z"), at(NOW)),
            None
        );
    }

    #[test]
    fn a_backup_with_less_than_half_of_what_is_usual_has_shrunk() {
        let size = |bytes, rows| Size { bytes, rows };
        let usual = [
            size(10_000_000, 1000),
            size(10_200_000, 1010),
            size(9_000_000, 990),
            size(50_000_000, 9000),
        ];
        assert_eq!(shrunk(&usual, size(9_900_000, 995)), None);
        assert_eq!(shrunk(&usual, size(4_000_000, 900)), Some(size(10_200_000, 1010)));
        assert!(
            shrunk(&usual, size(10_000_000, 400)).is_some(),
            "rows alone tell it too"
        );
        assert_eq!(shrunk(&usual[..2], size(1, 1)), None, "two are no habit");
        let small = [size(20_000, 40); 5];
        assert_eq!(shrunk(&small, size(1_000, 1)), None);
    }
}
