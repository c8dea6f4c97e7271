//! Carries messages from the outbox to the channels: each channel in its own order, all channels beside each other.
//!
//! A message is *delivered* once the other side took it, which is written down afterwards: after a death in between it is sent again. Its id
//! is the same then, so that services which know twins show one.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use howdah_domain::{AlertId, ChannelId, Failure, FailureCode};
use howdah_notify::{Delivered, Error};
use howdah_store::Connection;
use howdah_store::tables::channels::{self, Channel};
use howdah_store::tables::{alerts, deliveries, watches};
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;

use super::decide::{self, Parcel};
use crate::api::Event;
use crate::engine::{Engine, OrFailure};

/// It is looked at this often: other processes of the data directory put messages into it too.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// The right to it is tried for this often.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// Messages of a channel that are looked at together.
const AT_ONCE: u32 = 500;

/// What happened is forgotten after this.
const KEEP: SignedDuration = SignedDuration::from_hours(24 * 365);

/// How often what is too old is forgotten.
const FORGET: Duration = Duration::from_secs(3600);

/// What the sending of a parcel came to.
enum Sent {
    /// The other side took it.
    Taken(Delivered),
    /// It did not. Whether it was reached, and how long it asks to wait.
    Failed {
        failure: Failure,
        again: bool,
        reached: bool,
        after: Option<Duration>,
    },
    /// Howdah ends.
    Cancelled,
}

/// Runs until the engine ends.
pub(crate) async fn run(engine: Engine) {
    let mut at_work = JoinSet::new();
    let mut busy: HashMap<tokio::task::Id, ChannelId> = HashMap::new();
    let mut forgot: Option<Instant> = None;
    // A command line that ends may be at it for a moment.
    let _guard = loop {
        match engine.0.store.try_own_outbox() {
            Ok(Some(guard)) => break guard,
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the outbox cannot be had"),
        }
        tokio::select! {
            () = engine.0.ending.cancelled() => return,
            () = tokio::time::sleep(TRY_AGAIN) => {}
        }
    };
    loop {
        if let Err(failure) = engine.tell_again().await {
            tracing::error!(%failure, "what lasts could not be told again");
        }
        if forgot.is_none_or(|at| at.elapsed() >= FORGET) {
            engine.forget_old_alerts().await;
            forgot = Some(Instant::now());
        }
        let mut later: Option<Timestamp> = None;
        match engine.channels_with_mail().await {
            Ok(waiting) => {
                for (channel, next) in waiting {
                    if busy.values().any(|id| *id == channel.id) {
                        continue;
                    }
                    if let Some(at) = next.later {
                        later = Some(later.map_or(at, |later| later.min(at)));
                    }
                    if next.parcel.is_none() && next.stale.is_empty() {
                        continue;
                    }
                    let (engine, id) = (engine.clone(), channel.id.clone());
                    let task = at_work.spawn(async move { engine.carry(channel, next).await });
                    busy.insert(task.id(), id);
                }
            }
            Err(failure) => tracing::error!(%failure, "the outbox could not be looked at"),
        }
        let now = engine.0.clock.now();
        let wait = later
            .and_then(|at| Duration::try_from(at.duration_since(now)).ok())
            .map_or(LOOK_AGAIN, |wait| wait.min(LOOK_AGAIN));
        tokio::select! {
            () = engine.0.ending.cancelled() => break,
            () = engine.0.outbox_changed.notified() => {}
            Some(done) = at_work.join_next_with_id() => {
                let task = done.map_or_else(|error| error.id(), |(task, ())| task);
                busy.remove(&task);
            }
            () = tokio::time::sleep(wait) => {}
        }
    }
    // Each heeds the end by itself.
    while at_work.join_next().await.is_some() {}
}

impl Engine {
    /// Channels that something waits for, and what is next for each.
    async fn channels_with_mail(&self) -> Result<Vec<(Channel, decide::Next)>, Failure> {
        let now = self.0.clock.now();
        let has_desktop = self.0.desktop.is_some();
        self.0
            .store
            .read(move |c| {
                if !deliveries::any_waiting(c)? {
                    return Ok(Vec::new());
                }
                let mut mail = Vec::new();
                for channel in channels::list(c)?.into_iter().filter(|channel| channel.enabled) {
                    // Where this process has no desktop, its messages wait for one that has.
                    if channel.id.as_str() == channels::DESKTOP && !has_desktop {
                        continue;
                    }
                    let waiting = deliveries::waiting(c, &channel.id, AT_ONCE)?;
                    if !waiting.is_empty() {
                        let next = decide::next(channel.address.kind(), &waiting, now);
                        mail.push((channel, next));
                    }
                }
                Ok(mail)
            })
            .await
            .or_failure()
    }

    /// Sends a channel what is next, and writes down what became of it.
    async fn carry(&self, channel: Channel, next: decide::Next) {
        if !next.stale.is_empty() {
            let stale = next.stale;
            if let Err(error) = self
                .0
                .store
                .write(move |tx| deliveries::drop_stale(tx, &stale))
                .await
            {
                tracing::error!(%error, "messages that are of no use could not be let go");
                return;
            }
        }
        let Some(parcel) = next.parcel else { return };
        let sent = self.send(&channel, &parcel).await;
        let now = self.0.clock.now();
        let (id, numbers) = (channel.id.clone(), parcel.numbers.clone());
        let written = match sent {
            Sent::Cancelled => return,
            Sent::Taken(Delivered { remark }) => {
                self.0
                    .store
                    .write(move |tx| {
                        deliveries::delivered(tx, &numbers, remark.as_deref(), now)?;
                        channels::tried(tx, &id, None, now)?;
                        // It is reached again: nothing needs to wait any longer.
                        deliveries::hurry_failed(tx, &id)
                    })
                    .await
            }
            Sent::Failed {
                failure,
                again,
                reached,
                after,
            } => {
                tracing::warn!(channel = channel.name, %failure, "a message was not delivered");
                self.0
                    .store
                    .write(move |tx| {
                        let at = match deliveries::get(tx, numbers[0])? {
                            Some(first) if again => decide::next_try(&first, reached, after, now),
                            _ => None,
                        };
                        deliveries::failed(tx, &numbers, &failure, at)?;
                        channels::tried(tx, &id, Some(&failure), now)
                    })
                    .await
            }
        };
        if let Err(error) = written {
            // A full disk: the same message would go out each moment. It goes out again when there is room, at most every so often.
            tracing::error!(%error, channel = channel.name, "what became of a message could not be written down");
            tokio::select! {
                () = self.0.ending.cancelled() => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
        self.0.events.send(Event::Notifications);
    }

    async fn send(&self, channel: &Channel, parcel: &Parcel) -> Sent {
        let opened = match self.open_channel(channel).await {
            Ok(opened) => opened,
            Err(failure) => {
                // A locked keyring opens some time; what is set up wrongly stays so until somebody changes it.
                let again = matches!(
                    failure.code,
                    FailureCode::KeyringLocked | FailureCode::KeyringAbsent
                );
                return Sent::Failed {
                    failure,
                    again,
                    reached: false,
                    after: None,
                };
            }
        };
        match opened.send(&parcel.message, &self.0.ending).await {
            Ok(delivered) => Sent::Taken(delivered),
            Err(error) if error.is_cancelled() => Sent::Cancelled,
            Err(error) => Sent::Failed {
                again: error.is_retryable(),
                reached: !matches!(error, Error::Unreachable { .. } | Error::NoService { .. }),
                after: error.retry_after(),
                failure: error.to_failure(),
            },
        }
    }

    /// Forgets what happened too long ago to be asked for.
    async fn forget_old_alerts(&self) {
        let before = self.0.clock.now().checked_sub(KEEP).unwrap_or(Timestamp::MIN);
        loop {
            match self.0.store.write(move |tx| alerts::prune(tx, before)).await {
                Ok(1000..) => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(%error, "old alerts could not be forgotten");
                    return;
                }
            }
        }
    }

    /// Tries now whatever waits: the network is back, or the machine woke.
    pub(crate) async fn hurry_outbox(&self) {
        let hurried = self
            .0
            .store
            .write(|tx| {
                for channel in channels::list(tx)? {
                    deliveries::hurry_failed(tx, &channel.id)?;
                }
                Ok(())
            })
            .await;
        if let Err(error) = hurried {
            tracing::warn!(%error, "the outbox could not be hurried");
        }
        self.0.outbox_changed.notify_one();
    }

    /// Puts what still lasts into the outbox again, for channels that want to hear of it until somebody acknowledges it.
    async fn tell_again(&self) -> Result<(), Failure> {
        let now = self.0.clock.now();
        let due = self
            .0
            .store
            .read(move |c| rounds_due(c, now))
            .await
            .or_failure()?;
        if due.is_empty() {
            return Ok(());
        }
        self.0
            .store
            .write(move |tx| {
                for (alert, channel, round) in rounds_due(tx, now)? {
                    deliveries::insert(tx, &alert, &channel, round, now, None)?;
                }
                Ok(())
            })
            .await
            .or_failure()
    }

    /// Sends what can be sent, for as long as that takes at most: of a process that ends, where no other one does it.
    pub(crate) async fn empty_outbox(&self, limit: Duration) {
        let Ok(Some(_guard)) = self.0.store.try_own_outbox() else {
            return;
        };
        let emptied = async {
            while let Ok(mail) = self.channels_with_mail().await {
                let mut sent = false;
                for (channel, next) in mail {
                    if next.parcel.is_some() {
                        sent = true;
                        self.carry(channel, next).await;
                    }
                }
                if !sent {
                    return;
                }
            }
        };
        if tokio::time::timeout(limit, emptied).await.is_err() {
            tracing::warn!("messages are left in the outbox; whoever runs next sends them");
        }
    }
}

/// What lasts and is to be told a channel again, and in which round.
fn rounds_due(c: &Connection, now: Timestamp) -> howdah_store::Result<Vec<(AlertId, ChannelId, u32)>> {
    let again: Vec<_> = channels::list(c)?
        .into_iter()
        .filter(|channel| channel.enabled)
        .filter_map(|channel| Some((channel.id, channel.rule.again_minutes?)))
        .collect();
    let mut due = Vec::new();
    if again.is_empty() {
        return Ok(due);
    }
    for alert in alerts::all_lasting(c)? {
        let concerned = alert.databases.iter().map(|database| &database.id);
        if alert.acknowledged_at.is_some()
            || !decide::is_told_again(alert.kind)
            || watches::all_muted(c, concerned, now)?
        {
            continue;
        }
        for (channel, minutes) in &again {
            let newest = deliveries::newest(c, &alert.id, channel)?;
            if let Some(round) = newest.and_then(|newest| decide::next_round(&newest, *minutes, now)) {
                due.push((alert.id.clone(), channel.clone(), round));
            }
        }
    }
    Ok(due)
}
