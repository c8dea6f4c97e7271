//! Databases that answer slowly: told once while it lasts.

use howdah_domain::AlertKind;
use howdah_notify::Message;
use howdah_store::tables::{alerts, watches};
use jiff::Timestamp;

use super::Work;
use super::state::Watched;
use crate::telling::News;

/// Slow answers are told, or are over.
pub(super) fn slowness(watched: &Watched, slow: bool, at: Timestamp) -> Work {
    let (id, name) = (watched.id.clone(), watched.name.clone());
    let took = watched
        .last
        .as_ref()
        .map(|last| u64::from(last.connect_us.unwrap_or(0)) + u64::from(last.answer_us.unwrap_or(0)))
        .unwrap_or_default();
    let limit = watched.rule.slow_after_ms.unwrap_or_default();
    Box::new(move |c| {
        if !slow {
            return match alerts::lasting(c, AlertKind::DatabaseSlow, id.as_str())? {
                Some(alert) => alerts::end(c, &alert.id, at),
                None => Ok(false),
            };
        }
        let message = Message::new(
            AlertKind::DatabaseSlow,
            at,
            format!("{name} answers slowly"),
            format!(
                "The last check took {} ms, and {limit} ms are allowed. The server may be busy, short of memory, or far away.",
                took / 1000
            ),
        );
        let news = News {
            muted: watches::all_muted(c, [&id], at)?,
            ..News::new(message.route(format!("/databases/{id}/availability")))
        };
        news.lasting(id.as_str()).about(Some(&id)).raise(c)
    })
}
