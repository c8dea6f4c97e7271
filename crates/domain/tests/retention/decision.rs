//! What a decision says beside what stays: why, how many bytes, and each backup once.

use howdah_domain::{
    BackupId, RetentionRule,
    retention::{Candidate, DropReason, KeepReason, Period, decide},
};
use jiff::tz::TimeZone;

use crate::notation::{GB, NONE, NOW, backup, decided, last, time, total};

#[test]
fn each_backup_has_its_reasons() {
    let rule = RetentionRule {
        keep_last: Some(1),
        keep_within_days: Some(1),
        daily: Some(2),
        max_total_bytes: Some(5 * GB),
        ..NONE
    };
    let decision = decided(
        &rule,
        "2031-01-01 11-22 11-21T20:00! 11-21 11-20* 11-19=7 11-18!",
        false,
    );
    let reasons: Vec<_> = decision.kept.iter().map(|kept| kept.reasons.clone()).collect();
    let day = KeepReason::NewestOf { period: Period::Day };
    assert_eq!(
        reasons,
        [
            vec![KeepReason::InTheFuture],
            vec![KeepReason::Minimum, KeepReason::Last, KeepReason::Young, day],
            vec![KeepReason::Damaged],
            vec![day],
            vec![KeepReason::Pinned],
        ]
    );
    let dropped: Vec<_> = decision
        .dropped
        .iter()
        .map(|dropped| (dropped.stored_bytes, dropped.reason))
        .collect();
    assert_eq!(
        dropped,
        [
            (GB, DropReason::DamagedAndOutlived),
            (7 * GB, DropReason::Outlived)
        ]
    );
    assert_eq!((decision.bytes_kept, decision.bytes_freed), (5 * GB, 8 * GB));
    assert_eq!((decision.bytes_beyond_total, decision.good), (0, 3));

    let decision = decided(
        &RetentionRule {
            max_total_bytes: Some(3 * GB),
            ..rule
        },
        "11-22=2 11-21T20:00! 11-21 11-20*=2",
        false,
    );
    let dropped: Vec<_> = decision.dropped.iter().map(|dropped| dropped.reason).collect();
    assert_eq!(dropped, [DropReason::TotalSize, DropReason::DamagedAndTotalSize]);
    assert_eq!((decision.bytes_beyond_total, decision.good), (GB, 2));

    let decision = decided(&rule, "11-22! 11-20", true);
    assert!(
        decision.dropped.is_empty(),
        "one good backup is the minimum here, and it stands"
    );
    let decision = decided(&RetentionRule { min_good: 2, ..rule }, "11-22! 11-20", true);
    assert!(
        decision
            .kept
            .iter()
            .all(|kept| kept.reasons == [KeepReason::LastRunFailed { good: 1 }])
    );
    let decision = decided(&NONE, "11-22 11-21", false);
    assert!(
        decision
            .kept
            .iter()
            .all(|kept| kept.reasons == [KeepReason::NoLimit])
    );
    let decision = decided(&total(9), "11-22 11-21", false);
    assert_eq!(decision.kept[1].reasons, [KeepReason::Fits]);
}

#[test]
fn a_backup_that_is_named_twice_is_one() {
    let rule = last(1);
    let decision = decided(&rule, "11-22 11-22! 11-22* 11-21 11-21", false);
    assert_eq!((decision.kept.len(), decision.dropped.len()), (1, 1));
    assert_eq!(
        (decision.bytes_kept, decision.bytes_freed, decision.good),
        (GB, GB, 1)
    );
    assert!(decision.kept[0].reasons.contains(&KeepReason::Pinned));
}

#[test]
fn of_two_taken_at_once_the_greater_id_is_the_newer_in_any_order() {
    let taken_at = time("2026-11-22T04:00:00Z");
    let twins = [1, 9].map(|random| Candidate {
        id: BackupId::new(taken_at, [random; 10]),
        ..backup("11-22")
    });
    let mut turned = twins.clone();
    turned.reverse();
    for candidates in [twins, turned] {
        let decision = decide(&last(1), &candidates, false, &TimeZone::UTC, time(NOW));
        assert_eq!(decision.kept.len(), 1);
        assert!(decision.kept[0].id > decision.dropped[0].id);
    }
}
