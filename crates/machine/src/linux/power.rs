//! UPower: what this machine lives on.

use futures_util::StreamExt as _;
use tokio::sync::watch;

use super::{Bus, changed};
use crate::{Power, State};

const SERVICE: &str = "org.freedesktop.UPower";

/// Keeps the state's power true until the service goes.
pub(super) async fn follow(bus: &Bus, state: &watch::Sender<State>) -> zbus::Result<()> {
    let daemon = bus.object(SERVICE, "/org/freedesktop/UPower", SERVICE).await?;
    // All batteries as one.
    let display = bus
        .object(
            SERVICE,
            "/org/freedesktop/UPower/devices/DisplayDevice",
            "org.freedesktop.UPower.Device",
        )
        .await?;
    let mut on_battery = daemon.receive_property_changed::<bool>("OnBattery").await;
    let mut percentage = display.receive_property_changed::<f64>("Percentage").await;
    let mut owner = daemon.receive_owner_changed().await?;
    loop {
        let power = match daemon.get_property::<bool>("OnBattery").await? {
            false => Power::Mains,
            true => Power::Battery {
                percent: match display.get_property::<bool>("IsPresent").await? {
                    // It is between 0 and 100, and a battery at 19.6 % has no 20.
                    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                    true => Some(display.get_property::<f64>("Percentage").await?.clamp(0.0, 100.0) as u8),
                    false => None,
                },
            },
        };
        changed(state, |state| state.power = power);
        tokio::select! {
            change = on_battery.next() => if change.is_none() { return Ok(()) },
            change = percentage.next() => if change.is_none() { return Ok(()) },
            owner = owner.next() => if !matches!(owner, Some(Some(_))) { return Ok(()) },
        }
    }
}
