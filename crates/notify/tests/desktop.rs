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

use howdah_notify::{Channel as _, Desktop, Error, Message, Severity};
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
        Severity::Failure,
        "shop was not backed up",
        "relation <orders> & more",
    )
    .route("/runs/abc")
}

#[tokio::test]
async fn a_notification_arrives_and_a_click_reports_its_route() {
    if !on_a_private_bus("a_notification_arrives_and_a_click_reports_its_route") {
        return;
    }
    let (connection, mut received) = daemon(Behaviour::Accept).await;
    let opened = Arc::new(Mutex::new(Vec::new()));
    let desktop = Desktop::new({
        let opened = Arc::clone(&opened);
        move |route| opened.lock().unwrap().push(route.to_owned())
    });
    desktop.send(&failure(), &CancellationToken::new()).await.unwrap();
    let shown = received.recv().await.unwrap();
    assert_eq!(shown.app, "Howdah");
    assert_eq!(shown.summary, "shop was not backed up");
    assert_eq!(shown.body, "relation &lt;orders&gt; &amp; more");
    assert_eq!(shown.actions, ["default", "Open"]);
    assert_eq!(shown.urgency, Some(2), "a failure stays until it is dismissed");

    let emitter = SignalEmitter::new(&connection, "/org/freedesktop/Notifications").unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while opened.lock().unwrap().is_empty() && Instant::now() < deadline {
        Daemon::action_invoked(&emitter, shown.id + 1, "default")
            .await
            .unwrap();
        Daemon::action_invoked(&emitter, shown.id, "default")
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(*opened.lock().unwrap(), ["/runs/abc"]);
}

#[tokio::test]
async fn a_desktop_without_a_daemon_is_an_error_that_is_told() {
    if !on_a_private_bus("a_desktop_without_a_daemon_is_an_error_that_is_told") {
        return;
    }
    let began = Instant::now();
    let error = Desktop::new(|_| {})
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
    let desktop = Desktop::new(|_| {}).answer_limit(Duration::from_millis(300));
    let error = desktop
        .send(&failure(), &CancellationToken::new())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Timeout(_)), "{error:?}");

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
    let error = Desktop::new(|_| {})
        .send(&failure(), &CancellationToken::new())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NoService { .. }), "{error:?}");
}
