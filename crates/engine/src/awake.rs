//! Keeps this machine awake while runs are at work, and does at once what became possible when it woke, or came back to a network.

use howdah_machine::{Hold, Moment, Power, State};
use tokio::sync::broadcast::error::RecvError;

use crate::engine::Engine;

/// What is shown to whoever tries to put the machine to sleep.
const WHY: &str = "A backup, restore or drill is at work";

/// Runs until the engine ends.
pub(crate) async fn run(engine: Engine) {
    let mut moments = engine.0.machine.moments();
    let mut state = engine.0.machine.state();
    let mut before = *state.borrow_and_update();
    let mut hold: Option<Hold> = None;
    loop {
        let at_work = !engine.active().is_empty();
        if !at_work {
            hold = None;
        } else if hold.is_none() {
            tokio::select! {
                () = engine.0.ending.cancelled() => return,
                taken = engine.0.machine.hold(WHY) => hold = Some(taken),
            }
            // It may have ended meanwhile.
            continue;
        }
        tokio::select! {
            () = engine.0.ending.cancelled() => return,
            () = engine.0.active_changed.notified() => {}
            moment = moments.recv() => match moment {
                Ok(moment) => engine.take_moment(moment),
                // What was lost may have been the waking.
                Err(RecvError::Lagged(_)) => engine.take_moment(Moment::Woke),
                Err(RecvError::Closed) => moments = engine.0.machine.moments(),
            },
            Ok(()) = state.changed() => {
                let now = *state.borrow_and_update();
                engine.take_state(before, now);
                before = now;
            }
        }
    }
}

impl Engine {
    fn take_moment(&self, moment: Moment) {
        match moment {
            Moment::Woke => {
                tracing::info!("this machine woke");
                self.0.schedule_changed.notify_one();
                self.0.upkeep_changed.notify_one();
                self.try_what_failed();
            }
            Moment::FallsAsleep => tracing::info!("this machine is about to sleep"),
            Moment::SwitchesOff => tracing::info!("this machine is about to be switched off"),
        }
    }

    fn take_state(&self, before: State, now: State) {
        if now.connected == Some(true) && before.connected != Some(true) {
            tracing::info!("there is a network");
            self.try_what_failed();
        }
        // Backups and drills wait for power, and for a network that costs nothing.
        self.0.runs_changed.notify_one();
        if now.power == Power::Mains && before.power != Power::Mains {
            self.0.upkeep_changed.notify_one();
        }
    }

    /// Tries at once what may have failed for want of a network.
    fn try_what_failed(&self) {
        self.0.runs_changed.notify_one();
        self.0.copies_changed.notify_one();
        self.0.watch.changed.notify_one();
        let engine = self.clone();
        self.spawn(async move { engine.hurry_outbox().await });
    }

    /// Whether this machine lives on its battery, as far as anybody knows.
    pub(crate) fn is_on_battery(&self) -> bool {
        matches!(self.0.machine.state().borrow().power, Power::Battery { .. })
    }
}
