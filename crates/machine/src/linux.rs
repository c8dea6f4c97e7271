//! This machine over the system's D-Bus. Each service is followed by a task of its own; one that is not there, or goes, is looked for again.

mod login;
mod network;
mod power;

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{broadcast, watch};
use tokio_util::task::AbortOnDropHandle;
use zbus::{Connection, Proxy};

use crate::{Hold, Machine, Moment, State};

/// A service that is not there is looked for again after this.
const TRY_AGAIN: Duration = Duration::from_secs(30);

/// How long logind may take to give a lock.
const LIMIT: Duration = Duration::from_secs(5);

/// Moments that a slow listener may be behind.
const CAPACITY: usize = 64;

/// This machine.
#[derive(Debug)]
pub struct SystemMachine {
    bus: Bus,
    state: watch::Sender<State>,
    moments: broadcast::Sender<Moment>,
    #[allow(dead_code, reason = "it listens until it is dropped")]
    listener: Option<AbortOnDropHandle<()>>,
}

impl SystemMachine {
    /// It can be kept awake, and tells nothing.
    pub fn deaf() -> Self {
        Self {
            bus: Bus(None),
            state: watch::Sender::new(State {
                power: crate::supplies::power(),
                ..State::default()
            }),
            moments: broadcast::Sender::new(CAPACITY),
            listener: None,
        }
    }

    /// Listens on the bus at that address; none is the system's own. Needs a tokio runtime.
    pub fn listening(address: Option<String>) -> Self {
        let mut machine = Self {
            bus: Bus(address),
            ..Self::deaf()
        };
        let all = follow_all(
            machine.bus.clone(),
            machine.state.clone(),
            machine.moments.clone(),
        );
        machine.listener = Some(AbortOnDropHandle::new(tokio::spawn(all)));
        machine
    }
}

async fn follow_all(bus: Bus, state: watch::Sender<State>, moments: broadcast::Sender<Moment>) {
    let login = async {
        loop {
            gone("logind", login::follow(&bus, &moments).await, || {}).await;
        }
    };
    let power = async {
        loop {
            gone("UPower", power::follow(&bus, &state).await, || {
                // The kernel is asked for as long as nobody tells.
                changed(&state, |state| state.power = crate::supplies::power());
            })
            .await;
        }
    };
    let network = async {
        loop {
            gone("NetworkManager", network::follow(&bus, &state).await, || {
                changed(&state, |state| (state.metered, state.connected) = (None, None));
            })
            .await;
        }
    };
    tokio::join!(login, power, network);
}

#[async_trait]
impl Machine for SystemMachine {
    fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    fn moments(&self) -> broadcast::Receiver<Moment> {
        self.moments.subscribe()
    }

    async fn hold(&self, why: &str) -> Hold {
        match tokio::time::timeout(LIMIT, login::inhibit(&self.bus, why)).await {
            Ok(Ok(hold)) => hold,
            Ok(Err(error)) => {
                tracing::info!(%error, "this machine cannot be kept awake");
                Hold::none()
            }
            Err(_) => {
                tracing::warn!("logind does not answer: this machine cannot be kept awake");
                Hold::none()
            }
        }
    }
}

/// Changes the state, and wakes listeners only where it is another one then.
fn changed(state: &watch::Sender<State>, change: impl FnOnce(&mut State)) {
    state.send_if_modified(|state| {
        let before = *state;
        change(state);
        *state != before
    });
}

/// A service went, or is not there: what it said is forgotten, and it is looked for again in a while.
async fn gone(service: &str, ended: zbus::Result<()>, forget: impl FnOnce()) {
    match ended {
        Ok(()) => tracing::debug!(service, "the service went away"),
        Err(error) => tracing::debug!(service, %error, "the service is not there"),
    }
    forget();
    tokio::time::sleep(TRY_AGAIN).await;
}

/// The bus on which the system's services are; none is the system's own.
#[derive(Debug, Clone)]
struct Bus(Option<String>);

impl Bus {
    /// An object of a service, over a connection of its own.
    async fn object(
        &self,
        service: &'static str,
        path: &'static str,
        interface: &'static str,
    ) -> zbus::Result<Proxy<'static>> {
        let bus = match &self.0 {
            None => Connection::system().await?,
            Some(address) => {
                zbus::connection::Builder::address(address.as_str())
                    .build()
                    .await?
            }
        };
        Proxy::new_owned(bus, service, path, interface).await
    }
}
