//! Decisions about runs that need no I/O: who starts, who waits and why, who is tried again, what is overdue.

use std::collections::HashSet;

use howdah_domain::{DatabaseId, Failure, FailureCode, RunId, RunKind, WaitReason};
use jiff::{SignedDuration, Timestamp};

/// Minutes after which a transient failure is tried again: after the first, the second and the third attempt.
const RETRY_MINUTES: [i64; 3] = [1, 5, 15];

/// When a run that failed at `now` in its attempt number `attempt` (from 1) is tried again; `None` means never: the
/// failure would be the same, or it was tried often enough.
pub fn next_attempt(failure: &Failure, attempt: u32, now: Timestamp) -> Option<Timestamp> {
    if !failure.is_retryable() {
        return None;
    }
    let index = usize::try_from(attempt.checked_sub(1)?).ok()?;
    let minutes = RETRY_MINUTES.get(index)?;
    now.checked_add(SignedDuration::from_mins(*minutes)).ok()
}

/// Whether a run whose password could not be had waits for the keyring instead of failing.
pub fn waits_for_keyring(failure: &Failure) -> bool {
    matches!(
        failure.code,
        FailureCode::KeyringLocked | FailureCode::KeyringAbsent
    )
}

/// A run that has not begun, as far as the decision needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Which run.
    pub id: RunId,
    /// What it does.
    pub kind: RunKind,
    /// What it works on.
    pub database_id: Option<DatabaseId>,
    /// Not before then.
    pub not_before: Option<Timestamp>,
    /// Whether it waits for the keyring.
    pub needs_keyring: bool,
}

/// What is at work now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AtWork {
    /// Databases that some run works on.
    pub databases: HashSet<DatabaseId>,
    /// Backups at work.
    pub backups: usize,
}

/// What becomes of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It starts now.
    Start,
    /// It waits.
    Wait(WaitReason),
}

/// Decides for all candidates, oldest first. At most `limit` backups are at work at once, and one run per database.
/// `keyring_open` lets the runs go that wait for it.
pub fn decide(
    candidates: &[Candidate],
    mut at_work: AtWork,
    limit: usize,
    keyring_open: bool,
    now: Timestamp,
) -> Vec<(RunId, Decision)> {
    let mut decisions = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let busy = candidate
            .database_id
            .as_ref()
            .is_some_and(|id| at_work.databases.contains(id));
        let decision = if candidate.not_before.is_some_and(|time| time > now) {
            Decision::Wait(WaitReason::Retry)
        } else if candidate.needs_keyring && !keyring_open {
            Decision::Wait(WaitReason::Keyring)
        } else if busy {
            Decision::Wait(WaitReason::DatabaseBusy)
        } else if candidate.kind == RunKind::Backup && at_work.backups >= limit {
            Decision::Wait(WaitReason::Slot)
        } else {
            at_work.databases.extend(candidate.database_id.clone());
            at_work.backups += usize::from(candidate.kind == RunKind::Backup);
            Decision::Start
        };
        decisions.push((candidate.id.clone(), decision));
    }
    decisions
}

/// Whether a database is overdue: no good backup within the plan's period and a half, counted from the last good one
/// or, where there is none yet, from when the plan was made.
pub fn is_overdue(since: Timestamp, period: SignedDuration, now: Timestamp) -> bool {
    let allowed = period.as_secs().saturating_mul(3) / 2;
    now.duration_since(since).as_secs() > allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> RunId {
        RunId::from_random([n; 10])
    }

    fn candidate(n: u8, database: u8) -> Candidate {
        Candidate {
            id: id(n),
            kind: RunKind::Backup,
            database_id: Some(DatabaseId::from_random([database; 10])),
            not_before: None,
            needs_keyring: false,
        }
    }

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
    fn at_most_two_backups_run_at_once_and_the_third_waits_for_a_slot() {
        let decisions = decide(
            &[candidate(1, 1), candidate(2, 2), candidate(3, 3)],
            AtWork::default(),
            2,
            true,
            at(NOW),
        );
        assert_eq!(
            decisions,
            [
                (id(1), Decision::Start),
                (id(2), Decision::Start),
                (id(3), Decision::Wait(WaitReason::Slot))
            ]
        );
    }

    #[test]
    fn one_database_is_worked_on_by_one_run_at_a_time() {
        let decisions = decide(
            &[candidate(1, 1), candidate(2, 1)],
            AtWork::default(),
            2,
            true,
            at(NOW),
        );
        assert_eq!(decisions[1].1, Decision::Wait(WaitReason::DatabaseBusy));
    }

    #[test]
    fn a_run_that_waits_for_its_next_attempt_takes_no_slot() {
        let mut early = candidate(1, 1);
        early.not_before = Some(at("2026-11-22T04:01:00Z"));
        let decisions = decide(&[early, candidate(2, 2)], AtWork::default(), 1, true, at(NOW));
        assert_eq!(decisions[0].1, Decision::Wait(WaitReason::Retry));
        assert_eq!(decisions[1].1, Decision::Start);
    }

    #[test]
    fn a_run_that_waits_for_the_keyring_starts_when_it_opens() {
        let mut locked = candidate(1, 1);
        locked.needs_keyring = true;
        let one = [locked];
        assert_eq!(
            decide(&one, AtWork::default(), 2, false, at(NOW))[0].1,
            Decision::Wait(WaitReason::Keyring)
        );
        assert_eq!(
            decide(&one, AtWork::default(), 2, true, at(NOW))[0].1,
            Decision::Start
        );
    }

    #[test]
    fn a_daily_plan_is_overdue_after_a_day_and_a_half() {
        let day = SignedDuration::from_hours(24);
        assert!(!is_overdue(at("2026-11-20T16:00:00Z"), day, at(NOW)));
        assert!(is_overdue(at("2026-11-20T15:59:58Z"), day, at(NOW)));
    }
}
