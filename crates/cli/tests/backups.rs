//! `howdah backup`, `verify`, `restore`, `list`, `show` on real servers.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap like the tests")]

mod support;

use std::process::Command;

use howdah_testkit::{Cluster, sample};
use rstest::rstest;

use support::{Howdah, files, text};

/// A server with a small table in a database `shop`.
async fn shop(major: u16) -> Cluster {
    let cluster = Cluster::start(major).await.unwrap();
    cluster.create_database("shop").await.unwrap();
    cluster
        .sql(
            "shop",
            "CREATE TABLE orders (id int PRIMARY KEY, note text);
             INSERT INTO orders SELECT i, 'order ' || i FROM generate_series(1, 1000) AS i;
             CREATE SCHEMA \"My schema\"; CREATE TABLE \"My schema\".\"Odd.Name\" (x int); INSERT INTO \"My schema\".\"Odd.Name\" VALUES (1);",
        )
        .await
        .unwrap();
    cluster
}

/// The URL without a password, which goes by PGPASSWORD.
fn url(cluster: &Cluster, database: &str) -> String {
    let connection = cluster.connection(database);
    format!(
        "postgres://{}@{}:{}/{database}",
        connection.role, connection.host, connection.port
    )
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_every_major_opens_with_the_standard_tools_and_restores_equal(
    #[values(13, 14, 15, 16, 17, 18)] major: u16,
) {
    let cluster = Cluster::start(major).await.unwrap();
    sample::every_kind(&cluster, "every kind").await.unwrap();
    let howdah = Howdah::new();
    let (from, backups) = (cluster.url("every kind"), howdah.backups());
    let backup = howdah.json(["backup", "--url", &from, "--to", text(&backups)]);
    for key in [
        "id",
        "path",
        "raw_bytes",
        "stored_bytes",
        "sha256",
        "seconds",
        "server_version",
        "client_version",
    ] {
        assert!(!backup[key].is_null(), "{key} is missing in {backup}");
    }
    assert_eq!(
        backup["server_version"].as_str().unwrap().split('.').next(),
        Some(major.to_string().as_str())
    );
    let tables = backup["tables"].as_array().unwrap();
    assert!(tables.len() > 5);
    for table in tables {
        assert!(
            table["schema"].is_string() && table["name"].is_string() && table["rows"].is_u64(),
            "{table}"
        );
        assert_eq!(table["fingerprint"].as_str().unwrap().len(), 32, "{table}");
    }

    let path = backup["path"].as_str().unwrap();
    let programs = howdah.json(["programs"]);
    let pg_restore = programs["programs"]
        .as_array()
        .unwrap()
        .iter()
        .find(|listed| listed["name"] == "pg_restore" && listed["major"] == 18)
        .and_then(|listed| listed["path"].as_str())
        .unwrap();
    let listed = Command::new("sh")
        .args([
            "-c",
            r#"zstd -dc "$1"/dump.pgdump.zst | "$2" --list"#,
            "sh",
            path,
            pg_restore,
        ])
        .output()
        .unwrap();
    assert!(
        listed.status.success(),
        "{}",
        String::from_utf8_lossy(&listed.stderr)
    );
    assert!(String::from_utf8_lossy(&listed.stdout).contains("TABLE DATA"));

    let verified = howdah.json(["verify", path]);
    assert_eq!(verified["whole"], true, "{verified}");

    let to = cluster.url("restored");
    let restored = howdah.json(["restore", path, "--url", &to, "--create"]);
    assert_eq!(restored["proved"], true, "{restored}");
    assert_eq!(
        restored["tables"].as_u64().unwrap(),
        tables.len() as u64,
        "{restored}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn list_and_show_tell_what_is_in_a_folder() {
    let cluster = shop(17).await;
    let howdah = Howdah::new();
    let backups = howdah.backups();
    let backup = howdah.json(["backup", "--url", &cluster.url("shop"), "--to", text(&backups)]);

    let list = howdah.json(["list", text(&backups)]);
    assert_eq!(list["backups"].as_array().unwrap().len(), 1);
    assert_eq!(list["backups"][0]["id"], backup["id"]);
    assert_eq!(list["backups"][0]["rows"], 1001);

    let show = howdah.json(["show", backup["path"].as_str().unwrap()]);
    assert_eq!(show["tables"], backup["tables"]);
    assert_eq!(show["manifest"]["format"], 1);

    let words = howdah.run(["show", backup["path"].as_str().unwrap()]);
    assert!(words.stdout.contains("My schema.Odd.Name"), "{words:?}");
    assert!(
        words.stdout.contains("zstd -dc dump.pgdump.zst | pg_restore"),
        "{words:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_choice_of_tables_is_by_exact_names() {
    let cluster = shop(17).await;
    let howdah = Howdah::new();
    let backups = howdah.backups();
    let backup = howdah.json([
        "backup",
        "--url",
        &cluster.url("shop"),
        "--to",
        text(&backups),
        "--table",
        r#""My schema"."Odd.Name""#,
    ]);
    let tables = backup["tables"].as_array().unwrap();
    assert_eq!(tables.len(), 1);
    assert_eq!(tables[0]["name"], "Odd.Name");

    let none = howdah.run([
        "backup",
        "--url",
        &cluster.url("shop"),
        "--to",
        text(&backups),
        "--table",
        "public.nowhere",
        "--json",
    ]);
    assert_eq!(none.code, Some(1), "{none:?}");
    assert!(!none.failure_code().is_empty());
    assert_eq!(
        files(&backups)
            .iter()
            .filter(|file| file.ends_with("manifest.json"))
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_makes_verify_fail_and_name_the_file() {
    let cluster = shop(17).await;
    let howdah = Howdah::new();
    let backups = howdah.backups();
    let backup = howdah.json(["backup", "--url", &cluster.url("shop"), "--to", text(&backups)]);
    let path = backup["path"].as_str().unwrap();
    let dump = std::path::Path::new(path).join("dump.pgdump.zst");
    let mut bytes = std::fs::read(&dump).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&dump, bytes).unwrap();

    let verified = howdah.run(["verify", path, "--json"]);
    assert_eq!(verified.code, Some(1), "{verified:?}");
    assert_eq!(verified.failure_code(), "backup_damaged");
    let object = verified.object();
    assert_eq!(object["whole"], false);
    assert_eq!(object["damages"][0]["file"], "dump.pgdump.zst");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_not_equal_exits_with_3() {
    let cluster = shop(17).await;
    let howdah = Howdah::new();
    let backups = howdah.backups();
    let backup = howdah.json(["backup", "--url", &cluster.url("shop"), "--to", text(&backups)]);
    // The target changes every row that is loaded into a table called orders.
    cluster.create_database("other").await.unwrap();
    cluster
        .sql(
            "other",
            "CREATE SCHEMA meddler;
             CREATE FUNCTION meddler.change() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN NEW.note := 'changed'; RETURN NEW; END $$;
             CREATE FUNCTION meddler.follow() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF to_regclass('public.orders') IS NOT NULL
                     AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass('public.orders')) THEN
                     CREATE TRIGGER change BEFORE INSERT ON public.orders FOR EACH ROW EXECUTE FUNCTION meddler.change();
                 END IF; END $$;
             CREATE EVENT TRIGGER follow ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION meddler.follow();",
        )
        .await
        .unwrap();
    let restored = howdah.run([
        "restore",
        backup["path"].as_str().unwrap(),
        "--url",
        &cluster.url("other"),
        "--json",
    ]);
    assert_eq!(restored.code, Some(3), "{restored:?}");
    let object = restored.object();
    assert_eq!(object["proved"], false);
    assert_eq!(object["mismatches"].as_array().unwrap().len(), 1, "{object}");
    assert_eq!(object["mismatches"][0]["name"], "orders");
    assert_eq!(object["mismatches"][0]["found_rows"], 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_with_errors_names_them_and_fails() {
    let cluster = shop(17).await;
    let howdah = Howdah::new();
    let backups = howdah.backups();
    let backup = howdah.json(["backup", "--url", &cluster.url("shop"), "--to", text(&backups)]);
    let path = backup["path"].as_str().unwrap();
    let again = howdah.run(["restore", path, "--url", &cluster.url("shop"), "--json"]);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert_eq!(again.failure_code(), "restore_failed");
    assert!(
        again.object()["error"]["details"]
            .as_str()
            .unwrap()
            .contains("orders"),
        "{again:?}"
    );
    let exists = howdah.run([
        "restore",
        path,
        "--url",
        &cluster.url("shop"),
        "--create",
        "--json",
    ]);
    assert_eq!(exists.code, Some(1));
    assert_eq!(exists.failure_code(), "database_exists");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_defined_is_restored_without_rows() {
    let cluster = shop(17).await;
    let howdah = Howdah::new();
    let backups = howdah.backups();
    let backup = howdah.json(["backup", "--url", &cluster.url("shop"), "--to", text(&backups)]);
    let restored = howdah.json([
        "restore",
        backup["path"].as_str().unwrap(),
        "--url",
        &cluster.url("empty"),
        "--create",
        "--schema-only",
        "--no-owner",
        "--no-privileges",
    ]);
    assert!(restored.get("proved").is_none(), "{restored}");
    let rows = cluster.one("empty", "SELECT count(*)::text FROM orders").await;
    assert_eq!(rows.unwrap(), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn some_tables_are_restored_and_only_they_are_compared() {
    let cluster = shop(17).await;
    let howdah = Howdah::new();
    let backups = howdah.backups();
    let backup = howdah.json(["backup", "--url", &cluster.url("shop"), "--to", text(&backups)]);
    let path = backup["path"].as_str().unwrap();
    let part = cluster.url("part");
    let odd = r#""My schema"."Odd.Name""#;

    let nowhere = howdah.run([
        "restore",
        path,
        "--url",
        &part,
        "--create",
        "--table",
        odd,
        "--table",
        "public.nowhere",
        "--json",
    ]);
    assert_eq!(nowhere.code, Some(1), "{nowhere:?}");
    assert_eq!(nowhere.failure_code(), "not_found");

    let restored = howdah.json(["restore", path, "--url", &part, "--create", "--table", odd]);
    assert_eq!(
        (&restored["proved"], &restored["tables"], &restored["rows"]),
        (&true.into(), &1.into(), &1.into()),
        "{restored}"
    );
    let there = "SELECT to_regclass('public.orders') IS NULL";
    assert_eq!(cluster.one("part", there).await.unwrap(), "t");

    // Beside what is there already, and in words.
    let words = howdah.run([
        "restore",
        path,
        "--url",
        &part,
        "--table",
        "PUBLIC.orders",
        "--jobs",
        "1",
    ]);
    assert_eq!(words.code, Some(0), "{words:?}");
    assert!(
        words
            .stdout
            .contains("1 table of the backup is restored into part"),
        "{words:?}"
    );
    assert_eq!(
        cluster.one("part", "SELECT count(*) FROM orders").await.unwrap(),
        "1000"
    );

    let pattern = howdah.run(["restore", path, "--url", &part, "--table", "public.*"]);
    assert_eq!(pattern.code, Some(2), "{pattern:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_come_from_everywhere_libpq_takes_them() {
    let cluster = shop(17).await;
    let howdah = Howdah::new();
    let backups = howdah.backups();
    let password = cluster.password();
    let url = url(&cluster, "shop");
    let arguments = ["backup", "--url", &url, "--to", text(&backups), "--json"];

    let none = howdah.run(arguments);
    assert_eq!(none.code, Some(1), "{none:?}");
    assert_eq!(none.failure_code(), "password_required");

    let from_stdin = howdah.run_with_stdin(
        arguments.into_iter().chain(["--password-stdin"]),
        &format!("{}\n", password.expose()),
    );
    assert_eq!(from_stdin.code, Some(0), "{from_stdin:?}");

    let from_variable = support::end(
        howdah
            .command(arguments)
            .env("PGPASSWORD", password.expose())
            .spawn()
            .unwrap(),
    );
    assert_eq!(from_variable.code, Some(0), "{from_variable:?}");

    let pgpass = howdah.place.path().join("pgpass");
    std::fs::write(
        &pgpass,
        format!("127.0.0.1:*:shop:postgres:{}\n", password.expose()),
    )
    .unwrap();
    std::fs::set_permissions(
        &pgpass,
        <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o600),
    )
    .unwrap();
    let from_file = support::end(
        howdah
            .command(arguments)
            .env("PGPASSFILE", &pgpass)
            .spawn()
            .unwrap(),
    );
    assert_eq!(from_file.code, Some(0), "{from_file:?}");

    // The same file in the home folder, under its usual name.
    std::fs::rename(&pgpass, howdah.place.path().join(".pgpass")).unwrap();
    let from_home = howdah.run(arguments);
    assert_eq!(from_home.code, Some(0), "{from_home:?}");

    let connection = cluster.connection("shop");
    let without_url = support::end(
        howdah
            .command(["backup", "--to", text(&backups), "--json"])
            .env("PGHOST", &connection.host)
            .env("PGPORT", connection.port.to_string())
            .env("PGUSER", &connection.role)
            .env("PGDATABASE", "shop")
            .env("PGPASSWORD", password.expose())
            .spawn()
            .unwrap(),
    );
    assert_eq!(without_url.code, Some(0), "{without_url:?}");

    let in_url = howdah.run([
        "backup",
        "--url",
        &cluster.url("shop"),
        "--to",
        text(&backups),
        "--json",
    ]);
    assert_eq!(in_url.code, Some(0), "{in_url:?}");
    assert!(
        in_url
            .stderr
            .contains("every user of this machine can see the password"),
        "{in_url:?}"
    );
    assert!(!in_url.stderr.contains(password.expose()) && !in_url.stdout.contains(password.expose()));
}
