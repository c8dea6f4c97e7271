//! Clusters that are copied instead of set up: the same as initdb makes them, whatever happened to what was kept.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use howdah_domain::Secret;
use howdah_postgres::instance::{Instance, Login, Options, Setup, Stop};
use howdah_postgres::programs::{Programs, ServerPrograms};
use howdah_postgres::{connect, prepared};
use rstest::rstest;
use tokio_util::sync::CancellationToken;

/// A folder that the account of instances can reach, and the programs of a major.
struct Place {
    above: tempfile::TempDir,
    programs: ServerPrograms,
}

impl Place {
    fn new(major: u16) -> anyhow::Result<Self> {
        let above = tempfile::tempdir()?;
        fs::set_permissions(above.path(), fs::Permissions::from_mode(0o755))?;
        let programs = Programs::locate(None)?.server(major)?;
        Ok(Self { above, programs })
    }

    fn kept(&self) -> PathBuf {
        self.above.path().join("kept")
    }

    /// What is kept, by name.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.kept()).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }

    async fn make(&self, name: &str, setup: &Setup) -> anyhow::Result<PathBuf> {
        let folder = self.above.path().join(name);
        let never = CancellationToken::new();
        prepared::create(&self.programs, &folder, setup, &self.kept(), &never).await?;
        let left: Vec<_> = fs::read_dir(&folder)?
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        assert_eq!(left, ["data"]);
        Ok(folder)
    }

    /// Starts it for its own account only, gives it its password, and starts it anew for those who have that.
    async fn proved(&self, folder: &Path, setup: &Setup) -> anyhow::Result<()> {
        let never = CancellationToken::new();
        let closed = Options {
            tcp: false,
            login: Login::TrustOnSocket,
            ..Options::for_setup(setup)
        };
        let running = Instance::start(&self.programs, folder, &closed, &never).await?;
        prepared::set_password(&running, &never).await?;
        running.stop(Stop::Fast, Duration::from_secs(20), &never).await?;
        let running = Instance::start(&self.programs, folder, &Options::for_setup(setup), &never).await?;
        let login = |password: Secret| {
            let (connection, never) = (running.connection(), never.clone());
            async move {
                connect(
                    &connection,
                    Some(&password),
                    "testkit",
                    Duration::from_secs(5),
                    &never,
                )
                .await
            }
        };
        assert!(login(Secret::new("wrong")).await.is_err());
        assert!(login(Secret::new("")).await.is_err());
        let session = login(setup.password.clone()).await?;
        let query = "SELECT datname::text FROM pg_database ORDER BY 1";
        let names: Vec<String> = session
            .client
            .query(query, &[])
            .await?
            .iter()
            .map(|row| row.get(0))
            .collect();
        assert_eq!(names, ["postgres", "template0", "template1"]);
        Ok(())
    }
}

fn quick() -> Setup {
    Setup {
        durable: false,
        ..Setup::default()
    }
}

/// A file or folder with its mode, owner and content.
type Found = (PathBuf, u32, u32, Vec<u8>);

fn everything(folder: &Path) -> anyhow::Result<Vec<Found>> {
    let (mut all, mut left) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(path) = left.pop() {
        let meta = fs::metadata(&path)?;
        let content = match meta.is_dir() {
            true => {
                left.extend(fs::read_dir(&path)?.flatten().map(|entry| entry.path()));
                Vec::new()
            }
            false => fs::read(&path)?,
        };
        all.push((
            path.strip_prefix(folder)?.to_path_buf(),
            meta.mode(),
            meta.uid(),
            content,
        ));
    }
    all.sort();
    Ok(all)
}

#[rstest]
#[case(13)]
#[case(14)]
#[case(15)]
#[case(16)]
#[case(17)]
#[case(18)]
#[tokio::test]
async fn a_copy_is_what_initdb_made(#[case] major: u16) -> anyhow::Result<()> {
    let place = Place::new(major)?;
    let setup = quick();
    let first = place.make("first", &setup).await?;
    assert_eq!(place.names().len(), 1);
    let second = place.make("second", &quick()).await?;
    let (made, copied) = (
        everything(&first.join("data"))?,
        everything(&second.join("data"))?,
    );
    assert!(made.len() > 800, "{}", made.len());
    assert!(made == copied);
    place.proved(&second, &setup).await
}

#[rstest]
#[case::of_a_file(|kept: &Path| {
    let path = kept.join("data/base/1/1259");
    let mut bytes = fs::read(&path)?;
    bytes[5_000] ^= 4;
    fs::write(&path, bytes)
})]
#[case::of_the_list(|kept: &Path| {
    let path = kept.join("list");
    let text = fs::read_to_string(&path)?;
    let without: Vec<&str> = text.lines().filter(|line| !line.ends_with("base/1/1259")).collect();
    fs::write(&path, without.join("\n"))
})]
#[case::as_a_power_cut_leaves_it(|kept: &Path| fs::write(kept.join("list"), ""))]
#[case::by_a_hand(|kept: &Path| fs::remove_file(kept.join("data/PG_VERSION")))]
#[case::outwards(|kept: &Path| {
    let path = kept.join("list");
    let text = fs::read_to_string(&path)?.replace("base/1/1259", "../../../somewhere");
    fs::write(&path, text)
})]
#[tokio::test]
async fn damage_costs_a_moment_and_no_instance(
    #[case] damage: fn(&Path) -> std::io::Result<()>,
) -> anyhow::Result<()> {
    let place = Place::new(17)?;
    let setup = quick();
    place.make("first", &setup).await?;
    let [name] = place.names().try_into().expect("one is kept");
    damage(&place.kept().join(&name))?;
    let second = place.make("second", &setup).await?;
    place.proved(&second, &setup).await?;
    assert_eq!(place.names(), [name], "a sound one is kept instead");
    let third = place.make("third", &setup).await?;
    place.proved(&third, &setup).await?;
    assert!(!place.above.path().join("somewhere").exists());
    Ok(())
}

#[tokio::test]
async fn one_is_kept_per_major() -> anyhow::Result<()> {
    let mut place = Place::new(17)?;
    place.make("first", &quick()).await?;
    let before = place.names();
    let newer = place.programs.clone();
    place.programs = Programs::locate(None)?.server(16)?;
    place.make("of-16", &quick()).await?;
    assert_eq!(place.names().len(), 2);

    // As after an update of Howdah.
    place.programs = newer;
    place.programs.stamp = "0123456789abcdef0123456789abcdef".into();
    place.make("second", &quick()).await?;
    let after = place.names();
    assert_eq!(after.len(), 2);
    assert!(!after.contains(&before[0]), "{after:?}");

    // Whoever wants another locale gets it.
    let other = Setup {
        locale: "C".into(),
        ..quick()
    };
    let folder = place.make("third", &other).await?;
    let settings = fs::read_to_string(folder.join("data/postgresql.conf"))?;
    assert!(settings.contains("lc_monetary = 'C'") || settings.contains("lc_monetary = C"));
    Ok(())
}

#[tokio::test]
async fn where_nothing_can_be_kept_a_cluster_is_made_all_the_same() -> anyhow::Result<()> {
    let place = Place::new(15)?;
    fs::write(place.kept(), "not a folder")?;
    let setup = quick();
    let folder = place.make("first", &setup).await?;
    place.proved(&folder, &setup).await
}

#[tokio::test]
async fn cancelled_copies_leave_no_cluster() -> anyhow::Result<()> {
    let place = Place::new(14)?;
    place.make("first", &quick()).await?;
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let folder = place.above.path().join("second");
    let outcome = prepared::create(&place.programs, &folder, &quick(), &place.kept(), &cancelled).await;
    assert!(outcome.is_err_and(|error| error.is_cancelled()));
    assert!(!folder.join("data").exists());
    assert_eq!(place.names().len(), 1, "what is kept is not at fault");
    Ok(())
}

#[tokio::test]
async fn two_at_the_same_time_keep_one() -> anyhow::Result<()> {
    let place = Place::new(18)?;
    let setup = quick();
    let (first, second) = tokio::try_join!(place.make("first", &setup), place.make("second", &setup))?;
    assert_eq!(place.names().len(), 1);
    place.proved(&first, &setup).await?;
    place.proved(&second, &setup).await
}
