//! Much: a long stream, and a long list.

use std::time::{Duration, Instant};

use bytes::Bytes;
use howdah_storage::{Destination as _, Error};
use howdah_testkit::gate::Rule;
use howdah_testkit::rclone::{Protocol, Rclone};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;

use crate::support::*;

/// Bytes of a stream, a megabyte each, no two alike.
fn piece(number: u32) -> Bytes {
    let mut bytes = sample(1024 * 1024 + number as usize % 251)
        .slice(number as usize % 251..)
        .to_vec();
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    bytes.into()
}

async fn stream(
    s3: &dyn howdah_storage::Destination,
    pieces: u32,
    estimate: Option<u64>,
) -> Result<Vec<u8>, Error> {
    let mut hash = Sha256::new();
    let mut len = 0;
    let mut writer = s3.create(&path("long/dump"), estimate, &never()).await?;
    for number in 0..pieces {
        let piece = piece(number);
        hash.update(&piece);
        len += piece.len() as u64;
        writer.write(piece).await?;
    }
    assert_eq!(writer.finish(len).await?.len, len);
    Ok(hash.finalize().to_vec())
}

#[tokio::test]
async fn a_long_stream_arrives_whole() {
    let rclone = Rclone::start(Protocol::S3, &[]).unwrap();
    let s3 = open_with(&place(url(rclone.port())), quick());
    let begun = Instant::now();
    let sent = stream(&s3, 300, Some(300 << 20)).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    let mut object = s3.read(&path("long/dump"), None, &never()).await.unwrap();
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = object.body.read(&mut buffer).await.unwrap();
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
    }
    assert!(hash.finalize().to_vec() == sent);
}

#[tokio::test]
async fn a_list_of_many_pages_is_whole() {
    let rclone = rclone(quick()).await;
    many(&rclone.server, 500);
    let found = names(&rclone.s3).await;
    assert_eq!(found.len(), 2500);
    assert!(found.is_sorted());
    assert_eq!(rclone.gate.requests("GET", "list-type=2"), 3);
    let one = rclone
        .s3
        .list(Some(&path("shop/orders/00007")), &never())
        .await
        .unwrap();
    assert_eq!(one.len(), 5);
    // A page that is lost for good is an error, not the end of the list.
    rclone.gate.rule(
        Rule::on("GET", "continuation-token")
            .always()
            .plays(s3_error(403, "AccessDenied")),
    );
    assert!(rclone.s3.list(None, &never()).await.is_err());
}

/// Puts folders of five files each where rclone serves them.
fn many(rclone: &Rclone, folders: u32) {
    for folder in 0..folders {
        let folder = rclone
            .root()
            .join(format!("backups/howdah/laptop/shop/orders/{folder:05}"));
        std::fs::create_dir_all(&folder).unwrap();
        for file in [
            "dump.pgdump.zst",
            "globals.sql.zst",
            "index.json.zst",
            "manifest.json",
            "manifest.sha256",
        ] {
            std::fs::write(folder.join(file), "x").unwrap();
        }
    }
}

/// `cargo test --release -p howdah-storage --test s3 -- --ignored --exact volume::a_list_of_ten_thousand_backups_takes_seconds --nocapture`
#[tokio::test]
#[ignore = "a measurement, for a release build"]
async fn a_list_of_ten_thousand_backups_takes_seconds() {
    let rclone = Rclone::start(Protocol::S3, &[]).unwrap();
    many(&rclone, 10_000);
    let s3 = open_with(&place(url(rclone.port())), quick());
    for _ in 0..3 {
        let begun = Instant::now();
        assert_eq!(names(&s3).await.len(), 50_000);
        println!("50,000 objects listed in {:?}", begun.elapsed());
    }
}

/// As above; prints the pace of six gigabytes, and the most memory of this process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, for a release build"]
async fn six_gigabytes_go_in_bounded_memory() {
    // rclone refuses the parts beyond 5 GiB.
    let moto = moto(quick()).await;
    let s3 = open_with(&place(url(moto.server.port())), quick());
    let begun = Instant::now();
    stream(&s3, 6 * 1024, None).await.unwrap();
    println!("6 GiB in {:?}", begun.elapsed());
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    println!(
        "{}",
        status.lines().find(|line| line.starts_with("VmHWM")).unwrap()
    );
    let entry = s3.list(None, &never()).await.unwrap().remove(0);
    assert_eq!(entry.len, 6 << 30);
}
