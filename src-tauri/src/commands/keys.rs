//! Keys of encrypted backups, and the recovery kit. Public halves go to the window; a kit's text passes between the engine and a
//! file that the person chose, and never crosses to the page.

use std::path::PathBuf;

use howdah_domain::{Failure, FailureCode, Secret};
use howdah_engine::api::{KeyView, KitReport};
use howdah_engine::{Engine, page_beside};
use tauri::{State, WebviewWindow};

use crate::desk::Desk;
use crate::files::{self, off_the_runtime};
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

/// Asks where to, and writes the recovery kit there, with a page to be printed beside it. Answers the path; `None` where none was chosen.
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
    let (file, text, page) = (PathBuf::from(&path), kit.text, kit.page);
    off_the_runtime(move || {
        files::write(&page_beside(&file), page.expose().as_bytes())?;
        files::write(&file, text.expose().as_bytes())
    })
    .await?
    .map_err(|error| files::not_written("The recovery kit", &path, &error))?;
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
    let bytes = off_the_runtime(move || files::read(&file, LONGEST_KIT))
        .await?
        .map_err(|error| files::not_read(&path, &error))?;
    text_of(&path, bytes).map(Some)
}

/// The kit's text; a file of something else is told as such.
fn text_of(path: &str, bytes: Vec<u8>) -> Result<Secret, Failure> {
    String::from_utf8(bytes).map(Secret::new).map_err(|_| {
        Failure::new(
            FailureCode::InvalidInput,
            format!("{path} is no recovery kit: it is not a text."),
        )
        .hint("A kit is the text file that Howdah saved, or a key file of age.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_text_is_said_to_be_no_kit() {
        let failure = text_of("picture.png", vec![0x89, 0x50, 0xff, 0xfe]).unwrap_err();
        assert_eq!(failure.code, FailureCode::InvalidInput);
        assert!(failure.message.contains("no recovery kit"), "{}", failure.message);
        assert!(failure.hint.is_some());
    }
}
