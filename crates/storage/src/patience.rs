//! How long a server is waited for, and how often it is asked again. It knows no protocol.

use std::time::Duration;

use crate::Error;

/// The longest pause that a server may ask for inside one call; who asks for more is told to the caller.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How long a server is waited for. The default is right for people; tests take less.
#[derive(Debug, Clone)]
pub struct Patience {
    /// Until a connection stands.
    pub connect: Duration,
    /// Between two bytes, or from a question to its answer.
    pub idle: Duration,
    /// From an upload's last byte to the answer, and for moving a file or putting its parts together: a server may have to copy
    /// it.
    pub settle: Duration,
    /// Before each further attempt at what can be repeated. As many attempts as pauses, and the first.
    pub pauses: Vec<Duration>,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            idle: Duration::from_secs(60),
            settle: Duration::from_secs(300),
            pauses: [500, 1000, 2000].map(Duration::from_millis).to_vec(),
        }
    }
}

impl Patience {
    /// Does something that can be repeated until it goes well, fails for good, or has been tried often enough. A server
    /// that says when to come back is not asked earlier.
    pub(crate) async fn retrying<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        for pause in &self.pauses {
            let pause = match attempt().await {
                Err(Error::Busy {
                    retry_after: Some(wanted),
                    ..
                }) if wanted <= LONGEST_PAUSE => wanted.max(*pause),
                Err(
                    Error::Busy {
                        retry_after: None, ..
                    }
                    | Error::Unreachable { .. },
                ) => *pause,
                result => return result,
            };
            tokio::time::sleep(pause).await;
        }
        attempt().await
    }
}

/// A wait that was too long, for the details.
#[derive(Debug, thiserror::Error)]
#[error("{what} for {} seconds", .after.as_secs())]
pub(crate) struct Silence {
    /// What did not happen: `no answer`.
    pub(crate) what: &'static str,
    /// How long it was waited for.
    pub(crate) after: Duration,
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::Instant;

    use super::*;

    fn busy(retry_after: Option<u64>) -> Error {
        Error::Busy {
            place: "x".into(),
            retry_after: retry_after.map(Duration::from_secs),
            source: "later".into(),
        }
    }

    /// Fails so many times, then goes well; answers how often it was asked.
    async fn attempts(failures: u32, error: impl Fn() -> Error) -> (bool, u32, Duration) {
        let asked = AtomicU32::new(0);
        let begin = Instant::now();
        let result = Patience::default()
            .retrying(|| {
                let number = asked.fetch_add(1, Ordering::Relaxed);
                let result = if number < failures { Err(error()) } else { Ok(()) };
                async move { result }
            })
            .await;
        (result.is_ok(), asked.into_inner(), begin.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_heal_is_tried_a_few_times_with_growing_pauses() {
        let (well, asked, took) = attempts(2, || busy(None)).await;
        assert!(
            well && asked == 3 && took >= Duration::from_millis(1500),
            "{took:?}"
        );
        let (well, asked, _) = attempts(9, || busy(None)).await;
        assert!(!well && asked == 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_when_is_not_asked_earlier_and_not_waited_for_too_long() {
        let (well, asked, took) = attempts(1, || busy(Some(7))).await;
        assert!(well && asked == 2 && took >= Duration::from_secs(7), "{took:?}");
        let (well, asked, took) = attempts(1, || busy(Some(3600))).await;
        assert!(!well && asked == 1 && took < Duration::from_secs(1), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_will_not_heal_is_not_tried_again() {
        let (well, asked, _) = attempts(1, || Error::Cancelled).await;
        assert!(!well && asked == 1);
    }
}
