//! What the tests in the real window share: a driver of the window, the tray's other side, ears for notifications, and
//! eyes for secrets. They run on a desktop of their own, made by `scripts/desktop.sh`.
#![allow(dead_code, reason = "each test program uses its own part of it")]

pub(crate) mod app;
pub(crate) mod eyes;
pub(crate) mod notifications;
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
    let status = tokio::process::Command::new("xdotool")
        .args(["key", "--clearmodifiers", keys])
        .status()
        .await
        .expect("xdotool runs");
    assert!(status.success(), "xdotool key {keys}");
}
