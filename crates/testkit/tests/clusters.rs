//! Every major starts, does what a test needs of it, and leaves nothing behind.

use howdah_testkit::Cluster;
use rstest::rstest;

#[rstest]
#[tokio::test]
async fn a_cluster_of_every_major_starts_and_leaves_no_process(
    #[values(13, 14, 15, 16, 17, 18)] major: u16,
) -> anyhow::Result<()> {
    let cluster = Cluster::start(major).await?;
    let version: u32 = cluster
        .one("postgres", "SHOW server_version_num")
        .await?
        .parse()?;
    assert_eq!(version / 10_000, u32::from(major));
    let (pid, folder) = (cluster.pid(), cluster.folder().to_path_buf());
    assert!(folder.is_dir());
    drop(cluster);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    assert!(!folder.exists());
    Ok(())
}
