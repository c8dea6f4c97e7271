//! Time as an argument: everything that asks what time it is asks a [`Clock`], so that tests can answer.

use jiff::Timestamp;

/// Tells the time. The engine holds one and hands it on; tests hold one they can turn.
pub trait Clock: Send + Sync {
    /// The wall clock's present instant.
    fn now(&self) -> Timestamp;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
