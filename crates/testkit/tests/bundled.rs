//! The bundled programs run on this machine and are what their stamps say.

use howdah_postgres::children::{self, Parting};
use howdah_postgres::programs::Programs;
use howdah_testkit::{Cluster, MAJORS};
use rstest::rstest;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn every_program_runs_and_has_the_version_of_its_stamp() -> anyhow::Result<()> {
    let programs = Programs::locate(None)?;
    let all = programs.all();
    let never = CancellationToken::new();
    for listed in &all {
        let mut command = if listed.path.components().any(|part| part.as_os_str() == "client") {
            programs.client_for(listed.major)?.command(&listed.path)
        } else {
            programs.server(listed.major)?.command(&listed.path)
        };
        command.arg("--version");
        let ended = children::spawn(command, Parting::Kill)?
            .finish(&never, 4096)
            .await?;
        let said = ended.stdout.text();
        let version = said.split_whitespace().nth(2);
        assert_eq!(
            version,
            Some(listed.version.as_str()),
            "{listed:?}: {said} {}",
            ended.stderr.text()
        );
    }
    // Without Debian's package for 13, its client is 14's.
    let servers = all.iter().filter(|listed| listed.name == "postgres").count();
    let clients = all.iter().filter(|listed| listed.name == "pg_dump").count();
    assert_eq!(servers, MAJORS.len());
    assert!(clients >= MAJORS.len() - 1);
    assert_eq!(programs.client_for(13)?.newer_than_server, clients < MAJORS.len());
    Ok(())
}

#[rstest]
#[tokio::test]
async fn every_extension_that_is_shipped_can_be_created(
    #[values(13, 14, 15, 16, 17, 18)] major: u16,
) -> anyhow::Result<()> {
    let cluster = Cluster::start(major).await?;
    let names = cluster
        .rows(
            "postgres",
            "SELECT name FROM pg_available_extensions ORDER BY name",
        )
        .await?;
    assert!(names.len() > 35, "only {} extensions", names.len());
    let mut failed = Vec::new();
    for name in names.into_iter().flatten().flatten() {
        let create = format!("CREATE EXTENSION IF NOT EXISTS \"{name}\" CASCADE");
        if let Err(error) = cluster.sql("postgres", &create).await {
            failed.push(format!("{name}: {error}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}
