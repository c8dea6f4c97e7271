//! The desktop channel on a message bus of the test's own, with a notification daemon of the test's own.
//!
//! The bus's address is an environment variable, so each test starts this very test binary again inside a private bus;
//! the variable [`INNER`] tells the second process that it is the one.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap like the tests")]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use howdah_domain::AlertKind;
use howdah_notify::{Action, Channel as _, Desktop, Error, Message};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use zbus::OwnedVariant;
use zbus::object_server::SignalEmitter;

const INNER: &str = "HOWDAH_NOTIFY_INNER";

/// A bus that starts no service by itself.
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:tmpdir=/tmp</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>"#;

struct Bus(Child);

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs `test` of this binary again on a private bus, and fails as it does. `true` in the second process.
fn on_a_private_bus(test: &str) -> bool {
    if std::env::var_os(INNER).is_some() {
        return true;
    }
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("bus.conf");
    std::fs::write(&config, BUS).unwrap();
    let mut bus = Bus(Command::new("dbus-daemon")
        .arg(format!("--config-file={}", config.display()))
        .args(["--nofork", "--print-address=1"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("dbus-daemon is installed"));
    let mut address = String::new();
    BufReader::new(bus.0.stdout.take().unwrap())
        .read_line(&mut address)
        .unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INNER, "1")
        .env("DBUS_SESSION_BUS_ADDRESS", address.trim())
        .status()
        .unwrap();
    assert!(status.success());
    false
}

/// A call of `Notify`.
#[derive(Debug)]
struct Shown {
    id: u32,
    app: String,
    summary: String,
    body: String,
    actions: Vec<String>,
    urgency: Option<u8>,
}

/// What the fake daemon does with a notification.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    Accept,
    Hang,
}

struct Daemon {
    shown: mpsc::UnboundedSender<Shown>,
    next_id: u32,
    behaviour: Behaviour,
}

#[zbus::interface(name = "org.freedesktop.Notifications")]
impl Daemon {
    #[allow(clippy::too_many_arguments, reason = "the specification's eight")]
    async fn notify(
        &mut self,
        app: String,
        _replaces: u32,
        _icon: String,
        summary: String,
        body: String,
        actions: Vec<String>,
        hints: HashMap<String, OwnedVariant>,
        _timeout: i32,
    ) -> u32 {
        if self.behaviour == Behaviour::Hang {
            std::future::pending::<()>().await;
        }
        self.next_id += 1;
        let urgency = hints.get("urgency").and_then(|value| u8::try_from(value).ok());
        let _ = self.shown.send(Shown {
            id: self.next_id,
            app,
            summary,
            body,
            actions,
            urgency,
        });
        self.next_id
    }

    #[zbus(signal)]
    async fn action_invoked(emitter: &SignalEmitter<'_>, id: u32, action: &str) -> zbus::Result<()>;
}

async fn daemon(behaviour: Behaviour) -> (zbus::Connection, mpsc::UnboundedReceiver<Shown>) {
    let (shown, received) = mpsc::unbounded_channel();
    let daemon = Daemon {
        shown,
        next_id: 40,
        behaviour,
    };
    let connection = zbus::connection::Builder::session()
        .name("org.freedesktop.Notifications")
        .serve_at("/org/freedesktop/Notifications", daemon)
        .build()
        .await
        .unwrap();
    (connection, received)
}

fn failure() -> Message {
    Message::new(
        AlertKind::BackupFailed,
        jiff::Timestamp::UNIX_EPOCH,
        "shop was not backed up",
        "relation <orders> & more",
    )
    .route("/runs/abc")
}

/// A message whose title says which one it is.
fn told(kind: AlertKind, title: &str) -> Message {
    Message::new(kind, jiff::Timestamp::UNIX_EPOCH, title, "").route(format!("/{title}"))
}

/// What was chosen, on the message of which title.
type Chosen = Arc<Mutex<Vec<(Action, String)>>>;

fn desktop() -> (Desktop, Chosen) {
    let chosen = Chosen::default();
    let desktop = Desktop::new({
        let chosen = Arc::clone(&chosen);
        move |action, message| chosen.lock().unwrap().push((action, message.title.clone()))
    });
    (desktop, chosen)
}

/// Invokes an action again and again, since nobody tells when it is waited for, until so many choices were reported.
async fn invoke(connection: &zbus::Connection, ids: &[u32], key: &str, chosen: &Chosen, until: usize) {
    let emitter = SignalEmitter::new(connection, "/org/freedesktop/Notifications").unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while chosen.lock().unwrap().len() < until {
        assert!(Instant::now() < deadline, "{key}: {:?}", chosen.lock().unwrap());
        for id in ids {
            Daemon::action_invoked(&emitter, *id, key).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_notification_arrives_and_a_click_opens_it() {
    if !on_a_private_bus("a_notification_arrives_and_a_click_opens_it") {
        return;
    }
    let (connection, mut received) = daemon(Behaviour::Accept).await;
    let (desktop, chosen) = desktop();
    desktop.send(&failure(), &CancellationToken::new()).await.unwrap();
    let shown = received.recv().await.unwrap();
    assert_eq!(shown.app, "Howdah");
    assert_eq!(shown.summary, "shop was not backed up");
    assert_eq!(shown.body, "relation &lt;orders&gt; &amp; more");
    assert_eq!(shown.urgency, Some(2), "a failure stays until it is dismissed");

    // A click on another program's notification is none on ours.
    invoke(&connection, &[shown.id + 1, shown.id], "default", &chosen, 1).await;
    assert_eq!(
        *chosen.lock().unwrap(),
        [(Action::Open, "shop was not backed up".to_owned())]
    );
}

#[tokio::test]
async fn what_is_offered_depends_on_the_kind_and_what_is_chosen_is_reported() {
    const RETRY: &[&str] = &["default", "Open", "retry", "Retry"];
    const MUTE: &[&str] = &["default", "Open", "mute", "Mute"];
    const OPEN: &[&str] = &["default", "Open"];
    if !on_a_private_bus("what_is_offered_depends_on_the_kind_and_what_is_chosen_is_reported") {
        return;
    }
    let (connection, mut received) = daemon(Behaviour::Accept).await;
    for (kind, offered, key, action) in [
        (AlertKind::BackupFailed, RETRY, "default", Action::Open),
        (AlertKind::BackupFailed, RETRY, "retry", Action::Retry),
        (AlertKind::DrillFailed, RETRY, "retry", Action::Retry),
        (AlertKind::CopyOwed, RETRY, "retry", Action::Retry),
        (AlertKind::DatabaseDown, MUTE, "mute", Action::Mute),
        (AlertKind::DatabaseDown, MUTE, "default", Action::Open),
        (AlertKind::DatabaseSlow, MUTE, "mute", Action::Mute),
        (AlertKind::DiskLow, OPEN, "default", Action::Open),
    ] {
        let (desktop, chosen) = desktop();
        desktop
            .send(&told(kind, "this"), &CancellationToken::new())
            .await
            .unwrap();
        let shown = received.recv().await.unwrap();
        assert_eq!(shown.actions, offered, "{kind:?}");
        invoke(&connection, &[shown.id], key, &chosen, 1).await;
        assert_eq!(*chosen.lock().unwrap(), [(action, "this".to_owned())], "{kind:?}");
    }
}

#[tokio::test]
async fn what_was_not_offered_is_not_reported() {
    if !on_a_private_bus("what_was_not_offered_is_not_reported") {
        return;
    }
    let (connection, mut received) = daemon(Behaviour::Accept).await;
    let (desktop, chosen) = desktop();
    let nowhere = Message {
        route: None,
        ..told(AlertKind::DatabaseDown, "nowhere")
    };
    for (message, offered, key) in [
        (told(AlertKind::BackupFailed, "failed"), 4, "mute"),
        (told(AlertKind::BackupFailed, "failed"), 4, "erase-everything"),
        (nowhere.clone(), 2, "default"),
    ] {
        desktop.send(&message, &CancellationToken::new()).await.unwrap();
        let shown = received.recv().await.unwrap();
        assert_eq!(shown.actions.len(), offered, "{:?}", shown.actions);
        let emitter = SignalEmitter::new(&connection, "/org/freedesktop/Notifications").unwrap();
        for _ in 0..10 {
            Daemon::action_invoked(&emitter, shown.id, key).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(chosen.lock().unwrap().is_empty(), "{:?}", chosen.lock().unwrap());
    }
    // Without a page to open, the rest is still offered.
    desktop.send(&nowhere, &CancellationToken::new()).await.unwrap();
    let shown = received.recv().await.unwrap();
    invoke(&connection, &[shown.id], "mute", &chosen, 1).await;
    assert_eq!(*chosen.lock().unwrap(), [(Action::Mute, "nowhere".to_owned())]);
}

#[tokio::test]
async fn a_bounded_number_of_notifications_waits_for_a_click() {
    if !on_a_private_bus("a_bounded_number_of_notifications_waits_for_a_click") {
        return;
    }
    let (connection, mut received) = daemon(Behaviour::Accept).await;
    let (desktop, chosen) = desktop();
    let mut ids = Vec::new();
    for number in 0..12 {
        let message = told(AlertKind::DiskLow, &format!("number {number}"));
        desktop.send(&message, &CancellationToken::new()).await.unwrap();
        ids.push(received.recv().await.unwrap().id);
    }
    invoke(&connection, &ids, "default", &chosen, 8).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(chosen.lock().unwrap().len(), 8);

    // Those that were clicked make room for others.
    desktop
        .send(&told(AlertKind::DiskLow, "the next"), &CancellationToken::new())
        .await
        .unwrap();
    let shown = received.recv().await.unwrap();
    invoke(&connection, &[shown.id], "default", &chosen, 9).await;
}

#[tokio::test]
async fn a_daemon_that_restarts_gets_the_next_message_and_no_click_is_taken_for_an_old_one() {
    if !on_a_private_bus("a_daemon_that_restarts_gets_the_next_message_and_no_click_is_taken_for_an_old_one")
    {
        return;
    }
    let (first, mut received) = daemon(Behaviour::Accept).await;
    let (desktop, chosen) = desktop();
    desktop
        .send(
            &told(AlertKind::BackupFailed, "before"),
            &CancellationToken::new(),
        )
        .await
        .unwrap();
    let before = received.recv().await.unwrap();
    // Until the click is waited for.
    tokio::time::sleep(Duration::from_secs(1)).await;
    first.close().await.unwrap();

    let deadline = Instant::now() + Duration::from_secs(10);
    let error = loop {
        // The bus needs a moment to see that it is gone.
        match desktop
            .send(
                &told(AlertKind::BackupFailed, "meanwhile"),
                &CancellationToken::new(),
            )
            .await
        {
            Err(error) => break error,
            Ok(_) => assert!(Instant::now() < deadline, "it is still there"),
        }
    };
    assert!(matches!(error, Error::NoService { .. }), "{error:?}");
    assert!(error.is_retryable());

    let (second, mut received) = daemon(Behaviour::Accept).await;
    desktop
        .send(&told(AlertKind::BackupFailed, "after"), &CancellationToken::new())
        .await
        .unwrap();
    let after = received.recv().await.unwrap();
    assert_eq!(after.id, before.id, "the numbers begin anew");
    invoke(&second, &[after.id], "retry", &chosen, 1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(*chosen.lock().unwrap(), [(Action::Retry, "after".to_owned())]);
}

#[tokio::test]
async fn a_desktop_without_a_daemon_is_an_error_that_is_told() {
    if !on_a_private_bus("a_desktop_without_a_daemon_is_an_error_that_is_told") {
        return;
    }
    let began = Instant::now();
    let error = Desktop::new(|_, _| {})
        .send(&failure(), &CancellationToken::new())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NoService { .. }), "{error:?}");
    assert!(error.is_retryable());
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_daemon_that_hangs_is_an_error_in_time() {
    if !on_a_private_bus("a_daemon_that_hangs_is_an_error_in_time") {
        return;
    }
    let (_connection, _received) = daemon(Behaviour::Hang).await;
    let desktop = Desktop::new(|_, _| {}).answer_limit(Duration::from_millis(300));
    let error = desktop
        .send(&failure(), &CancellationToken::new())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");

    let cancel = CancellationToken::new();
    cancel.cancel();
    assert!(
        desktop
            .send(&failure(), &cancel)
            .await
            .unwrap_err()
            .is_cancelled()
    );
}

#[tokio::test]
async fn without_a_bus_the_error_is_told() {
    const TEST: &str = "without_a_bus_the_error_is_told";
    if std::env::var_os(INNER).is_none() {
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", TEST, "--nocapture"])
            .env(INNER, "1")
            .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus")
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    let error = Desktop::new(|_, _| {})
        .send(&failure(), &CancellationToken::new())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NoService { .. }), "{error:?}");
}
