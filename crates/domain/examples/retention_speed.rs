//! Measures a retention decision: `cargo run --release -p howdah-domain --example retention_speed [BACKUPS]`.
//!
//! 100,000 backups, one every half hour, are more than five years of them; a decision may take 100 ms.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use howdah_domain::{
    BackupId, RetentionRule,
    retention::{Candidate, decide},
};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

fn main() {
    let count: u32 = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(100_000);
    let now: Timestamp = "2026-11-22T12:00:00Z".parse().expect("a time");
    let zone = TimeZone::get("Europe/Berlin").expect("the time zone is known");
    let mut candidates: Vec<Candidate> = (0..count)
        .map(|number| {
            let taken_at = now - SignedDuration::from_mins(30 * i64::from(number));
            let [a, b, c, d] = number.wrapping_mul(2_654_435_761).to_be_bytes();
            Candidate {
                id: BackupId::new(taken_at, [a, b, c, d, 0, 0, 0, 0, 0, 0]),
                taken_at,
                stored_bytes: 200_000_000 + u64::from(number),
                good: number % 97 != 0,
                pinned: number % 1_009 == 0,
            }
        })
        .collect();
    // In no particular order, as a destination lists them.
    candidates.sort_by_key(|candidate| candidate.id.as_str().bytes().rev().collect::<Vec<u8>>());
    let all = RetentionRule {
        keep_last: Some(48),
        keep_within_days: Some(30),
        hourly: Some(72),
        daily: Some(60),
        weekly: Some(52),
        monthly: Some(60),
        yearly: Some(10),
        max_total_bytes: Some(400_000_000_000),
        ..RetentionRule::default()
    };
    let only_total = RetentionRule {
        max_total_bytes: Some(400_000_000_000),
        ..RetentionRule::default()
    };
    for (name, rule) in [
        ("no rule", RetentionRule::default()),
        ("total size", only_total),
        ("every rule", all),
    ] {
        let mut best = f64::INFINITY;
        let mut outcome = (0, 0);
        for _ in 0..5 {
            let begin = Instant::now();
            let decision = decide(&rule, &candidates, false, &zone, now);
            best = best.min(begin.elapsed().as_secs_f64() * 1000.0);
            outcome = (decision.kept.len(), decision.dropped.len());
        }
        let (kept, dropped) = outcome;
        println!("retention, {count} backups, {name}: {best:.1} ms ({kept} kept, {dropped} dropped)");
    }
}
