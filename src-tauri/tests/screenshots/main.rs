//! Takes the README's pictures: the real window over real servers, real backups made by the app itself. Run by
//! `make screenshots`, which says where they go (`HOWDAH_SCREENSHOTS`); with
//! `HOWDAH_SCREENSHOTS_MORE` a folder of those that are looked at and not kept.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is a test, helpers included; it prints its figures"
)]

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use howdah_testkit::Cluster;
use serde_json::{Value, json};
use support::app::binary;
use support::eventually;
use support::webdriver::WebDriver;

const SHOP: &str = "
    CREATE SCHEMA audit;
    CREATE TABLE customers (id bigint PRIMARY KEY, name text NOT NULL, email text NOT NULL, joined timestamptz);
    CREATE TABLE products (id bigint PRIMARY KEY, title text NOT NULL, price numeric(10, 2), details jsonb);
    CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint NOT NULL, placed timestamptz, total numeric(10, 2));
    CREATE TABLE order_lines (order_id bigint, line int, product_id bigint, quantity int, note text);
    CREATE TABLE carts (id bigint PRIMARY KEY, customer_id bigint, content jsonb);
    CREATE TABLE shipments (id bigint PRIMARY KEY, order_id bigint, carrier text, sent timestamptz);
    CREATE TABLE audit.log (id bigint PRIMARY KEY, at timestamptz, who text, what text);
    INSERT INTO customers SELECT n, 'Customer ' || n, 'c' || n || '@example.com', now() - n * interval '1 min' FROM generate_series(1, 20000) n;
    INSERT INTO products SELECT n, 'Product ' || n, n % 500 + 0.99, jsonb_build_object('colour', n % 7, 'weight', n % 90) FROM generate_series(1, 4000) n;
    INSERT INTO audit.log SELECT n, now(), 'admin', md5(n::text) FROM generate_series(1, 9000) n;";

/// What a day brings: each backup is somewhat bigger than the one before.
fn a_day(day: u32) -> String {
    let first = day * 9000 + 1;
    let last = first + 6000 + (day * 7919) % 3000;
    format!(
        "INSERT INTO orders SELECT n, 1 + n % 20000, now(), n % 300 FROM generate_series({first}, {last}) n;
         INSERT INTO order_lines SELECT n, l, 1 + (n * 31 + l) % 4000, l, md5(n::text || l) FROM generate_series({first}, {last}) n, generate_series(1, 3) l;
         INSERT INTO carts SELECT n, n % 20000, jsonb_build_array(n, n + 1) FROM generate_series({first}, {last}) n;
         INSERT INTO shipments SELECT n, n, 'post', now() FROM generate_series({first}, {last}, 2) n;"
    )
}

struct Studio {
    window: WebDriver,
    folder: PathBuf,
    settings: Value,
}

impl Studio {
    /// Takes the page as it is, light and dark.
    async fn take(&self, name: &str) {
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
        tokio::time::sleep(Duration::from_millis(400)).await;
    }

    async fn keep(&self, name: &str, theme: &str) {
        std::fs::write(
            self.folder.join(format!("{name}-{theme}.png")),
            self.window.picture().await,
        )
        .unwrap();
    }

    async fn add(&self, url: &str, name: &str, environment: &str, database: &str, at: u8) -> String {
        let input = json!({ "type": "text", "text": url, "password": null });
        let server = self
            .window
            .invoke(
                "add_server",
                json!({ "input": input, "name": name, "environment": environment }),
            )
            .await;
        self.plan(server["id"].as_str().unwrap(), database, at).await
    }

    /// Makes a daily plan for a database of a known server, and answers the database's id.
    async fn plan(&self, server: &str, database: &str, hour: u8) -> String {
        let mut proposal = self
            .window
            .invoke(
                "propose_plan",
                json!({ "server_id": server, "database": database }),
            )
            .await;
        proposal["id"] = Value::Null;
        proposal["server_id"] = json!(server);
        proposal["globals"] = json!(true);
        proposal["enabled"] = json!(true);
        proposal["schedule"] = json!({ "type": "daily", "at": { "hour": hour, "minute": 0 } });
        self.window.invoke("save_plan", json!({ "plan": proposal })).await;
        let overview = self.window.invoke("overview", json!({})).await;
        let databases = overview["databases"].as_array().unwrap();
        let found = databases
            .iter()
            .find(|one| one["name"] == database && one["server_id"] == server)
            .unwrap();
        found["id"].as_str().unwrap().to_owned()
    }

    async fn begin(&self, database: &str) -> String {
        let runs = self
            .window
            .invoke("back_up_now", json!({ "database_id": database }))
            .await;
        runs[0].as_str().unwrap().to_owned()
    }

    async fn back_up(&self, database: &str) -> String {
        let run = self.begin(database).await;
        self.ended(&run).await;
        run
    }

    async fn ended(&self, run: &str) {
        eventually("the run ends", Duration::from_secs(120), || async {
            let page = self.window.invoke("run_page", json!({ "id": run })).await;
            (!page["run"]["finished_at"].is_null()).then_some(())
        })
        .await;
    }

    /// Takes a run while it is at work.
    async fn take_running(&self, database: &str) {
        for theme in ["light", "dark"] {
            self.dress(theme).await;
            let run = self.begin(database).await;
            self.window.go(&format!("/runs/{run}")).await;
            eventually("the run is in its midst", Duration::from_secs(60), || async {
                let page = self.window.invoke("run_page", json!({ "id": run })).await;
                (page["run"]["progress"]["raw_bytes"].as_u64()? > 60_000_000).then_some(())
            })
            .await;
            self.keep("run", theme).await;
            self.ended(&run).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a desktop and takes minutes: make screenshots"]
async fn the_pictures_of_the_readme() {
    let folder =
        PathBuf::from(std::env::var_os("HOWDAH_SCREENSHOTS").expect("HOWDAH_SCREENSHOTS says where to"));
    std::fs::create_dir_all(&folder).unwrap();
    let production = Cluster::start(17).await.unwrap();
    let staging = Cluster::start(16).await.unwrap();
    for (cluster, database) in [
        (&production, "shop"),
        (&production, "billing"),
        (&production, "analytics"),
        (&staging, "shop_next"),
    ] {
        cluster.create_database(database).await.unwrap();
        cluster.sql(database, SHOP).await.unwrap();
    }
    production
        .sql(
            "analytics",
            "CREATE TABLE events (id bigint, at timestamptz, visitor text, path text, agent text);
             INSERT INTO events SELECT n, now() - n * interval '3 s', md5((n % 90000)::text), '/products/' || n % 4000,
               'Mozilla/5.0 (X11; Linux x86_64) page ' || n % 700 FROM generate_series(1, 2600000) n;",
        )
        .await
        .unwrap();
    let keeper = production
        .create_role("howdah", "IN ROLE pg_read_all_data")
        .await
        .unwrap();
    let limited = staging.create_role("howdah", "").await.unwrap();
    staging
        .sql(
            "shop_next",
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO howdah; GRANT USAGE ON SCHEMA audit TO howdah;",
        )
        .await
        .unwrap();
    let localhost = |url: String| url.replace("127.0.0.1", "localhost");
    let url = |database: &str| localhost(production.url_for("howdah", &keeper, database));
    let staging_url = localhost(staging.url_for("howdah", &limited, "shop_next"));

    let data_dir = Path::new(&std::env::var_os("HOME").unwrap()).join(".local/share/howdah");
    let window = WebDriver::start(binary(), &[], &[("HOWDAH_DATA_DIR", &data_dir)]).await;
    window.see("Nothing is being backed up yet").await;
    window.resize(1280, 800).await;
    let mut settings = window.invoke("settings_page", json!({})).await["settings"].take();
    settings["notify_success"] = json!(false);
    let mut studio = Studio {
        window,
        folder,
        settings,
    };
    let window = &studio.window;
    studio.take("first-run").await;

    // A database being added: what is wrong with its rights is found, with the SQL that helps.
    window.go("/add").await;
    window.type_into("//textarea", &staging_url).await;
    window.press_button("Test").await;
    window
        .see_within("A backup would fail", Duration::from_secs(30))
        .await;
    studio.take("add-fix").await;
    staging
        .sql(
            "shop_next",
            "GRANT SELECT ON ALL TABLES IN SCHEMA audit TO howdah",
        )
        .await
        .unwrap();
    window.press_button("Test again").await;
    window
        .see_within("A backup of this database would work.", Duration::from_secs(30))
        .await;
    studio.take("add").await;

    // Some days' backups.
    let shop = studio.add(&url("shop"), "vps-1", "production", "shop", 4).await;
    let overview = window.invoke("overview", json!({})).await;
    let vps = overview["databases"][0]["server_id"].as_str().unwrap().to_owned();
    let billing = studio.plan(&vps, "billing", 16).await;
    let analytics = studio.plan(&vps, "analytics", 2).await;
    let next = studio.add(&staging_url, "vps-2", "staging", "shop_next", 5).await;
    for day in 0..9 {
        for database in ["shop", "billing"] {
            production.sql(database, &a_day(day)).await.unwrap();
        }
        studio.back_up(&shop).await;
        if day % 2 == 0 {
            studio.back_up(&billing).await;
        }
    }
    let verified = studio.back_up(&next).await;
    studio.take_running(&analytics).await;
    studio.ended(&verified).await;
    window.go("/").await;
    window.see("All 4 databases are backed up.").await;
    studio.take("overview").await;

    // One is no longer readable as a whole: its backup fails, and says why.
    staging
        .sql("shop_next", "REVOKE SELECT ON audit.log FROM howdah")
        .await
        .unwrap();
    let failed = studio.back_up(&next).await;
    window.go("/").await;
    window.see("1 thing needs you").await;
    studio.take("overview-failed").await;
    window.go(&format!("/databases/{shop}")).await;
    window.see("Backups (9)").await;
    studio.take("database").await;
    let backups = window
        .invoke("list_backups", json!({ "database_id": shop }))
        .await;
    let backup = backups[0]["id"].as_str().unwrap();
    let check = window.invoke("verify_backup", json!({ "id": backup })).await;
    studio.ended(check.as_str().unwrap()).await;
    window.go(&format!("/backups/{backup}")).await;
    window.see("order_lines").await;
    studio.take("backup").await;
    window.go("/settings").await;
    window.see("Backups at once").await;
    studio.take("settings").await;

    // The other pages, and all of them in a small window: to look at, not kept in the repository.
    let Some(more) = std::env::var_os("HOWDAH_SCREENSHOTS_MORE") else {
        studio.window.end().await;
        return;
    };
    let pages = [
        ("/".to_owned(), "overview"),
        ("/add".to_owned(), "add"),
        ("/databases".to_owned(), "databases"),
        (format!("/databases/{shop}"), "database"),
        ("/backups".to_owned(), "backups"),
        (format!("/backups/{backup}"), "backup"),
        ("/runs".to_owned(), "activity"),
        (format!("/runs/{failed}"), "run-failed"),
        ("/settings".to_owned(), "settings"),
    ];
    for (width, height) in [(1280, 800), (900, 600)] {
        studio.window.resize(width, height).await;
        studio.folder = PathBuf::from(&more).join(width.to_string());
        std::fs::create_dir_all(&studio.folder).unwrap();
        for (path, name) in &pages {
            studio.window.go(path).await;
            tokio::time::sleep(Duration::from_millis(700)).await;
            studio.take(name).await;
        }
    }
    studio.window.end().await;
}
