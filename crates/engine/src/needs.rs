//! What needs somebody, on the first page: databases, the keyring, destinations, copies, the recovery kit.

use howdah_domain::drill::REMIND_AFTER_DAYS;
use howdah_domain::{Encryption, Failure, FailureCode, Plan, RunState, WaitReason};
use howdah_store::tables::backups::CopyState;
use howdah_store::tables::channels::Channel;
use howdah_store::tables::destinations::Destination;
use howdah_store::tables::identities::Identity;
use howdah_store::tables::incidents::Incident;
use howdah_store::tables::troubles::TroubledCopies;
use jiff::Timestamp;

use crate::api::{DatabaseStatus, DatabaseSummary, KeyringState, Need, NeedKind, RunView};
use crate::decide::is_overdue;
use crate::engine::Engine;

/// So many attempts at a copy that is owed tell nobody: they take the better part of a day (`decide::next_copy_attempt`), and a
/// destination may be away for a night.
pub(crate) const ATTEMPTS: u32 = 6;

/// A need that is of nothing yet.
const NOTHING: Need = Need {
    kind: NeedKind::NoPlan,
    database_id: None,
    database_name: None,
    destination_id: None,
    destination_name: None,
    run_id: None,
    backup_id: None,
    failure: None,
    since: None,
};

impl Engine {
    /// The keyring needs somebody while a run waits for it.
    pub(crate) async fn keyring_need(&self, active: &[RunView]) -> Option<Need> {
        let waits = |run: &&RunView| {
            run.state
                == RunState::Waiting {
                    reason: WaitReason::Keyring,
                }
        };
        let run = active.iter().find(waits)?;
        let failure = match self.keyring().await {
            KeyringState::Open => return None,
            KeyringState::Locked => howdah_store::Error::KeyringLocked.to_failure(),
            KeyringState::Absent => howdah_store::Error::KeyringAbsent(String::new()).to_failure(),
        };
        Some(Need {
            kind: NeedKind::Keyring,
            database_id: run.database_id.clone(),
            database_name: Some(run.database_name.clone()),
            run_id: Some(run.id.clone()),
            failure: Some(failure),
            since: Some(run.queued_at),
            ..NOTHING
        })
    }
}

/// What a database needs from somebody.
pub(crate) fn of_database(database: &DatabaseSummary, now: Timestamp) -> Option<Need> {
    let last_run = database.last_run.as_ref();
    let last_backup = database.last_backup.as_ref().map(|backup| backup.finished_at);
    let (kind, since) = match database.status {
        DatabaseStatus::Failed => (NeedKind::BackupFailed, last_run.and_then(|run| run.finished_at)),
        DatabaseStatus::Overdue => (NeedKind::Overdue, last_backup),
        DatabaseStatus::Vanished => (NeedKind::DatabaseVanished, None),
        DatabaseStatus::Never => (NeedKind::NeverBackedUp, None),
        DatabaseStatus::Paused if database.plan.is_none() => (NeedKind::NoPlan, None),
        // A run that waits for its next attempt has failed once: the database may be overdue all the same.
        DatabaseStatus::Waiting | DatabaseStatus::Running => {
            let period = database.plan.as_ref()?.schedule.period()?;
            let since = last_backup.filter(|since| is_overdue(*since, period, now))?;
            (NeedKind::Overdue, Some(since))
        }
        DatabaseStatus::Good | DatabaseStatus::Paused => return None,
    };
    let failed = last_run.filter(|_| kind == NeedKind::BackupFailed);
    Some(Need {
        kind,
        database_id: Some(database.id.clone()),
        database_name: Some(database.name.clone()),
        run_id: failed.map(|run| run.id.clone()),
        failure: failed.and_then(|run| run.failure.clone()),
        since,
        ..NOTHING
    })
}

/// What a database's proofs need from somebody: a drill that found something, or none that passed for 90 days.
pub(crate) fn of_proofs(database: &DatabaseSummary, now: Timestamp) -> Option<Need> {
    let backup = database.last_backup.as_ref()?;
    let need = Need {
        database_id: Some(database.id.clone()),
        database_name: Some(database.name.clone()),
        backup_id: Some(backup.id.clone()),
        ..NOTHING
    };
    if let Some(proof) = database.proof.as_ref().filter(|proof| !proof.proved) {
        return Some(Need {
            kind: NeedKind::NotProved,
            run_id: proof.run_id.clone(),
            since: Some(proof.at),
            ..need
        });
    }
    let plan = database.plan.as_ref()?;
    let since = database.proved_at.unwrap_or(plan.created_at);
    let days = now.duration_since(since).as_hours() / 24;
    (days >= REMIND_AFTER_DAYS).then_some(Need {
        kind: NeedKind::Unproved,
        since: database.proved_at,
        ..need
    })
}

/// What a destination needs: its last look found something.
pub(crate) fn of_destination(row: &Destination) -> Option<Need> {
    let failure: Failure = row.failure.clone()?;
    Some(Need {
        kind: NeedKind::Destination,
        destination_id: Some(row.id.clone()),
        destination_name: Some(row.name.clone()),
        failure: Some(failure),
        since: row.checked_at,
        ..NOTHING
    })
}

/// Databases that do not answer.
pub(crate) fn of_incident(incident: &Incident) -> Option<Need> {
    let first = incident
        .databases
        .iter()
        .find(|member| member.left_at.is_none())?;
    let others = incident
        .databases
        .iter()
        .filter(|member| member.left_at.is_none())
        .count()
        - 1;
    Some(Need {
        kind: NeedKind::DatabaseDown,
        database_id: Some(first.database_id.clone()),
        database_name: Some(match others {
            0 => first.name.clone(),
            _ => format!("{} and {others} more", first.name),
        }),
        failure: Some(incident.cause.clone()),
        since: Some(incident.began_at),
        ..NOTHING
    })
}

/// A channel that takes nothing, and will not before somebody does something.
pub(crate) fn of_channel(channel: &Channel) -> Option<Need> {
    let failure = channel.failure.clone().filter(|_| channel.enabled)?;
    let waits = matches!(
        failure.code,
        FailureCode::Unreachable | FailureCode::Timeout | FailureCode::Busy
    );
    (!waits).then_some(Need {
        kind: NeedKind::Channel,
        destination_name: Some(channel.name.clone()),
        failure: Some(failure),
        ..NOTHING
    })
}

/// What copies in trouble need.
pub(crate) fn of_copies(troubled: TroubledCopies) -> Need {
    Need {
        kind: match troubled.state {
            CopyState::Wanted | CopyState::Deleting => NeedKind::CopyOwed,
            CopyState::Present | CopyState::Missing | CopyState::Damaged => NeedKind::CopyLost,
        },
        database_id: Some(troubled.database_id),
        database_name: Some(troubled.database_name),
        destination_id: Some(troubled.destination_id),
        destination_name: Some(troubled.destination_name),
        backup_id: Some(troubled.backup_id),
        failure: troubled.failure,
        since: Some(troubled.since),
        ..NOTHING
    }
}

/// A recovery kit is to be saved once backups are encrypted: without it they, or the settings beside them, are lost with the laptop.
pub(crate) fn of_kit(identities: &[Identity], plans: &[Plan]) -> Option<Need> {
    let own = identities
        .iter()
        .find(|identity| identity.own && identity.kit_saved_at.is_none())?;
    let used = plans.iter().any(|plan| plan.encryption != Encryption::None);
    used.then_some(Need {
        kind: NeedKind::KitUnsaved,
        since: Some(own.created_at),
        ..NOTHING
    })
}

#[cfg(test)]
mod tests {
    use howdah_domain::{RetentionRule, Schedule, Scope, Selection, ServerId};

    use super::*;

    fn plan(encryption: Encryption) -> Plan {
        Plan {
            id: howdah_domain::PlanId::from_text("p"),
            server_id: ServerId::from_text("s"),
            scope: Scope::Database { name: "shop".into() },
            selection: Selection::default(),
            globals: true,
            schedule: Schedule::Manual,
            time_zone: "UTC".into(),
            destinations: Vec::new(),
            encryption,
            retention: RetentionRule::default(),
            drill: howdah_domain::DrillRule::default(),
            conditions: howdah_domain::Conditions::default(),
            level: 3,
            enabled: true,
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_kit_is_asked_for_while_backups_are_encrypted_and_nobody_saved_it() {
        let mut own = Identity {
            recipient: "age1own".into(),
            secret_reference: "identity-age1own".into(),
            own: true,
            created_at: Timestamp::UNIX_EPOCH,
            kit_saved_at: None,
            kit_tested_at: None,
        };
        let to = |key: &str| {
            plan(Encryption::Keys {
                recipients: vec![key.into()],
            })
        };
        let kind = |identities: &[Identity], plans: &[Plan]| of_kit(identities, plans).map(|need| need.kind);
        assert_eq!(kind(&[own.clone()], &[]), None);
        assert_eq!(kind(&[own.clone()], &[plan(Encryption::None)]), None);
        // The settings that lie beside them are encrypted to this machine's key all the same.
        assert_eq!(
            kind(&[own.clone()], &[to("age1other")]),
            Some(NeedKind::KitUnsaved)
        );
        assert_eq!(kind(&[own.clone()], &[to("age1own")]), Some(NeedKind::KitUnsaved));
        own.kit_saved_at = Some(Timestamp::UNIX_EPOCH);
        assert_eq!(kind(&[own], &[to("age1own")]), None);
    }
}
