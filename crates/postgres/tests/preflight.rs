//! What a backup needs, and what a server has of it: read from real archives and real servers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod support;

use howdah_postgres::contents::Contents;
use howdah_postgres::needs::{Needs, When, globals, needs};
use howdah_postgres::target::{Answer, Facts, facts};
use howdah_testkit::{Cluster, sample};
use rstest::rstest;
use support::*;
use tokio_util::sync::CancellationToken;

async fn asked(
    session: &howdah_postgres::Session,
    database: &str,
    needs: &Needs,
    globals: &[String],
) -> Facts {
    facts(session, database, needs, globals, &CancellationToken::new())
        .await
        .unwrap_or_else(|error| panic!("{:#?}", error.to_failure()))
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_backup_needs_is_read_from_its_archive_and_looked_for_on_the_target(
    #[values(13, 14, 15, 16, 17, 18)] major: u16,
) {
    let cluster = Cluster::start(major).await.unwrap();
    sample::every_kind(&cluster, "source").await.unwrap();
    cluster
        .sql(
            "source",
            "CREATE TABLE app.sorted(a text COLLATE \"de-x-icu\", b text DEFAULT ' COLLATE pg_catalog.\"no\"');
             CREATE SUBSCRIPTION sub CONNECTION 'host=192.0.2.1 password=hush' PUBLICATION p WITH (connect = false);
             CREATE INDEX twice ON app.long_rows(app.twice(id))",
        )
        .await
        .unwrap();
    let backup = back_up_all(major, &cluster.connection("source"), &cluster.password()).await;
    let contents = Contents::open(backup.archive()).unwrap().contents;
    assert!(!format!("{contents:?}").contains("hush"));
    let needs = needs(&contents);
    assert_eq!(needs.server_major, Some(major));
    let extensions: Vec<&str> = needs
        .extensions
        .iter()
        .map(|wanted| wanted.name.as_str())
        .collect();
    assert!(
        extensions.contains(&"uuid-ossp") && extensions.len() == 9,
        "{extensions:?}"
    );
    let role = |name: &str| needs.roles.iter().find(|role| role.name == name);
    for name in [
        "reader",
        "quo\"te",
        "rôle 🐘",
        "-dash",
        "a=b",
        "UPPER",
        "select",
        "apo'strophe",
    ] {
        assert!(role(name).is_some(), "{name} in {:?}", needs.roles);
    }
    assert!(role("PUBLIC").is_none() && role("public").is_none() && role("TABLE").is_none());
    let reader = role("reader").unwrap();
    assert!(
        reader.policies && reader.privileges && reader.settings && !reader.owns,
        "{reader:?}"
    );
    assert!(role("staff").unwrap().policies && role("UPPER").unwrap().owns);
    assert_eq!(needs.roles.len(), 12, "{:?}", needs.roles);
    assert_eq!(needs.foreign_servers, ["elsewhere", "files"]);
    assert_eq!(needs.user_mappings, ["public SERVER elsewhere"]);
    assert_eq!(needs.subscriptions, ["sub"]);
    assert!(needs.publications.contains(&"some tables".to_owned()));
    assert_eq!(needs.system_collations, ["de-x-icu"]);
    assert!(
        needs.lz4.is_empty() && needs.languages.is_empty() && needs.access_methods.is_empty(),
        "{needs:?}"
    );
    let icu: Vec<&str> = needs
        .collations
        .iter()
        .filter(|collation| collation.provider == "icu")
        .map(|collation| collation.name.name.as_str())
        .collect();
    assert!(
        icu.contains(&"german") && icu.contains(&"no_case"),
        "{:?}",
        needs.collations
    );
    let code = |name: &str| {
        needs
            .code
            .iter()
            .find(|code| code.function.contains(name))
            .unwrap()
    };
    assert_eq!(code("count_changes").when, When::Afterwards);
    assert_eq!(code("count_changes").language.as_deref(), Some("plpgsql"));
    assert_eq!(code("twice").when, When::Restoring);
    assert!(
        code("twice").used_by.contains(&"INDEX app.twice".to_owned()),
        "{:?}",
        code("twice")
    );
    assert_eq!(needs.database.encoding, "UTF8");
    assert!(needs.tables > 20);

    // The same server, as superuser and on the database itself.
    let secret = cluster.password();
    let on_it = session(&cluster.connection("source"), &secret).await;
    let own = asked(&on_it, "source", &needs, &[]).await;
    assert_eq!(
        (own.missing_roles.len(), own.missing_tablespaces.len()),
        (0, 0),
        "{own:?}"
    );
    assert!(own.missing_collations.is_empty() && !own.standby && own.role.superuser);
    assert_eq!((&own.encoding, &own.locale), (&Answer::Yes, &Answer::Yes));
    assert!(
        own.extensions
            .iter()
            .all(|fact| fact.available.is_some() && fact.version_fits)
    );
    let database = own.database.as_ref().unwrap();
    assert!(database.bytes.unwrap() > 1 << 20 && database.estimate.unwrap().0 > 20 && database.mine);
    assert!(own.free_bytes(&cluster.connection("source")).is_none());
    assert!(own.free_bytes(&cluster.socket_connection("source")).unwrap() > 0);
    assert!(own.slots.used >= 1 && own.slots.most >= 60, "{:?}", own.slots);

    // Another one, as somebody with few rights; nothing of it changes.
    let other = Cluster::start(major).await.unwrap();
    let password = other.create_role("guest", "NOSUPERUSER").await.unwrap();
    other.create_database("source").await.unwrap();
    let visitor = other.client("source").await.unwrap();
    let as_guest = session(&other.connection_as("guest", "postgres"), &password).await;
    let found = asked(&as_guest, "source", &needs, &["reader".to_owned()]).await;
    assert!(!found.role.create_databases && !found.role.create_roles && !found.role.end_sessions);
    assert!(
        found.missing_roles.contains(&"staff".to_owned())
            && !found.missing_roles.contains(&"reader".to_owned())
    );
    let database = found.database.as_ref().unwrap();
    assert!(!database.mine && database.estimate.is_none(), "{database:?}");
    assert_eq!(database.visitors.len(), 1);
    assert!(!database.visitors[0].may_end && database.visitors[0].application == "testkit");
    assert_eq!(found.data_directory, None);
    drop(visitor);
    assert!(asked(&as_guest, "nowhere", &needs, &[]).await.database.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_does_not_tell_is_unknown_and_what_it_cannot_do_is_no() {
    let cluster = Cluster::start(14).await.unwrap();
    let session = session(&cluster.connection("postgres"), &cluster.password()).await;
    let mut needs = Needs::default();
    needs.database.encoding = "SJIS".to_owned();
    needs.database.collate = Some("tlh_KX.UTF-8".to_owned());
    needs.lz4 = vec![table("public", "packed")];
    let found = asked(&session, "postgres", &needs, &[]).await;
    assert!(matches!(found.encoding, Answer::No(_)), "{found:?}");
    assert!(
        matches!(&found.locale, Answer::Unknown(why) if why.contains("tlh_KX")),
        "{found:?}"
    );
    assert!(
        matches!(&found.lz4, Some(Answer::No(why)) if why.contains("without lz4")),
        "{found:?}"
    );
    needs.database.provider = Some("icu".to_owned());
    let found = asked(&session, "postgres", &needs, &[]).await;
    assert!(
        matches!(&found.locale, Answer::No(why) if why.contains("15")),
        "{found:?}"
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_roles_that_globals_would_make_are_read_from_what_pg_dumpall_writes(
    #[values(13, 18)] major: u16,
) {
    let cluster = Cluster::start(major).await.unwrap();
    sample::every_kind(&cluster, "source").await.unwrap();
    let secret = cluster.password();
    let connection = cluster.connection("postgres");
    let client = client(major);
    let dumpall = howdah_postgres::globals::Globals {
        client: &client,
        connection: &connection,
        secret: Some(&secret),
        passwords: true,
    };
    let mut running = dumpall.spawn(howdah_postgres::running::ignore_lines()).unwrap();
    let mut stdout = running.take_stdout().unwrap();
    let sql = tokio::task::spawn_blocking(move || std::io::read_to_string(&mut stdout).unwrap());
    let sql = sql.await.unwrap();
    running.wait(&CancellationToken::new()).await.unwrap();
    let roles = cluster
        .rows(
            "postgres",
            "SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY rolname COLLATE \"C\"",
        )
        .await
        .unwrap();
    let roles: Vec<String> = roles
        .into_iter()
        .filter_map(|row| row.into_iter().next().flatten())
        .collect();
    assert_eq!(globals(&sql).roles, roles);
}
