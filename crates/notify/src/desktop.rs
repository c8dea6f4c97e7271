//! The desktop's own notifications (freedesktop.org Desktop Notifications Specification on Linux).
//!
//! Where a click leads is reported to whoever made the channel; what a route means is not known here.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use notify_rust::Notification;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{Channel, Error, Message, Severity, shorten};

/// How long the service may take to accept a notification.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// How long a click is waited for. A service that dies never tells that a notification is gone.
const CLICK_LIMIT: Duration = Duration::from_secs(3600);
/// Notifications whose click is waited for at once; each holds a connection to the bus.
const WAITING: usize = 8;
/// Characters of a body. Services cut at about this height of a bubble, and at the wrong end.
const BODY_LIMIT: usize = 400;
const TITLE_LIMIT: usize = 100;

type OnOpen = Arc<dyn Fn(&str) + Send + Sync>;

/// Shows notifications on this desktop.
#[derive(Clone)]
pub struct Desktop {
    on_open: OnOpen,
    waiting: Arc<Semaphore>,
    answer_limit: Duration,
}

impl Desktop {
    /// The channel. `on_open` is called with a message's route when its notification is clicked, on a task of the
    /// runtime; it must not block.
    pub fn new(on_open: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self {
            on_open: Arc::new(on_open),
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

    async fn send(&self, message: &Message, cancel: &CancellationToken) -> Result<(), Error> {
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
            .map_err(|_| Error::Timeout(self.answer_limit))?
            .map_err(|error| explain(&error))?;
        self.wait_for_click(handle, message, cancel);
        Ok(())
    }
}

impl Desktop {
    /// Waits for a click in a task of its own, for a limited time. With too many waiting already, a click on this one
    /// leads nowhere; the message itself was shown.
    #[cfg(all(unix, not(target_os = "macos")))]
    fn wait_for_click(
        &self,
        handle: notify_rust::NotificationHandle,
        message: &Message,
        cancel: &CancellationToken,
    ) {
        let Some(route) = message.route.clone() else {
            return;
        };
        let Ok(permit) = Arc::clone(&self.waiting).try_acquire_owned() else {
            tracing::debug!("too many notifications wait for a click");
            return;
        };
        let on_open = Arc::clone(&self.on_open);
        let cancel = cancel.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let clicked = handle.wait_for_action_async(|response: &notify_rust::NotificationResponse| {
                if matches!(
                    response,
                    notify_rust::NotificationResponse::Default | notify_rust::NotificationResponse::Action(_)
                ) {
                    on_open(&route);
                }
            });
            tokio::select! {
                _ = tokio::time::timeout(CLICK_LIMIT, clicked) => {}
                () = cancel.cancelled() => {}
            }
        });
    }

    #[cfg(not(all(unix, not(target_os = "macos"))))]
    #[allow(clippy::needless_pass_by_value)]
    fn wait_for_click<H>(&self, _handle: H, _message: &Message, _cancel: &CancellationToken) {}
}

/// The notification as the service gets it.
fn render(message: &Message) -> Notification {
    let mut notification = Notification::new();
    notification
        .appname("Howdah")
        .icon("howdah")
        // A summary is plain text, a body is markup (specification, "Markup").
        .summary(&shorten(&message.title, TITLE_LIMIT))
        .body(&escape(&shorten(&message.body, BODY_LIMIT)));
    #[cfg(all(unix, not(target_os = "macos")))]
    {
        notification.hint(notify_rust::Hint::DesktopEntry("howdah".to_owned()));
        match message.severity {
            Severity::Success => notification.urgency(notify_rust::Urgency::Low),
            Severity::Warning => notification.urgency(notify_rust::Urgency::Normal),
            // Critical ones stay until they are dismissed.
            Severity::Failure => notification.urgency(notify_rust::Urgency::Critical),
        };
        if message.route.is_some() {
            notification.action("default", "Open");
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
        Error::Refused { details }
    } else {
        Error::NoService { details }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_escaped_since_it_is_markup() {
        let message = Message::new(Severity::Failure, "a <b> & c", "relation \"<i>&\u{7}x\"\nline");
        let notification = render(&message);
        assert_eq!(notification.summary, "a <b> & c");
        assert_eq!(notification.body, "relation \"&lt;i&gt;&amp; x\"\nline");
    }

    #[test]
    fn a_long_body_keeps_its_end() {
        let body = format!("It failed.\n{}\nERROR: the <end>", "noise\n".repeat(500));
        let rendered = render(&Message::new(Severity::Failure, "t", body)).body;
        assert!(rendered.ends_with("ERROR: the &lt;end&gt;"), "{rendered}");
        assert!(rendered.starts_with("It failed."));
    }
}
