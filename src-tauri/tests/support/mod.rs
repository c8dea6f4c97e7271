//! What the tests in the real window share: a driver of the window, the tray's other side, ears for notifications, and
//! eyes for secrets. They run on a desktop of their own, made by `scripts/desktop.sh`.
#![allow(dead_code, reason = "each test program uses its own part of it")]

pub(crate) mod app;
pub(crate) mod eyes;
pub(crate) mod far;
pub(crate) mod notifications;
pub(crate) mod steps;
pub(crate) mod tray;
pub(crate) mod webdriver;

use std::time::{Duration, Instant};

/// Asks again and again until the answer is there; panics with `what` when it does not come within `limit`.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> F,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
}

/// Presses a key of the desktop's keyboard, such as `alt+F4`, which closes the window that has the focus.
pub(crate) async fn press(keys: &str) {
    xdotool(&["key", "--clearmodifiers", keys]).await;
}

/// Types a text on the desktop's keyboard, into whatever has the focus.
pub(crate) async fn type_text(text: &str) {
    xdotool(&["type", "--clearmodifiers", "--delay", "15", "--", text]).await;
}

async fn xdotool(arguments: &[&str]) {
    let status = tokio::process::Command::new("xdotool")
        .args(arguments)
        .status()
        .await
        .expect("xdotool runs");
    assert!(status.success(), "xdotool {}", arguments[0]);
}

/// Closes the window of that name, which has the focus. A key may get lost on a busy desktop, and is pressed again then, as a person would.
pub(crate) async fn close_window(name: &str) {
    for _ in 0..4 {
        press("alt+F4").await;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(4) {
            if !is_there(name).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    }
    panic!("the window {name} does not close");
}

async fn is_there(name: &str) -> bool {
    let found = tokio::process::Command::new("xdotool")
        .args(["search", "--onlyvisible", "--name", name])
        .output()
        .await
        .expect("xdotool runs");
    !found.stdout.is_empty()
}

/// Waits until a window of that name (a regular expression) is on the desktop, or is not. It is looked for among the desktop's windows, not
/// in the driver.
pub(crate) async fn window_is_there(name: &str, there: bool) {
    eventually(
        &format!("a window {name} is there: {there}"),
        Duration::from_secs(20),
        || async { (is_there(name).await == there).then_some(()) },
    )
    .await;
}
