//! Rules, backups, time zones and moments at random.

use howdah_domain::{BackupId, RetentionRule, retention::Candidate};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

/// SplitMix64 (Steele, Lea, Flood 2014): enough chance for a test, the same for the same seed.
pub(crate) struct Chance(u64);

impl Chance {
    /// From HOWDAH_TEST_SEED where that is set, from the clock otherwise; printed, so that a failure can be repeated.
    pub(crate) fn new() -> Self {
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

    pub(crate) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    pub(crate) fn up_to(&mut self, bound: u32) -> u32 {
        u32::try_from(self.below(u64::from(bound) + 1)).unwrap()
    }

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

    pub(crate) fn zone(&mut self) -> TimeZone {
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

    pub(crate) fn now(&mut self) -> Timestamp {
        Timestamp::from_second(i64::try_from(1_300_000_000 + self.below(600_000_000)).unwrap()).unwrap()
    }
}
