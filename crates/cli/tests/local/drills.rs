//! `howdah drill`.

use crate::support::Howdah;
use crate::{backed_up, instances};

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_proves_a_backup_and_its_report_stands_on_its_own() {
    let howdah = Howdah::new();
    let (_cluster, backup) = backed_up(&howdah, 17, 2000).await;
    let path = backup["path"].as_str().unwrap();
    let page = howdah.place.path().join("report.html");
    let drill = howdah.json([
        "drill",
        path,
        "--assert",
        "SELECT count(*) = 2000 FROM orders",
        "--report",
        page.to_str().unwrap(),
    ]);
    assert_eq!(drill["proved"], true, "{drill}");
    assert_eq!((&drill["tables"], &drill["rows"]), (&2.into(), &4000.into()));
    assert_eq!(drill["mismatches"], serde_json::json!([]));
    assert!(drill["seconds"].as_f64().unwrap() > 0.0);
    let page = std::fs::read_to_string(page).unwrap();
    assert!(
        page.contains("✓ Proved") && page.contains("public.orders"),
        "{page}"
    );
    assert!(instances(&howdah).await.is_empty());
    // By people it is read as a sentence.
    let told = howdah.run(["drill", path]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.stdout.starts_with("Proved in "), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_proved_ends_with_3_and_what_cannot_be_drilled_with_1() {
    let howdah = Howdah::new();
    let (_cluster, backup) = backed_up(&howdah, 18, 100).await;
    let path = backup["path"].as_str().unwrap();
    let refuted = howdah.run([
        "drill",
        path,
        "--assert",
        "SELECT count(*) > 100 FROM orders",
        "--json",
    ]);
    assert_eq!(refuted.code, Some(3), "{refuted:?}");
    let object = refuted.object();
    assert_eq!(object["proved"], false);
    assert_eq!(object["assertions"][0]["held"], false);

    let dump = std::path::Path::new(path).join("dump.pgdump.zst");
    let mut bytes = std::fs::read(&dump).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&dump, bytes).unwrap();
    let damaged = howdah.run(["drill", path, "--json"]);
    assert_eq!(damaged.code, Some(1), "{damaged:?}");
    assert_eq!(damaged.failure_code(), "backup_damaged");
    assert!(instances(&howdah).await.is_empty());
}
