//! Lists: all pages, few requests, and nothing half heard.

use howdah_storage::Destination as _;
use howdah_testkit::drive::{Fault, On};

use crate::support::{names, path, prepared, put, token};

#[tokio::test]
async fn ten_thousand_backups_are_listed_with_a_request_per_thousand_files() {
    let (emulator, drive) = prepared().await;
    for backup in 0..10_000 {
        for name in ["dump.pgdump.zst", "manifest.json"] {
            emulator.add_file(&format!("Howdah/laptop/shop/orders/{backup:05}/{name}"), 7);
        }
    }
    // Another machine's folder in the same Drive is not ours.
    emulator.add_file("Howdah/desktop/shop/orders/00000/manifest.json", 7);
    let before = emulator.count(On::List);
    let started = std::time::Instant::now();
    let entries = drive.list(None, &token()).await.unwrap();
    println!("20,000 files in {:?}", started.elapsed());
    assert_eq!(entries.len(), 20_000);
    assert_eq!(entries[0].path.as_str(), "shop/orders/00000/dump.pgdump.zst");
    assert_eq!(entries[19_999].path.as_str(), "shop/orders/09999/manifest.json");
    assert!(entries.is_sorted_by(|a, b| a.path < b.path));
    let requests = emulator.count(On::List) - before;
    assert!(requests <= 55, "{requests} requests");
    assert!(emulator.count(On::Get) <= 1, "nothing is asked file by file");

    // One backup of the many costs no list of all.
    let before = emulator.count(On::List);
    let one = drive
        .list(Some(&path("shop/orders/00042")), &token())
        .await
        .unwrap();
    assert_eq!(one.len(), 2);
    let requests = emulator.count(On::List) - before;
    assert!(requests <= 6, "{requests} requests");
}

#[tokio::test]
async fn pages_that_are_not_full_are_not_the_last() {
    let (emulator, drive) = prepared().await;
    let mut expected = Vec::new();
    for number in 0..40 {
        let name = format!("shop/{number:02}/{number:02}");
        emulator.add_file(&format!("Howdah/laptop/{name}"), 1);
        expected.push(name);
    }
    emulator.page_limit(3);
    // Forty folders on one level: one list of all.
    assert_eq!(names(&drive).await, expected);
    // Few: folder by folder.
    for number in 20..40 {
        emulator
            .put_into_bin(&format!("Howdah/laptop/shop/{number:02}"))
            .unwrap();
    }
    assert_eq!(names(&drive).await, expected[..20]);
}

#[tokio::test]
async fn a_list_whose_answer_breaks_off_is_asked_for_again_and_never_short() {
    let (emulator, drive) = prepared().await;
    for number in 0..5 {
        put(&drive, &format!("shop/{number}"), b"x").await.unwrap();
    }
    for cut in [0, 1, 50, 300] {
        emulator.fail_times(On::List, 1, 1, Fault::CutAnswer(cut));
        assert_eq!(names(&drive).await.len(), 5, "cut after {cut} bytes");
    }
    assert_eq!(emulator.faults_left(), 0);
}
