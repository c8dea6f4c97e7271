//! What this machine says of itself: that it is about to sleep, woke or is switched off, what it lives on, what its network costs; and a
//! hold that keeps it awake while work is under way.
//!
//! Knows no plan and no run: what follows from it is the engine's to decide. On Linux it is asked over the system's D-Bus: logind
//! (<https://www.freedesktop.org/software/systemd/man/org.freedesktop.login1.html>), UPower
//! (<https://upower.freedesktop.org/docs/>) and NetworkManager (<https://networkmanager.dev/docs/api/latest/>). Where one of them is not
//! there, what it would say is unknown.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod supplies;

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{broadcast, watch};

pub use howdah_domain::Power;
#[cfg(target_os = "linux")]
pub use linux::SystemMachine;

/// How a machine stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    /// What it lives on.
    pub power: Power,
    /// Whether its network is paid by the byte, or thought to be; none where nobody says.
    pub metered: Option<bool>,
    /// Whether it has a network; none where nobody says.
    pub connected: Option<bool>,
}

/// Something that happens to a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It is about to sleep, within seconds.
    FallsAsleep,
    /// It woke.
    Woke,
    /// It is about to be switched off, within seconds.
    SwitchesOff,
}

/// Keeps a machine awake until it is dropped.
#[must_use = "dropping it lets the machine sleep"]
#[derive(Debug, Default)]
pub struct Hold(#[allow(dead_code, reason = "dropping it is its use")] Option<Box<dyn Holding>>);

/// What keeps a machine awake while it lives.
pub trait Holding: Any + Debug + Send + Sync {}
impl<T: Any + Debug + Send + Sync> Holding for T {}

impl Hold {
    /// One that lives as long as `holding`.
    pub fn new(holding: impl Holding) -> Self {
        Self(Some(Box::new(holding)))
    }

    /// One that holds nothing: there is no way to keep this machine awake.
    pub fn none() -> Self {
        Self(None)
    }

    /// Whether it keeps the machine awake.
    pub fn holds(&self) -> bool {
        self.0.is_some()
    }
}

/// A machine.
#[async_trait]
pub trait Machine: Send + Sync + Debug {
    /// How it stands, now and whenever that changes.
    fn state(&self) -> watch::Receiver<State>;

    /// What happens to it from now on.
    fn moments(&self) -> broadcast::Receiver<Moment>;

    /// Keeps it from sleeping and from being switched off until what comes back is dropped. `why` is shown to whoever tries. A lid that is
    /// closed, and an empty battery, are stronger. Where it cannot be kept awake, the hold holds nothing.
    async fn hold(&self, why: &str) -> Hold;
}

/// This machine. With `listening` it tells how it stands and what happens to it; without, it can be kept awake. Needs a tokio runtime.
pub fn this(listening: bool) -> Arc<dyn Machine> {
    #[cfg(target_os = "linux")]
    return match listening {
        true => Arc::new(SystemMachine::listening(None)),
        false => Arc::new(SystemMachine::deaf()),
    };
    #[cfg(not(target_os = "linux"))]
    {
        let _ = listening;
        Arc::new(SilentMachine::default())
    }
}

/// A machine that says nothing, for where there is no way to ask.
#[derive(Debug)]
pub struct SilentMachine {
    state: watch::Sender<State>,
    moments: broadcast::Sender<Moment>,
}

impl Default for SilentMachine {
    fn default() -> Self {
        Self {
            state: watch::Sender::new(State::default()),
            moments: broadcast::Sender::new(1),
        }
    }
}

#[async_trait]
impl Machine for SilentMachine {
    fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    fn moments(&self) -> broadcast::Receiver<Moment> {
        self.moments.subscribe()
    }

    async fn hold(&self, _: &str) -> Hold {
        Hold::none()
    }
}
