//! The desktop's clipboard, for what the page must not hold: a URL with its password. GTK's own, as the dialog for paths
//! (`picker.rs`); elsewhere than on Linux there is none so far, and `howdah instance url` prints it.

use howdah_domain::Failure;
use tauri::WebviewWindow;

/// Puts a text there.
#[cfg(target_os = "linux")]
pub(crate) fn put(window: &WebviewWindow, text: String) -> Result<(), Failure> {
    window
        .run_on_main_thread(move || {
            let clipboard = gtk::Clipboard::get(&gtk::gdk::SELECTION_CLIPBOARD);
            clipboard.set_text(&text);
            // A clipboard manager keeps it beyond our end, where there is one.
            clipboard.store();
        })
        .map_err(|error| not_put(&error.to_string()))
}

/// Puts a text there.
#[cfg(not(target_os = "linux"))]
pub(crate) fn put(_window: &WebviewWindow, _text: String) -> Result<(), Failure> {
    Err(not_put("There is no clipboard on this platform so far."))
}

fn not_put(details: &str) -> Failure {
    Failure::new(
        howdah_domain::FailureCode::Internal,
        "Nothing could be put on the clipboard.",
    )
    .hint("`howdah instance url` prints it.")
    .details(details)
}
