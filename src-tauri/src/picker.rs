//! The desktop's own dialog for a folder or a file, over the window and in its way until it is answered.
//!
//! It is GTK's, straight: the toolkit runs on this process's main thread anyway, GTK is linked with the window, and a plugin's dialog
//! would neither belong to the window nor be modal to it. In a sandbox GTK asks the desktop's portal instead. Elsewhere than on
//! Linux there is none so far, and paths are typed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use howdah_domain::{Failure, FailureCode};
use tauri::WebviewWindow;

/// How long what is typed is looked for before the dialog begins elsewhere.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A folder, which may be made in the dialog.
    Folder,
    /// A file that is there.
    File,
    /// A file to be written. One that is there is replaced only after a question.
    NewFile {
        /// What it is called until the person says otherwise.
        name: String,
    },
}

/// Asks the person. `typed` is what the field holds so far: the dialog begins there. `None` where nothing was chosen.
pub(crate) async fn choose(
    window: &WebviewWindow,
    wanted: Wanted,
    title: String,
    typed: String,
) -> Result<Option<String>, Failure> {
    // A share that hangs does not keep the dialog away: it begins at home then.
    let looked = tokio::task::spawn_blocking(move || beginning(&typed));
    let start = match tokio::time::timeout(PATIENCE, looked).await {
        Ok(Ok(start)) => start,
        _ => home(),
    };
    ask(window, wanted, title, start).await?.map(as_text).transpose()
}

/// Where the dialog begins: at the path as typed, or at the nearest folder above it that is there; else at home.
fn beginning(typed: &str) -> PathBuf {
    howdah_engine::absolute(Path::new(typed.trim()))
        .ok()
        .and_then(|path| path.ancestors().find(|path| path.exists()).map(Path::to_owned))
        .filter(|path| path.parent().is_some())
        .unwrap_or_else(home)
}

fn home() -> PathBuf {
    dirs::home_dir().unwrap_or_else(|| PathBuf::from("/"))
}

/// The window, the plans and the connections hold paths as text.
fn as_text(path: PathBuf) -> Result<String, Failure> {
    path.into_os_string().into_string().map_err(|name| {
        Failure::new(
            FailureCode::InvalidInput,
            format!("{} has a name that is no text.", name.display()),
        )
        .hint("Rename it, or choose another: Howdah keeps paths as UTF-8.")
    })
}

fn not_shown(details: &str) -> Failure {
    Failure::new(
        FailureCode::Internal,
        "The desktop's dialog for choosing could not be shown.",
    )
    .hint("Type the path.")
    .details(details)
}

#[cfg(target_os = "linux")]
async fn ask(
    window: &WebviewWindow,
    wanted: Wanted,
    title: String,
    start: PathBuf,
) -> Result<Option<PathBuf>, Failure> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    let parent = window.clone();
    window
        .run_on_main_thread(move || show(&parent, &wanted, &title, &start, answer))
        .map_err(|error| not_shown(&error.to_string()))?;
    // Without an answer the dialog went with the program.
    Ok(answered.await.ok().flatten())
}

/// Shows the dialog. On the main thread only.
#[cfg(target_os = "linux")]
fn show(
    window: &WebviewWindow,
    wanted: &Wanted,
    title: &str,
    start: &Path,
    answer: tokio::sync::oneshot::Sender<Option<PathBuf>>,
) {
    use gtk::prelude::{FileChooserExt as _, NativeDialogExt as _};

    let action = match wanted {
        Wanted::Folder => gtk::FileChooserAction::SelectFolder,
        Wanted::File => gtk::FileChooserAction::Open,
        Wanted::NewFile { .. } => gtk::FileChooserAction::Save,
    };
    let parent = window.gtk_window().ok();
    // Its buttons say what the desktop's language says.
    let dialog = gtk::FileChooserNative::new(Some(title), parent.as_ref(), action, None, None);
    dialog.set_modal(true);
    if start.is_dir() {
        dialog.set_current_folder(start);
    } else {
        dialog.set_filename(start);
    }
    if let Wanted::NewFile { name } = wanted {
        dialog.set_current_name(name);
        dialog.set_do_overwrite_confirmation(true);
    }
    // Nobody else holds the dialog while it is shown; answered, it lets go of itself.
    let kept = std::cell::RefCell::new(Some((dialog.clone(), answer)));
    dialog.connect_response(move |dialog, response| {
        if let Some((_kept, answer)) = kept.take() {
            let chosen = (response == gtk::ResponseType::Accept)
                .then(|| dialog.filename())
                .flatten();
            // Who asked may have gone.
            drop(answer.send(chosen));
        }
    });
    dialog.show();
}

#[cfg(not(target_os = "linux"))]
async fn ask(
    _window: &WebviewWindow,
    _wanted: Wanted,
    _title: String,
    _start: PathBuf,
) -> Result<Option<PathBuf>, Failure> {
    Err(not_shown("Howdah knows no dialog of this system."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dialog_begins_at_what_is_typed_as_far_as_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("a");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(inside.join("ca.pem"), "").unwrap();
        let begins = |typed: &str| beginning(&folder.path().join(typed).display().to_string());
        assert_eq!(begins("a"), inside);
        assert_eq!(begins("a/ca.pem"), inside.join("ca.pem"));
        assert_eq!(begins("a/not/there/yet"), inside);
        assert_eq!(begins("a/../a"), inside);
    }

    #[test]
    fn the_dialog_begins_at_home_where_nothing_leads_anywhere() {
        let home = dirs::home_dir().unwrap();
        for typed in ["", "  ", "~", "relative/path", "/", "/no-such-folder-at-all/x"] {
            assert_eq!(beginning(typed), home, "{typed:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_no_text_is_refused_with_a_way_out() {
        use std::os::unix::ffi::OsStringExt as _;
        let name = std::ffi::OsString::from_vec(b"/tmp/\xff".to_vec());
        let failure = as_text(PathBuf::from(name)).unwrap_err();
        assert_eq!(failure.code, FailureCode::InvalidInput);
        assert!(failure.hint.is_some());
        assert_eq!(as_text(PathBuf::from("/tmp/ü")).unwrap(), "/tmp/ü");
    }
}
