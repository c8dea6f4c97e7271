//! A database's availability as the window shows it, and what the user says about its checks.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use howdah_domain::check::{Blind, CheckRule, INTERVALS};
use howdah_domain::{DatabaseId, Failure, FailureCode, IncidentId, MaintenanceId};
use howdah_store::Connection;
use howdah_store::tables::availability;
use howdah_store::tables::incidents::{self, Incident};
use howdah_store::tables::maintenance::{self, Maintenance};
use howdah_store::tables::watches::{self, Watch};
use howdah_store::tables::{alerts, databases, server_facts, servers};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::broadcast::error::RecvError;

use super::probe::{Finding, probe};
use super::ways::Ways;
use super::{Live, csv};
use crate::api::{
    Availability, AvailabilityRequest, Bar, Bucket, Event, HealthState, HealthView, IncidentView,
    MaintenanceView, Span, Uptime, WatchPage,
};
use crate::engine::{Engine, OrFailure, lock};
use crate::random;

/// Incidents of a page.
const INCIDENTS: u32 = 200;

/// Buckets of the bar in lists: half an hour each.
const BAR: (i64, usize) = (30 * 60 * 1000, 48);

/// How long a check on demand is waited for beyond its own limit.
const PATIENCE: Duration = Duration::from_secs(10);

/// A check that is later than its interval and this means that nobody checks.
const LATE: SignedDuration = SignedDuration::from_secs(90);

impl Engine {
    /// What the page of a database's availability shows beside a stretch of time.
    pub async fn watch_page(&self, id: &DatabaseId) -> Result<WatchPage, Failure> {
        let (id, now) = (id.clone(), self.0.clock.now());
        let live = self.0.watch.live();
        self.0
            .store
            .read(move |c| {
                let Some(database) = databases::get(c, &id)? else {
                    return Ok(None);
                };
                let Some(server) = servers::get(c, &database.server_id)? else {
                    return Ok(None);
                };
                let watch = watches::get(c, &id)?;
                let windows = maintenance::list(c)?;
                let uptimes = match &watch {
                    Some(watch) => availability::uptimes(c, watch.number, now)?
                        .iter()
                        .zip(Span::ALL)
                        .map(|(time, span)| Uptime {
                            span,
                            uptime: time.uptime(),
                        })
                        .collect(),
                    None => Vec::new(),
                };
                Ok(Some(WatchPage {
                    environment: database.environment.unwrap_or(server.server.environment),
                    server_name: server.server.name,
                    rule: watch
                        .as_ref()
                        .and_then(|watch| watch.rule.clone())
                        .unwrap_or_default(),
                    health: health_view(watch.as_ref(), live.get(&id), &windows, &id, now),
                    watched_since: watch.as_ref().and_then(|watch| watch.watched_since),
                    uptimes,
                    incident: incidents::open_of_database(c, &id)?.map(incident_view),
                    maintenance: windows
                        .into_iter()
                        .filter(|window| window.databases.is_empty() || window.databases.contains(&id))
                        .filter(|window| !window.when.has_passed(now))
                        .map(maintenance_view)
                        .collect(),
                    server: server_facts::get(c, &database.server_id)?,
                    name: database.name,
                    database_id: id,
                }))
            })
            .await
            .or_failure()?
            .ok_or_else(gone)
    }

    /// A database's availability in a stretch of time, in no more buckets than are asked for.
    pub async fn availability(&self, request: AvailabilityRequest) -> Result<Availability, Failure> {
        let now = self.0.clock.now();
        let to = request.to.min(now);
        if request.from >= to || !(1..=2000).contains(&request.points) {
            return Err(Failure::new(
                FailureCode::InvalidInput,
                "A stretch of time needs a beginning before its end, and 1 to 2000 points.",
            ));
        }
        self.settle_checks().await;
        let bucket_ms = bucket_ms(request.from, to, request.points);
        // Buckets begin at whole multiples of their length, so that the same time is always in the same one.
        let from_ms = request.from.as_millisecond().div_euclid(bucket_ms) * bucket_ms;
        let from = Timestamp::from_millisecond(from_ms).unwrap_or(request.from);
        let id = request.database_id;
        self.0
            .store
            .read(move |c| {
                let sums = match watches::get(c, &id)? {
                    Some(watch) => availability::availability(c, watch.number, from, to, bucket_ms, now)?,
                    None => Vec::new(),
                };
                let mut total = howdah_domain::availability::TimeIn::default();
                for sum in &sums {
                    total.add(&sum.time);
                }
                let millis = |micros: Option<u32>| micros.map(|micros| f64::from(micros) / 1000.0);
                Ok(Availability {
                    from,
                    to,
                    bucket_ms,
                    buckets: sums
                        .iter()
                        .map(|sum| Bucket {
                            time: sum.time,
                            median_ms: millis(sum.latencies.percentile(0.5)),
                            p95_ms: millis(sum.latencies.percentile(0.95)),
                        })
                        .collect(),
                    total,
                    uptime: total.uptime(),
                    incidents: incidents::list(c, Some(&id), from, to, INCIDENTS)?
                        .into_iter()
                        .map(incident_view)
                        .collect(),
                })
            })
            .await
            .or_failure()
    }

    /// Asks a database now, and answers how it stands then.
    pub async fn check_now(&self, id: &DatabaseId) -> Result<HealthView, Failure> {
        let rule = self.check_rule(id).await?;
        if !self.owns_schedule() {
            return self.try_check(id, rule).await;
        }
        let mut events = self.events();
        let asked = self.0.clock.now();
        lock(&self.0.watch.wishes).insert(id.clone());
        self.0.watch.changed.notify_one();
        let limit = Duration::from_secs(u64::from(rule.timeout_seconds)) + PATIENCE;
        let answered = async {
            loop {
                match events.recv().await {
                    Ok(Event::Health { database_ids }) if database_ids.contains(id) => {}
                    Ok(_) => continue,
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                }
                let health = self.watch_page(id).await.map(|page| page.health);
                if !matches!(&health, Ok(health) if health.checked_at.is_none_or(|at| at < asked)) {
                    return;
                }
            }
        };
        // Where nothing comes (checks are paused, or this machine is offline), how it stands says so.
        drop(tokio::time::timeout(limit, answered).await);
        Ok(self.watch_page(id).await?.health)
    }

    /// Tries a rule out, and writes nothing down.
    pub async fn try_check(&self, id: &DatabaseId, rule: CheckRule) -> Result<HealthView, Failure> {
        validate(&rule)?;
        let wanted = id.clone();
        let database = self
            .0
            .store
            .read(move |c| databases::get(c, &wanted))
            .await
            .or_failure()?
            .ok_or_else(gone)?;
        let ways = Ways::default();
        let cancel = self.0.ending.child_token();
        let found = probe(self, &ways, &database.server_id, &database.name, &rule, &cancel).await;
        let at = self.0.clock.now();
        let millis = |time: Duration| Some(time.as_secs_f64() * 1000.0);
        let (state, connect_ms, answer_ms, failure) = match found {
            Finding::Good(answered) => {
                let took = (answered.connect + answered.answer).as_millis();
                let slow = rule.slow_after_ms.is_some_and(|limit| took > u128::from(limit));
                let state = if slow { HealthState::Slow } else { HealthState::Up };
                (state, millis(answered.connect), millis(answered.answer), None)
            }
            Finding::Bad { failure, .. } => {
                let of = rule.failures.max(1);
                (HealthState::Failing { times: 1, of }, None, None, Some(failure))
            }
            Finding::Unknown(why) => (HealthState::NoData { why }, None, None, None),
        };
        Ok(HealthView {
            state,
            since: at,
            checked_at: Some(at),
            connect_ms,
            answer_ms,
            failure,
            muted_until: None,
        })
    }

    /// Changes how a database is checked.
    pub async fn save_check_rule(&self, id: &DatabaseId, mut rule: CheckRule) -> Result<(), Failure> {
        let blank = |text: &Option<String>| text.as_ref().is_some_and(|text| text.trim().is_empty());
        if blank(&rule.sql) {
            rule.sql = None;
        }
        validate(&rule)?;
        self.change_watch(id, move |c, id| {
            watches::ensure(c, id)?;
            watches::set_rule(c, id, Some(&rule))
        })
        .await
    }

    /// Lets nobody be told of a database's checks until then; none ends that.
    pub async fn mute(&self, id: &DatabaseId, until: Option<Timestamp>) -> Result<(), Failure> {
        self.change_watch(id, move |c, id| {
            watches::ensure(c, id)?;
            watches::mute(c, id, until)
        })
        .await
    }

    async fn change_watch(
        &self,
        id: &DatabaseId,
        change: impl FnOnce(&Connection, &DatabaseId) -> howdah_store::Result<()> + Send + 'static,
    ) -> Result<(), Failure> {
        let changed = id.clone();
        self.0
            .store
            .write(move |tx| match databases::get(tx, &changed)? {
                Some(_) => change(tx, &changed),
                None => Err(howdah_store::Error::NotFound("database")),
            })
            .await
            .or_failure()?;
        self.0.watch.changed.notify_one();
        self.0.events.send(Event::Health {
            database_ids: vec![id.clone()],
        });
        Ok(())
    }

    /// Adds a maintenance window, or changes one.
    pub async fn save_maintenance(&self, window: MaintenanceView) -> Result<MaintenanceView, Failure> {
        window.when.validate()?;
        let row = Maintenance {
            id: window
                .id
                .unwrap_or_else(|| MaintenanceId::from_random(random::bytes())),
            databases: window.databases,
            when: window.when,
            note: window.note,
            created_at: self.0.clock.now(),
        };
        let kept = row.clone();
        self.0
            .store
            .write(move |tx| maintenance::put(tx, &kept))
            .await
            .or_failure()?;
        self.tell_watch();
        Ok(maintenance_view(row))
    }

    /// Removes a maintenance window.
    pub async fn remove_maintenance(&self, id: &MaintenanceId) -> Result<(), Failure> {
        let id = id.clone();
        self.0
            .store
            .write(move |tx| maintenance::remove(tx, &id))
            .await
            .or_failure()?;
        self.tell_watch();
        Ok(())
    }

    fn tell_watch(&self) {
        self.0.watch.changed.notify_one();
        self.0.events.send(Event::Health {
            database_ids: Vec::new(),
        });
    }

    /// Writes something about an incident; an empty text takes away what was there.
    pub async fn note_incident(&self, id: &IncidentId, note: &str) -> Result<(), Failure> {
        let (id, note) = (id.clone(), note.trim().to_owned());
        let note = (!note.is_empty()).then_some(note);
        self.0
            .store
            .write(move |tx| incidents::set_note(tx, &id, note.as_deref()))
            .await
            .or_failure()?;
        self.tell_watch();
        Ok(())
    }

    /// Somebody knows of an incident: it is not told again.
    pub async fn acknowledge_incident(&self, id: &IncidentId) -> Result<(), Failure> {
        let (id, now) = (id.clone(), self.0.clock.now());
        self.0
            .store
            .write(move |tx| {
                incidents::acknowledge(tx, &id, Some(now))?;
                match alerts::lasting(tx, howdah_domain::AlertKind::DatabaseDown, id.as_str())? {
                    Some(alert) => alerts::acknowledge(tx, &alert.id, now),
                    None => Ok(()),
                }
            })
            .await
            .or_failure()?;
        self.tell_watch();
        self.0.events.send(Event::Notifications);
        Ok(())
    }

    /// Writes what is kept of a database's checks into a CSV file: checks, and beyond the last days their sums by the hour and day.
    pub async fn export_checks(
        &self,
        id: &DatabaseId,
        from: Timestamp,
        to: Timestamp,
        file: &Path,
    ) -> Result<(), Failure> {
        self.settle_checks().await;
        let (id, file, now) = (id.clone(), file.to_owned(), self.0.clock.now());
        self.0
            .store
            .read(move |c| Ok(csv::write(c, &id, from, to, now, &file)))
            .await
            .or_failure()?
    }

    /// What was found up to now is written, where this process is the one that checks.
    async fn settle_checks(&self) {
        if self.owns_schedule() {
            self.0.watch.settle().await;
        }
    }

    async fn check_rule(&self, id: &DatabaseId) -> Result<CheckRule, Failure> {
        let id = id.clone();
        let watch = self
            .0
            .store
            .read(move |c| watches::get(c, &id))
            .await
            .or_failure()?;
        Ok(watch.and_then(|watch| watch.rule).unwrap_or_default())
    }
}

/// How every database stands, and its last 24 hours.
pub(crate) fn all(
    c: &Connection,
    live: &HashMap<DatabaseId, Live>,
    now: Timestamp,
) -> howdah_store::Result<HashMap<DatabaseId, (HealthView, Option<Bar>)>> {
    let windows = maintenance::list(c)?;
    let mut bars = availability::bars(c, now, BAR.0, BAR.1)?;
    Ok(watches::list(c)?
        .into_iter()
        .map(|watch| {
            let bar = bars.times.remove(&watch.database_id).map(|buckets| {
                let mut total = howdah_domain::availability::TimeIn::default();
                for time in &buckets {
                    total.add(time);
                }
                Bar {
                    from: bars.from,
                    bucket_ms: bars.bucket_ms,
                    buckets,
                    uptime: total.uptime(),
                }
            });
            let health = health_view(
                Some(&watch),
                live.get(&watch.database_id),
                &windows,
                &watch.database_id,
                now,
            );
            (watch.database_id, (health, bar))
        })
        .collect())
}

/// How a database stands: now, where this process watches it, else as far as the store knows.
fn health_view(
    watch: Option<&Watch>,
    live: Option<&Live>,
    windows: &[Maintenance],
    id: &DatabaseId,
    now: Timestamp,
) -> HealthView {
    let unseen = HealthState::NoData {
        why: Blind::NotRunning,
    };
    let Some(watch) = watch else {
        return HealthView {
            state: unseen,
            since: now,
            checked_at: None,
            connect_ms: None,
            answer_ms: None,
            failure: None,
            muted_until: None,
        };
    };
    let rule = watch.rule.clone().unwrap_or_default();
    let last = live.and_then(|live| live.last.as_ref()).or(watch.last.as_ref());
    let standing = live.map(|live| live.standing).or(watch.standing);
    let maintained = windows.iter().any(|window| {
        (window.databases.is_empty() || window.databases.contains(id)) && window.when.covers(now)
    });
    let (mut state, mut since) = match &standing {
        Some(standing) => (HealthState::from(standing.health), standing.since),
        None => (unseen, now),
    };
    if let Some(last) = last {
        let interval = SignedDuration::from_secs(i64::from(rule.interval_seconds + rule.timeout_seconds));
        let unseen_already = matches!(state, HealthState::NoData { .. });
        if live.is_none() && !unseen_already && now.duration_since(last.at) > interval + LATE {
            (state, since) = (unseen, last.at);
        }
    }
    if maintained {
        state = HealthState::Maintenance;
    }
    if !rule.enabled {
        state = HealthState::Off;
    }
    let millis = |micros: Option<u32>| micros.map(|micros| f64::from(micros) / 1000.0);
    HealthView {
        state,
        since,
        checked_at: last.map(|last| last.at),
        connect_ms: last.and_then(|last| millis(last.connect_us)),
        answer_ms: last.and_then(|last| millis(last.answer_us)),
        failure: last.and_then(|last| last.failure.clone()),
        muted_until: watch.muted_until.filter(|until| *until > now),
    }
}

/// How long a bucket is, so that there are at most so many: a length that divides the hour, or is whole hours.
fn bucket_ms(from: Timestamp, to: Timestamp, points: u32) -> i64 {
    const MINUTE: i64 = 60_000;
    const LENGTHS: [i64; 18] = [
        1_000,
        5_000,
        15_000,
        30_000,
        MINUTE,
        2 * MINUTE,
        5 * MINUTE,
        10 * MINUTE,
        15 * MINUTE,
        30 * MINUTE,
        60 * MINUTE,
        2 * 60 * MINUTE,
        3 * 60 * MINUTE,
        4 * 60 * MINUTE,
        6 * 60 * MINUTE,
        8 * 60 * MINUTE,
        12 * 60 * MINUTE,
        24 * 60 * MINUTE,
    ];
    let span = (to.as_millisecond() - from.as_millisecond()).max(1);
    // One more than fits may be touched at both ends.
    let points = i64::from(points).saturating_sub(1).max(1);
    let least = (span + points - 1) / points;
    match LENGTHS.into_iter().find(|length| *length >= least) {
        Some(length) => length,
        None => {
            let day = LENGTHS[LENGTHS.len() - 1];
            (least + day - 1) / day * day
        }
    }
}

fn incident_view(incident: Incident) -> IncidentView {
    let several = incident.databases.len() > 1;
    IncidentView {
        place: several.then(|| super::incidents::spot(&incident).to_owned()),
        databases: super::incidents::names(&incident)
            .into_iter()
            .map(str::to_owned)
            .collect(),
        id: incident.id,
        began_at: incident.began_at,
        ended_at: incident.ended_at,
        cause: incident.cause,
        note: incident.note,
        acknowledged_at: incident.acknowledged_at,
    }
}

fn maintenance_view(row: Maintenance) -> MaintenanceView {
    MaintenanceView {
        id: Some(row.id),
        databases: row.databases,
        when: row.when,
        note: row.note,
    }
}

fn gone() -> Failure {
    Failure::new(
        FailureCode::NotFound,
        "Howdah does not look after this database any more.",
    )
}

fn validate(rule: &CheckRule) -> Result<(), Failure> {
    let refused = |what: &str| Err(Failure::new(FailureCode::InvalidInput, what));
    if !INTERVALS.contains(&rule.interval_seconds) {
        return refused("A database can be checked every 10 seconds to every 24 hours.");
    }
    if !(1..=300).contains(&rule.timeout_seconds) {
        return refused("A check may take 1 to 300 seconds.");
    }
    if !(1..=100).contains(&rule.failures) {
        return refused("A database is down after 1 to 100 failures in a row.");
    }
    if rule.slow_after_ms == Some(0) {
        return refused("An answer cannot be quicker than 0 ms: leave the limit empty for none.");
    }
    Ok(())
}
