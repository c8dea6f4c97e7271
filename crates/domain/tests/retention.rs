//! Which backups stay and which go: rules one by one and together, bad days, and what holds for any rule and any backups.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests are tests

use std::collections::{BTreeMap, BTreeSet};

use howdah_domain::{
    BackupId, RetentionRule,
    retention::{Candidate, Decision, DropReason, KeepReason, Period, decide},
};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use rstest::rstest;

const NONE: RetentionRule = RetentionRule {
    keep_last: None,
    keep_within_days: None,
    hourly: None,
    daily: None,
    weekly: None,
    monthly: None,
    yearly: None,
    max_total_bytes: None,
    min_good: 1,
};

fn last(count: u32) -> RetentionRule {
    RetentionRule {
        keep_last: Some(count),
        ..NONE
    }
}

fn days(count: u32) -> RetentionRule {
    RetentionRule {
        keep_within_days: Some(count),
        ..NONE
    }
}

fn daily(count: u32) -> RetentionRule {
    RetentionRule {
        daily: Some(count),
        ..NONE
    }
}

fn total(gigabytes: u64) -> RetentionRule {
    RetentionRule {
        max_total_bytes: Some(gigabytes * GB),
        ..NONE
    }
}

const GB: u64 = 1_000_000_000;

/// A backup in a few characters: `11-22`, `2025-11-22`, `11-22T23:30` (UTC; 04:00 where no time is given, 2026 where no year
/// is), then `!` for damaged, `*` for pinned, `=5` for 5 GB instead of 1.
fn backup(text: &str) -> Candidate {
    let (text, gigabytes) = text.split_once('=').unwrap_or((text, "1"));
    let time = text.trim_end_matches(['!', '*']);
    let (date, time) = time.split_once('T').unwrap_or((time, "04:00"));
    let year = if date.len() == 5 { "2026-" } else { "" };
    let taken_at: Timestamp = format!("{year}{date}T{time}:00Z").parse().unwrap();
    Candidate {
        id: BackupId::new(taken_at, [0; 10]),
        taken_at,
        stored_bytes: gigabytes.parse::<u64>().unwrap() * GB,
        good: !text.contains('!'),
        pinned: text.contains('*'),
    }
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Noon of a Sunday.
const NOW: &str = "2026-11-22T12:00:00Z";

fn decided(rule: &RetentionRule, backups: &str, newest_run_failed: bool) -> Decision {
    let candidates: Vec<Candidate> = backups.split_whitespace().map(backup).collect();
    decide(rule, &candidates, newest_run_failed, &TimeZone::UTC, time(NOW))
}

/// What is kept of backups, in their own words.
fn kept(rule: &RetentionRule, backups: &str, newest_run_failed: bool) -> String {
    let decision = decided(rule, backups, newest_run_failed);
    let stays = |text: &&str| decision.kept.iter().any(|kept| kept.id == backup(text).id);
    backups
        .split_whitespace()
        .filter(stays)
        .collect::<Vec<_>>()
        .join(" ")
}

#[rstest]
#[case::no_rule_keeps_everything(NONE, "11-22 11-21 2019-01-01!", "11-22 11-21 2019-01-01!")]
#[case::the_last_two(last(2), "11-22 11-21 11-20 11-19", "11-22 11-21")]
#[case::the_last_two_of_one(last(2), "11-22", "11-22")]
#[case::the_last_two_in_any_order(last(2), "11-19 11-22 11-20 11-21", "11-22 11-21")]
#[case::seven_days_reach_to_the_same_time_of_day(
    days(7),
    "11-22 11-15T12:00 11-15T11:59",
    "11-22 11-15T12:00"
)]
#[case::age_alone_keeps_the_newest(days(7), "01-02 01-01", "01-02")]
#[case::the_newest_of_each_day(
    daily(2),
    "11-22T10:00 11-22T09:00 11-21T23:00 11-21T01:00 11-20",
    "11-22T10:00 11-21T23:00"
)]
#[case::days_without_backup_are_passed_over(daily(3), "11-22 11-10 08-01 07-31", "11-22 11-10 08-01")]
#[case::hours(RetentionRule { hourly: Some(2), ..NONE }, "11-22T10:50 11-22T10:10 11-22T07:30 11-22T06:00", "11-22T10:50 11-22T07:30")]
#[case::weeks_begin_on_monday(RetentionRule { weekly: Some(2), ..NONE }, "11-22 11-16 11-15 11-09 11-08", "11-22 11-15")]
#[case::a_week_over_new_year_is_one(RetentionRule { weekly: Some(2), ..NONE }, "01-03 2025-12-29 2025-12-28", "01-03 2025-12-28")]
#[case::months(RetentionRule { monthly: Some(3), ..NONE }, "11-01 10-31 10-01 09-30 08-31", "11-01 10-31 09-30")]
#[case::years(RetentionRule { yearly: Some(2), ..NONE }, "11-01 01-01 2025-12-31 2025-01-01 2024-12-31", "11-01 2025-12-31")]
#[case::rules_add_up(RetentionRule { keep_last: Some(1), daily: Some(2), monthly: Some(2), ..NONE },
    "11-22T10:00 11-22T09:00 11-21 11-20 10-31 10-30 09-30", "11-22T10:00 11-21 10-31")]
#[case::zero_keeps_the_newest_all_the_same(last(0), "11-22 11-21", "11-22")]
#[case::nothing_to_decide(last(1), "", "")]
fn rules_keep(#[case] rule: RetentionRule, #[case] backups: &str, #[case] expected: &str) {
    assert_eq!(kept(&rule, backups, false), expected);
}

#[rstest]
#[case::it_fits(total(3), "11-22 11-21 11-20", "11-22 11-21 11-20")]
#[case::the_oldest_goes(total(2), "11-22 11-21 11-20", "11-22 11-21")]
#[case::sizes_count(total(4), "11-22 11-21=3 11-20=3 11-19", "11-22 11-21=3")]
#[case::never_the_newest(total(2), "11-22=5 11-21", "11-22=5")]
#[case::never_below_the_minimum(RetentionRule { min_good: 3, ..total(2) }, "11-22 11-21 11-20 11-19", "11-22 11-21 11-20")]
#[case::never_a_pinned_one(total(2), "11-22 11-21 11-20*", "11-22 11-20*")]
#[case::damaged_ones_first(total(3), "11-22 11-21! 11-20 11-19", "11-22 11-20 11-19")]
#[case::the_older_damaged_one_first(total(3), "11-22 11-21! 11-20! 11-19", "11-22 11-21! 11-19")]
#[case::after_the_other_rules(RetentionRule { max_total_bytes: Some(2 * GB), ..last(3) }, "11-22 11-21 11-20 11-19", "11-22 11-21")]
fn the_total_size_lets_the_oldest_go(
    #[case] rule: RetentionRule,
    #[case] backups: &str,
    #[case] expected: &str,
) {
    assert_eq!(kept(&rule, backups, false), expected);
}

#[rstest]
#[case::pinned_ones_stay(last(1), "11-22 11-21* 11-20 2019-01-01*!", "11-22 11-21* 2019-01-01*!")]
#[case::a_pinned_one_takes_its_place(last(2), "11-22 11-21* 11-20", "11-22 11-21*")]
#[case::the_minimum_stays_whatever_its_age(RetentionRule { min_good: 3, ..days(1) }, "05-04 05-03 05-02 05-01", "05-04 05-03 05-02")]
#[case::damaged_ones_are_no_minimum(RetentionRule { min_good: 2, ..last(1) }, "11-22 11-21! 11-20 11-19", "11-22 11-20")]
#[case::damaged_ones_push_nothing_out(
    last(2),
    "11-22! 11-21! 11-20! 11-19 11-18 11-17",
    "11-22! 11-21! 11-20! 11-19 11-18"
)]
#[case::a_damaged_one_of_the_age_stays(days(3), "11-22 11-21! 11-10!", "11-22 11-21!")]
#[case::the_only_one_of_its_day_stays_though_damaged(
    daily(3),
    "11-22 11-21! 11-20 11-19 11-18!",
    "11-22 11-21! 11-20 11-19"
)]
#[case::a_damaged_one_goes_where_its_day_has_a_good_one(
    daily(3),
    "11-22T10:00! 11-22T09:00 11-22T08:00!",
    "11-22T09:00"
)]
#[case::of_a_damaged_day_the_newest(
    daily(3),
    "11-22 11-21T10:00! 11-21T09:00! 11-20",
    "11-22 11-21T10:00! 11-20"
)]
#[case::all_damaged_all_stay(last(1), "11-22! 11-21!", "11-22! 11-21!")]
#[case::from_the_future(last(1), "2031-01-01 2030-01-01! 11-22 11-21", "2031-01-01 2030-01-01! 11-22")]
#[case::from_the_future_beyond_the_total(total(1), "2031-01-01=9 11-22 11-21", "2031-01-01=9 11-22")]
fn what_must_not_go_stays(#[case] rule: RetentionRule, #[case] backups: &str, #[case] expected: &str) {
    assert_eq!(kept(&rule, backups, false), expected);
}

#[rstest]
#[case::enough_good_ones(2, "11-22 11-21 11-20 11-19", "11-22 11-21")]
#[case::just_enough(2, "11-22 11-21", "11-22 11-21")]
#[case::too_few_and_nothing_goes(3, "11-22 11-21 2019-01-01!", "11-22 11-21 2019-01-01!")]
#[case::damaged_ones_do_not_stand(3, "11-22 11-21! 11-20 11-19! 11-18!", "11-22 11-21! 11-20 11-19! 11-18!")]
#[case::future_ones_do_not_stand(2, "2031-01-01 11-22 11-19!", "2031-01-01 11-22 11-19!")]
fn after_a_failed_run_something_goes_only_where_the_minimum_stands(
    #[case] min_good: u32,
    #[case] backups: &str,
    #[case] expected: &str,
) {
    assert_eq!(
        kept(&RetentionRule { min_good, ..last(1) }, backups, true),
        expected
    );
}

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

/// Kept backups by their local time in a zone.
fn kept_in(zone: &str, rule: &RetentionRule, times: &[&str], now: &str) -> Vec<String> {
    let zone = TimeZone::get(zone).unwrap();
    let candidates: Vec<Candidate> = times
        .iter()
        .map(|text| Candidate {
            id: BackupId::new(time(text), [0; 10]),
            taken_at: time(text),
            ..backup("11-22")
        })
        .collect();
    let decision = decide(rule, &candidates, false, &zone, time(now));
    let mut kept: Vec<String> = Vec::new();
    for candidate in candidates {
        if decision.kept.iter().any(|kept| kept.id == candidate.id) {
            let local = candidate.taken_at.to_zoned_datetime(zone.clone());
            kept.push(local.strftime("%m-%dT%H:%M%:z").to_string());
        }
    }
    kept
}

#[test]
fn days_are_those_of_the_plans_time_zone() {
    let times = [
        "2026-11-22T05:00:00Z",
        "2026-11-22T04:00:00Z",
        "2026-11-21T05:30:00Z",
    ];
    let rule = daily(9);
    assert_eq!(
        kept_in("UTC", &rule, &times, NOW),
        ["11-22T05:00+00:00", "11-21T05:30+00:00"]
    );
    // In New York the second is of the day before, and the third of the same.
    assert_eq!(
        kept_in("America/New_York", &rule, &times, NOW),
        ["11-22T00:00-05:00", "11-21T23:00-05:00"]
    );
}

#[test]
fn the_hour_that_comes_twice_has_two_backups_and_its_day_one() {
    let times = [
        "2026-10-25T01:30:00Z",
        "2026-10-25T00:30:00Z",
        "2026-10-24T23:30:00Z",
    ];
    let hourly = RetentionRule {
        hourly: Some(9),
        ..NONE
    };
    let now = "2026-10-25T12:00:00Z";
    assert_eq!(
        kept_in("Europe/Berlin", &hourly, &times, now),
        ["10-25T02:30+01:00", "10-25T02:30+02:00", "10-25T01:30+02:00"]
    );
    assert_eq!(
        kept_in("Europe/Berlin", &daily(9), &times, now),
        ["10-25T02:30+01:00"]
    );
}

#[test]
fn a_day_that_comes_back_for_a_minute_is_kept_once() {
    // St. John's put its clocks back at 00:01, to 23:01 of the day before: Sunday, Saturday again, Sunday.
    let times = [
        "2010-11-07T04:00:00Z",
        "2010-11-07T03:00:00Z",
        "2010-11-07T02:30:30Z",
        "2010-11-06T12:00:00Z",
    ];
    assert_eq!(
        kept_in("America/St_Johns", &daily(9), &times, "2010-11-08T00:00:00Z"),
        ["11-07T00:30-03:30", "11-06T23:30-03:30"]
    );
}

#[test]
fn a_day_back_is_a_day_of_the_calendar_even_where_it_has_25_hours() {
    let times = [
        "2026-10-25T11:00:00Z",
        "2026-10-24T10:00:00Z",
        "2026-10-24T09:59:00Z",
    ];
    // Now it is 11:00 on the Sunday of 25 hours; 11:00 on Saturday was 25 hours ago.
    assert_eq!(
        kept_in("Europe/Berlin", &days(1), &times, "2026-10-25T11:00:00Z"),
        ["10-25T12:00+01:00", "10-24T12:00+02:00"]
    );
}

#[test]
fn more_days_than_the_calendar_has_keep_everything() {
    assert_eq!(
        kept(&days(u32::MAX), "11-22 1971-01-01", false),
        "11-22 1971-01-01"
    );
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough chance for a test, the same for the same seed.
struct Chance(u64);

impl Chance {
    /// From HOWDAH_TEST_SEED where that is set, from the clock otherwise; printed, so that a failure can be repeated.
    fn new() -> Self {
        let seed = std::env::var("HOWDAH_TEST_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok())
            .unwrap_or_else(|| u64::try_from(Timestamp::now().as_nanosecond()).unwrap_or_default());
        println!("HOWDAH_TEST_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    fn up_to(&mut self, bound: u32) -> u32 {
        u32::try_from(self.below(u64::from(bound) + 1)).unwrap()
    }

    fn limit(&mut self, bound: u32) -> Option<u32> {
        self.one_in(3).then(|| self.up_to(bound))
    }

    fn rule(&mut self) -> RetentionRule {
        RetentionRule {
            keep_last: self.limit(12),
            keep_within_days: self.limit(60),
            hourly: self.limit(24),
            daily: self.limit(9),
            weekly: self.limit(6),
            monthly: self.limit(14),
            yearly: self.limit(3),
            max_total_bytes: self.one_in(3).then(|| self.below(400)),
            min_good: self.up_to(5),
        }
    }

    /// Some backups before and around `now`: regular or bunched, some at the same moment, damaged, pinned or from the future.
    fn backups(&mut self, now: Timestamp) -> Vec<Candidate> {
        let spread = [3_600, 86_400, 20 * 86_400][usize::try_from(self.below(3)).unwrap()];
        let damaged = [2, 6, 1_000][usize::try_from(self.below(3)).unwrap()];
        let mut taken_at = now + SignedDuration::from_secs(i64::try_from(self.below(5 * spread)).unwrap());
        (0..self.below(60))
            .map(|number| {
                if !self.one_in(8) {
                    let back = i64::try_from(self.below(2 * spread)).unwrap();
                    taken_at -= SignedDuration::from_secs(back);
                }
                let mut random = [0; 10];
                random[..2]
                    .copy_from_slice(&u16::try_from(self.below(60) * 64 + number).unwrap().to_be_bytes());
                Candidate {
                    id: BackupId::new(taken_at, random),
                    taken_at,
                    stored_bytes: self.below(40),
                    good: !self.one_in(damaged),
                    pinned: self.one_in(12),
                }
            })
            .collect()
    }

    fn zone(&mut self) -> TimeZone {
        let zones = [
            "UTC",
            "Europe/Berlin",
            "America/New_York",
            "Australia/Lord_Howe",
            "Asia/Kathmandu",
            "America/Sao_Paulo",
        ];
        TimeZone::get(zones[usize::try_from(self.below(zones.len() as u64)).unwrap()]).unwrap()
    }

    fn now(&mut self) -> Timestamp {
        Timestamp::from_second(i64::try_from(1_300_000_000 + self.below(600_000_000)).unwrap()).unwrap()
    }
}

fn ids(decision: &Decision) -> BTreeSet<BackupId> {
    decision.kept.iter().map(|kept| kept.id.clone()).collect()
}

#[test]
fn whatever_the_rule_and_the_backups_what_was_promised_holds() {
    let mut chance = Chance::new();
    for _ in 0..4_000 {
        let (rule, zone, now, failed) = (chance.rule(), chance.zone(), chance.now(), chance.one_in(3));
        let candidates = chance.backups(now);
        let decide =
            |rule: &RetentionRule, candidates: &[Candidate]| decide(rule, candidates, failed, &zone, now);
        let decision = decide(&rule, &candidates);
        let tell = || format!("{rule:?}\nnow {now}, failed {failed}\n{candidates:#?}\n{decision:#?}");
        let kept = ids(&decision);
        let by_id: BTreeMap<_, _> = candidates
            .iter()
            .map(|candidate| (&candidate.id, candidate))
            .collect();
        assert_eq!(by_id.len(), candidates.len(), "the ids differ");

        // Every backup is in the answer once, and has a reason.
        let dropped: BTreeSet<_> = decision
            .dropped
            .iter()
            .map(|dropped| dropped.id.clone())
            .collect();
        assert_eq!(
            decision.kept.len() + decision.dropped.len(),
            candidates.len(),
            "{}",
            tell()
        );
        assert_eq!(kept.union(&dropped).count(), candidates.len(), "{}", tell());
        assert!(
            decision.kept.iter().all(|kept| !kept.reasons.is_empty()),
            "{}",
            tell()
        );
        let bytes: u64 = candidates.iter().map(|candidate| candidate.stored_bytes).sum();
        assert_eq!(decision.bytes_kept + decision.bytes_freed, bytes, "{}", tell());
        assert!(
            decision
                .kept
                .windows(2)
                .all(|pair| by_id[&pair[0].id].taken_at >= by_id[&pair[1].id].taken_at)
        );
        assert!(
            decision
                .dropped
                .windows(2)
                .all(|pair| by_id[&pair[0].id].taken_at <= by_id[&pair[1].id].taken_at)
        );

        // What must stay stays: pinned, from the future, and the newest good ones.
        let must_stay = |candidate: &Candidate| candidate.pinned || candidate.taken_at > now;
        assert!(
            candidates
                .iter()
                .filter(|c| must_stay(c))
                .all(|c| kept.contains(&c.id)),
            "{}",
            tell()
        );
        let mut good: Vec<_> = candidates
            .iter()
            .filter(|c| c.good && c.taken_at <= now)
            .collect();
        good.sort_by_key(|candidate| std::cmp::Reverse((candidate.taken_at, &candidate.id)));
        let least = usize::try_from(rule.min_good.max(1)).unwrap();
        assert!(
            good.iter()
                .take(least)
                .all(|candidate| kept.contains(&candidate.id)),
            "{}",
            tell()
        );
        if rule.keeps_everything() || (failed && good.len() < least) {
            assert!(decision.dropped.is_empty(), "{}", tell());
        }

        // The total is kept to as far as it may be.
        let may_go = |id: &BackupId| {
            let candidate = by_id[id];
            !must_stay(candidate)
                && candidate.stored_bytes > 0
                && !good.iter().take(least).any(|good| good.id == *id)
        };
        if let Some(limit) = rule.max_total_bytes {
            let frozen = failed && good.len() < least;
            let fits = decision.bytes_kept <= limit || !kept.iter().any(may_go);
            assert!(fits || frozen, "{}", tell());
            assert_eq!(
                decision.bytes_beyond_total,
                decision.bytes_kept.saturating_sub(limit)
            );
        }

        // The order in which they come does not matter, and deciding again drops nothing.
        let mut turned = candidates.clone();
        turned.reverse();
        assert_eq!(decide(&rule, &turned), decision, "{}", tell());
        let again: Vec<_> = candidates
            .iter()
            .filter(|c| kept.contains(&c.id))
            .cloned()
            .collect();
        assert!(
            decide(&rule, &again).dropped.is_empty(),
            "{}\nagain: {:#?}",
            tell(),
            decide(&rule, &again)
        );

        // Damaged ones change nothing for good ones, unless they must stay themselves.
        let sound: Vec<_> = candidates
            .iter()
            .filter(|c| c.good || must_stay(c))
            .cloned()
            .collect();
        let good_kept = |decision: &Decision| {
            let mut kept = ids(decision);
            kept.retain(|id| by_id[id].good);
            kept
        };
        assert_eq!(
            good_kept(&decide(&rule, &sound)),
            good_kept(&decision),
            "{}",
            tell()
        );

        // A further field keeps more, where there was one and the total is not limited.
        let without_total = RetentionRule {
            max_total_bytes: None,
            ..rule
        };
        if without_total.limits_number_or_age() {
            let kept = ids(&decide(&without_total, &candidates));
            let other = chance.rule();
            let more = |a: Option<u32>, b: Option<u32>| a.max(b);
            let wider = RetentionRule {
                keep_last: more(rule.keep_last, other.keep_last),
                keep_within_days: more(rule.keep_within_days, other.keep_within_days),
                hourly: more(rule.hourly, other.hourly),
                daily: more(rule.daily, other.daily),
                weekly: more(rule.weekly, other.weekly),
                monthly: more(rule.monthly, other.monthly),
                yearly: more(rule.yearly, other.yearly),
                max_total_bytes: None,
                min_good: rule.min_good.max(other.min_good),
            };
            let wider_kept = ids(&decide(&wider, &candidates));
            assert!(kept.is_subset(&wider_kept), "{wider:?}\n{}", tell());
            // Pinning keeps what is pinned, and changes nothing else.
            if let Some(pinned) = candidates.first() {
                let mut with_pin = candidates.clone();
                with_pin[0].pinned = true;
                let mut expected = kept;
                expected.insert(pinned.id.clone());
                assert_eq!(ids(&decide(&without_total, &with_pin)), expected, "{}", tell());
            }
        }
    }
}

#[test]
fn the_newest_of_each_period_are_those_that_the_calendar_names() {
    let mut chance = Chance::new();
    for _ in 0..1_000 {
        let (zone, now) = (chance.zone(), chance.now());
        let mut candidates = chance.backups(now);
        candidates.retain(|candidate| candidate.taken_at <= now);
        for candidate in &mut candidates {
            (candidate.good, candidate.pinned) = (true, false);
        }
        candidates.sort_by_key(|candidate| std::cmp::Reverse((candidate.taken_at, candidate.id.clone())));
        let count = chance.up_to(8);
        let rules: [(&str, RetentionRule); 5] = [
            (
                "%FT%H%:z",
                RetentionRule {
                    hourly: Some(count),
                    ..NONE
                },
            ),
            ("%F", daily(count)),
            (
                "%G-%V",
                RetentionRule {
                    weekly: Some(count),
                    ..NONE
                },
            ),
            (
                "%Y-%m",
                RetentionRule {
                    monthly: Some(count),
                    ..NONE
                },
            ),
            (
                "%Y",
                RetentionRule {
                    yearly: Some(count),
                    ..NONE
                },
            ),
        ];
        for (format, rule) in rules {
            let mut names = BTreeSet::new();
            let mut expected = BTreeSet::new();
            for (number, candidate) in candidates.iter().enumerate() {
                let name = candidate
                    .taken_at
                    .to_zoned_datetime(zone.clone())
                    .strftime(format)
                    .to_string();
                let newest_of_all = number == 0;
                let newest_of_its_own =
                    names.len() < usize::try_from(count).unwrap() && !names.contains(&name);
                if newest_of_its_own {
                    names.insert(name);
                }
                if newest_of_its_own || newest_of_all {
                    expected.insert(candidate.id.clone());
                }
            }
            let decision = decide(&rule, &candidates, false, &zone, now);
            assert_eq!(
                ids(&decision),
                expected,
                "{rule:?} in {:?} at {now}: {candidates:#?}",
                zone.iana_name()
            );
        }
    }
}
