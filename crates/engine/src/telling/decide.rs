//! When a message is tried again, when it is given up, and what of many messages becomes one. Pure decisions.

use std::time::Duration;

use howdah_domain::units::counted;
use howdah_domain::{AlertKind, ChannelKind, Severity};
use howdah_notify::{Message, Subject};
use howdah_store::tables::alerts::Alert;
use howdah_store::tables::deliveries::{Delivery, State};
use jiff::{SignedDuration, Timestamp};

/// A message that a service does not take is given up after this.
const PATIENCE: SignedDuration = SignedDuration::from_hours(24);

/// One that could not reach its service at all is kept longer: this machine may be offline for days.
const PATIENCE_OFFLINE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Between two tries, at most; where nobody was reached, at most.
const LONGEST: (Duration, Duration) = (Duration::from_secs(30 * 60), Duration::from_secs(5 * 60));

/// Between the first try and the second.
const FIRST: Duration = Duration::from_secs(15);

/// Messages that have waited longer than this become one.
const STALE: SignedDuration = SignedDuration::from_secs(120);

/// So many messages that wait become one, however young they are.
const MANY: usize = 6;

/// Titles that such a message lists.
const LISTED: usize = 30;

/// When a message is tried again after a failure; none is never. `attempts` are those before it, `after` is what the service asks for.
pub(crate) fn next_try(
    delivery: &Delivery,
    reached: bool,
    after: Option<Duration>,
    now: Timestamp,
) -> Option<Timestamp> {
    let patience = if reached { PATIENCE } else { PATIENCE_OFFLINE };
    let longest = if reached { LONGEST.0 } else { LONGEST.1 };
    let pause = after.unwrap_or_else(|| FIRST.saturating_mul(1 << delivery.attempts.min(16)).min(longest));
    let at = now.checked_add(SignedDuration::try_from(pause).ok()?).ok()?;
    let given_up = delivery.created_at.checked_add(patience).ok()?;
    (at <= given_up).then_some(at)
}

/// What a channel is to be sent next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parcel {
    /// The messages of the outbox that it stands for, the one that carries it first.
    pub(crate) numbers: Vec<i64>,
    /// What is sent.
    pub(crate) message: Message,
}

/// What is next for a channel, and which messages are of no use any more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Next {
    /// To be sent now.
    pub(crate) parcel: Option<Parcel>,
    /// To be let go.
    pub(crate) stale: Vec<i64>,
    /// When to look again.
    pub(crate) later: Option<Timestamp>,
}

/// Decides on what waits for a channel, in its order.
///
/// A message that failed holds back those after it. One that waits for the end of quiet hours holds back nobody.
pub(crate) fn next(channel: ChannelKind, waiting: &[(Delivery, Alert)], now: Timestamp) -> Next {
    let mut next = Next::default();
    let mut due = Vec::new();
    for each in waiting {
        match each.0.next_attempt_at.filter(|at| *at > now) {
            None => due.push(each),
            Some(at) => {
                next.later = Some(next.later.map_or(at, |later: Timestamp| later.min(at)));
                if each.0.attempts > 0 {
                    break;
                }
            }
        }
    }
    if channel == ChannelKind::Ping {
        // Late, a dead man's switch wants to know how a database stands now: of several about the same one, the newest.
        let (mut stale, mut fresh) = (Vec::new(), None);
        for (place, each) in due.iter().enumerate() {
            let superseded = due[place + 1..]
                .iter()
                .any(|later| later.1.databases == each.1.databases);
            if superseded {
                stale.push(each.0.number);
            } else if fresh.is_none() {
                fresh = Some(single(each));
            }
        }
        (next.stale, next.parcel) = (stale, fresh);
        return next;
    }
    let Some(first) = due.first() else {
        return next;
    };
    let waited = now.duration_since(
        first
            .0
            .created_at
            .max(first.0.next_attempt_at.unwrap_or(first.0.created_at)),
    );
    // Those that quiet hours held back come out together.
    let held = due
        .iter()
        .filter(|(delivery, _)| delivery.attempts == 0 && delivery.next_attempt_at.is_some());
    let collapses =
        due.len() > 1 && (waited > STALE || first.0.attempts > 0 || due.len() >= MANY || held.count() > 1);
    next.parcel = Some(if collapses { several(&due) } else { single(first) });
    next
}

fn single((delivery, alert): &(Delivery, Alert)) -> Parcel {
    Parcel {
        numbers: vec![delivery.number],
        message: message(delivery, alert),
    }
}

/// A message of the outbox as it is sent.
pub(crate) fn message(delivery: &Delivery, alert: &Alert) -> Message {
    let mut message = Message {
        id: format!("{}-{}", alert.id, delivery.round),
        kind: alert.kind,
        severity: alert.severity,
        title: alert.title.clone(),
        body: alert.body.clone(),
        details: alert.details.clone(),
        databases: alert
            .databases
            .iter()
            .map(|database| Subject {
                database: database.name.clone(),
                server: database.server.clone(),
                environment: database.environment,
            })
            .collect(),
        at: alert.at,
        route: alert.route.clone(),
        stands_for: 1,
    };
    if delivery.round > 0 {
        message.title = format!("Still: {}", message.title);
    }
    message
}

/// Several as one: the titles in their order, the gravest and newest in full.
fn several(due: &[&(Delivery, Alert)]) -> Parcel {
    let gravest = due
        .iter()
        .max_by_key(|(delivery, alert)| (alert.severity, delivery.number))
        .copied()
        .unwrap_or(due[0]);
    let worst = gravest.1.severity;
    let mut lines = Vec::new();
    let left_out = due.len().saturating_sub(LISTED);
    if left_out > 0 {
        lines.push(format!("… and {left_out} before these"));
    }
    for (_, alert) in &due[left_out..] {
        let over = match (alert.subject.is_some(), alert.ended_at) {
            (true, Some(_)) => " (over by now)",
            _ => "",
        };
        lines.push(format!("{} · {}{over}", utc(alert.at), alert.title));
    }
    let mut body = lines.join("\n");
    if worst > Severity::Info {
        body.push_str("\n\n");
        body.push_str(&gravest.1.title);
        body.push('\n');
        body.push_str(&gravest.1.body);
    }
    let count = u32::try_from(due.len()).unwrap_or(u32::MAX);
    let mut databases: Vec<Subject> = Vec::new();
    for subject in due
        .iter()
        .flat_map(|(delivery, alert)| message(delivery, alert).databases)
    {
        if !databases.contains(&subject) {
            databases.push(subject);
        }
    }
    let mut message = Message::new(
        gravest.1.kind,
        gravest.1.at,
        format!(
            "{} happened meanwhile",
            counted(u64::from(count), "thing", "things")
        ),
        body,
    );
    message.id = format!("{}-{}-{count}", gravest.1.id, gravest.0.round);
    message.severity = worst;
    message.details = gravest.1.details.clone();
    message.databases = databases;
    message.route = Some("/notifications".to_owned());
    message.stands_for = count;
    Parcel {
        numbers: due.iter().map(|(delivery, _)| delivery.number).collect(),
        message,
    }
}

/// A time in a text that travels: with its zone.
fn utc(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Whether something that lasts is told again: only a database that is down is.
pub(crate) fn is_told_again(kind: AlertKind) -> bool {
    kind == AlertKind::DatabaseDown
}

/// Which round is due of something that lasts: so many minutes after the one before it was told, or given up.
pub(crate) fn next_round(newest: &Delivery, minutes: u32, now: Timestamp) -> Option<u32> {
    let told = match newest.state {
        State::Waiting => return None,
        State::Delivered | State::Collapsed => newest.delivered_at?,
        State::Failed => newest.created_at,
    };
    let due = told
        .checked_add(SignedDuration::from_mins(i64::from(minutes)))
        .ok()?;
    (due <= now).then(|| newest.round + 1)
}

#[cfg(test)]
mod tests {
    use howdah_domain::{AlertId, ChannelId, DatabaseId, Environment};
    use howdah_store::tables::alerts::AlertDatabase;
    use rstest::rstest;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn waits(number: i64, kind: AlertKind, since: i64) -> (Delivery, Alert) {
        let id = AlertId::from_text(format!("alert{number}"));
        let delivery = Delivery {
            number,
            alert_id: id.clone(),
            channel_id: ChannelId::from_text("c"),
            round: 0,
            state: State::Waiting,
            attempts: 0,
            created_at: at(since),
            next_attempt_at: None,
            delivered_at: None,
            failure: None,
            remark: None,
        };
        let alert = Alert {
            number,
            id,
            kind,
            severity: kind.severity(),
            subject: None,
            title: format!("title {number}"),
            body: format!("body {number}"),
            details: Some(format!("details {number}")),
            route: None,
            databases: Vec::new(),
            at: at(since),
            ended_at: None,
            acknowledged_at: None,
            muted: false,
        };
        (delivery, alert)
    }

    fn numbers(next: &Next) -> Vec<i64> {
        next.parcel
            .as_ref()
            .map(|parcel| parcel.numbers.clone())
            .unwrap_or_default()
    }

    #[test]
    fn what_comes_at_once_goes_out_one_by_one() {
        let waiting = [
            waits(1, AlertKind::BackupFailed, 0),
            waits(2, AlertKind::DatabaseDown, 1),
        ];
        let next = next(ChannelKind::Email, &waiting, at(2));
        assert_eq!(numbers(&next), [1]);
        assert_eq!(next.parcel.unwrap().message.title, "title 1");
    }

    #[test]
    fn after_a_day_offline_there_is_one_message_with_the_gravest_in_full() {
        let mut waiting: Vec<_> = (1..=50)
            .map(|number| waits(number, AlertKind::BackupSucceeded, number))
            .collect();
        waiting[9] = waits(10, AlertKind::DatabaseDown, 10);
        for (delivery, _) in &mut waiting[..1] {
            delivery.attempts = 300;
            delivery.next_attempt_at = Some(at(80_000));
        }
        let before = next(ChannelKind::Email, &waiting, at(79_000));
        assert_eq!((before.parcel, before.later), (None, Some(at(80_000))));
        let next = next(ChannelKind::Email, &waiting, at(80_001));
        let parcel = next.parcel.unwrap();
        assert_eq!(parcel.numbers.len(), 50);
        assert_eq!(parcel.message.title, "50 things happened meanwhile");
        assert_eq!(parcel.message.severity, Severity::Critical);
        assert_eq!(parcel.message.details.as_deref(), Some("details 10"));
        assert!(
            parcel.message.body.contains("… and 20 before these"),
            "{}",
            parcel.message.body
        );
        assert!(
            parcel.message.body.ends_with("title 10\nbody 10"),
            "{}",
            parcel.message.body
        );
        assert_eq!(parcel.message.stands_for, 50);
    }

    #[test]
    fn a_message_that_failed_holds_back_those_after_it_and_one_in_quiet_hours_does_not() {
        let mut waiting = [
            waits(1, AlertKind::DiskLow, 0),
            waits(2, AlertKind::DatabaseDown, 1),
        ];
        waiting[0].0.next_attempt_at = Some(at(100));
        assert_eq!(numbers(&next(ChannelKind::Slack, &waiting, at(2))), [2]);
        waiting[0].0.attempts = 1;
        assert_eq!(
            numbers(&next(ChannelKind::Slack, &waiting, at(2))),
            Vec::<i64>::new()
        );
    }

    #[test]
    fn a_dead_mans_switch_is_told_the_newest_of_each_database() {
        let of = |database: &str, (delivery, mut alert): (Delivery, Alert)| {
            alert.databases.push(AlertDatabase {
                id: DatabaseId::from_text(database),
                name: database.to_owned(),
                server: "vps".to_owned(),
                environment: Environment::None,
            });
            (delivery, alert)
        };
        let waiting = [
            of("shop", waits(1, AlertKind::BackupStarted, 0)),
            of("shop", waits(2, AlertKind::BackupFailed, 1)),
            of("billing", waits(3, AlertKind::BackupSucceeded, 2)),
        ];
        let first = next(ChannelKind::Ping, &waiting, at(3));
        assert_eq!(
            numbers(&first),
            [2],
            "the failure of one is not lost for another's success"
        );
        assert_eq!(first.stale, [1]);
        assert_eq!(numbers(&next(ChannelKind::Ping, &waiting[2..], at(3))), [3]);
    }

    #[test]
    fn what_is_told_again_says_so() {
        let (mut delivery, alert) = waits(1, AlertKind::DatabaseDown, 0);
        delivery.round = 1;
        let told = message(&delivery, &alert);
        assert_eq!(
            (told.title.as_str(), told.id.as_str()),
            ("Still: title 1", "alert1-1")
        );
    }

    #[rstest]
    #[case::first(0, true, None, 0, Some(15))]
    #[case::doubled(3, true, None, 0, Some(120))]
    #[case::at_most_half_an_hour(60, true, None, 0, Some(1800))]
    #[case::as_asked(0, true, Some(7), 0, Some(7))]
    #[case::offline_sooner(60, false, None, 0, Some(300))]
    #[case::given_up_after_a_day(60, true, None, 86_000, None)]
    #[case::not_while_offline(60, false, None, 86_000, Some(300))]
    #[case::given_up_after_a_week(60, false, None, 604_700, None)]
    #[case::asked_to_wait_for_longer_than_a_day(0, true, Some(90_000), 0, None)]
    fn tries_become_rarer_and_end(
        #[case] attempts: u32,
        #[case] reached: bool,
        #[case] after: Option<u64>,
        #[case] waited: i64,
        #[case] pause: Option<i64>,
    ) {
        let (mut delivery, _) = waits(1, AlertKind::BackupFailed, 0);
        delivery.attempts = attempts;
        let next = next_try(&delivery, reached, after.map(Duration::from_secs), at(waited));
        assert_eq!(next, pause.map(|pause| at(waited + pause)));
    }

    #[test]
    fn what_lasts_is_told_again_so_many_minutes_after_it_was_told() {
        let (mut delivery, _) = waits(1, AlertKind::DatabaseDown, 0);
        assert_eq!(next_round(&delivery, 10, at(10_000)), None, "it was not told yet");
        delivery.state = State::Delivered;
        delivery.delivered_at = Some(at(100));
        assert_eq!(next_round(&delivery, 10, at(699)), None);
        assert_eq!(next_round(&delivery, 10, at(700)), Some(1));
    }
}
