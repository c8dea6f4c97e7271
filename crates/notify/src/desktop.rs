//! The desktop's own notifications (freedesktop.org Desktop Notifications Specification on Linux).
//!
//! What was chosen on a notification is reported to whoever made the channel; what that does is not known here.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use notify_rust::Notification;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use howdah_domain::{AlertKind, Severity};

use crate::{Channel, Delivered, Error, Message, shorten};

/// How long the service may take to accept a notification.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// How long a click is waited for. A service that dies never tells that a notification is gone.
const CLICK_LIMIT: Duration = Duration::from_secs(3600);
/// Notifications whose click is waited for at once; each holds a connection to the bus.
const WAITING: usize = 8;
/// Characters of a body. Services cut at about this height of a bubble, and at the wrong end.
const BODY_LIMIT: usize = 400;
const TITLE_LIMIT: usize = 100;
const SERVICE: &str = "the desktop's notification service";

/// What can be chosen on a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Show more of it: the message's route. A click on the notification itself means this.
    Open,
    /// Try again what failed.
    Retry,
    /// Tell no more of this database for a while.
    Mute,
}

impl Action {
    /// What may be chosen on a notification of a kind, in the order in which it is offered.
    pub fn on(kind: AlertKind) -> &'static [Self] {
        match kind {
            AlertKind::BackupFailed | AlertKind::DrillFailed | AlertKind::CopyOwed => {
                &[Self::Open, Self::Retry]
            }
            AlertKind::DatabaseDown | AlertKind::DatabaseSlow => &[Self::Open, Self::Mute],
            AlertKind::BackupStarted
            | AlertKind::BackupSucceeded
            | AlertKind::BackupOverdue
            | AlertKind::BackupShrunk
            | AlertKind::RestoreSucceeded
            | AlertKind::RestoreFailed
            | AlertKind::Unproved
            | AlertKind::CopyLost
            | AlertKind::DestinationUnreachable
            | AlertKind::DestinationFull
            | AlertKind::SignInExpiring
            | AlertKind::DatabaseRecovered
            | AlertKind::CertificateExpiring
            | AlertKind::ConnectionsHigh
            | AlertKind::TransactionIdsLow
            | AlertKind::DiskLow
            | AlertKind::DatabaseJoined
            | AlertKind::DatabaseVanished
            | AlertKind::Summary
            | AlertKind::Test => &[Self::Open],
        }
    }

    /// What may be chosen on this message's notification: nothing opens without a route.
    #[cfg(all(unix, not(target_os = "macos")))]
    fn offered(message: &Message) -> impl Iterator<Item = Self> {
        let leads_somewhere = message.route.is_some();
        Self::on(message.kind)
            .iter()
            .copied()
            .filter(move |action| leads_somewhere || *action != Self::Open)
    }

    /// Its key in the specification's sense: a click on the notification itself invokes `default`.
    #[cfg(all(unix, not(target_os = "macos")))]
    fn key(self) -> &'static str {
        match self {
            Self::Open => "default",
            Self::Retry => "retry",
            Self::Mute => "mute",
        }
    }

    /// What stands on its button.
    #[cfg(all(unix, not(target_os = "macos")))]
    fn label(self) -> &'static str {
        match self {
            Self::Open => "Open",
            Self::Retry => "Retry",
            Self::Mute => "Mute",
        }
    }

    /// What a service says was chosen.
    #[cfg(all(unix, not(target_os = "macos")))]
    fn chosen(response: &notify_rust::NotificationResponse) -> Option<Self> {
        match response {
            notify_rust::NotificationResponse::Default => Some(Self::Open),
            notify_rust::NotificationResponse::Action(key) => [Self::Open, Self::Retry, Self::Mute]
                .into_iter()
                .find(|action| action.key() == key),
            _ => None,
        }
    }
}

type OnAction = Arc<dyn Fn(Action, &Message) + Send + Sync>;

/// Shows notifications on this desktop.
#[derive(Clone)]
pub struct Desktop {
    on_action: OnAction,
    waiting: Arc<Semaphore>,
    answer_limit: Duration,
}

impl Desktop {
    /// The channel. `on_action` is called when something is chosen on a message's notification, on a task of the runtime; it
    /// must not block. Only what [`Action::on`] offers is reported, and [`Action::Open`] only for a message with a route.
    pub fn new(on_action: impl Fn(Action, &Message) + Send + Sync + 'static) -> Self {
        Self {
            on_action: Arc::new(on_action),
            waiting: Arc::new(Semaphore::new(WAITING)),
            answer_limit: ANSWER_LIMIT,
        }
    }

    /// Another limit than ten seconds for the service to accept a notification.
    #[must_use]
    pub fn answer_limit(mut self, limit: Duration) -> Self {
        self.answer_limit = limit;
        self
    }
}

impl fmt::Debug for Desktop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Desktop")
    }
}

#[async_trait]
impl Channel for Desktop {
    fn name(&self) -> &'static str {
        "desktop"
    }

    async fn send(&self, message: &Message, cancel: &CancellationToken) -> Result<Delivered, Error> {
        let notification = render(message);
        #[cfg(all(unix, not(target_os = "macos")))]
        let shown = notification.show_async();
        // Elsewhere the call returns at once, and needs no bus.
        #[cfg(not(all(unix, not(target_os = "macos"))))]
        let shown = async { notification.show() };
        let shown = tokio::select! {
            shown = tokio::time::timeout(self.answer_limit, shown) => shown,
            () = cancel.cancelled() => return Err(Error::Cancelled),
        };
        let handle = shown
            .map_err(|_| Error::Timeout {
                service: SERVICE.to_owned(),
                limit: self.answer_limit,
            })?
            .map_err(|error| explain(&error))?;
        self.wait_for_choice(handle, message, cancel);
        Ok(Delivered::default())
    }
}

impl Desktop {
    /// Waits for a choice in a task of its own, for a limited time. With too many waiting already, a click on this one
    /// leads nowhere; the message itself was shown.
    #[cfg(all(unix, not(target_os = "macos")))]
    fn wait_for_choice(
        &self,
        handle: notify_rust::NotificationHandle,
        message: &Message,
        cancel: &CancellationToken,
    ) {
        let offered: Vec<Action> = Action::offered(message).collect();
        if offered.is_empty() {
            return;
        }
        let Ok(permit) = Arc::clone(&self.waiting).try_acquire_owned() else {
            tracing::debug!("too many notifications wait for a click");
            return;
        };
        let on_action = Arc::clone(&self.on_action);
        let message = message.clone();
        let cancel = cancel.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let chosen = handle.wait_for_action_async(|response: &notify_rust::NotificationResponse| {
                if let Some(action) = Action::chosen(response).filter(|action| offered.contains(action)) {
                    on_action(action, &message);
                }
            });
            tokio::select! {
                biased;
                () = cancel.cancelled() => {}
                () = service_leaves() => {}
                _ = tokio::time::timeout(CLICK_LIMIT, chosen) => {}
            }
        });
    }

    #[cfg(not(all(unix, not(target_os = "macos"))))]
    #[allow(clippy::needless_pass_by_value)]
    fn wait_for_choice<H>(&self, _handle: H, _message: &Message, _cancel: &CancellationToken) {}
}

/// Returns when the service has gone or was replaced. Its notifications are gone with it, and the next one gives their
/// numbers to others, of other programs too: a click on one of those must not be taken for a choice on ours.
#[cfg(all(unix, not(target_os = "macos")))]
async fn service_leaves() {
    async fn left() -> zbus::Result<()> {
        use futures_util::StreamExt as _;

        let connection = zbus::Connection::session().await?;
        let bus = zbus::fdo::DBusProxy::new(&connection).await?;
        let mut changes = bus
            .receive_name_owner_changed_with_args(&[(0, "org.freedesktop.Notifications")])
            .await?;
        changes.next().await;
        Ok(())
    }
    if let Err(error) = left().await {
        tracing::debug!(%error, "whether the notification service leaves is not known");
        std::future::pending::<()>().await;
    }
}

/// The notification as the service gets it.
fn render(message: &Message) -> Notification {
    let mut notification = Notification::new();
    notification
        .appname("Howdah")
        .icon("howdah")
        // A summary is plain text, a body is markup (specification, "Markup").
        .summary(&shorten(&message.title, TITLE_LIMIT))
        .body(&escape(&shorten(&message.text(), BODY_LIMIT)));
    #[cfg(all(unix, not(target_os = "macos")))]
    {
        notification.hint(notify_rust::Hint::DesktopEntry("howdah".to_owned()));
        match message.severity {
            Severity::Info => notification.urgency(notify_rust::Urgency::Low),
            Severity::Warning => notification.urgency(notify_rust::Urgency::Normal),
            // Critical ones stay until they are dismissed.
            Severity::Critical => notification.urgency(notify_rust::Urgency::Critical),
        };
        for action in Action::offered(message) {
            notification.action(action.key(), action.label());
        }
    }
    notification
}

/// Escapes what would be markup.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// D-Bus answers a service that is not there by name; a bus that is not there by an I/O error.
fn explain(error: &notify_rust::error::Error) -> Error {
    let details = error.to_string();
    let debug = format!("{error:?}");
    let refused = debug.contains("MethodError")
        && ![
            "ServiceUnknown",
            "NameHasNoOwner",
            "Spawn",
            "NoReply",
            "Disconnected",
        ]
        .iter()
        .any(|name| debug.contains(name));
    if refused {
        Error::Refused {
            service: SERVICE.to_owned(),
            details,
        }
    } else {
        Error::NoService { details }
    }
}

#[cfg(test)]
mod tests {
    use howdah_domain::AlertKind;

    use super::*;

    fn told(title: &str, body: &str) -> Message {
        Message::new(AlertKind::BackupFailed, jiff::Timestamp::UNIX_EPOCH, title, body)
    }

    #[test]
    fn a_click_opens_whatever_the_kind_and_only_what_can_be_is_retried_or_muted() {
        for kind in AlertKind::CHOICE
            .into_iter()
            .chain([AlertKind::Summary, AlertKind::Test])
        {
            let actions = Action::on(kind);
            assert_eq!(actions[0], Action::Open, "{kind:?}");
            let retried = matches!(
                kind,
                AlertKind::BackupFailed | AlertKind::DrillFailed | AlertKind::CopyOwed
            );
            assert_eq!(actions.contains(&Action::Retry), retried, "{kind:?}");
            let muted = matches!(kind, AlertKind::DatabaseDown | AlertKind::DatabaseSlow);
            assert_eq!(actions.contains(&Action::Mute), muted, "{kind:?}");
        }
    }

    #[test]
    fn a_body_is_escaped_since_it_is_markup() {
        let message = told("a <b> & c", "relation \"<i>&\u{7}x\"\nline");
        let notification = render(&message);
        assert_eq!(notification.summary, "a <b> & c");
        assert_eq!(notification.body, "relation \"&lt;i&gt;&amp; x\"\nline");
    }

    #[test]
    fn a_long_body_keeps_its_end() {
        let body = format!("It failed.\n{}\nERROR: the <end>", "noise\n".repeat(500));
        let rendered = render(&told("t", &body)).body;
        assert!(rendered.ends_with("ERROR: the &lt;end&gt;"), "{rendered}");
        assert!(rendered.starts_with("It failed."));
    }
}
