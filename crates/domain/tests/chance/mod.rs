//! Chance that can be repeated: a test prints its seed, and `HOWDAH_SEED` brings the same run back. The testkit has it too, and
//! half of Howdah with it, of which the domain's tests need nothing.

#![allow(dead_code, reason = "each test program uses a part of it")]

use jiff::Timestamp;

/// SplitMix64 (Steele, Lea, Flood 2014): enough chance for a test, the same for the same seed.
pub(crate) struct Chance(u64);

impl Chance {
    /// From `HOWDAH_SEED` where that is set, from the clock otherwise; printed, so that a failure can be repeated.
    pub(crate) fn new() -> Self {
        let seed = std::env::var("HOWDAH_SEED")
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| {
                u64::try_from(Timestamp::now().as_nanosecond() & i128::from(u64::MAX)).unwrap()
            });
        println!("HOWDAH_SEED={seed}");
        Self(seed)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below the limit, which is not 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.bits() % limit
    }

    pub(crate) fn small(&mut self, limit: u8) -> u8 {
        u8::try_from(self.below(u64::from(limit))).unwrap()
    }

    pub(crate) fn up_to(&mut self, greatest: u32) -> u32 {
        u32::try_from(self.below(u64::from(greatest) + 1)).unwrap()
    }

    pub(crate) fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}
