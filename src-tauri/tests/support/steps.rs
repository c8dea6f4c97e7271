//! Steps that several tests take in the window, and the command line beside it.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;

use super::app::binary;
use super::eventually;
use super::webdriver::WebDriver;

/// The command line beside the app, on the same data directory and keyring.
pub(crate) async fn howdah(data: &Path, arguments: &[&str], password: Option<&str>) -> Output {
    let program = binary().with_file_name("howdah");
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).env("HOWDAH_DATA_DIR", data);
    if let Some(password) = password {
        command.env("PGPASSWORD", password);
    }
    command.output().await.unwrap()
}

/// A server and a plan that is begun by hand, into a folder beside the data directory; `more` goes to `plan add`.
pub(crate) async fn set_up(data: &Path, url: &str, more: &[&str]) {
    let add = ["server", "add", url, "--name", "vps"];
    let added = howdah(data, &add, None).await;
    assert!(added.status.success(), "{added:?}");
    let backups = data.with_file_name("backups");
    let to = ["--to", backups.to_str().unwrap()];
    let plan = ["plan", "add", "vps", "--schedule", "manual"];
    let added = howdah(data, &[&plan[..], &to[..], more].concat(), None).await;
    assert!(added.status.success(), "{added:?}");
}

pub(crate) fn told(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!(
            "{error}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

/// Fills the field with this label.
pub(crate) async fn fill(window: &WebDriver, label: &str, text: &str) {
    let field = format!("//label[normalize-space()='{label}']/following::input[1]");
    window.type_into(&field, text).await;
}

/// Chooses in the list with this label.
pub(crate) async fn choose(window: &WebDriver, label: &str, option: &str) {
    let option = format!(
        "//label[normalize-space()='{label}']/following::select[1]/option[normalize-space()='{option}']"
    );
    window.click(&option).await;
}

/// Presses a button of the dialog that is open.
pub(crate) async fn press_in_dialog(window: &WebDriver, label: &str) {
    let button = format!("//*[@role='dialog' or self::dialog]//button[normalize-space()='{label}']");
    window.click(&button).await;
}

/// Waits until the dialog has gone.
pub(crate) async fn dialog_is_gone(window: &WebDriver) {
    eventually("the dialog has gone", Duration::from_secs(20), || async {
        window
            .look("//*[@role='dialog' or self::dialog[@open]]")
            .await
            .is_none()
            .then_some(())
    })
    .await;
}
