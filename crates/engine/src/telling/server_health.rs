//! What looks into servers found that somebody should know of, as conditions that last.

use howdah_domain::units::duration;
use howdah_domain::{AlertKind, Server};
use howdah_notify::Message;
use howdah_store::tables::{server_facts, servers};
use jiff::{SignedDuration, Timestamp};

use super::News;
use super::conditions::Found;

/// What was found longer ago says nothing of now.
const FRESH: SignedDuration = SignedDuration::from_hours(3);

/// What is found of all servers.
pub(super) fn found(c: &howdah_store::Connection, now: Timestamp) -> howdah_store::Result<Vec<Found>> {
    let mut found = Vec::new();
    for row in servers::list(c)? {
        let server = row.server;
        let Some(facts) = server_facts::get(c, &server.id)? else {
            continue;
        };
        let name = &server.name;
        if now.duration_since(facts.at) > FRESH {
            for kind in [
                AlertKind::ConnectionsHigh,
                AlertKind::TransactionIdsLow,
                AlertKind::CertificateExpiring,
            ] {
                found.push(Found::Unclear(kind, server.id.to_string()));
            }
            continue;
        }
        if facts.connections_are_high() {
            found.push(holds(
                AlertKind::ConnectionsHigh,
                &server,
                now,
                format!("{name} has nearly no connections left"),
                format!(
                    "{} of {} connections are taken. When none is left, applications and backups are refused: close what is idle, \
                     put a pooler in front, or raise max_connections.",
                    facts.connections, facts.max_connections
                ),
            ));
        }
        if facts.transactions_are_low() {
            found.push(holds(
                AlertKind::TransactionIdsLow,
                &server,
                now,
                format!("{name} runs out of transaction ids"),
                format!(
                    "About {} million transactions are left before it refuses to write. VACUUM cannot freeze old rows: look for a \
                     transaction that has been open for days, a prepared one, a replication slot that nobody reads, or a table whose \
                     autovacuum is off; then run VACUUM FREEZE.",
                    facts.transactions_left.unwrap_or_default() / 1_000_000
                ),
            ));
        }
        if let Some(left) = facts.certificate_expires_soon(now) {
            let title = if left.is_negative() {
                format!("The certificate of {name} has expired")
            } else {
                format!(
                    "The certificate of {name} expires in {}",
                    duration(left.unsigned_abs())
                )
            };
            found.push(holds(
                AlertKind::CertificateExpiring,
                &server,
                now,
                title,
                "Clients that check it will refuse to connect, Howdah's backups too. Renew it on the server, and reload its settings.".to_owned(),
            ));
        }
    }
    Ok(found)
}

fn holds(kind: AlertKind, server: &Server, now: Timestamp, title: String, body: String) -> Found {
    let message = Message::new(kind, now, title, body).route("/databases");
    Found::Holds(Box::new(News::new(message).lasting(server.id.to_string())))
}
