//! What each rule keeps, alone and with others, and what no rule lets go.

use howdah_domain::RetentionRule;
use rstest::rstest;

use crate::notation::{GB, NONE, daily, days, kept, last, total};

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
