//! Chance that can be repeated: a test prints its seed, and `HOWDAH_SEED` brings the same run back.

/// A generator of numbers (SplitMix64: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
#[derive(Debug, Clone)]
pub struct Chance {
    state: u64,
}

/// Names the seed to use instead of a random one.
const SEED_VARIABLE: &str = "HOWDAH_SEED";

impl Chance {
    /// From the seed in `HOWDAH_SEED`, or else a random one; prints it, which test runners show when the test fails.
    #[allow(clippy::print_stdout)]
    pub fn for_test(name: &str) -> Self {
        let seed = std::env::var(SEED_VARIABLE)
            .ok()
            .and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or_else(|| {
            let mut bytes = [0; 8];
            getrandom::fill(&mut bytes).expect("BUG: the operating system has no random numbers");
            u64::from_le_bytes(bytes)
        });
        println!("{name}: repeat it with {SEED_VARIABLE}={seed}");
        Self::from_seed(seed)
    }

    /// From this seed.
    pub fn from_seed(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `end` − 1; `end` must not be 0. (The bias is below 2⁻³² for the sizes of tests.)
    pub fn below(&mut self, end: u64) -> u64 {
        self.bits() % end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_brings_the_same_numbers() {
        // The first numbers of the published reference implementation for seed 1234567.
        let mut chance = Chance::from_seed(1_234_567);
        assert_eq!(chance.bits(), 6_457_827_717_110_365_317);
        assert_eq!(chance.bits(), 3_203_168_211_198_807_973);
        assert!((0..1000).all(|_| chance.below(7) < 7));
    }
}
