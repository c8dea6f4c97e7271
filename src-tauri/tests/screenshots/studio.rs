//! The studio: the app's window, dressed in light and dark, and where its pictures go.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::binary;
use crate::support::eventually;
use crate::support::webdriver::WebDriver;

pub(crate) struct Studio {
    pub(crate) window: WebDriver,
    pub(crate) folder: PathBuf,
    settings: Value,
}

impl Studio {
    /// Opens the app on a data directory. Its pictures go into `folder`.
    pub(crate) async fn open(data_dir: &Path, folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let window = WebDriver::start(binary(), &[], &[("HOWDAH_DATA_DIR", data_dir)]).await;
        window.see("Activity").await;
        window.resize(1280, 800).await;
        let settings = window.invoke("settings_page", json!({})).await["settings"].take();
        Self {
            window,
            folder: folder.to_owned(),
            settings,
        }
    }

    /// Takes the page as it is, light and dark.
    pub(crate) async fn take(&self, name: &str) {
        for theme in ["light", "dark"] {
            self.dress(theme).await;
            self.keep(name, theme).await;
        }
    }

    async fn dress(&self, theme: &str) {
        let mut settings = self.settings.clone();
        settings["theme"] = json!(theme);
        self.window
            .invoke("save_settings", json!({ "settings": settings }))
            .await;
        eventually(
            &format!("the window is {theme}"),
            Duration::from_secs(10),
            || async {
                let now = self
                    .window
                    .run("return document.documentElement.dataset.theme", json!([]))
                    .await
                    .ok()?;
                (now == json!(theme)).then_some(())
            },
        )
        .await;
        self.settle().await;
    }

    /// Waits until the page is drawn and nothing on it is on its way; what turns for ever, as a spinner does, may.
    async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let begin = "window.drawn = false; requestAnimationFrame(() => requestAnimationFrame(() => window.drawn = true))";
        self.window.run(begin, json!([])).await.unwrap();
        let settled = "return window.drawn && document.getAnimations().every((each) => \
             each.playState !== 'running' || each.effect.getComputedTiming().endTime === Infinity)";
        eventually("the page has settled", Duration::from_secs(20), || async {
            let now = self.window.run(settled, json!([])).await.ok()?;
            (now == json!(true)).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    async fn keep(&self, name: &str, theme: &str) {
        std::fs::write(
            self.folder.join(format!("{name}-{theme}.png")),
            self.window.picture().await,
        )
        .unwrap();
    }

    /// The id of a database that is looked after.
    pub(crate) async fn database(&self, name: &str) -> String {
        let overview = self.window.invoke("overview", json!({})).await;
        let databases = overview["databases"].as_array().unwrap();
        let found = databases.iter().find(|one| one["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {overview}"))["id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Begins a backup and answers its run.
    pub(crate) async fn begin(&self, database: &str) -> String {
        let runs = self
            .window
            .invoke("back_up_now", json!({ "database_id": database }))
            .await;
        runs[0].as_str().unwrap().to_owned()
    }

    pub(crate) async fn back_up(&self, database: &str) -> String {
        let run = self.begin(database).await;
        self.ended(&run).await;
        run
    }

    pub(crate) async fn ended(&self, run: &str) {
        eventually("the run ends", Duration::from_secs(120), || async {
            let page = self.window.invoke("run_page", json!({ "id": run })).await;
            (!page["run"]["finished_at"].is_null()).then_some(())
        })
        .await;
    }

    /// Takes a run while it is at work.
    pub(crate) async fn take_running(&self, database: &str) {
        let run = self.begin(database).await;
        self.window.go(&format!("/runs/{run}")).await;
        eventually("the run is in its midst", Duration::from_secs(60), || async {
            let page = self.window.invoke("run_page", json!({ "id": run })).await;
            (page["run"]["progress"]["raw_bytes"].as_u64()? > 90_000_000).then_some(())
        })
        .await;
        self.take("run").await;
        let page = self.window.invoke("run_page", json!({ "id": run })).await;
        assert!(
            page["run"]["finished_at"].is_null(),
            "the run was over before its picture was taken"
        );
        self.ended(&run).await;
    }

    /// Takes a page as it is when it has come to rest.
    pub(crate) async fn visit(&self, path: &str, name: &str) {
        self.window.go(path).await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        self.take(name).await;
    }
}
