//! When schedules are due: presets, cron, clocks put forward and back, and what holds for any schedule at any time.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests are tests

mod chance;

use chance::Chance;
use howdah_domain::{
    FailureCode, Schedule,
    schedule::{TimeOfDay, Weekday},
};
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use rstest::rstest;

fn at(hour: u8, minute: u8) -> TimeOfDay {
    TimeOfDay { hour, minute }
}

fn daily(hour: u8, minute: u8) -> Schedule {
    Schedule::Daily { at: at(hour, minute) }
}

fn hourly(minute: u8) -> Schedule {
    Schedule::Hourly { minute }
}

fn monthly(day: u8) -> Schedule {
    Schedule::Monthly { day, at: at(4, 0) }
}

fn weekly(days: &[Weekday]) -> Schedule {
    Schedule::Weekly {
        days: days.to_vec(),
        at: at(4, 0),
    }
}

fn cron(expression: &str) -> Schedule {
    Schedule::Cron {
        expression: expression.to_owned(),
    }
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The due times after `after`, as text with their offsets.
fn due(schedule: &Schedule, zone: &str, after: &str, count: usize) -> Vec<String> {
    let zone = TimeZone::get(zone).unwrap();
    schedule
        .next(count, time(after), &zone)
        .into_iter()
        .map(|due| {
            due.to_zoned_datetime(zone.clone())
                .strftime("%Y-%m-%dT%H:%M%:z")
                .to_string()
        })
        .collect()
}

#[rstest]
#[case::hourly(hourly(15), "2026-11-23T10:20:00Z", &["2026-11-23T11:15+00:00", "2026-11-23T12:15+00:00"])]
#[case::hourly_is_strictly_later(hourly(15), "2026-11-23T10:15:00Z", &["2026-11-23T11:15+00:00"])]
#[case::hourly_within_the_minute(hourly(15), "2026-11-23T10:14:59.999Z", &["2026-11-23T10:15+00:00"])]
#[case::hourly_over_midnight(hourly(0), "2026-12-31T23:00:00Z", &["2027-01-01T00:00+00:00"])]
#[case::daily_today(daily(4, 0), "2026-11-23T03:59:00Z", &["2026-11-23T04:00+00:00", "2026-11-24T04:00+00:00"])]
#[case::daily_tomorrow(daily(4, 0), "2026-11-23T04:00:00Z", &["2026-11-24T04:00+00:00"])]
#[case::weekly(weekly(&[Weekday::Friday, Weekday::Monday]), "2026-11-23T04:00:00Z", // a Monday
    &["2026-11-27T04:00+00:00", "2026-11-30T04:00+00:00"])]
#[case::weekly_a_week_later(weekly(&[Weekday::Monday]), "2026-11-23T04:00:00Z", &["2026-11-30T04:00+00:00"])]
#[case::weekly_on_sunday(weekly(&[Weekday::Sunday]), "2026-11-23T04:00:00Z", &["2026-11-29T04:00+00:00"])]
#[case::month_ends(monthly(31), "2027-01-01T00:00:00Z",
    &["2027-01-31T04:00+00:00", "2027-02-28T04:00+00:00", "2027-03-31T04:00+00:00", "2027-04-30T04:00+00:00"])]
#[case::month_end_in_a_leap_year(monthly(30), "2028-02-01T00:00:00Z", &["2028-02-29T04:00+00:00", "2028-03-30T04:00+00:00"])]
#[case::month_end_just_past(monthly(31), "2027-02-28T04:00:00Z", &["2027-03-31T04:00+00:00"])]
#[case::monthly_over_the_year(monthly(5), "2026-12-05T04:00:00Z", &["2027-01-05T04:00+00:00"])]
#[case::before_1970(daily(4, 0), "1953-03-01T05:00:00Z", &["1953-03-02T04:00+00:00"])]
fn presets_are_due(#[case] schedule: Schedule, #[case] after: &str, #[case] expected: &[&str]) {
    assert_eq!(due(&schedule, "UTC", after, expected.len()), expected);
}

#[rstest]
#[case::weekday_one_is_monday("0 4 * * 1", &["2026-11-30T04:00+00:00"])]
#[case::weekday_zero_is_sunday("0 4 * * 0", &["2026-11-29T04:00+00:00", "2026-12-06T04:00+00:00"])]
#[case::weekday_seven_is_sunday("0 4 * * 7", &["2026-11-29T04:00+00:00", "2026-12-06T04:00+00:00"])]
#[case::weekday_by_name("0 4 * * Sun", &["2026-11-29T04:00+00:00"])]
#[case::friday_to_sunday_by_number("0 4 * * 5-7", &["2026-11-27T04:00+00:00", "2026-11-28T04:00+00:00", "2026-11-29T04:00+00:00"])]
#[case::friday_to_sunday_by_name("0 4 * * fri-sun", &["2026-11-27T04:00+00:00", "2026-11-28T04:00+00:00", "2026-11-29T04:00+00:00"])]
#[case::monday_to_friday("30 4 * * 1-5", &["2026-11-24T04:30+00:00", "2026-11-25T04:30+00:00", "2026-11-26T04:30+00:00", "2026-11-27T04:30+00:00", "2026-11-30T04:30+00:00"])]
#[case::every_second_weekday("0 4 * * 1-5/2", &["2026-11-25T04:00+00:00", "2026-11-27T04:00+00:00", "2026-11-30T04:00+00:00"])]
#[case::steps("*/20 6 * * *", &["2026-11-24T06:00+00:00", "2026-11-24T06:20+00:00", "2026-11-24T06:40+00:00", "2026-11-25T06:00+00:00"])]
#[case::range_with_a_step("0 8-18/5 * * *", &["2026-11-23T13:00+00:00", "2026-11-23T18:00+00:00", "2026-11-24T08:00+00:00"])]
#[case::lists("5,35 0,12 * * *", &["2026-11-23T12:05+00:00", "2026-11-23T12:35+00:00", "2026-11-24T00:05+00:00"])]
#[case::list_of_ranges("0 1-2,22-23 * * *", &["2026-11-23T22:00+00:00", "2026-11-23T23:00+00:00", "2026-11-24T01:00+00:00"])]
#[case::month_by_name("0 0 1 JAN *", &["2027-01-01T00:00+00:00", "2028-01-01T00:00+00:00"])]
#[case::month_range_by_name("0 0 1 nov-dec *", &["2026-12-01T00:00+00:00", "2027-11-01T00:00+00:00"])]
#[case::spaces_and_tabs("  0\t4  *  *   1 ", &["2026-11-30T04:00+00:00"])]
// Both days restricted: either is enough (POSIX).
#[case::either_day("0 4 1 * 5", &["2026-11-27T04:00+00:00", "2026-12-01T04:00+00:00", "2026-12-04T04:00+00:00"])]
#[case::either_day_on_the_same_day_is_once("0 4 27 * 5", &["2026-11-27T04:00+00:00", "2026-12-04T04:00+00:00"])]
// A field that begins with a star is not restricted (crontab(5)): odd days that are Mondays.
#[case::star_with_a_step_is_no_restriction("0 4 */2 * 1", &["2026-12-07T04:00+00:00", "2026-12-21T04:00+00:00"])]
#[case::leap_day_on_a_sunday("0 0 29 2 */7", &["2032-02-29T00:00+00:00", "2060-02-29T00:00+00:00", "2088-02-29T00:00+00:00"])]
#[case::leap_day("0 0 29 2 *", &["2028-02-29T00:00+00:00", "2032-02-29T00:00+00:00", "2036-02-29T00:00+00:00"])]
// Either the leap day or a Tuesday of February; years without a leap day have their Tuesdays.
#[case::leap_day_or_tuesday("0 0 29 2 2", &["2027-02-02T00:00+00:00", "2027-02-09T00:00+00:00", "2027-02-16T00:00+00:00", "2027-02-23T00:00+00:00", "2028-02-01T00:00+00:00"])]
// 30 February does not exist, the Mondays of February do.
#[case::impossible_day_or_monday("0 0 30 2 1", &["2027-02-01T00:00+00:00"])]
#[case::day_31_skips_short_months("0 0 31 * *", &["2026-12-31T00:00+00:00", "2027-01-31T00:00+00:00", "2027-03-31T00:00+00:00", "2027-05-31T00:00+00:00"])]
fn cron_is_due_as_crontab_has_it(#[case] expression: &str, #[case] expected: &[&str]) {
    assert_eq!(
        due(&cron(expression), "UTC", "2026-11-23T10:20:00Z", expected.len()), // a Monday
        expected
    );
}

#[rstest]
// Europe/Berlin: 2026-03-29 02:00 becomes 03:00; 2026-10-25 03:00 becomes 02:00.
#[case::berlin_skips(daily(2, 30), "Europe/Berlin", "2026-03-28T12:00:00Z", &["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"])]
#[case::berlin_repeats(daily(2, 30), "Europe/Berlin", "2026-10-24T12:00:00Z", &["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"])]
#[case::berlin_from_between_the_two(daily(2, 30), "Europe/Berlin", "2026-10-25T00:45:00Z", &["2026-10-26T02:30+01:00"])]
#[case::berlin_from_the_second(daily(2, 30), "Europe/Berlin", "2026-10-25T01:10:00Z", &["2026-10-26T02:30+01:00"])]
#[case::berlin_cron_skips(cron("30 2 * * *"), "Europe/Berlin", "2026-03-28T12:00:00Z", &["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"])]
#[case::berlin_cron_skips_several_at_once(cron("*/20 2,3 * * *"), "Europe/Berlin", "2026-03-28T12:00:00Z",
    &["2026-03-29T03:00+02:00", "2026-03-29T03:20+02:00", "2026-03-29T03:40+02:00", "2026-03-30T02:00+02:00"])]
#[case::berlin_cron_repeats(cron("0,30 2 * * *"), "Europe/Berlin", "2026-10-24T12:00:00Z",
    &["2026-10-25T02:00+02:00", "2026-10-25T02:30+02:00", "2026-10-26T02:00+01:00"])]
#[case::berlin_just_after_the_gap(daily(3, 0), "Europe/Berlin", "2026-03-28T12:00:00Z", &["2026-03-29T03:00+02:00", "2026-03-30T03:00+02:00"])]
#[case::berlin_weekly(weekly(&[Weekday::Sunday]), "Europe/Berlin", "2026-03-22T12:00:00Z", &["2026-03-29T04:00+02:00", "2026-04-05T04:00+02:00"])]
// America/New_York: 2026-03-08 02:00 becomes 03:00; 2026-11-01 02:00 becomes 01:00.
#[case::new_york_skips(daily(2, 15), "America/New_York", "2026-03-07T12:00:00Z", &["2026-03-08T03:00-04:00", "2026-03-09T02:15-04:00"])]
#[case::new_york_repeats(daily(1, 15), "America/New_York", "2026-10-31T12:00:00Z", &["2026-11-01T01:15-04:00", "2026-11-02T01:15-05:00"])]
// Australia/Lord_Howe moves by 30 minutes: 2026-10-04 02:00 becomes 02:30; 2026-04-05 02:00 becomes 01:30.
#[case::lord_howe_skips(daily(2, 15), "Australia/Lord_Howe", "2026-10-03T00:00:00Z", &["2026-10-04T02:30+11:00", "2026-10-05T02:15+11:00"])]
#[case::lord_howe_repeats(daily(1, 45), "Australia/Lord_Howe", "2026-04-04T00:00:00Z", &["2026-04-05T01:45+11:00", "2026-04-06T01:45+10:30"])]
// Pacific/Apia had no 30 December 2011.
#[case::apia_skips_a_day(daily(4, 0), "Pacific/Apia", "2011-12-29T00:00:00Z", &["2011-12-29T04:00-10:00", "2011-12-31T00:00+14:00", "2011-12-31T04:00+14:00"])]
#[case::apia_monthly(Schedule::Monthly { day: 30, at: at(4, 0) }, "Pacific/Apia", "2011-12-01T12:00:00Z", &["2011-12-31T00:00+14:00", "2012-01-30T04:00+14:00"])]
// Midnight does not exist on the day on which Beirut puts its clocks forward.
#[case::beirut_has_no_midnight(daily(0, 0), "Asia/Beirut", "2026-03-28T12:00:00Z", &["2026-03-29T01:00+03:00", "2026-03-30T00:00+03:00"])]
// Kathmandu is 05:45 ahead; Kolkata has no change.
#[case::kathmandu(daily(4, 0), "Asia/Kathmandu", "2026-11-23T00:00:00Z", &["2026-11-24T04:00+05:45"])]
fn a_skipped_time_is_due_at_the_next_valid_moment_and_a_repeated_one_once(
    #[case] schedule: Schedule,
    #[case] zone: &str,
    #[case] after: &str,
    #[case] expected: &[&str],
) {
    assert_eq!(due(&schedule, zone, after, expected.len()), expected);
}

#[rstest]
#[case::gap("2026-03-29T00:00:00Z", &["2026-03-29T01:15+01:00", "2026-03-29T03:15+02:00", "2026-03-29T04:15+02:00"])]
#[case::overlap("2026-10-24T23:00:00Z", &["2026-10-25T01:15+02:00", "2026-10-25T02:15+02:00", "2026-10-25T02:15+01:00", "2026-10-25T03:15+01:00"])]
fn what_is_hourly_runs_once_in_every_real_hour(#[case] after: &str, #[case] expected: &[&str]) {
    for schedule in [hourly(15), cron("15 * * * *"), cron("15 0-23 * * *")] {
        assert_eq!(
            due(&schedule, "Europe/Berlin", after, expected.len()),
            expected,
            "{schedule:?}"
        );
    }
}

#[rstest]
#[case::skipped_minute(15, "2026-10-03T14:00:00Z", &["2026-10-04T01:15+10:30", "2026-10-04T02:30+11:00", "2026-10-04T03:15+11:00"])]
#[case::minute_that_is_there(45, "2026-10-03T14:00:00Z", &["2026-10-04T00:45+10:30", "2026-10-04T01:45+10:30", "2026-10-04T02:45+11:00"])]
#[case::repeated_minute(45, "2026-04-04T14:00:00Z", &["2026-04-05T01:45+11:00", "2026-04-05T02:45+10:30"])]
#[case::repeated_minute_from_between(45, "2026-04-04T15:05:00Z", &["2026-04-05T02:45+10:30"])]
#[case::minute_before_the_change(15, "2026-04-04T14:00:00Z", &["2026-04-05T01:15+11:00", "2026-04-05T02:15+10:30"])]
fn hourly_where_clocks_move_by_half_an_hour(
    #[case] minute: u8,
    #[case] after: &str,
    #[case] expected: &[&str],
) {
    assert_eq!(
        due(&hourly(minute), "Australia/Lord_Howe", after, expected.len()),
        expected
    );
}

#[test]
fn every_quarter_of_an_hour_goes_on_through_a_repeated_hour() {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let due = cron("*/15 * * * *").next(24, time("2026-10-24T22:00:00Z"), &zone);
    for pair in due.windows(2) {
        assert_eq!(pair[1] - pair[0], SignedDuration::from_mins(15), "{pair:?}");
    }
}

#[rstest]
#[case::empty("", "empty")]
#[case::too_few("0 4 * *", "has 4")]
#[case::seconds("0 0 4 * * *", "has 6")]
#[case::macro_word("@daily", "shorthand")]
#[case::minute("60 4 * * *", "minute field “60”")]
#[case::hour("0 24 * * *", "hour field “24”")]
#[case::day("0 4 0 * *", "day of month field “0”")]
#[case::day_32("0 4 32 * *", "day of month field “32”")]
#[case::month("0 4 * 13 *", "month field “13”")]
#[case::month_name("0 4 * foo *", "month field “foo”")]
#[case::weekday("0 4 * * 8", "day of week field “8”")]
#[case::weekday_name("0 4 * * montag", "day of week field “montag”")]
#[case::last("0 4 L * *", "day of month field “L”")]
#[case::nth("0 4 * * 5#2", "day of week field “5#2”")]
#[case::question_mark("0 4 ? * 1", "day of month field “?”")]
#[case::negative("-5 4 * * *", "minute field “-5”")]
#[case::plus("+5 4 * * *", "minute field “+5”")]
#[case::backwards("0 4 5-1 * *", "ends before it begins: “5-1”")]
#[case::open_range("0 4 5- * *", "day of month field “5-”")]
#[case::step_of_zero("*/0 4 * * *", "step that is no number from 1 on")]
#[case::no_step("*/ 4 * * *", "step that is no number from 1 on")]
#[case::step_after_a_value("5/10 4 * * *", "step after a single value: “5/10”")]
#[case::empty_item("1,,2 4 * * *", "empty item")]
#[case::huge("99999999999999999999 4 * * *", "minute field")]
#[case::never("0 0 30 2 *", "never comes round")]
#[case::never_31("0 0 31 4,6,9,11 *", "never comes round")]
fn a_bad_expression_is_refused_and_says_where(#[case] expression: &str, #[case] expected: &str) {
    let schedule = cron(expression);
    let failure = schedule.validate().unwrap_err();
    assert_eq!(failure.code, FailureCode::InvalidInput);
    assert!(failure.message.contains(expected), "{}", failure.message);
    assert!(failure.hint.is_some());
    assert_eq!(
        schedule.next_after(time("2026-01-01T00:00:00Z"), &TimeZone::UTC),
        None
    );
    assert_eq!(schedule.period(), None);
}

#[rstest]
#[case(hourly(60))]
#[case(daily(24, 0))]
#[case(daily(4, 60))]
#[case(weekly(&[]))]
#[case(monthly(0))]
#[case(monthly(32))]
fn a_preset_out_of_range_is_refused_and_never_due(#[case] schedule: Schedule) {
    assert_eq!(schedule.validate().unwrap_err().code, FailureCode::InvalidInput);
    assert_eq!(
        schedule.next_after(time("2026-01-01T00:00:00Z"), &TimeZone::UTC),
        None
    );
}

#[test]
fn a_manual_schedule_is_valid_and_never_due() {
    assert_eq!(Schedule::Manual.validate(), Ok(()));
    assert_eq!(
        Schedule::Manual.next(5, time("2026-01-01T00:00:00Z"), &TimeZone::UTC),
        []
    );
    assert_eq!(Schedule::Manual.period(), None);
}

#[rstest]
#[case(hourly(5), 60)]
#[case(daily(4, 0), 24 * 60)]
#[case(weekly(&[Weekday::Monday]), 7 * 24 * 60)]
#[case::working_days(weekly(&[Weekday::Monday, Weekday::Tuesday, Weekday::Wednesday, Weekday::Thursday, Weekday::Friday]), 3 * 24 * 60)]
#[case(monthly(31), 31 * 24 * 60)]
#[case(cron("*/15 * * * *"), 15)]
#[case(cron("15 * * * *"), 60)]
#[case(cron("0 4 * * *"), 24 * 60)]
#[case::office_hours(cron("*/30 9-17 * * 1-5"), 2 * 24 * 60 + 15 * 60 + 30)] // Friday 17:30 to Monday 09:00
#[case(cron("0 4 1 * *"), 31 * 24 * 60)]
#[case(cron("0 4 31 * *"), 61 * 24 * 60)]
#[case::leap_day(cron("0 0 29 2 *"), (3 * 365 + 366) * 24 * 60)]
fn the_period_is_the_longest_ordinary_gap(#[case] schedule: Schedule, #[case] minutes: i64) {
    assert_eq!(schedule.period(), Some(SignedDuration::from_mins(minutes)));
}

/// A random field of a cron expression, and the values it means.
fn random_field(chance: &mut Chance, least: u8, greatest: u8) -> (String, Vec<u8>) {
    let span = greatest - least + 1;
    match chance.below(6) {
        0 | 1 => ("*".to_owned(), (least..=greatest).collect()),
        2 => {
            let step = 1 + chance.small(span);
            (
                format!("*/{step}"),
                (least..=greatest).step_by(usize::from(step)).collect(),
            )
        }
        3 => {
            let value = least + chance.small(span);
            (value.to_string(), vec![value])
        }
        4 => {
            let from = least + chance.small(span);
            let to = from + chance.small(greatest - from + 1);
            let step = 1 + chance.small(4);
            (
                format!("{from}-{to}/{step}"),
                (from..=to).step_by(usize::from(step)).collect(),
            )
        }
        _ => {
            let (a, b) = (least + chance.small(span), least + chance.small(span));
            (format!("{a},{b}"), vec![a, b])
        }
    }
}

#[test]
fn any_cron_expression_is_due_when_its_fields_say_so() {
    let mut chance = Chance::new();
    for _ in 0..120 {
        let (minute, minutes) = random_field(&mut chance, 0, 59);
        let (hour, hours) = random_field(&mut chance, 0, 23);
        let (day, days) = random_field(&mut chance, 1, 31);
        let (month, months) = random_field(&mut chance, 1, 12);
        let (weekday, weekdays) = random_field(&mut chance, 0, 6);
        let either = !day.starts_with('*') && !weekday.starts_with('*');
        let expression = format!("{minute} {hour} {day} {month} {weekday}");
        let named = |wall: DateTime| {
            let has = |values: &[u8], value: i8| values.contains(&u8::try_from(value).unwrap());
            let by_date = has(&days, wall.day());
            let by_weekday = has(&weekdays, wall.weekday().to_sunday_zero_offset());
            has(&minutes, wall.minute())
                && has(&hours, wall.hour())
                && has(&months, wall.month())
                && if either {
                    by_date || by_weekday
                } else {
                    by_date && by_weekday
                }
        };
        let schedule = cron(&expression);
        if schedule.validate().is_err() {
            continue; // a day that no month has
        }
        // From a random minute on, minute by minute for forty days.
        let after = Timestamp::from_second(
            i64::try_from((1_700_000_000 + chance.below(300_000_000)) / 60 * 60).unwrap(),
        )
        .unwrap();
        let mut expected = None;
        for minutes in 1..=40 * 24 * 60 {
            let candidate = after + SignedDuration::from_mins(minutes);
            if named(TimeZone::UTC.to_datetime(candidate)) {
                expected = Some(candidate);
                break;
            }
        }
        let found = schedule.next_after(after, &TimeZone::UTC);
        match expected {
            Some(expected) => assert_eq!(found, Some(expected), "“{expression}” after {after}"),
            None => assert!(
                found.is_none_or(|found| found > after + SignedDuration::from_hours(40 * 24)),
                "“{expression}” after {after}: {found:?}"
            ),
        }
    }
}

#[test]
fn a_due_time_is_strictly_later_and_the_same_from_any_moment_before_it() {
    let zones = [
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Asia/Beirut",
        "Asia/Kathmandu",
        "America/Sao_Paulo",
        "Africa/Casablanca",
        "Antarctica/Troll",
        "UTC",
    ]
    .map(|name| TimeZone::get(name).unwrap());
    let mut chance = Chance::new();
    for _ in 0..1_000 {
        let zone = &zones[usize::try_from(chance.below(zones.len() as u64)).unwrap()];
        let at = at(chance.small(24), chance.small(60));
        let schedule = match chance.below(6) {
            0 => hourly(at.minute),
            1 => Schedule::Daily { at },
            2 => Schedule::Weekly {
                days: vec![chance.pick(&[Weekday::Monday, Weekday::Saturday, Weekday::Sunday])],
                at,
            },
            3 => Schedule::Monthly {
                day: 1 + chance.small(31),
                at,
            },
            4 => cron(&format!("*/{} * * * *", 1 + chance.small(59))),
            _ => cron(&format!(
                "{} {}-{} * * *",
                at.minute,
                at.hour,
                at.hour + chance.small(24 - at.hour)
            )),
        };
        // Near a change of the clock as often as not.
        let mut after =
            Timestamp::from_second(i64::try_from(1_300_000_000 + chance.below(600_000_000)).unwrap())
                .unwrap();
        if chance.below(2) == 0
            && let Some(change) = zone.following(after).next()
        {
            let near = i64::try_from(chance.below(6 * 3600)).unwrap() - 3 * 3600;
            after = change.timestamp() + SignedDuration::from_secs(near);
        }
        let Some(due) = schedule.next_after(after, zone) else {
            panic!("{schedule:?} is never due after {after}");
        };
        let tell = || format!("{schedule:?} in {:?} after {after}: {due}", zone.iana_name());
        assert!(due > after, "{}", tell());
        assert_eq!(schedule.next_after(after, zone), Some(due), "{}", tell());
        let seconds = u64::try_from(due.duration_since(after).as_secs()).unwrap().max(1);
        let between = after + SignedDuration::from_secs(i64::try_from(chance.below(seconds)).unwrap());
        assert_eq!(
            schedule.next_after(between, zone),
            Some(due),
            "from {between}: {}",
            tell()
        );
        let just_before = due - SignedDuration::from_nanos(1);
        assert_eq!(
            schedule.next_after(just_before, zone),
            Some(due),
            "just before: {}",
            tell()
        );
        assert!(schedule.next_after(due, zone).unwrap() > due, "{}", tell());
        // No gap is longer than the period and a day's worth of clock changes.
        let next = schedule.next_after(due, zone).unwrap();
        let longest = schedule.period().unwrap() + SignedDuration::from_hours(27);
        assert!(next.duration_since(due) <= longest, "then {next}: {}", tell());
    }
}
