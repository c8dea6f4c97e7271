//! Finds stretches in which this machine slept, or its clock was set, by comparing two clocks.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// The wall clock may differ from the other one by as much between two looks: clocks are set right by small steps.
const SLACK_MS: i64 = 3_000;

/// Two looks that are further apart mean that this process did not run, whatever the clocks say.
const LONGEST: Duration = Duration::from_secs(30);

/// The two clocks at the last look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clocks {
    wall: Timestamp,
    steady: Instant,
}

impl Clocks {
    /// The clocks now.
    pub(super) fn new(wall: Timestamp, steady: Instant) -> Self {
        Self { wall, steady }
    }

    /// Looks again. Where nobody was awake in between, or the clock was set: until when all was as usual.
    ///
    /// On Linux and macOS the steady clock stands still while the machine sleeps; elsewhere it goes on, and a long pause between two looks
    /// tells the same.
    pub(super) fn look(&mut self, wall: Timestamp, steady: Instant) -> Option<Timestamp> {
        let by_wall = wall.as_millisecond() - self.wall.as_millisecond();
        let passed = steady.saturating_duration_since(self.steady);
        let by_steady = i64::try_from(passed.as_millis()).unwrap_or(i64::MAX);
        let before = self.wall;
        *self = Self { wall, steady };
        let jumped = by_wall.saturating_sub(by_steady).saturating_abs() > SLACK_MS;
        (jumped || passed > LONGEST).then_some(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + millis).unwrap()
    }

    #[test]
    fn sleep_a_clock_that_was_set_and_a_process_that_stood_still_are_gaps() {
        let begin = Instant::now();
        let after = |millis| begin + Duration::from_millis(millis);
        let mut clocks = Clocks::new(at(0), begin);
        assert_eq!(clocks.look(at(5_000), after(5_000)), None);
        assert_eq!(
            clocks.look(at(12_000), after(10_000)),
            None,
            "a clock that is set right by two seconds"
        );
        let eight_hours = 8 * 3_600_000;
        assert_eq!(
            clocks.look(at(eight_hours), after(11_000)),
            Some(at(12_000)),
            "slept"
        );
        assert_eq!(
            clocks.look(at(eight_hours - 86_400_000), after(12_000)),
            Some(at(eight_hours)),
            "set back by a day"
        );
        let now = eight_hours - 86_400_000;
        assert_eq!(clocks.look(at(now + 1_000), after(13_000)), None);
        assert_eq!(
            clocks.look(at(now + 61_000), after(73_000)),
            Some(at(now + 1_000)),
            "stood still"
        );
    }
}
