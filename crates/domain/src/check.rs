//! Health checks: how often a database is asked whether it answers, and what its answers come to.
//!
//! A single failure says little and an unasked database says nothing: a database is *down* after several failures in a row, and what could
//! not be asked (asleep, offline, paused) is *no data*, which is never guessed to be one or the other.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::FailureCode;

/// The shortest and the longest time between two checks of a database, in seconds.
pub const INTERVALS: std::ops::RangeInclusive<u32> = 10..=86_400;

/// A failing database is asked again after this at the latest, in seconds.
const RECHECK_SECONDS: u32 = 10;

/// One that is down, or out of sight, is asked again after this at the latest, in seconds.
const DOWN_SECONDS: u32 = 60;

/// How a database is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct CheckRule {
    /// Whether it is.
    pub enabled: bool,
    /// Seconds between two checks, within [`INTERVALS`].
    pub interval_seconds: u32,
    /// How long connecting and answering may take together, in seconds.
    pub timeout_seconds: u32,
    /// Failures in a row after which the database is down.
    pub failures: u32,
    /// What is asked; without it, whether `SELECT 1` is answered.
    pub sql: Option<String>,
    /// What the first value of the answer must be, as text; without it any answer will do.
    pub expected: Option<String>,
    /// Answers that take longer are slow, in milliseconds from the first step of connecting.
    pub slow_after_ms: Option<u32>,
}

impl Default for CheckRule {
    fn default() -> Self {
        Self {
            enabled: true,
            interval_seconds: 60,
            timeout_seconds: 10,
            failures: 3,
            sql: None,
            expected: None,
            slow_after_ms: None,
        }
    }
}

/// Why nothing can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum Blind {
    /// This machine slept.
    Asleep,
    /// This machine has no way to the server's network.
    Offline,
    /// Checks are paused.
    Paused,
    /// The keyring is locked, or there is none, and the password is in it.
    KeyringLocked,
    /// Howdah did not run.
    NotRunning,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// What was expected; milliseconds until the login was through, and from then until the answer.
    Good {
        /// Until the login was through.
        connect_ms: u32,
        /// From then until the answer.
        answer_ms: u32,
    },
    /// No answer, or another one.
    Bad {
        /// What it is about.
        code: FailureCode,
        /// What was said.
        text: String,
    },
    /// Nobody can tell.
    Unknown(Blind),
}

/// How a database stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case", tag = "state")]
#[ts(export)]
pub enum Health {
    /// It answers.
    Up,
    /// It answers, and takes longer than it may.
    Slow,
    /// It did not answer, not often enough yet to be down.
    Failing {
        /// How often in a row.
        times: u32,
        /// From how many on it is down.
        of: u32,
    },
    /// It does not answer.
    Down,
    /// Nobody can tell.
    NoData {
        /// Why.
        why: Blind,
    },
}

/// What of a database is remembered from one check to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// How it stands.
    pub health: Health,
    /// Since when; where failures in a row led to it, since the first of them.
    pub since: Timestamp,
    /// Since when it has been down, whatever could not be asked meanwhile.
    pub down_since: Option<Timestamp>,
}

/// What people may want to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is down, since its first failure in a row.
    WentDown {
        /// When that was.
        since: Timestamp,
    },
    /// It answers again.
    Recovered {
        /// How long it was down, as far as can be told.
        after: SignedDuration,
    },
    /// Its answers have become slow.
    BecameSlow,
    /// They are no longer.
    NoLongerSlow,
}

impl Standing {
    /// That of a database which was never asked.
    pub fn new(now: Timestamp) -> Self {
        Self {
            health: Health::NoData {
                why: Blind::NotRunning,
            },
            since: now,
            down_since: None,
        }
    }

    /// How it stands after a check that ended at `at`, and what has turned.
    ///
    /// Failures before a gap do not count with those after it: they may have been this machine's. A database that was down stays so over
    /// a gap until it answers.
    #[must_use]
    pub fn after(self, answer: &Answer, at: Timestamp, rule: &CheckRule) -> (Self, Option<Turn>) {
        let moved = |health: Health| if health == self.health { self.since } else { at };
        match answer {
            Answer::Unknown(why) => {
                let health = Health::NoData { why: *why };
                let next = Self {
                    health,
                    since: moved(health),
                    ..self
                };
                (next, None)
            }
            Answer::Good {
                connect_ms,
                answer_ms,
            } => {
                let took = connect_ms.saturating_add(*answer_ms);
                let health = match rule.slow_after_ms {
                    Some(limit) if took > limit => Health::Slow,
                    _ => Health::Up,
                };
                let turn = match (self.down_since, self.health, health) {
                    (Some(since), ..) => Some(Turn::Recovered {
                        after: at.duration_since(since),
                    }),
                    (None, before, Health::Slow) if before != Health::Slow => Some(Turn::BecameSlow),
                    (None, Health::Slow, Health::Up) => Some(Turn::NoLongerSlow),
                    _ => None,
                };
                let next = Self {
                    health,
                    since: moved(health),
                    down_since: None,
                };
                (next, turn)
            }
            Answer::Bad { .. } => self.failed(at, rule.failures.max(1)),
        }
    }

    fn failed(self, at: Timestamp, of: u32) -> (Self, Option<Turn>) {
        if let Some(down_since) = self.down_since {
            let is_new = self.health != Health::Down;
            let next = Self {
                health: Health::Down,
                since: if is_new { at } else { self.since },
                down_since: Some(down_since),
            };
            return (next, None);
        }
        let (first, times) = match self.health {
            Health::Failing { times, .. } => (self.since, times.saturating_add(1)),
            _ => (at, 1),
        };
        if times >= of {
            let next = Self {
                health: Health::Down,
                since: first,
                down_since: Some(first),
            };
            return (next, Some(Turn::WentDown { since: first }));
        }
        let next = Self {
            health: Health::Failing { times, of },
            since: first,
            down_since: None,
        };
        (next, None)
    }

    /// When a database that was asked at `at` is asked again: sooner while it fails, so that it is known within minutes whether it is down.
    pub fn asked_again(&self, at: Timestamp, rule: &CheckRule) -> Timestamp {
        let seconds = match self.health {
            Health::Failing { .. } => rule.interval_seconds.min(RECHECK_SECONDS),
            // The network may be back any moment.
            Health::Down | Health::NoData { .. } => rule.interval_seconds.min(DOWN_SECONDS),
            Health::Up | Health::Slow => rule.interval_seconds,
        };
        at.checked_add(SignedDuration::from_secs(i64::from(seconds)))
            .unwrap_or(Timestamp::MAX)
    }
}

/// What a look into a server found, beside its answering.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct ServerFacts {
    /// When it was looked at.
    #[ts(type = "string")]
    pub at: Timestamp,
    /// Connections of clients.
    pub connections: u32,
    /// How many it takes, those reserved for superusers left out.
    pub max_connections: u32,
    /// Transactions until it refuses new ones, in its oldest database.
    #[ts(type = "number | null")]
    pub transactions_left: Option<i64>,
    /// When its certificate expires; none without TLS.
    #[ts(type = "string | null")]
    pub certificate_expires: Option<Timestamp>,
}

impl ServerFacts {
    /// Whether more than nine tenths of the connections are taken.
    pub fn connections_are_high(&self) -> bool {
        self.max_connections > 0 && u64::from(self.connections) * 10 > u64::from(self.max_connections) * 9
    }

    /// Whether transaction ids run out: fewer than half a billion of two are left. A server freezes old rows by itself from 200 million
    /// used ones on (`autovacuum_freeze_max_age`), so something keeps it from that.
    pub fn transactions_are_low(&self) -> bool {
        self.transactions_left.is_some_and(|left| left < 500_000_000)
    }

    /// How long the certificate is still good, where that is less than three weeks; negative where it has expired.
    pub fn certificate_expires_soon(&self, now: Timestamp) -> Option<SignedDuration> {
        let left = self.certificate_expires?.duration_since(now);
        (left < SignedDuration::from_hours(21 * 24)).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn good() -> Answer {
        took(5)
    }

    fn took(ms: u32) -> Answer {
        Answer::Good {
            connect_ms: ms,
            answer_ms: 0,
        }
    }

    fn bad() -> Answer {
        Answer::Bad {
            code: FailureCode::ConnectionRefused,
            text: "connection refused".to_owned(),
        }
    }

    const OFFLINE: Answer = Answer::Unknown(Blind::Offline);

    /// How it stands after these, one each ten seconds from 10 on, and what turned at which second.
    fn after(answers: &[Answer], rule: &CheckRule) -> (Standing, Vec<(i64, Turn)>) {
        let (mut standing, mut turns, mut second) = (Standing::new(at(0)), Vec::new(), 0);
        for answer in answers {
            second += 10;
            let (next, turn) = standing.after(answer, at(second), rule);
            standing = next;
            turns.extend(turn.map(|turn| (second, turn)));
        }
        (standing, turns)
    }

    #[test]
    fn three_failures_in_a_row_are_down_since_the_first_and_one_answer_ends_it() {
        let rule = CheckRule::default();
        let (standing, turns) = after(&[good(), bad(), bad()], &rule);
        assert_eq!(standing.health, Health::Failing { times: 2, of: 3 });
        assert_eq!((standing.since, turns), (at(20), Vec::new()));
        let (standing, turns) = after(&[good(), bad(), bad(), bad(), bad(), good()], &rule);
        assert_eq!((standing.health, standing.since), (Health::Up, at(60)));
        let recovered = Turn::Recovered {
            after: SignedDuration::from_secs(40),
        };
        assert_eq!(turns, [(40, Turn::WentDown { since: at(20) }), (60, recovered)]);
    }

    #[test]
    fn failures_on_both_sides_of_a_gap_do_not_add_up() {
        let rule = CheckRule::default();
        let (standing, turns) = after(&[bad(), bad(), OFFLINE, bad(), bad()], &rule);
        assert_eq!(standing.health, Health::Failing { times: 2, of: 3 });
        assert_eq!(turns, []);
        let (_, turns) = after(&[bad(), good(), bad(), bad(), good(), bad()], &rule);
        assert_eq!(turns, [], "nor do those around an answer");
    }

    #[test]
    fn a_database_that_is_down_is_told_once_and_stays_down_over_a_gap() {
        let rule = CheckRule {
            failures: 1,
            ..CheckRule::default()
        };
        let (standing, turns) = after(&[bad(), OFFLINE, OFFLINE, bad()], &rule);
        assert_eq!(standing.health, Health::Down);
        assert_eq!(standing.down_since, Some(at(10)));
        assert_eq!(turns, [(10, Turn::WentDown { since: at(10) })]);
        let (standing, turns) = after(&[bad(), OFFLINE, good()], &rule);
        assert_eq!((standing.health, standing.down_since), (Health::Up, None));
        assert_eq!(turns.len(), 2, "{turns:?}");
    }

    #[test]
    fn answers_that_take_longer_than_they_may_are_slow() {
        let rule = CheckRule {
            slow_after_ms: Some(100),
            ..CheckRule::default()
        };
        let (standing, turns) = after(&[took(100), took(101), took(500), took(20)], &rule);
        assert_eq!(standing.health, Health::Up);
        assert_eq!(turns, [(20, Turn::BecameSlow), (40, Turn::NoLongerSlow)]);
        assert_eq!(after(&[took(60_000)], &CheckRule::default()).0.health, Health::Up);
    }

    #[test]
    fn a_failing_database_is_asked_sooner() {
        let asked = |answers: &[Answer], interval_seconds| {
            let rule = CheckRule {
                interval_seconds,
                ..CheckRule::default()
            };
            let (standing, _) = after(answers, &rule);
            standing.asked_again(at(0), &rule).duration_since(at(0)).as_secs()
        };
        assert_eq!(asked(&[good()], 60), 60);
        assert_eq!(asked(&[bad()], 60), 10);
        assert_eq!(asked(&[bad(), bad(), bad()], 3600), 60);
        assert_eq!(asked(&[bad()], 10), 10);
        assert_eq!(asked(&[OFFLINE], 3600), 60);
    }
}
