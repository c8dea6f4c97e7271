//! Forms and dialogs, pictured as they are filled: every kind of destination, keys and settings on the move, a plan.

use std::time::Duration;

use howdah_testkit::moto::Moto;
use howdah_testkit::rclone::{PASSWORD, USER};
use howdah_testkit::sshd::Sshd;
use serde_json::json;

use crate::studio::Studio;

pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Chooses in the list with this label.
pub(crate) async fn choose(studio: &Studio, label: &str, option: &str) {
    let list = format!("//label[normalize-space()='{label}']/following::select[1]");
    // The driver does not choose in a list that is scrolled out of sight.
    let into_view = "document.evaluate(arguments[0], document, null, XPathResult.FIRST_ORDERED_NODE_TYPE).singleNodeValue \
         .scrollIntoView({ block: 'center', behavior: 'instant' })";
    studio.window.run(into_view, json!([list])).await.unwrap();
    studio
        .window
        .click(&format!("{list}/option[normalize-space()='{option}']"))
        .await;
}

pub(crate) async fn fill(studio: &Studio, label: &str, text: &str) {
    let field = format!("//label[normalize-space()='{label}']/following::input[1]");
    studio.window.type_into(&field, text).await;
}

pub(crate) async fn press_in_dialog(studio: &Studio, label: &str) {
    let button = format!("//dialog[@open]//button[normalize-space()='{label}']");
    studio.window.click(&button).await;
}

pub(crate) async fn choose_in_menu(studio: &Studio, menu: &str, label: &str) {
    studio
        .window
        .click(&format!("//button[@aria-label='{menu}']"))
        .await;
    let item = format!("//*[@role='menuitem'][contains(normalize-space(), '{label}')]");
    studio.window.click(&item).await;
}

/// Brings a heading to the top of the page.
pub(crate) async fn scroll_to(studio: &Studio, heading: &str) {
    let script = "const heading = [...document.querySelectorAll('h2')].find((each) => each.innerText === arguments[0]); \
         heading.scrollIntoView({ block: 'start', behavior: 'instant' })";
    studio.window.run(script, json!([heading])).await.unwrap();
}

/// Scrolls what is open to its end.
pub(crate) async fn scroll_to_end(studio: &Studio) {
    let script =
        "for (const each of document.querySelectorAll('dialog[open] *, #content')) each.scrollTop = 1e6";
    studio.window.run(script, json!([])).await.unwrap();
}

/// Every kind's form, and what a test of it says.
pub(crate) async fn every_kind(studio: &Studio, moto: &Moto, machine: &Sshd) {
    studio.window.go("/destinations").await;
    studio.window.press_button("Add a destination").await;
    for (kind, name) in [
        ("Folder", "folder"),
        ("S3", "s3"),
        ("SFTP", "sftp"),
        ("WebDAV", "webdav"),
        ("FTP", "ftp"),
        ("Azure Blob", "azblob"),
        ("Google Cloud Storage", "gcs"),
        ("Google Drive", "drive"),
    ] {
        choose(studio, "Kind", kind).await;
        studio.take(&format!("form-{name}")).await;
        let more = "//dialog[@open]//details[not(@open)]/summary";
        if studio.window.look(more).await.is_some() {
            studio.window.click(more).await;
            scroll_to_end(studio).await;
            studio.take(&format!("form-{name}-more")).await;
        }
    }
    choose(studio, "Kind", "S3").await;
    press_in_dialog(studio, "Test").await;
    scroll_to_end(studio).await;
    studio.take("form-s3-problem").await;
    fill(studio, "Bucket", "nobody-made-this-one").await;
    fill(studio, "Endpoint", &format!("http://127.0.0.1:{}", moto.port())).await;
    fill(studio, "Region", "us-east-1").await;
    fill(studio, "Access key id", USER).await;
    fill(studio, "Secret access key", PASSWORD).await;
    press_in_dialog(studio, "Test").await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    studio.take("form-s3-failed").await;
    choose(studio, "Kind", "SFTP").await;
    fill(studio, "Host or alias", "127.0.0.1").await;
    fill(studio, "SSH port", &machine.port().to_string()).await;
    choose(studio, "Login", "With a key file").await;
    fill(studio, "Private key", machine.key().to_str().unwrap()).await;
    fill(studio, "Folder there", "backups").await;
    press_in_dialog(studio, "Test").await;
    studio.window.see_within("SHA256:", PATIENCE).await;
    studio.take("form-sftp-key").await;
    press_in_dialog(studio, "Cancel").await;
    studio.window.press_button("Add a destination").await;
    fill(
        studio,
        "Folder",
        &format!("{}/Howdah", std::env::var("HOME").unwrap()),
    )
    .await;
    press_in_dialog(studio, "Test").await;
    studio
        .window
        .see_within("Backups can be kept here.", PATIENCE)
        .await;
    studio.take("form-folder-good").await;
    press_in_dialog(studio, "Cancel").await;
}

/// Keys and their kit, and settings on their way to another machine.
pub(crate) async fn keys_and_moving(studio: &Studio, name: &str) {
    studio.window.go("/settings").await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    scroll_to(studio, "Keys").await;
    studio.take(&format!("keys-{name}")).await;
    studio.window.press_button("Export…").await;
    studio.take("export").await;
    press_in_dialog(studio, "Save the file").await;
    scroll_to_end(studio).await;
    studio.take("export-problem").await;
    studio
        .window
        .click("//label[contains(normalize-space(), 'machine’s key')]")
        .await;
    studio.take("export-key").await;
    press_in_dialog(studio, "Cancel").await;
    studio.window.press_button("Import…").await;
    studio.take("import").await;
    press_in_dialog(studio, "Cancel").await;
}

/// A rule that deletes, before it is saved, and who can read what it keeps.
pub(crate) async fn plan(studio: &Studio, database: &str) {
    studio
        .window
        .go(&format!("/databases/{database}?edit=plan"))
        .await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    studio.take("plan").await;
    // The list lies unseen over its word, where the driver does not choose.
    let choose = "const list = document.querySelector('dialog[open] select[aria-label=\"For how long\"]'); \
         list.value = 'rule'; list.dispatchEvent(new Event('change', { bubbles: true }))";
    studio.window.run(choose, json!([])).await.unwrap();
    studio.take("plan-rule").await;
    for (label, text) in [
        ("How many of the last are kept", "1"),
        ("How many good ones always stay", "\u{e003}1"),
    ] {
        studio
            .window
            .type_into(&format!("//dialog[@open]//input[@aria-label='{label}']"), text)
            .await;
    }
    studio.window.see_within("Would delete", PATIENCE).await;
    studio
        .window
        .click("//dialog[@open]//summary[contains(normalize-space(), 'Would delete')]")
        .await;
    studio.take("plan-would-delete").await;
    scroll_to_end(studio).await;
    studio.take("plan-end").await;
    press_in_dialog(studio, "Leave as it is").await;
}
