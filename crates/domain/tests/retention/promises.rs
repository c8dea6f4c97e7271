//! What holds for any rule and any backups.

use std::collections::{BTreeMap, BTreeSet};

use howdah_domain::{
    BackupId, RetentionRule,
    retention::{Candidate, Decision, decide},
};

use crate::chance::Chance;
use crate::notation::{NONE, daily};

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
