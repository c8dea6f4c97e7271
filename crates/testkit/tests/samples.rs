//! The sample with every kind of object loads on every major, and the bundled client of that major dumps it.

use howdah_postgres::children::{self, Parting};
use howdah_postgres::programs::Programs;
use howdah_testkit::{Cluster, sample};
use rstest::rstest;
use tokio_util::sync::CancellationToken;

#[rstest]
#[tokio::test]
async fn every_kind_of_object_loads_is_dumped_and_is_restored(
    #[values(13, 14, 15, 16, 17, 18)] major: u16,
) -> anyhow::Result<()> {
    let cluster = Cluster::start(major).await?;
    sample::every_kind(&cluster, "every kind").await?;
    let kinds = "SELECT count(DISTINCT (classid, deptype)) FROM pg_depend WHERE objid >= 16384";
    let before: u32 = cluster.one("every kind", kinds).await?.parse()?;
    assert!(before > 30, "only {before} kinds of objects");

    let client = Programs::locate(None)?.client_for(major)?;
    let archive = cluster.folder().join("archive");
    let database = cluster.connection("every kind");
    let password = cluster.password();
    let run = |program: &std::path::Path, arguments: &[&str]| {
        let mut command = client.command(program);
        command.env("PGPASSWORD", password.expose()).args(arguments);
        command.args([
            "--host",
            &database.host,
            "--port",
            &database.port.to_string(),
            "--username",
            &database.role,
        ]);
        children::spawn(command, Parting::Kill)
    };
    let never = CancellationToken::new();
    let archive = archive.display().to_string();
    let dump = run(&client.pg_dump, &["-Fc", "-Z0", "--file", &archive, "every kind"])?
        .finish(&never, 1 << 20)
        .await?;
    assert!(dump.status.success(), "{}", dump.stderr.text());
    cluster.create_database("again").await?;
    let restore = run(
        &client.pg_restore,
        &["--exit-on-error", "--dbname", "again", &archive],
    )?
    .finish(&never, 1 << 20)
    .await?;
    assert!(restore.status.success(), "{}", restore.stderr.text());
    assert_eq!(cluster.one("again", kinds).await?.parse::<u32>()?, before);
    Ok(())
}
