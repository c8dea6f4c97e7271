//! Leaving: from the tray's *Quit*, or when the session asks with a signal.

use tauri::AppHandle;

/// Ends the process in good order.
pub(crate) fn quit(app: &AppHandle) {
    app.exit(0);
}
