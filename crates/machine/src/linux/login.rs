//! logind: sleep, shutdown, and locks against both.

use futures_util::StreamExt as _;
use tokio::sync::broadcast;
use zbus::{OwnedFd, Proxy};

use super::Bus;
use crate::{Hold, Moment};

async fn manager(bus: &Bus) -> zbus::Result<Proxy<'static>> {
    bus.object(
        "org.freedesktop.login1",
        "/org/freedesktop/login1",
        "org.freedesktop.login1.Manager",
    )
    .await
}

/// Tells of sleep and shutdown until the service goes.
pub(super) async fn follow(bus: &Bus, moments: &broadcast::Sender<Moment>) -> zbus::Result<()> {
    let manager = manager(bus).await?;
    // Asked once, so that a service that is not there is known now.
    let _: bool = manager.get_property("PreparingForSleep").await?;
    let mut sleep = manager.receive_signal("PrepareForSleep").await?;
    let mut shutdown = manager.receive_signal("PrepareForShutdown").await?;
    let mut owner = manager.receive_owner_changed().await?;
    loop {
        let moment = tokio::select! {
            signal = sleep.next() => match signal {
                Some(signal) => match signal.body().deserialize::<bool>()? {
                    true => Some(Moment::FallsAsleep),
                    false => Some(Moment::Woke),
                },
                None => return Ok(()),
            },
            signal = shutdown.next() => match signal {
                Some(signal) => signal.body().deserialize::<bool>()?.then_some(Moment::SwitchesOff),
                None => return Ok(()),
            },
            owner = owner.next() => match owner {
                Some(Some(_)) => None,
                _ => return Ok(()),
            },
        };
        if let Some(moment) = moment {
            // Nobody may listen.
            drop(moments.send(moment));
        }
    }
}

/// Takes a lock against sleep and shutdown; it is let go when what comes back is dropped. Where blocking is not allowed, both are delayed at
/// least, by seconds.
pub(super) async fn inhibit(bus: &Bus, why: &str) -> zbus::Result<Hold> {
    let manager = manager(bus).await?;
    let take = async |mode: &str| -> zbus::Result<OwnedFd> {
        manager
            .call("Inhibit", &("sleep:shutdown", "Howdah", why, mode))
            .await
    };
    let lock = match take("block").await {
        Ok(lock) => lock,
        Err(_) => take("delay").await?,
    };
    Ok(Hold::new(lock))
}
