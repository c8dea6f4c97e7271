//! Rules, backups, time zones and moments at random.

use howdah_domain::{BackupId, RetentionRule, retention::Candidate};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use crate::chance::Chance;

impl Chance {
    fn limit(&mut self, bound: u32) -> Option<u32> {
        self.one_in(3).then(|| self.up_to(bound))
    }

    pub(crate) fn rule(&mut self) -> RetentionRule {
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
    pub(crate) fn backups(&mut self, now: Timestamp) -> Vec<Candidate> {
        let spread = self.pick(&[3_600, 86_400, 20 * 86_400]);
        let damaged = self.pick(&[2, 6, 1_000]);
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

    pub(crate) fn zone(&mut self) -> TimeZone {
        let zones = [
            "UTC",
            "Europe/Berlin",
            "America/New_York",
            "Australia/Lord_Howe",
            "Asia/Kathmandu",
            "America/Sao_Paulo",
        ];
        TimeZone::get(self.pick(&zones)).unwrap()
    }

    pub(crate) fn now(&mut self) -> Timestamp {
        Timestamp::from_second(i64::try_from(1_300_000_000 + self.below(600_000_000)).unwrap()).unwrap()
    }
}
