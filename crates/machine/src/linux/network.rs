//! NetworkManager: whether there is a network, and whether it is paid by the byte.

use futures_util::StreamExt as _;
use tokio::sync::watch;

use super::{Bus, changed};
use crate::State;

const SERVICE: &str = "org.freedesktop.NetworkManager";

/// `NMState`: connected to a local network, to a site, to the internet.
const CONNECTED: [u32; 3] = [50, 60, 70];

/// Keeps the state's network true until the service goes.
pub(super) async fn follow(bus: &Bus, state: &watch::Sender<State>) -> zbus::Result<()> {
    let manager = bus
        .object(SERVICE, "/org/freedesktop/NetworkManager", SERVICE)
        .await?;
    let mut metered = manager.receive_property_changed::<u32>("Metered").await;
    let mut connected = manager.receive_property_changed::<u32>("State").await;
    let mut owner = manager.receive_owner_changed().await?;
    loop {
        // `NMMetered`: unknown, yes, no, and guesses for both. A version that does not know the property says nothing.
        let is_metered = match manager.get_property::<u32>("Metered").await {
            Ok(1 | 3) => Some(true),
            Ok(2 | 4) => Some(false),
            Ok(_) | Err(_) => None,
        };
        let is_connected = CONNECTED.contains(&manager.get_property::<u32>("State").await?);
        changed(state, |state| {
            (state.metered, state.connected) = (is_metered, Some(is_connected));
        });
        tokio::select! {
            change = metered.next() => if change.is_none() { return Ok(()) },
            change = connected.next() => if change.is_none() { return Ok(()) },
            owner = owner.next() => if !matches!(owner, Some(Some(_))) { return Ok(()) },
        }
    }
}
