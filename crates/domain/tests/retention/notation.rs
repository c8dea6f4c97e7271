//! Rules, backups and what is kept of them, in a few characters.

use howdah_domain::{
    BackupId, RetentionRule,
    retention::{Candidate, Decision, decide},
};
use jiff::{Timestamp, tz::TimeZone};

pub(crate) const NONE: RetentionRule = RetentionRule {
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

pub(crate) fn last(count: u32) -> RetentionRule {
    RetentionRule {
        keep_last: Some(count),
        ..NONE
    }
}

pub(crate) fn days(count: u32) -> RetentionRule {
    RetentionRule {
        keep_within_days: Some(count),
        ..NONE
    }
}

pub(crate) fn daily(count: u32) -> RetentionRule {
    RetentionRule {
        daily: Some(count),
        ..NONE
    }
}

pub(crate) fn total(gigabytes: u64) -> RetentionRule {
    RetentionRule {
        max_total_bytes: Some(gigabytes * GB),
        ..NONE
    }
}

pub(crate) const GB: u64 = 1_000_000_000;

/// A backup in a few characters: `11-22`, `2025-11-22`, `11-22T23:30` (UTC; 04:00 where no time is given, 2026 where no year
/// is), then `!` for damaged, `*` for pinned, `=5` for 5 GB instead of 1.
pub(crate) fn backup(text: &str) -> Candidate {
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

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Noon of a Sunday.
pub(crate) const NOW: &str = "2026-11-22T12:00:00Z";

pub(crate) fn decided(rule: &RetentionRule, backups: &str, newest_run_failed: bool) -> Decision {
    let candidates: Vec<Candidate> = backups.split_whitespace().map(backup).collect();
    decide(rule, &candidates, newest_run_failed, &TimeZone::UTC, time(NOW))
}

/// What is kept of backups, in their own words.
pub(crate) fn kept(rule: &RetentionRule, backups: &str, newest_run_failed: bool) -> String {
    let decision = decided(rule, backups, newest_run_failed);
    let stays = |text: &&str| decision.kept.iter().any(|kept| kept.id == backup(text).id);
    backups
        .split_whitespace()
        .filter(stays)
        .collect::<Vec<_>>()
        .join(" ")
}
