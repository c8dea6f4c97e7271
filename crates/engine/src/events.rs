//! The one channel on which the engine says what happens.
//!
//! Listeners that fall behind lose the oldest events and are told so by the channel; they then ask for the page again.

use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::api::Event;

/// How many events a slow listener may be behind before it loses the oldest.
const CAPACITY: usize = 1024;

/// Where events are sent, and where listeners come from.
#[derive(Debug, Clone)]
pub struct Events(broadcast::Sender<Event>);

impl Events {
    /// A channel without listeners.
    pub fn new() -> Self {
        Self(broadcast::channel(CAPACITY).0)
    }

    /// Tells everybody who listens; nobody need to.
    pub fn send(&self, event: Event) {
        // An error means that nobody listens, which is no fault: the tray app without a window is such a case.
        drop(self.0.send(event));
    }

    /// Listens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }
}

/// Waits for an event that matters, and takes along all that come while it settles: whoever looks at everything anew after a change need
/// not do it once for each. `None` stands for events that were lost.
///
/// Without a time to settle, dropping the future loses nothing.
pub(crate) async fn any(
    events: &mut broadcast::Receiver<Event>,
    settle: Duration,
    mut matters: impl FnMut(Option<&Event>) -> bool,
) {
    loop {
        let event = match events.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(_)) => None,
            Err(RecvError::Closed) => return std::future::pending().await,
        };
        if matters(event.as_ref()) {
            break;
        }
    }
    if !settle.is_zero() {
        tokio::time::sleep(settle).await;
    }
    loop {
        match events.try_recv() {
            Ok(event) => matters(Some(&event)),
            Err(TryRecvError::Lagged(_)) => matters(None),
            Err(TryRecvError::Empty | TryRecvError::Closed) => return,
        };
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thousand_changes_are_one() {
        let events = Events::new();
        let mut listener = events.subscribe();
        let mut seen = 0;
        for _ in 0..CAPACITY - 1 {
            events.send(Event::Databases);
        }
        events.send(Event::Settings);
        any(&mut listener, Duration::from_millis(1), |event| {
            seen += u32::from(matches!(event, Some(Event::Settings)));
            matches!(event, Some(Event::Databases))
        })
        .await;
        assert_eq!(seen, 1, "what is taken along is seen");
        events.send(Event::Destinations);
        let again = any(&mut listener, Duration::ZERO, |event| {
            matches!(event, Some(Event::Databases))
        });
        let waited = tokio::time::timeout(Duration::from_millis(50), again).await;
        assert!(waited.is_err(), "nothing is left");
        for _ in 0..=CAPACITY {
            events.send(Event::Destinations);
        }
        any(&mut listener, Duration::ZERO, |event| event.is_none()).await;
    }
}
