//! The name of a backup: when it began, and six characters so that two that began together differ.

use std::fmt;

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::id::random_suffix;

/// A backup's id and folder name: `20261122T040000Z-k3x9qa`. Sorts by time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(transparent)]
#[ts(export)]
pub struct BackupId(String);

impl BackupId {
    /// A new id for a backup that begins at `start`.
    pub fn new(start: Timestamp, random: [u8; 10]) -> Self {
        let time = start
            .to_zoned_datetime(TimeZone::UTC)
            .strftime("%Y%m%dT%H%M%SZ")
            .to_string();
        Self(format!("{time}-{}", random_suffix(random, 6)))
    }

    /// Reads an id; `None` where the text has not the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        let (time, suffix) = text.split_once('-')?;
        let time = time.as_bytes();
        let digits = |range: std::ops::Range<usize>| time[range].iter().all(u8::is_ascii_digit);
        let time_ok =
            time.len() == 16 && digits(0..8) && time[8] == b'T' && digits(9..15) && time[15] == b'Z';
        let suffix_ok = suffix.len() == 6
            && suffix
                .bytes()
                .all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b));
        (time_ok && suffix_ok).then(|| Self(text.to_owned()))
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_start_in_utc_and_six_characters() {
        let start: Timestamp = "2026-11-22T05:00:00+01:00".parse().unwrap();
        let id = BackupId::new(start, [0; 10]);
        assert_eq!(id.as_str(), "20261122T040000Z-aaaaaa");
        assert_eq!(BackupId::parse(id.as_str()), Some(id));
    }

    #[test]
    fn other_folder_names_are_no_ids() {
        for text in [
            "",
            "lost+found",
            "20261122T040000Z",
            "20261122T040000Z-k3x9q",
            "20261122X040000Z-k3x9qa",
            "20261122T040000Z-K3X9QA",
        ] {
            assert_eq!(BackupId::parse(text), None, "{text}");
        }
    }
}
