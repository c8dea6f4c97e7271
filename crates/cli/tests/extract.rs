//! `howdah extract` on real servers: what comes out of a backup is what the server itself would write.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap like the tests")]

mod support;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use futures_util::TryStreamExt as _;
use howdah_testkit::moto::Moto;
use howdah_testkit::tcp_gate::{TcpGate, Way};
use howdah_testkit::{Cluster, sample};
use rstest::rstest;
use serde_json::Value;
use support::{Ended, Howdah, text};

/// A name in double quotes.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn table_of(object: &Value) -> String {
    let part = |key: &str| quoted(object[key].as_str().unwrap());
    format!("{}.{}", part("schema"), part("name"))
}

/// What extract writes to standard output.
fn extract(howdah: &Howdah, backup: &str, table: &str, format: &str) -> Vec<u8> {
    let all = ["extract", backup, "--table", table, "--format", format, "--quiet"];
    let output: Output = howdah.command(all).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{table}: {stderr}");
    assert_eq!(stderr, "", "{table}");
    output.stdout
}

/// What the server writes for a COPY statement, in a session as pg_dump's.
async fn copied(client: &tokio_postgres::Client, statement: &str) -> Vec<u8> {
    let out = client.copy_out(statement).await.unwrap();
    let pieces: Vec<bytes::Bytes> = out.try_collect().await.unwrap();
    pieces.concat()
}

/// A session as pg_dump's own: values print as they do in a dump.
async fn session(cluster: &Cluster, database: &str) -> tokio_postgres::Client {
    let client = cluster.client(database).await.unwrap();
    client
        .batch_execute(
            "SET search_path = ''; SET DateStyle = ISO; SET IntervalStyle = postgres; SET TimeZone = 'UTC';
             SET extra_float_digits = 3; SET bytea_output = 'escape'; SET row_security = off",
        )
        .await
        .unwrap();
    client
}

fn backed_up(howdah: &Howdah, cluster: &Cluster, database: &str) -> String {
    let (url, to) = (cluster.url(database), howdah.backups());
    let made = howdah.json(["backup", "--url", &url, "--to", text(&to)]);
    made["path"].as_str().unwrap().to_owned()
}

fn sorted(copy: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = copy.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    lines.sort();
    lines
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn every_table_comes_out_as_the_server_would_write_it_and_its_sql_brings_it_back(
    #[values(13, 18)] major: u16,
) {
    let cluster = Cluster::start(major).await.unwrap();
    sample::every_kind(&cluster, "every kind").await.unwrap();
    let howdah = Howdah::new();
    let backup = backed_up(&howdah, &cluster, "every kind");
    let tables = howdah.json(["show", &backup])["tables"]
        .as_array()
        .unwrap()
        .clone();
    assert!(tables.len() > 40, "{}", tables.len());

    // An empty copy of everything, for the SQL.
    let restored = cluster.url("replayed");
    howdah.json(["restore", &backup, "--url", &restored, "--create", "--no-compare"]);
    let target = session(&cluster, "replayed").await;
    // No trigger, no foreign key, no constraint that some rows do not meet, as in the middle of a restore.
    target
        .batch_execute(
            "SET session_replication_role = replica; ALTER TABLE app.orders DROP CONSTRAINT never_was_true;
             DO $$ BEGIN IF pg_catalog.to_regclass('app.since_18') IS NOT NULL THEN
                 ALTER TABLE app.since_18 ALTER m DROP NOT NULL; END IF; END $$",
        )
        .await
        .unwrap();
    let every: Vec<String> = tables.iter().map(table_of).collect();
    target
        .batch_execute(&format!("TRUNCATE {} CASCADE", every.join(", ")))
        .await
        .unwrap();

    let source = session(&cluster, "every kind").await;
    for table in &every {
        let file = howdah.place.path().join("rows.csv");
        let all = [
            "extract",
            &backup,
            "--table",
            table,
            "--format",
            "csv",
            "--to",
            text(&file),
        ];
        let told = howdah.json(all);
        assert_eq!(told["bytes"], std::fs::metadata(&file).unwrap().len(), "{told}");
        let columns: Vec<String> = told["columns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| quoted(name.as_str().unwrap()))
            .collect();
        let list = match columns.as_slice() {
            [] => String::new(),
            columns => format!("({})", columns.join(", ")),
        };
        let copy = copied(&source, &format!("COPY {table} {list} TO STDOUT")).await;
        let ours = extract(&howdah, &backup, table, "copy");
        assert!(ours == copy, "{table}: {}", String::from_utf8_lossy(&ours));
        let rows = ours.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(told["rows"], rows, "{table}");

        let csv = copied(
            &source,
            &format!("COPY {table} {list} TO STDOUT WITH (FORMAT csv, HEADER)"),
        )
        .await;
        let ours = std::fs::read(&file).unwrap();
        assert!(
            ours == csv,
            "{table}:\n{}\nis not\n{}",
            String::from_utf8_lossy(&ours),
            String::from_utf8_lossy(&csv)
        );

        let sql = String::from_utf8(extract(&howdah, &backup, table, "sql")).unwrap();
        target
            .batch_execute(&sql)
            .await
            .unwrap_or_else(|error| panic!("{table}: {error:?}"));
    }
    for (table, object) in every.iter().zip(&tables) {
        let told = howdah.json([
            "extract",
            &backup,
            "--table",
            table,
            "--to",
            text(&howdah.place.path().join("rows")),
        ]);
        let columns: Vec<String> = told["columns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| quoted(name.as_str().unwrap()))
            .collect();
        let list = match columns.as_slice() {
            [] => String::new(),
            columns => format!("({})", columns.join(", ")),
        };
        let statement = if table.starts_with("\"app\".\"by_mood_") {
            // Which of these partitions a row is in is another matter in another database: they are loaded through their root.
            "COPY (SELECT * FROM app.by_mood) TO STDOUT".to_owned()
        } else {
            format!("COPY {table} {list} TO STDOUT")
        };
        let (before, after) = (
            copied(&source, &statement).await,
            copied(&target, &statement).await,
        );
        assert!(sorted(&before) == sorted(&after), "{object}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_in_another_encoding_come_out_byte_for_byte_and_their_sql_says_so() {
    let cluster = Cluster::start(17).await.unwrap();
    let making = "CREATE DATABASE old TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'";
    cluster.sql("postgres", making).await.unwrap();
    cluster
        .sql(
            "old",
            "CREATE TABLE \"Größen\" (\"Maß\" text); INSERT INTO \"Größen\" VALUES ('dreißig'), ('it''s')",
        )
        .await
        .unwrap();
    let howdah = Howdah::new();
    let backup = backed_up(&howdah, &cluster, "old");
    let table = "public.\"Größen\"";
    assert_eq!(extract(&howdah, &backup, table, "copy"), b"drei\xdfig\nit's\n");
    assert_eq!(
        extract(&howdah, &backup, table, "csv"),
        b"Ma\xdf\ndrei\xdfig\nit's\n"
    );
    let sql = extract(&howdah, &backup, table, "sql");
    assert!(sql.windows(8).any(|window| window == b"'LATIN1'"));
    cluster.sql("old", "TRUNCATE \"Größen\"").await.unwrap();
    // This client sends UTF-8 and nothing else.
    let text: String = sql.iter().map(|byte| char::from(*byte)).collect();
    let text = text.replace("SET LOCAL client_encoding = 'LATIN1';", "");
    cluster.sql("old", &text).await.unwrap();
    let rows = cluster.rows("old", "SELECT * FROM \"Größen\"").await.unwrap();
    assert_eq!(rows[0], [Some("dreißig".to_owned())]);
}

/// A database with a small table between two larger ones.
async fn three_tables(cluster: &Cluster) {
    cluster.create_database("shop").await.unwrap();
    let filled = |name: &str| {
        format!(
            "CREATE TABLE {name} (id int, body text);
             INSERT INTO {name} SELECT n, md5(n::text) || md5('{name}' || n) FROM generate_series(1, 20000) n;"
        )
    };
    for name in ["a_first", "b_second", "c_third"] {
        cluster.sql("shop", &filled(name)).await.unwrap();
    }
    cluster
        .sql("shop", "CREATE TABLE empty (id int, \"a, b\" text)")
        .await
        .unwrap();
}

fn run(howdah: &Howdah, arguments: &[&str]) -> Ended {
    howdah.run(arguments.iter().copied())
}

/// Where in the dump's file the frames of a table lie.
fn stretch(backup: &str, name: &str) -> (u64, u64) {
    let bytes = std::fs::read(Path::new(backup).join("index.json.zst")).unwrap();
    let index = howdah_archive::Index::from_bytes(&bytes).unwrap();
    let entry = index.tables().find(|entry| entry.name == name).unwrap();
    let frames = index.frames_of(entry.raw_offset, entry.raw_end());
    (frames[0].stored_offset, frames[frames.len() - 1].stored_end())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_one_table_is_told_with_its_name_and_leaves_the_others_alone() {
    let cluster = Cluster::start(17).await.unwrap();
    three_tables(&cluster).await;
    let howdah = Howdah::new();
    let backup = backed_up(&howdah, &cluster, "shop");
    let whole = extract(&howdah, &backup, "public.c_third", "copy");
    let dump = Path::new(&backup).join("dump.pgdump.zst");
    let mut bytes = std::fs::read(&dump).unwrap();
    let (from, until) = stretch(&backup, "b_second");
    assert!(until - from > 100_000, "the table has frames of its own");
    bytes[usize::try_from(from + (until - from) / 2).unwrap()] ^= 4;
    std::fs::write(&dump, bytes).unwrap();

    let folder = howdah.place.path().join("out");
    std::fs::create_dir(&folder).unwrap();
    let before = folder.join("rows");
    std::fs::write(&before, "what was there").unwrap();
    for format in ["copy", "csv", "sql"] {
        let to = ["--format", format, "--to", text(&before), "--json"];
        let damaged = run(
            &howdah,
            &[&["extract", &backup, "--table", "public.b_second"][..], &to].concat(),
        );
        assert_eq!(damaged.code, Some(1), "{damaged:?}");
        assert_eq!(damaged.failure_code(), "backup_damaged");
        assert!(damaged.stdout.contains("public.b_second"), "{damaged:?}");
        assert_eq!(std::fs::read(&before).unwrap(), b"what was there");
        assert_eq!(
            std::fs::read_dir(&folder).unwrap().count(),
            1,
            "nothing is left beside it"
        );
    }
    let on_stdout = run(&howdah, &["extract", &backup, "--table", "public.b_second"]);
    assert_eq!(
        on_stdout.code,
        Some(1),
        "a script hears of it: {}",
        on_stdout.stderr
    );
    assert!(
        on_stdout.stderr.contains("public.b_second"),
        "{}",
        on_stdout.stderr
    );
    assert!(extract(&howdah, &backup, "public.c_third", "copy") == whole);
    assert_eq!(
        extract(&howdah, &backup, "public.a_first", "copy").len(),
        whole.len()
    );

    // The same with the file cut off in that table.
    let file = std::fs::OpenOptions::new().write(true).open(&dump).unwrap();
    file.set_len(from + 10).unwrap();
    let cut = run(
        &howdah,
        &[
            "extract",
            &backup,
            "--table",
            "public.b_second",
            "--json",
            "--to",
            text(&before),
        ],
    );
    assert_eq!(cut.failure_code(), "backup_damaged");
    assert_eq!(
        extract(&howdah, &backup, "public.a_first", "copy").len(),
        whole.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_gets_one_object_and_exit_codes_that_it_can_trust() {
    let cluster = Cluster::start(17).await.unwrap();
    three_tables(&cluster).await;
    let howdah = Howdah::new();
    let backup = backed_up(&howdah, &cluster, "shop");
    let file = howdah.place.path().join("rows.copy");

    let told = howdah.json([
        "extract",
        &backup,
        "--table",
        "Public.B_Second",
        "--to",
        text(&file),
    ]);
    assert_eq!(told["rows"], 20000);
    assert_eq!(told["name"], "b_second");
    assert_eq!(told["format"], "copy");
    assert_eq!(told["encoding"], "UTF8");
    assert_eq!(told["path"], text(&file));
    assert!(told["stored_bytes"].as_u64().unwrap() > 0, "{told}");
    assert!(told["seconds"].is_number(), "{told}");
    assert_eq!(
        std::fs::read(&file).unwrap(),
        extract(&howdah, &backup, "public.b_second", "copy")
    );

    let words = run(
        &howdah,
        &[
            "extract",
            &backup,
            "--table",
            "public.b_second",
            "--to",
            text(&file),
        ],
    );
    assert_eq!(words.code, Some(0));
    assert!(
        words.stdout.starts_with("20,000 rows of public.b_second"),
        "{words:?}"
    );

    for arguments in [
        &["extract", &backup, "--table", "public.b_second", "--json"][..],
        &["extract", &backup, "--table", "b_second"],
        &["extract", &backup],
        &[
            "extract",
            &backup,
            "--table",
            "public.b_second",
            "--format",
            "xml",
        ],
    ] {
        assert_eq!(run(&howdah, arguments).code, Some(2), "{arguments:?}");
    }
    let usage = run(
        &howdah,
        &["--json", "extract", &backup, "--table", "public.b_second"],
    );
    assert_eq!(usage.failure_code(), "invalid_input");

    let unknown = run(
        &howdah,
        &[
            "extract",
            &backup,
            "--table",
            "public.b_secnd",
            "--json",
            "--to",
            text(&file),
        ],
    );
    assert_eq!(unknown.code, Some(1));
    assert_eq!(unknown.failure_code(), "not_found");
    assert!(
        unknown.stdout.contains("public.b_second"),
        "near names are told: {unknown:?}"
    );
    let nowhere = run(&howdah, &["extract", "/nowhere", "--table", "public.b_second"]);
    assert_eq!(nowhere.code, Some(1));

    assert_eq!(extract(&howdah, &backup, "public.empty", "copy"), b"");
    assert_eq!(extract(&howdah, &backup, "public.empty", "csv"), b"id,\"a, b\"\n");
    assert!(
        !String::from_utf8(extract(&howdah, &backup, "public.empty", "sql"))
            .unwrap()
            .contains("INSERT")
    );

    // What is no file is not replaced by one, and a folder that is not there is said to be missing.
    let device = run(
        &howdah,
        &["extract", &backup, "--table", "public.empty", "--to", "/dev/null"],
    );
    assert_eq!(device.code, Some(1), "{device:?}");
    let missing = run(
        &howdah,
        &[
            "extract",
            &backup,
            "--table",
            "public.empty",
            "--to",
            "/no/such/folder/x",
        ],
    );
    assert!(missing.stderr.contains("/no/such/folder/x"), "{missing:?}");
    // Who reads no further ends it without a word.
    let pipe = "\"$0\" extract \"$1\" --table public.b_second | head -n 1";
    let head = Command::new("sh")
        .args(["-c", pipe, env!("CARGO_BIN_EXE_howdah"), &backup])
        .env("HOWDAH_DATA_DIR", howdah.data_dir())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&head.stderr), "");
    assert!(head.stdout.starts_with(b"1\t"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_backup_gives_a_table_to_the_key_alone() {
    let cluster = Cluster::start(17).await.unwrap();
    three_tables(&cluster).await;
    let howdah = Howdah::new();
    let identity = howdah_archive::encryption::Identity::generate();
    let other = howdah_archive::encryption::Identity::generate();
    let key = |name: &str, identity: &howdah_archive::encryption::Identity| {
        let file = howdah.place.path().join(name);
        std::fs::write(&file, identity.to_secret().expose()).unwrap();
        file
    };
    let (right, wrong) = (key("right", &identity), key("wrong", &other));
    let recipient = identity.recipient().to_string();
    let (url, to) = (cluster.url("shop"), howdah.backups());
    let made = howdah.json([
        "backup",
        "--url",
        &url,
        "--to",
        text(&to),
        "--encrypt-to",
        &recipient,
    ]);
    let backup = made["path"].as_str().unwrap();
    let client = session(&cluster, "shop").await;
    let expected = copied(&client, "COPY public.b_second (id, body) TO STDOUT").await;

    let file = howdah.place.path().join("rows");
    let to = [
        "extract",
        backup,
        "--table",
        "public.b_second",
        "--to",
        text(&file),
        "--json",
    ];
    assert_eq!(run(&howdah, &to).failure_code(), "key_missing");
    let with = |key: &Path| run(&howdah, &[&to[..], &["--key", text(key)]].concat());
    assert_eq!(with(&wrong).failure_code(), "key_wrong");
    assert!(!file.exists());
    assert_eq!(with(&right).code, Some(0));
    assert!(std::fs::read(&file).unwrap() == expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_two_hundred_megabytes_passes_in_little_memory() {
    let cluster = Cluster::start(17).await.unwrap();
    cluster.create_database("wide").await.unwrap();
    cluster
        .sql(
            "wide",
            "CREATE TABLE one (id int, body text); ALTER TABLE one ALTER body SET STORAGE EXTERNAL;
             INSERT INTO one VALUES (1, repeat('0123456789 \"quoted\", it''s ', 8000000))",
        )
        .await
        .unwrap();
    let howdah = Howdah::new();
    let backup = backed_up(&howdah, &cluster, "wide");
    let raw = 8_000_000 * "0123456789 \"quoted\", it's ".len() as u64;
    for (format, more) in [("copy", 3), ("csv", 16_000_000 + 12), ("sql", 8_000_000)] {
        let file = howdah.place.path().join(format);
        let to = [
            "extract",
            &backup,
            "--table",
            "public.one",
            "--format",
            format,
            "--to",
            text(&file),
        ];
        // The limit is on what is resident at most: code, threads' stacks and heaps among it.
        let mut command = howdah.command(to);
        command.stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut peak = 0;
        let status = loop {
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
            peak = peak.max(kib.unwrap_or(0));
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        assert!(status.success());
        assert!(peak > 0 && peak < 90_000, "{format}: {peak} KiB at most");
        let len = std::fs::metadata(&file).unwrap().len();
        assert!(len >= raw + more, "{format}: {len} bytes");
        std::fs::remove_file(&file).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_bucket_only_the_tables_own_frames_are_fetched() {
    let cluster = Cluster::start(17).await.unwrap();
    three_tables(&cluster).await;
    // Ten megabytes, in more than one frame, among others.
    cluster
        .sql(
            "shop",
            "CREATE TABLE b_wanted AS SELECT n AS id, md5(n::text) || md5((n + 1)::text) AS body FROM generate_series(1, 140000) n",
        )
        .await
        .unwrap();
    let moto = tokio::task::spawn_blocking(Moto::start).await.unwrap().unwrap();
    let gate = TcpGate::before(moto.port()).await.unwrap();
    let howdah = Howdah::new();
    let place = |port: u16| {
        format!("s3://backups/one?endpoint=http://127.0.0.1:{port}&region=us-east-1&key-id=test&style=path")
    };
    let identity = howdah_archive::encryption::Identity::generate();
    let key = howdah.place.path().join("key");
    std::fs::write(&key, identity.to_secret().expose()).unwrap();
    let recipient = identity.recipient().to_string();
    let secret = "HOWDAH_DESTINATION_SECRET";
    let expected = copied(
        &session(&cluster, "shop").await,
        "COPY public.b_wanted (id, body) TO STDOUT",
    )
    .await;
    assert!(expected.len() > 9_000_000);
    for encrypted in [false, true] {
        let (url, to) = (cluster.url("shop"), place(moto.port()));
        let mut all = vec!["backup", "--url", &url, "--to", &to, "--json"];
        if encrypted {
            all.extend(["--encrypt-to", &recipient]);
        }
        let made = support::end(howdah.command(all).env(secret, "test").spawn().unwrap());
        assert_eq!(made.code, Some(0), "{made:?}");
        let made = made.object();
        let id = made["id"].as_str().unwrap();
        let listed = moto.ask("GET", "/backups?list-type=2").unwrap();
        let mut keys = listed
            .split("<Key>")
            .filter_map(|rest| rest.split("</Key>").next());
        let folder = keys
            .find_map(|key| {
                key.strip_suffix("/manifest.json")
                    .filter(|folder| folder.ends_with(id))
            })
            .unwrap();
        let backup = place(gate.port()).replace("backups/one", &format!("backups/{folder}"));
        let file = howdah.place.path().join("rows");
        let all = [
            "extract",
            &backup,
            "--table",
            "public.b_wanted",
            "--to",
            text(&file),
            "--json",
        ];
        let before = gate.passed(Way::Down);
        let child = howdah
            .command(all)
            .env(secret, "test")
            .env("HOWDAH_KEY_FILE", &key)
            .spawn()
            .unwrap();
        let ended = support::end(child);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let fetched = gate.passed(Way::Down) - before;
        let told = ended.object();
        let stored = told["stored_bytes"].as_u64().unwrap();
        println!(
            "encrypted {encrypted}: {fetched} bytes fetched for a table of {} bytes stored as {stored}, in {} s",
            expected.len(),
            told["seconds"]
        );
        assert!(std::fs::read(&file).unwrap() == expected);
        assert!(fetched >= stored, "the gate counts");
        assert!(fetched <= 2 * stored, "{fetched} bytes for {stored}");
        let whole = made["stored_bytes"].as_u64().unwrap();
        assert!(stored < whole * 3 / 4, "the backup is larger than the table");
    }
}
