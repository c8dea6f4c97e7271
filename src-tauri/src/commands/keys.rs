//! Keys of encrypted backups, and the recovery kit. Public halves go to the window; a kit's text passes between the engine and a
//! file that the person chose, and never crosses to the page.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use howdah_domain::{Failure, FailureCode, Secret};
use howdah_engine::Engine;
use howdah_engine::api::{KeyView, KitReport};
use tauri::{State, WebviewWindow};

use crate::desk::Desk;
use crate::picker::{self, Wanted};

/// No kit is longer: a key, the destinations, a few lines on what to do.
const LONGEST_KIT: u64 = 1 << 20;

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn own_key(desk: State<'_, Desk>) -> Result<KeyView, Failure> {
    desk.engine().await?.own_key().await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn list_keys(desk: State<'_, Desk>) -> Result<Vec<KeyView>, Failure> {
    desk.engine().await?.list_keys().await
}

/// Asks where to, and writes the recovery kit there. Answers the path; `None` where none was chosen.
#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn save_kit(
    window: WebviewWindow,
    desk: State<'_, Desk>,
    title: String,
) -> Result<Option<String>, Failure> {
    let engine = desk.engine().await?;
    let kit = engine.recovery_kit().await?;
    let wanted = Wanted::NewFile { name: kit.file_name };
    let Some(path) = picker::choose(&window, wanted, title, String::new()).await? else {
        return Ok(None);
    };
    let (file, text) = (PathBuf::from(&path), kit.text);
    off_the_runtime(move || write_kit(&file, &text))
        .await?
        .map_err(|error| not_written(&path, &error))?;
    engine.kit_saved().await?;
    Ok(Some(path))
}

/// Asks for a kit, and says whether it holds this machine's key. `None` where none was chosen.
#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn test_kit(
    window: WebviewWindow,
    desk: State<'_, Desk>,
    title: String,
) -> Result<Option<KitReport>, Failure> {
    let engine: Engine = desk.engine().await?;
    match chosen_kit(&window, title).await? {
        Some(text) => engine.test_kit(&text).await.map(Some),
        None => Ok(None),
    }
}

/// Asks for a kit, and brings in the key that it holds. `None` where none was chosen.
#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn import_kit(
    window: WebviewWindow,
    desk: State<'_, Desk>,
    title: String,
) -> Result<Option<KitReport>, Failure> {
    let engine: Engine = desk.engine().await?;
    match chosen_kit(&window, title).await? {
        Some(text) => engine.import_kit(&text).await.map(Some),
        None => Ok(None),
    }
}

async fn chosen_kit(window: &WebviewWindow, title: String) -> Result<Option<Secret>, Failure> {
    let Some(path) = picker::choose(window, Wanted::File, title, String::new()).await? else {
        return Ok(None);
    };
    let file = PathBuf::from(&path);
    off_the_runtime(move || read_kit(&file))
        .await?
        .map(Some)
        .map_err(|error| not_read(&path, &error))
}

/// A stick or a share may take its time.
async fn off_the_runtime<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        Failure::new(
            FailureCode::Internal,
            "The recovery kit's file could not be worked on.",
        )
        .details(error.to_string())
    })
}

/// Nobody but this user can read it, from its first byte on. It takes the place of a file of that name as a whole or not at all.
fn write_kit(path: &Path, text: &Secret) -> io::Result<()> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let mut beside = name.to_owned();
    beside.push(".part");
    let beside = path.with_file_name(beside);
    // One that a crash left. Made anew, because the rights of a file that is there would stay as they are.
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside)?;
    let written = file
        .write_all(text.expose().as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        // What is left of it may hold the key.
        drop(std::fs::remove_file(&beside));
    }
    written
}

fn read_kit(path: &Path) -> io::Result<Secret> {
    let mut text = String::new();
    std::fs::File::open(path)?
        .take(LONGEST_KIT)
        .read_to_string(&mut text)?;
    Ok(Secret::new(text))
}

fn not_written(path: &str, error: &io::Error) -> Failure {
    Failure::new(
        FailureCode::Internal,
        format!("The recovery kit could not be written to {path}: {error}."),
    )
    .hint("Choose another folder, one that you may write to.")
}

fn not_read(path: &str, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::InvalidData => Failure::new(
            FailureCode::InvalidInput,
            format!("{path} is no recovery kit: it is not a text."),
        )
        .hint("A kit is the text file that Howdah saved, or a key file of age."),
        _ => Failure::new(
            FailureCode::InvalidInput,
            format!("{path} could not be read: {error}."),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_kit_is_written_for_this_user_alone_also_over_a_file_that_everybody_could_read() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kit.txt");
        std::fs::write(&path, "an older one").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        write_kit(&path, &Secret::new("# kit\nAGE-SECRET-KEY-1")).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(read_kit(&path).unwrap().expose(), "# kit\nAGE-SECRET-KEY-1");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_kit_that_cannot_be_put_in_place_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kit.txt");
        std::fs::create_dir_all(path.join("in the way")).unwrap();
        assert!(write_kit(&path, &Secret::new("secret")).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_no_text_is_said_to_be_no_kit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picture.png");
        std::fs::write(&path, [0x89, 0x50, 0xff, 0xfe]).unwrap();
        let failure = not_read("picture.png", &read_kit(&path).unwrap_err());
        assert_eq!(failure.code, FailureCode::InvalidInput);
        assert!(failure.message.contains("no recovery kit"), "{}", failure.message);
        assert!(failure.hint.is_some());
    }
}
