//! The one channel on which the engine says what happens.
//!
//! Listeners that fall behind lose the oldest events and are told so by the channel; they then ask for the page again.

use tokio::sync::broadcast;

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

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}
