//! Leaving: from the tray's *Quit*, or when the session asks with a signal. What is at work is cancelled and recorded;
//! nothing is left half done.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tauri::{AppHandle, Manager as _};

use crate::desk::Desk;
use crate::window;

/// How long the engine may take to end its work.
const DEADLINE: Duration = Duration::from_secs(10);

/// Leaves in good order. Calling it again while leaving changes nothing.
pub(crate) fn quit(app: &AppHandle) {
    static LEAVING: AtomicBool = AtomicBool::new(false);
    if LEAVING.swap(true, Ordering::SeqCst) {
        return;
    }
    tracing::info!("leaving");
    window::close(app);
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        app.state::<Desk>().shutdown(DEADLINE).await;
        app.exit(0);
    });
}

/// Leaves when the session or a terminal asks: SIGTERM, SIGINT, SIGHUP.
#[cfg(unix)]
pub(crate) async fn on_signals(app: AppHandle) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hang_up.recv() => {}
    }
    quit(&app);
    Ok(())
}

/// Leaves when a terminal asks.
#[cfg(not(unix))]
pub(crate) async fn on_signals(app: AppHandle) -> std::io::Result<()> {
    tokio::signal::ctrl_c().await?;
    quit(&app);
    Ok(())
}
