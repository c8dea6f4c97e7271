//! Health checks: asks each database in its own time, follows how it stands, writes that down, and opens and ends incidents.
//!
//! One task owns all of it; checks run beside each other, so many at most, and come back to it. What was found is written twice a minute; what
//! has turned, at once, in one transaction with what is to be told of it.

mod csv;
mod facts;
mod gap;
mod incidents;
mod page;
mod probe;
mod rows;
mod slow;
mod state;
mod turns;
mod ways;

pub(crate) use facts::look_into_servers;
pub(crate) use page::all;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use howdah_domain::availability::Follower;
use howdah_domain::check::{Blind, Standing};
use howdah_domain::{DatabaseId, Failure};
use howdah_store::Connection;
use howdah_store::tables::checks::{self, Batch, Check};
use howdah_store::tables::watches::LastCheck;
use howdah_store::tables::{settings, watches};
use jiff::Timestamp;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api::Event;
use crate::engine::{Engine, lock};
use crate::events;
use gap::Clocks;
use probe::{Finding, Heard, probe};
use rows::Row;
use state::Watched;
use ways::Ways;

/// Checks that run at once.
const AT_ONCE: usize = 32;

/// What was found is written this often: each write costs a few pages of a disk that may be a laptop's.
const FLUSH: Duration = Duration::from_secs(30);

/// It is told this often.
const TELL: Duration = Duration::from_secs(1);

/// The clocks are looked at this often, whatever happens.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Maintenance windows, the pause and what is watched are read anew this often; changes are heard of besides.
const READ_AGAIN: Duration = Duration::from_secs(15);

/// What is too old is forgotten this often.
const FORGET: Duration = Duration::from_secs(600);

/// What other parts of the engine share with the watch.
#[derive(Default)]
pub(crate) struct Watch {
    /// Databases to be asked now.
    wishes: Mutex<BTreeSet<DatabaseId>>,
    /// Rules, windows or wishes changed.
    pub(crate) changed: Notify,
    /// When a server elsewhere last answered.
    heard: Heard,
    /// Who waits for what was found to be written.
    readers: Mutex<Vec<oneshot::Sender<()>>>,
    /// Somebody waits for that.
    read: Notify,
    /// How databases stand now, which the store knows a little later.
    live: Mutex<HashMap<DatabaseId, Live>>,
}

/// How a database stands now.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    standing: Standing,
    last: Option<LastCheck>,
}

impl Watch {
    /// Has what was found up to now written, for somebody who looks at it; soon, or not at all.
    async fn settle(&self) {
        let (answer, written) = oneshot::channel();
        lock(&self.readers).push(answer);
        self.read.notify_one();
        drop(tokio::time::timeout(TELL, written).await);
    }

    /// How every database that is watched by this process stands now.
    pub(crate) fn live(&self) -> HashMap<DatabaseId, Live> {
        lock(&self.live).clone()
    }
}

/// Runs until the engine ends.
pub(crate) async fn run(engine: Engine) {
    let mut watching = Watching::new(engine);
    watching.run().await;
}

struct Watching {
    engine: Engine,
    ways: Arc<Ways>,
    watched: BTreeMap<DatabaseId, Watched>,
    batch: Batch,
    touched: BTreeSet<DatabaseId>,
    untold: BTreeSet<DatabaseId>,
    told_at: Instant,
    paused: bool,
    clocks: Clocks,
    read_at: Option<Instant>,
    flushed_at: Instant,
    forgot_at: Option<Instant>,
    /// Checks that began before a gap end after it, and say nothing.
    sight: u64,
    cancel: CancellationToken,
}

/// A check that ended.
struct Ended {
    id: DatabaseId,
    finding: Finding,
    sight: u64,
}

impl Watching {
    fn new(engine: Engine) -> Self {
        let clocks = Clocks::new(engine.0.clock.now(), Instant::now());
        Self {
            cancel: engine.0.ending.child_token(),
            engine,
            ways: Arc::default(),
            watched: BTreeMap::new(),
            batch: Batch::default(),
            touched: BTreeSet::new(),
            untold: BTreeSet::new(),
            told_at: Instant::now(),
            paused: false,
            clocks,
            read_at: None,
            flushed_at: Instant::now(),
            // Not at once: a clock that is years ahead is often set right soon after the start.
            forgot_at: Some(Instant::now()),
            sight: 0,
        }
    }

    async fn run(&mut self) {
        let mut events = self.engine.events();
        let mut at_work: JoinSet<Ended> = JoinSet::new();
        loop {
            self.notice_gap();
            if self.read_at.is_none_or(|at| at.elapsed() >= READ_AGAIN) {
                self.read_anew().await;
            }
            let readers = std::mem::take(&mut *lock(&self.engine.0.watch.readers));
            if !self.batch.checks.is_empty() && (self.flushed_at.elapsed() >= FLUSH || !readers.is_empty()) {
                self.flush().await;
            }
            for reader in readers {
                let _ = reader.send(());
            }
            self.tell();
            self.forget().await;
            let wait = self.begin_what_is_due(&mut at_work);
            tokio::select! {
                () = self.engine.0.ending.cancelled() => break,
                () = self.engine.0.watch.changed.notified() => self.read_at = None,
                () = self.engine.0.watch.read.notified() => {}
                Some(ended) = at_work.join_next() => match ended {
                    Ok(ended) => {
                        // Its time may have run out while this machine slept.
                        self.notice_gap();
                        self.take(ended).await;
                    }
                    // A panic of ours: whichever it was is asked again.
                    Err(error) => {
                        tracing::error!(%error, "a check died");
                        self.lose_sight(Blind::NotRunning, self.engine.0.clock.now());
                    }
                },
                servers = changed(&mut events) => {
                    if servers {
                        self.ways.clear();
                    }
                    self.read_at = None;
                }
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.cancel.cancel();
        while at_work.join_next().await.is_some() {}
        let now = self.engine.0.clock.now();
        for watched in self.watched.values_mut() {
            let settled = watched.follower.settle(now);
            self.batch
                .stretches
                .extend(settled.into_iter().map(|stretch| (watched.watch, stretch)));
        }
        self.flush().await;
    }

    /// Nothing can be said of the time in which this machine slept.
    fn notice_gap(&mut self) {
        let now = self.engine.0.clock.now();
        if let Some(from) = self.clocks.look(now, Instant::now()) {
            tracing::info!(%from, %now, "nobody was awake in between, or the clock was set");
            self.ways.clear();
            self.forgot_at = Some(Instant::now());
            self.lose_sight(Blind::Asleep, from);
            self.read_at = None;
            let engine = self.engine.clone();
            self.engine.spawn(async move { engine.hurry_outbox().await });
        }
    }

    fn lose_sight(&mut self, why: Blind, from: Timestamp) {
        self.sight += 1;
        let (at, now) = (self.engine.0.clock.now(), Instant::now());
        for watched in self.watched.values_mut() {
            watched.at_work = false;
            if !watched.rule.enabled {
                continue;
            }
            let settled = watched.lost_sight(why, from, at, now);
            self.batch
                .stretches
                .extend(settled.into_iter().map(|stretch| (watched.watch, stretch)));
            self.touched.insert(watched.id.clone());
            self.untold.insert(watched.id.clone());
        }
    }

    /// Reads what is watched, and how.
    async fn read_anew(&mut self) {
        self.read_at = Some(Instant::now());
        let at = self.engine.0.clock.now();
        let read = self
            .engine
            .0
            .store
            .write(move |tx| Ok((rows::read(tx, at)?, settings::paused_until(tx)?)))
            .await;
        let (rows, paused_until) = match read {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(%error, "what is watched could not be read");
                return;
            }
        };
        let now = Instant::now();
        let mut gone: BTreeSet<DatabaseId> = self.watched.keys().cloned().collect();
        for row in rows {
            gone.remove(&row.database.id);
            self.adopt(row, at, now);
        }
        for id in gone {
            if let Some(mut watched) = self.watched.remove(&id) {
                let settled = watched.follower.leave(at);
                self.batch
                    .stretches
                    .extend(settled.into_iter().map(|stretch| (watched.watch, stretch)));
            }
        }
        let paused = paused_until.is_some_and(|until| until > at);
        if paused != self.paused {
            self.paused = paused;
            self.lose_sight(Blind::Paused, at);
        }
        for id in std::mem::take(&mut *lock(&self.engine.0.watch.wishes)) {
            if let Some(watched) = self.watched.get_mut(&id) {
                watched.due = now;
            }
        }
    }

    fn adopt(&mut self, row: Row, at: Timestamp, now: Instant) {
        let mut settled = Vec::new();
        let watched = self.watched.entry(row.database.id.clone()).or_insert_with(|| {
            let mut watched = Watched {
                watch: row.watch.number,
                id: row.database.id.clone(),
                name: row.database.name.clone(),
                server: row.database.server_id.clone(),
                rule: row.rule.clone(),
                // What it was while Howdah did not run is not known.
                standing: Standing {
                    down_since: row.watch.standing.and_then(|standing| standing.down_since),
                    ..Standing::new(at)
                },
                follower: Follower::default(),
                last: row.watch.last.clone(),
                place: None,
                owes: false,
                slow: 0,
                maintenance: false,
                due: now,
                at_work: false,
            };
            watched.spread(now);
            watched
        });
        watched.name.clone_from(&row.database.name);
        if watched.rule != row.rule {
            let was_on = watched.rule.enabled;
            watched.rule = row.rule;
            watched.due = now;
            if was_on && !watched.rule.enabled {
                settled.extend(watched.follower.leave(at));
                watched.standing = Standing::new(at);
            }
            self.touched.insert(watched.id.clone());
            self.untold.insert(watched.id.clone());
        }
        let maintained = row.windows.iter().any(|window| window.covers(at));
        if maintained != watched.maintenance && watched.rule.enabled {
            settled.extend(watched.set_maintenance(maintained, at));
            self.touched.insert(watched.id.clone());
            self.untold.insert(watched.id.clone());
        }
        self.batch
            .stretches
            .extend(settled.into_iter().map(|stretch| (watched.watch, stretch)));
    }

    /// Begins the checks that are due, and answers how long to wait for the next.
    fn begin_what_is_due(&mut self, at_work: &mut JoinSet<Ended>) -> Duration {
        let now = Instant::now();
        let mut wait = LOOK_AGAIN;
        if !self.batch.checks.is_empty() {
            wait = wait.min(FLUSH.saturating_sub(self.flushed_at.elapsed()));
        }
        if !self.untold.is_empty() {
            wait = wait.min(TELL.saturating_sub(self.told_at.elapsed()));
        }
        if self.paused {
            return wait;
        }
        let mut room = AT_ONCE.saturating_sub(at_work.len());
        for watched in self.watched.values_mut() {
            if watched.at_work || !watched.rule.enabled {
                continue;
            }
            let left = watched.due.saturating_duration_since(now);
            if !left.is_zero() {
                wait = wait.min(left);
                continue;
            }
            if room == 0 {
                // The end of a check wakes this loop.
                continue;
            }
            room -= 1;
            watched.at_work = true;
            let (engine, ways, cancel) = (self.engine.clone(), Arc::clone(&self.ways), self.cancel.clone());
            let (id, server, name) = (watched.id.clone(), watched.server.clone(), watched.name.clone());
            let (rule, sight) = (watched.rule.clone(), self.sight);
            at_work.spawn(async move {
                let finding = probe(&engine, &ways, &server, &name, &rule, &cancel).await;
                Ended { id, finding, sight }
            });
        }
        wait
    }

    /// Takes in the end of a check.
    async fn take(&mut self, ended: Ended) {
        if ended.sight != self.sight || self.cancel.is_cancelled() {
            return;
        }
        let (at, now) = (self.engine.0.clock.now(), Instant::now());
        let Some(watched) = self.watched.get_mut(&ended.id) else {
            return;
        };
        let effect = watched.take(&ended.finding, at, now);
        let (connect_us, answer_us) = match (&ended.finding, &watched.last) {
            (Finding::Good(_), Some(last)) => (last.connect_us, last.answer_us),
            _ => (None, None),
        };
        self.batch.checks.push(Check {
            watch: watched.watch,
            at,
            state: effect.state,
            connect_us,
            answer_us,
            failure: match &ended.finding {
                Finding::Bad { failure, .. } => Some((failure.code, failure_text(failure))),
                Finding::Good(_) | Finding::Unknown(_) => None,
            },
        });
        let watch = watched.watch;
        self.batch
            .stretches
            .extend(effect.stretches.iter().map(|stretch| (watch, *stretch)));
        self.touched.insert(ended.id.clone());
        self.untold.insert(ended.id.clone());
        if let Finding::Bad {
            place: Some(place), ..
        } = &ended.finding
        {
            self.ask_neighbours(&ended.id, place, now);
        }
        self.turn(&ended.id, &effect, at).await;
    }

    /// Others at the same place are asked too, so that it is known together whether they are down.
    fn ask_neighbours(&mut self, id: &DatabaseId, place: &str, now: Instant) {
        let Some((server, pause)) = self.watched.get(id).map(|watched| {
            let pause = watched.due.saturating_duration_since(now);
            (watched.server.clone(), pause)
        }) else {
            return;
        };
        for other in self.watched.values_mut() {
            let near = other.server == server || other.place.as_deref() == Some(place);
            if other.id != *id && near && other.due > now + pause {
                other.due = now + pause.min(Duration::from_secs(1));
            }
        }
    }

    /// Tells how databases stand, and that it changed.
    fn tell(&mut self) {
        if self.untold.is_empty() || self.told_at.elapsed() < TELL {
            return;
        }
        self.told_at = Instant::now();
        let told = std::mem::take(&mut self.untold);
        {
            let mut live = lock(&self.engine.0.watch.live);
            live.retain(|id, _| self.watched.contains_key(id));
            for id in &told {
                if let Some(watched) = self.watched.get(id) {
                    let (standing, last) = (watched.standing, watched.last.clone());
                    live.insert(id.clone(), Live { standing, last });
                }
            }
        }
        self.engine.0.events.send(Event::Health {
            database_ids: told.into_iter().collect(),
        });
    }

    async fn flush(&mut self) {
        self.write(Vec::new()).await;
    }

    /// Writes what was found since the last time, and `work` with it; whether that could be done.
    async fn write(&mut self, work: Vec<Work>) -> bool {
        self.flushed_at = Instant::now();
        let batch = std::mem::take(&mut self.batch);
        let touched = std::mem::take(&mut self.touched);
        let remembered: Vec<_> = touched
            .iter()
            .filter_map(|id| self.watched.get(id))
            .map(|watched| (watched.watch, watched.standing, watched.last.clone()))
            .collect();
        let kept = batch.clone();
        let written = self
            .engine
            .0
            .store
            .write(move |tx| {
                checks::record(tx, &batch)?;
                for (watch, standing, last) in &remembered {
                    match watches::remember(tx, *watch, standing, last.as_ref()) {
                        // It was removed meanwhile.
                        Ok(()) | Err(howdah_store::Error::NotFound(_)) => {}
                        Err(error) => return Err(error),
                    }
                }
                let mut told = false;
                for each in work {
                    told |= each(tx)?;
                }
                Ok(told)
            })
            .await;
        match written {
            Ok(told) => {
                if told {
                    self.engine.told();
                }
                true
            }
            Err(error) => {
                tracing::error!(%error, "what checks found could not be written yet");
                self.put_back(kept, touched);
                false
            }
        }
    }

    /// A full disk: what was found is kept for the next try, as much as memory should hold.
    fn put_back(&mut self, batch: Batch, touched: BTreeSet<DatabaseId>) {
        const MOST: usize = 20_000;
        self.batch = batch;
        self.batch.checks.truncate(MOST);
        self.batch.stretches.truncate(MOST);
        self.touched = touched;
    }

    async fn forget(&mut self) {
        if self.forgot_at.is_some_and(|at| at.elapsed() < FORGET) {
            return;
        }
        self.forgot_at = Some(Instant::now());
        let now = self.engine.0.clock.now();
        let forgotten = self.engine.0.store.write(move |tx| checks::prune(tx, now)).await;
        match forgotten {
            // More is left: the next round goes on with it.
            Ok(true) => self.forgot_at = None,
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "old checks could not be forgotten"),
        }
    }
}

/// What goes along with a write; whether it has something to tell.
type Work = Box<dyn FnOnce(&Connection) -> howdah_store::Result<bool> + Send>;

/// What was said, for the record of checks.
fn failure_text(failure: &Failure) -> String {
    match &failure.details {
        Some(details) if !failure.message.contains(details.as_str()) => {
            format!("{}\n{details}", failure.message)
        }
        _ => failure.message.clone(),
    }
}

/// Waits until servers, the keyring or the pause may have changed; whether it may be one of the first two.
async fn changed(events: &mut tokio::sync::broadcast::Receiver<Event>) -> bool {
    let mut servers = false;
    events::any(events, Duration::ZERO, |event| match event {
        Some(Event::Databases | Event::Settings) | None => {
            servers = true;
            true
        }
        Some(Event::Scheduler { .. }) => true,
        Some(_) => false,
    })
    .await;
    servers
}
