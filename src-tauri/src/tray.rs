//! The tray's icon and menu. Linux sends no clicks on the icon, so everything is in the menu.

use tauri::menu::{Menu, MenuItem, PredefinedMenuItem};
use tauri::tray::TrayIconBuilder;
use tauri::{AppHandle, include_image};

use crate::{quit, window};

/// Makes the tray icon.
pub(crate) fn make(app: &AppHandle) -> tauri::Result<()> {
    let open = MenuItem::with_id(app, "open", "Open Howdah", true, None::<&str>)?;
    let quit = MenuItem::with_id(app, "quit", "Quit", true, None::<&str>)?;
    let menu = Menu::with_items(app, &[&open, &PredefinedMenuItem::separator(app)?, &quit])?;
    TrayIconBuilder::with_id("howdah")
        .icon(include_image!("../icons/tray/idle.png"))
        .title("Howdah")
        .tooltip("Howdah")
        .menu(&menu)
        .on_menu_event(|app, event| match event.id().as_ref() {
            "open" => {
                if let Err(error) = window::show(app, None) {
                    tracing::error!(%error, "the window could not be opened");
                }
            }
            "quit" => quit::quit(app),
            _ => {}
        })
        .build(app)?;
    Ok(())
}
