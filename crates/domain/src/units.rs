//! Numbers as people read them in sentences: sizes, durations, counts. English, for messages and the command line; the
//! window formats numbers itself, in the user's locale.

use std::time::Duration;

/// A size in units of 1,000: `0 bytes`, `999 bytes`, `1.2 GB`, `148 MB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return if bytes == 1 {
            "1 byte".to_owned()
        } else {
            format!("{bytes} bytes")
        };
    }
    #[allow(
        clippy::cast_precision_loss,
        reason = "three digits are shown, an f64 holds fifteen"
    )]
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if value < 99.95 {
        format!("{value:.1} {}", UNITS[unit])
    } else {
        format!("{value:.0} {}", UNITS[unit])
    }
}

/// A duration: `0.4 s`, `34 s`, `3 min 20 s`, `2 h 5 min`, `3 days 4 h`, `20 days`.
pub fn duration(duration: Duration) -> String {
    let tenths = (duration.as_millis() + 50) / 100;
    if tenths < 100 {
        return format!("{}.{} s", tenths / 10, tenths % 10);
    }
    let seconds = (duration.as_millis() + 500) / 1000;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours @ 240.., ..) => format!("{} days", hours / 24),
        (hours @ 48.., ..) if hours % 24 == 0 => format!("{} days", hours / 24),
        (hours @ 48.., ..) => format!("{} days {} h", hours / 24, hours % 24),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// A count with its digits in groups of three: `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count and its noun: `1 table`, `214 tables`.
pub fn counted(number: u64, singular: &str, plural: &str) -> String {
    format!(
        "{} {}",
        count(number),
        if number == 1 { singular } else { plural }
    )
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0, "0 bytes")]
    #[case(1, "1 byte")]
    #[case(999, "999 bytes")]
    #[case(1000, "1.0 kB")]
    #[case(99_949, "99.9 kB")]
    #[case(99_950, "100 kB")]
    #[case(999_499, "999 kB")]
    #[case(999_500, "1.0 MB")]
    #[case(148_000_000, "148 MB")]
    #[case(1_200_000_000, "1.2 GB")]
    #[case(u64::MAX, "18.4 EB")]
    fn a_size_has_two_or_three_digits(#[case] bytes: u64, #[case] text: &str) {
        assert_eq!(size(bytes), text);
    }

    #[rstest]
    #[case(0, "0.0 s")]
    #[case(449, "0.4 s")]
    #[case(9_949, "9.9 s")]
    #[case(9_950, "10 s")]
    #[case(34_400, "34 s")]
    #[case(59_600, "1 min")]
    #[case(200_000, "3 min 20 s")]
    #[case(3_600_000, "1 h")]
    #[case(7_500_000, "2 h 5 min")]
    #[case(172_799_000, "47 h 59 min")]
    #[case(172_800_000, "2 days")]
    #[case(277_200_000, "3 days 5 h")]
    #[case(1_814_399_000, "20 days")]
    fn a_duration_has_at_most_two_units(#[case] milliseconds: u64, #[case] text: &str) {
        assert_eq!(duration(Duration::from_millis(milliseconds)), text);
    }

    #[test]
    fn counts_have_groups_and_nouns() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(counted(1, "table", "tables"), "1 table");
        assert_eq!(counted(1000, "row", "rows"), "1,000 rows");
    }
}
