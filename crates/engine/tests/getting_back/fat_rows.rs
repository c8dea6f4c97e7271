//! One row of 200 MB among others: it comes back, and is never whole in our memory while it is restored.

use howdah_domain::RunState;
use howdah_engine::api::RestoreTarget;

use crate::Shop;

const ROWS: &str = "CREATE TABLE orders (id int PRIMARY KEY, note text);
    INSERT INTO orders SELECT n, repeat(md5(n::text), 30) FROM generate_series(1, 100000) n;
    INSERT INTO orders SELECT 0, string_agg(md5(n::text), '') FROM generate_series(1, 6250000) n";

/// The most memory that this process had since [`forget_the_peak`], in bytes (`VmHWM` in proc(5)).
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes << 10
}

fn forget_the_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_200_mb_comes_back_and_is_proved() {
    let shop = Shop::backed_up(17, ROWS).await;
    let engine = &shop.test.engine;
    forget_the_peak();
    let before = peak();
    let here = RestoreTarget::NewInstance { name: None };
    let run = shop.restored_well(shop.wish(here)).await;
    let took = (peak() - before) >> 20;
    assert!(took < 200, "restoring it took {took} MB");
    let instance = engine.run_page(&run.id).await.unwrap().instance.unwrap();
    // One table alone is divided among the connections, and so goes through the log: of that nothing stays.
    let log = std::fs::read_dir(instance.folder.join("data/pg_wal")).unwrap();
    let kept: u64 = log.map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(kept <= 48 << 20, "{} MB of log", kept >> 20);
    engine.delete_instance(&instance.id).await.unwrap();

    let drill = engine.drill_backup(&shop.backup.id).await.unwrap();
    let ended = shop.test.ended(&drill).await;
    assert_eq!(ended.state, RunState::Succeeded, "{:?}", ended.failure);
    let report = engine.run_page(&drill).await.unwrap().drill.unwrap();
    assert!(report.proved, "{report:?}");
}
