//! Hears every native notification that is sent on the session's bus, whoever shows it.

use futures_util::StreamExt as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use zbus::{Connection, MatchRule, MessageStream, OwnedVariant, message::Type};

/// A notification as it was sent (freedesktop.org, "Desktop Notifications Specification", `Notify`).
#[derive(Debug, Clone)]
pub(crate) struct Notification {
    pub(crate) summary: String,
    pub(crate) body: String,
    pub(crate) actions: Vec<String>,
}

/// What was heard so far.
#[derive(Clone)]
pub(crate) struct Heard(Arc<Mutex<Vec<Notification>>>);

impl Heard {
    /// Begins to listen.
    pub(crate) async fn start() -> Self {
        let bus = Connection::session().await.expect("the session has a bus");
        let rule = MatchRule::builder()
            .msg_type(Type::MethodCall)
            .interface("org.freedesktop.Notifications")
            .member("Notify")
            .build()
            .unwrap();
        let monitoring = zbus::fdo::MonitoringProxy::new(&bus).await.unwrap();
        let mut messages = MessageStream::from(&bus);
        monitoring.become_monitor(&[rule], 0).await.unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let list = heard.clone();
        tokio::spawn(async move {
            type Notify = (
                String,
                u32,
                String,
                String,
                String,
                Vec<String>,
                std::collections::HashMap<String, OwnedVariant>,
                i32,
            );
            while let Some(Ok(message)) = messages.next().await {
                if let Ok((_, _, _, summary, body, actions, _, _)) = message.body().deserialize::<Notify>() {
                    list.lock().unwrap().push(Notification {
                        summary,
                        body,
                        actions,
                    });
                }
            }
        });
        Self(heard)
    }

    /// All that were heard.
    pub(crate) fn all(&self) -> Vec<Notification> {
        self.0.lock().unwrap().clone()
    }

    /// Waits for a notification that fits.
    pub(crate) async fn wait(
        &self,
        what: &str,
        limit: Duration,
        fits: impl Fn(&Notification) -> bool,
    ) -> Notification {
        let start = std::time::Instant::now();
        loop {
            let all = self.all();
            if let Some(found) = all.iter().find(|one| fits(one)) {
                return found.clone();
            }
            assert!(
                start.elapsed() < limit,
                "not within {limit:?}: {what}; heard {all:#?}"
            );
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    }
}
