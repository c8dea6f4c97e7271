//! The one window. Closing it destroys its webview, so that what stays in the tray is small; opening makes it anew.

use tauri::{AppHandle, Manager as _, Theme, WebviewUrl, WebviewWindowBuilder};

/// The window's label: capabilities and events name it.
pub(crate) const LABEL: &str = "main";

/// Brings the window to the front, on `route` where one is given, making the window where there is none.
///
/// Returns whether a new window was made. A window that is there already is not led to `route` by this function: that is
/// the page's own work, told by an event.
pub(crate) fn show(app: &AppHandle, route: Option<&str>) -> tauri::Result<bool> {
    if let Some(window) = app.get_webview_window(LABEL) {
        window.unminimize()?;
        window.show()?;
        window.set_focus()?;
        return Ok(false);
    }
    // The pages are one document that routes on the path, so every route is served by it.
    let path = route.unwrap_or("/").trim_start_matches('/');
    WebviewWindowBuilder::new(app, LABEL, WebviewUrl::App(path.into()))
        .title("Howdah")
        .inner_size(1120.0, 760.0)
        .min_inner_size(720.0, 480.0)
        .center()
        // Nothing of the pages is kept on disk: what is worth keeping, the engine keeps.
        .incognito(false)
        .build()?;
    Ok(true)
}

/// Destroys the window, where there is one.
pub(crate) fn close(app: &AppHandle) {
    if let Some(window) = app.get_webview_window(LABEL)
        && let Err(error) = window.destroy()
    {
        tracing::warn!(%error, "the window could not be closed");
    }
}

/// Dresses the window's frame; `None` follows the desktop.
pub(crate) fn dress(app: &AppHandle, theme: Option<Theme>) {
    app.set_theme(theme);
}
