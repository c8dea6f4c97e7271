//! Hours, days and the like are those of a place: time zones, clocks that are put back, the ends of the calendar.

use howdah_domain::{
    BackupId, RetentionRule,
    retention::{Candidate, decide},
};
use jiff::tz::TimeZone;

use crate::notation::{NONE, NOW, backup, daily, days, kept, time};

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
