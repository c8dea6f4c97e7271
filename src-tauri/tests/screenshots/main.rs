//! Takes the README's pictures: the real window over real servers, with backups of the last days that the schedule made under a
//! clock set back. Run by `make screenshots`, which says where they go (`HOWDAH_SCREENSHOTS`); with
//! `HOWDAH_SCREENSHOTS_MORE` a folder of those that are looked at and not kept.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is a test, helpers included; it prints its figures"
)]

mod forms;
mod more;
mod past;
mod places;
mod restores;
mod studio;
#[path = "../support/mod.rs"]
mod support;
mod year;

use std::net::ToSocketAddrs as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use howdah_testkit::Cluster;
use jiff::civil::time;
use past::{Habit, Moment, Past};
use serde_json::json;
use studio::Studio;

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

const EVENTS: &str = "
    CREATE TABLE events (id bigint, at timestamptz, visitor text, path text, agent text);
    INSERT INTO events SELECT n, now() - n * interval '3 s', md5((n % 90000)::text), '/products/' || n % 4000,
      'Mozilla/5.0 (X11; Linux x86_64) page ' || n % 700 FROM generate_series(1, 3600000) n;";

const HABITS: [Habit; 4] = [
    Habit {
        server: "db.example.com",
        database: "shop",
        schedule: "daily 04:00",
        times: &[time(4, 0, 0, 0)],
        days: 12,
    },
    Habit {
        server: "staging.example.com",
        database: "shop_next",
        schedule: "daily 05:30",
        times: &[time(5, 30, 0, 0)],
        days: 7,
    },
    Habit {
        server: "db.example.com",
        database: "billing",
        schedule: "30 1,7,13,19 * * *",
        times: &[
            time(1, 30, 0, 0),
            time(7, 30, 0, 0),
            time(13, 30, 0, 0),
            time(19, 30, 0, 0),
        ],
        days: 4,
    },
    Habit {
        server: "db.example.com",
        database: "analytics",
        schedule: "daily 02:00",
        times: &[time(2, 0, 0, 0)],
        days: 3,
    },
];

/// What has come by a backup: each is somewhat bigger than the one before, and none by as much.
fn what_comes(turn: u32) -> String {
    let first = turn * 9000 + 1;
    let last = first + 1500 + (turn * 7919) % 3000;
    format!(
        "INSERT INTO orders SELECT n, 1 + n % 20000, now(), n % 300 FROM generate_series({first}, {last}) n;
         INSERT INTO order_lines SELECT n, l, 1 + (n * 31 + l) % 4000, l, md5(n::text || l) FROM generate_series({first}, {last}) n, generate_series(1, 3) l;
         INSERT INTO carts SELECT n, n % 20000, jsonb_build_array(n, n + 1) FROM generate_series({first}, {last}) n;
         INSERT INTO shipments SELECT n, n, 'post', now() FROM generate_series({first}, {last}, 2) n;"
    )
}

/// Two servers: production, where the role reads everything, and staging, where it lacks one table.
struct Servers {
    production: Cluster,
    staging: Cluster,
    production_url: String,
    staging_url: String,
}

/// A host's name as the pictures show it; its own machine's where `scripts/desktop.sh --hosts` could not give the name.
fn host(name: &'static str) -> &'static str {
    let here = (name, 0)
        .to_socket_addrs()
        .is_ok_and(|mut all| all.all(|address| address.ip().is_loopback()));
    if here { name } else { "localhost" }
}

impl Servers {
    async fn start() -> Self {
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
            // What was there before Howdah.
            for turn in 0..8 {
                cluster.sql(database, &what_comes(turn)).await.unwrap();
            }
        }
        production.sql("analytics", EVENTS).await.unwrap();
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
        let named = |url: String, name| url.replace("127.0.0.1", host(name));
        Self {
            production_url: named(production.url_for("howdah", &keeper, "shop"), "db.example.com"),
            staging_url: named(
                staging.url_for("howdah", &limited, "shop_next"),
                "staging.example.com",
            ),
            production,
            staging,
        }
    }

    fn of(&self, database: &str) -> &Cluster {
        if database == "shop_next" {
            &self.staging
        } else {
            &self.production
        }
    }

    async fn let_staging_read_all(&self) {
        self.staging
            .sql(
                "shop_next",
                "GRANT SELECT ON ALL TABLES IN SCHEMA audit TO howdah",
            )
            .await
            .unwrap();
    }

    /// Lets the last days pass: servers are added, plans are made, rows come, backups fall due.
    async fn live(&self, past: &Past) {
        let added = past.moments(&HABITS)[0].0.clone();
        for (url, name, environment) in [
            (&self.production_url, "db.example.com", "production"),
            (&self.staging_url, "staging.example.com", "staging"),
        ] {
            let arguments = ["server", "add", url, "--name", name, "--environment", environment];
            past.howdah(&added, &arguments).await;
        }
        let mut turn = 8;
        for (at, moment) in past.moments(&HABITS) {
            match moment {
                Moment::Begun(habit) => {
                    let Habit {
                        server,
                        database,
                        schedule,
                        ..
                    } = habit;
                    let arguments = [
                        "plan",
                        "add",
                        server,
                        "--database",
                        database,
                        "--schedule",
                        schedule,
                    ];
                    past.howdah(&at, &arguments).await;
                }
                Moment::Due(databases) => {
                    turn += 1;
                    for database in &databases {
                        self.of(database).sql(database, &what_comes(turn)).await.unwrap();
                    }
                    past.let_pass(&at, databases.len()).await;
                }
            }
        }
    }
}

/// Channels as a small team might have them. Nothing is sent to them: they do not exist.
fn channels() -> [serde_json::Value; 2] {
    let channel = |name: &str, address: serde_json::Value, secrets: serde_json::Value| {
        json!({ "input": {
            "id": null, "name": name, "address": address, "secrets": secrets, "enabled": true,
            "rule": { "least": "warning", "also": [], "never": [], "databases": { "which": "environments", "environments": ["production"] },
                "quiet": { "from": { "hour": 22, "minute": 0 }, "to": { "hour": 7, "minute": 0 } }, "again_minutes": 30,
                "summary": { "day": "monday", "at": { "hour": 8, "minute": 0 } } },
        } })
    };
    [
        channel(
            "The team",
            json!({ "kind": "email", "host": "smtp.example.com", "port": 587, "security": "start_tls", "user": "ada@example.com",
                "mechanism": "password", "from": "ada@example.com", "to": ["ada@example.com", "grace@example.com"], "trusted_certificate": null }),
            json!({ "password": "not one" }),
        ),
        channel(
            "#alerts",
            json!({ "kind": "slack", "channel": "#alerts" }),
            json!({ "token": "xoxb-not-one" }),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a desktop and takes minutes: make screenshots"]
async fn the_pictures_of_the_readme() {
    let folder =
        PathBuf::from(std::env::var_os("HOWDAH_SCREENSHOTS").expect("HOWDAH_SCREENSHOTS says where to"));
    let more = std::env::var_os("HOWDAH_SCREENSHOTS_MORE").map(PathBuf::from);
    let servers = Servers::start().await;

    // The first day: nothing yet, and a database being added. What is wrong with its rights is found, with the SQL that helps.
    let first_day = tempfile::tempdir().unwrap();
    let mut studio = Studio::open(first_day.path(), &folder).await;
    studio.window.see("Nothing is being backed up yet").await;
    studio.take("first-run").await;
    if let Some(more) = &more {
        more::first_steps(&mut studio, more).await;
    }
    let window = &studio.window;
    window.go("/add").await;
    window.type_into("//textarea", &servers.staging_url).await;
    window.press_button("Test").await;
    window
        .see_within("A backup would fail", Duration::from_secs(30))
        .await;
    studio.take("add-fix").await;
    servers.let_staging_read_all().await;
    window.press_button("Test again").await;
    window
        .see_within("A backup of this database would work.", Duration::from_secs(30))
        .await;
    studio.take("add").await;
    studio.window.end().await;

    let data_dir = Path::new(&std::env::var_os("HOME").unwrap()).join(".local/share/howdah");
    servers.live(&Past::of(&data_dir)).await;
    year::fill(&data_dir).await;

    // Today.
    let studio = Studio::open(&data_dir, &folder).await;
    let window = &studio.window;
    window.see("All 4 databases are backed up").await;
    studio.visit("/", "overview").await;

    // One is no longer readable as a whole: its backup fails, and says why.
    let next = studio.database("shop_next").await;
    servers
        .staging
        .sql("shop_next", "REVOKE SELECT ON audit.log FROM howdah")
        .await
        .unwrap();
    let failed = studio.back_up(&next).await;
    window.see("1 thing needs you").await;
    studio.visit("/", "overview-failed").await;
    servers.let_staging_read_all().await;
    studio.back_up(&next).await;

    let shop = studio.database("shop").await;
    let backups = window
        .invoke("list_backups", json!({ "database_id": shop }))
        .await;
    for backup in &backups.as_array().unwrap()[..3] {
        let run = window
            .invoke("verify_backup", json!({ "id": backup["id"] }))
            .await;
        studio.ended(run.as_str().unwrap()).await;
    }
    let backup = backups[0]["id"].as_str().unwrap();
    studio.visit(&format!("/databases/{shop}"), "database").await;
    studio.visit(&format!("/backups/{backup}"), "backup").await;
    window.go(&format!("/databases/{shop}/availability")).await;
    window.see("30 d").await;
    window.click("//button[contains(., '1 y')] | //*[@role='radio'][contains(., '1 y')] | //label[contains(., '1 y')]").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    studio.take("availability").await;
    for input in channels() {
        window.invoke("save_channel", input).await;
    }
    studio.visit("/notifications", "notifications").await;
    studio.visit("/settings", "settings").await;
    studio.take_running(&studio.database("analytics").await).await;

    if let Some(more) = more {
        let seen = more::Seen {
            shop,
            backup: backup.to_owned(),
            failed,
            production_url: servers.production_url.clone(),
        };
        more::every_page(studio, &servers.production, &seen, &more).await;
    } else {
        studio.window.end().await;
    }
}
