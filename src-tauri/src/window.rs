//! The one window. Closing it destroys its webview, so that what stays in the tray is small; opening makes it anew.

use std::path::PathBuf;

use howdah_engine::api::Theme;
use tauri::utils::config::Color;
use tauri::{AppHandle, Manager as _, WebviewUrl, WebviewWindowBuilder};

/// The window's label: capabilities and events name it.
pub(crate) const LABEL: &str = "main";

/// The pages' background, light and dark, so that a window being made does not flash.
const LIGHT: Color = Color(0xfa, 0xfa, 0xf8, 0xff);
const DARK: Color = Color(0x13, 0x15, 0x14, 0xff);

/// Where the webview keeps what it must.
pub(crate) struct WebviewFolder(pub(crate) PathBuf);

/// Brings the window to the front, making it where there is none: on `route` then, where one is given.
///
/// Returns whether a window was made. One that is there already is not led to `route` by this function: that is the
/// page's own work, told by an event.
pub(crate) fn show(app: &AppHandle, route: Option<&str>) -> tauri::Result<bool> {
    if let Some(window) = app.get_webview_window(LABEL) {
        window.unminimize()?;
        window.show()?;
        window.set_focus()?;
        return Ok(false);
    }
    // The pages are one document that routes on the path, so every route is served by it.
    let path = route.unwrap_or("/").trim_start_matches('/');
    let window = WebviewWindowBuilder::new(app, LABEL, WebviewUrl::App(path.into()))
        .title("Howdah")
        .inner_size(1120.0, 760.0)
        .min_inner_size(720.0, 480.0)
        .center()
        .data_directory(app.state::<WebviewFolder>().0.clone())
        .build()?;
    let dark = matches!(window.theme(), Ok(tauri::Theme::Dark));
    window.set_background_color(Some(if dark { DARK } else { LIGHT }))?;
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

/// Dresses the window's frame as the settings say.
pub(crate) fn dress(app: &AppHandle, theme: Theme) {
    app.set_theme(match theme {
        Theme::System => None,
        Theme::Light => Some(tauri::Theme::Light),
        Theme::Dark => Some(tauri::Theme::Dark),
    });
}
