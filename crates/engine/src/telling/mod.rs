//! Telling people: what happened goes into the outbox in the transaction in which it is recorded, and from there to the channels.
//!
//! What lasts (backups that fail, a database that is down) is told once, however often it is found again; [`conditions`] finds most of it in
//! what the store says, so that a death between the one and the other loses nothing. [`outbox`] carries messages out, in each channel's order.

pub(crate) mod channels;
pub(crate) mod conditions;
pub(crate) mod decide;
pub(crate) mod outbox;
mod page;
mod server_health;
pub(crate) mod summary;

use howdah_domain::{AlertId, ChannelId, DatabaseId, Environment, Failure, Severity};
use howdah_notify::{Message, shorten};
use howdah_store::Connection;
use howdah_store::tables::alerts::{self, AlertDatabase, NewAlert};
use howdah_store::tables::{databases, servers};
use jiff::tz::TimeZone;

use crate::api::Event;
use crate::engine::{Engine, OrFailure};
use crate::random;

/// Characters of a technical text that are kept; what matters most is in its last lines.
const DETAILS: usize = 100_000;

/// Something to be told.
#[derive(Debug, Clone)]
pub(crate) struct News {
    /// The words.
    pub(crate) message: Message,
    /// What it is about, of what lasts.
    pub(crate) subject: Option<String>,
    /// The databases concerned.
    pub(crate) databases: Vec<DatabaseId>,
    /// Nobody is to be told: it is muted.
    pub(crate) muted: bool,
    /// What this is the end of.
    pub(crate) ends: Option<AlertId>,
    /// The one channel that it is for.
    pub(crate) only_for: Option<ChannelId>,
    /// It is worth nothing where no channel takes it.
    pub(crate) only_to_tell: bool,
}

impl News {
    /// A moment.
    pub(crate) fn new(message: Message) -> Self {
        Self {
            message,
            subject: None,
            databases: Vec::new(),
            muted: false,
            ends: None,
            only_for: None,
            only_to_tell: false,
        }
    }

    /// It lasts, and is about that.
    pub(crate) fn lasting(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// A database that it is about.
    pub(crate) fn about(mut self, database: Option<&DatabaseId>) -> Self {
        self.databases.extend(database.cloned());
        self
    }

    /// Less, or more, grave than its kind is.
    pub(crate) fn severity(mut self, severity: Severity) -> Self {
        self.message.severity = severity;
        self
    }

    /// Records it, with what is to be sent. False where it lasts already.
    pub(crate) fn raise(self, connection: &Connection) -> howdah_store::Result<bool> {
        let mut concerned = Vec::with_capacity(self.databases.len());
        for id in &self.databases {
            let Some(database) = databases::get(connection, id)? else {
                continue;
            };
            // A server that was removed has left its databases' backups, and no name.
            let server = servers::get(connection, &database.server_id)?.map(|row| row.server);
            let environment = server
                .as_ref()
                .map_or_else(Environment::default, |server| server.environment);
            concerned.push(AlertDatabase {
                environment: database.environment.unwrap_or(environment),
                id: database.id,
                name: database.name,
                server: server.map(|server| server.name).unwrap_or_default(),
            });
        }
        let alert = NewAlert {
            id: AlertId::from_random(random::bytes()),
            kind: self.message.kind,
            severity: self.message.severity,
            subject: self.subject,
            title: self.message.title,
            body: self.message.body,
            details: self.message.details.map(|details| shorten(&details, DETAILS)),
            route: self.message.route,
            databases: concerned,
            at: self.message.at,
            muted: self.muted,
            ends: self.ends,
            only_for: self.only_for,
            only_to_tell: self.only_to_tell,
        };
        alerts::raise(connection, &alert, &TimeZone::system())
    }
}

impl Engine {
    /// Records something that happened, and has it told. Where that cannot be done (the disk is full), it is in the log only.
    pub(crate) async fn tell(&self, news: News) {
        if let Err(failure) = self.try_to_tell(news).await {
            tracing::error!(%failure, "what happened could not be put into the outbox");
        }
    }

    pub(crate) async fn try_to_tell(&self, news: News) -> Result<bool, Failure> {
        let raised = self.0.store.write(move |tx| news.raise(tx)).await.or_failure()?;
        if raised {
            self.told();
        }
        Ok(raised)
    }

    /// Something is in the outbox.
    pub(crate) fn told(&self) {
        self.0.has_told.store(true, std::sync::atomic::Ordering::Relaxed);
        self.0.outbox_changed.notify_one();
        self.0.events.send(Event::Notifications);
    }
}
