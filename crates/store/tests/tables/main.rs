//! What is written is read back, and the rules of each table hold; those of runs and their logs are in `runs.rs`.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

#[path = "../common/mod.rs"]
mod common;
mod runs;

use std::slice;

use common::{World, destination, moment, plan, random, server, time};
use howdah_domain::destination::{SshLogin, SshTarget};
use howdah_domain::{
    DatabaseId, Environment, Failure, FailureCode, OccurrenceId, Place, Schedule, Scope, Selection,
    TableName, Tls, TlsMode,
};
use howdah_store::{
    Error, Store,
    tables::{
        backups::{self, BackupCopy, CopyState, Totals},
        databases, destinations, ledger, occurrences, plans, servers, settings,
    },
};
use jiff::SignedDuration;
use tempfile::TempDir;

async fn store() -> (TempDir, Store) {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

#[tokio::test]
async fn a_server_is_read_back_changed_and_removed_with_its_plans_while_backups_stay() {
    let (_dir, store) = store().await;
    let world = World::make(&store).await;
    let backup = world.backup(moment(10));
    store
        .write(move |c| {
            let mut row = server("näm'e \"🐘\"");
            row.server.connection.port = 65535;
            row.server.connection.tls = Tls {
                mode: TlsMode::VerifyFull,
                ca_file: Some("/etc/ca.pem".into()),
                ..Tls::default()
            };
            row.secret_reference = Some("server/x".to_owned());
            row.server.connection.tunnel = Some(SshTarget {
                host: "bastion".to_owned(),
                port: Some(2222),
                user: Some("ada".to_owned()),
                login: SshLogin::Key {
                    file: "/home/ada/.ssh/id".into(),
                },
            });
            row.tunnel_secret_reference = Some("tunnel/x".to_owned());
            servers::insert(c, &row)?;
            assert_eq!(servers::get(c, &row.server.id)?, Some(row.clone()));
            row.server.name = "other".to_owned();
            row.server.environment = Environment::Staging;
            row.secret_reference = None;
            row.tunnel_secret_reference = None;
            servers::update(c, &row)?;
            assert_eq!(servers::by_name(c, "other")?, Some(row.clone()));

            row.server.name = "production".to_owned();
            let error = servers::update(c, &row).unwrap_err();
            assert!(
                matches!(&error, Error::NameTaken { name, .. } if name == "production"),
                "{error}"
            );

            backups::insert(c, &backup)?;
            servers::remove(c, &world.server.id, moment(20))?;
            assert_eq!(servers::get(c, &world.server.id)?, None);
            assert!(servers::list(c)?.iter().all(|row| row.server.name == "other"));
            assert!(plans::list(c)?.is_empty());
            assert!(databases::list(c)?.is_empty());
            assert_eq!(backups::list(c, None, 10)?, [backup]);
            // Its name is free again.
            servers::insert(c, &server("production"))?;
            assert!(matches!(
                servers::remove(c, &world.server.id, moment(20)),
                Err(Error::NotFound("server"))
            ));
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_plan_is_read_back_with_everything_it_says() {
    let (_dir, store) = store().await;
    let world = World::make(&store).await;
    store
        .write(move |c| {
            let second = destination("other disk");
            destinations::insert(c, &second)?;
            let table = |name: &str| TableName {
                schema: "public".to_owned(),
                name: name.to_owned(),
            };
            let mut everything = plan(
                &world.server.id,
                vec![second.id.clone(), world.destination.id.clone()],
            );
            everything.scope = Scope::AllDatabases {
                except: vec!["template; drop".to_owned()],
            };
            everything.selection = Selection {
                schemas: vec!["public".to_owned()],
                exclude_data: vec![table("log"), table("a \"b\"")],
                keep_extensions: true,
                ..Selection::default()
            };
            everything.schedule = Schedule::Cron {
                expression: "30 4 * * 1-5".to_owned(),
            };
            everything.created_at = moment(5);
            plans::insert(c, &everything)?;
            assert_eq!(plans::list(c)?, [world.plan.clone(), everything.clone()]);

            everything.destinations = vec![world.destination.id.clone()];
            everything.enabled = false;
            plans::update(c, &everything)?;
            assert_eq!(plans::get(c, &everything.id)?, Some(everything.clone()));
            assert_eq!(plans::of_server(c, &world.server.id)?.len(), 2);

            destinations::remove(c, &second.id)?;
            let error = destinations::remove(c, &world.destination.id).unwrap_err();
            assert!(matches!(error, Error::InUse { .. }), "{error}");
            plans::remove(c, &everything.id)?;
            assert_eq!(plans::list(c)?, [world.plan]);
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn databases_join_vanish_and_return() {
    let (_dir, store) = store().await;
    let world = World::make(&store).await;
    store
        .write(move |c| {
            let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            let new_id = || DatabaseId::from_random(random());
            let joined = |found: &databases::Discovery| {
                found.joined.iter().map(|d| d.name.clone()).collect::<Vec<_>>()
            };

            let found = databases::discover(
                c,
                &world.server.id,
                &names(&["shop", "blog", "scratch"]),
                |name| name != "scratch",
                new_id,
                moment(1),
            )?;
            assert_eq!(joined(&found), ["blog"]);
            assert!(found.vanished.is_empty() && found.returned.is_empty());

            let found = databases::discover(
                c,
                &world.server.id,
                &names(&["blog"]),
                |_| true,
                new_id,
                moment(2),
            )?;
            assert_eq!(found.vanished[0].id, world.database_id);
            assert_eq!(found.vanished[0].vanished_at, Some(moment(2)));
            assert_eq!(
                databases::get(c, &world.database_id)?.unwrap().vanished_at,
                Some(moment(2))
            );
            // Told once.
            let again = databases::discover(
                c,
                &world.server.id,
                &names(&["blog"]),
                |_| true,
                new_id,
                moment(3),
            )?;
            assert_eq!(again, databases::Discovery::default());

            let found = databases::discover(
                c,
                &world.server.id,
                &names(&["blog", "shop"]),
                |_| true,
                new_id,
                moment(4),
            )?;
            assert_eq!(found.returned[0].id, world.database_id);
            assert_eq!(databases::get(c, &world.database_id)?.unwrap().vanished_at, None);

            databases::set_environment(c, &world.database_id, Some(Environment::Development))?;
            assert_eq!(
                databases::by_name(c, &world.server.id, "shop")?
                    .unwrap()
                    .environment,
                Some(Environment::Development)
            );
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_due_time_is_claimed_once_also_when_the_clock_is_set_back() {
    let (_dir, store) = store().await;
    let world = World::make(&store).await;
    let owner = store.owner().clone();
    store
        .write(move |c| {
            let plan_id = &world.plan.id;
            let id = || OccurrenceId::from_random(random());
            let due = time("2026-11-23T04:00:00Z");
            let first = id();
            assert!(occurrences::claim(c, &first, plan_id, due, &owner, due)?);
            occurrences::settle(c, &first, due)?;
            // The clock goes back by three hours, and four o'clock comes a second time.
            let earlier = due - SignedDuration::from_hours(3);
            assert!(!occurrences::claim(c, &id(), plan_id, due, &owner, earlier)?);
            assert!(!occurrences::claim(c, &id(), plan_id, due, &owner, due)?);
            assert_eq!(occurrences::latest(c, plan_id)?, Some(due));
            assert!(occurrences::is_claimed(c, plan_id, due)?);

            let next = due + SignedDuration::from_hours(24);
            assert!(occurrences::claim(c, &id(), plan_id, next, &owner, next)?);
            assert_eq!(occurrences::latest_until(c, plan_id, due)?, Some(due));
            assert_eq!(occurrences::latest_until(c, plan_id, earlier)?, None);
            // The latest stays, whatever its age.
            assert_eq!(occurrences::prune(c, next + SignedDuration::from_hours(1000))?, 1);
            assert_eq!(occurrences::latest(c, plan_id)?, Some(next));
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_backup_is_read_back_with_its_copies_and_counts_as_good_while_one_is_whole() {
    let (_dir, store) = store().await;
    let world = World::make(&store).await;
    store
        .write(move |c| {
            let second = destination("archive");
            destinations::insert(c, &second)?;
            let mut older = world.backup(moment(10));
            let newer = world.backup(moment(20));
            older.copies.insert(
                0, // by the destination's name
                BackupCopy {
                    destination_id: second.id.clone(),
                    destination_name: second.name.clone(),
                    place: second.place,
                    ..older.copies[0].clone()
                },
            );
            backups::insert(c, &older)?;
            backups::insert(c, &newer)?;
            assert_eq!(backups::get(c, &older.id)?, Some(older.clone()));
            assert_eq!(backups::list(c, None, 10)?, [newer.clone(), older.clone()]);
            assert_eq!(
                backups::list(c, Some(&world.database_id), 1)?,
                slice::from_ref(&newer)
            );
            assert_eq!(
                backups::totals(c)?,
                Totals {
                    backups: 2,
                    bytes: 600_000,
                    destinations: 2
                }
            );
            assert_eq!(destinations::usage(c)?.len(), 2);
            assert_eq!(backups::newest_good(c, &world.database_id)?, Some(newer.clone()));
            assert_eq!(
                backups::good_before(c, &world.database_id, newer.started_at, 5)?,
                [older.clone()]
            );

            let failure = Failure::new(FailureCode::BackupDamaged, "A file is altered.");
            let disk = &world.destination.id;
            backups::set_copy_state(c, &newer.id, disk, CopyState::Damaged, None, Some(&failure))?;
            assert_eq!(backups::newest_good(c, &world.database_id)?, Some(older.clone()));
            assert!(!backups::get(c, &newer.id)?.unwrap().is_good());

            backups::set_copy_state(c, &older.id, disk, CopyState::Present, Some(moment(99)), None)?;
            backups::set_copy_state(c, &older.id, disk, CopyState::Missing, None, None)?;
            let read = backups::get(c, &older.id)?.unwrap();
            assert!(read.is_good(), "the other copy is there");
            assert_eq!(read.verified_at(), Some(moment(99)));
            assert_eq!(backups::totals(c)?.bytes, 400_000);

            backups::remove(c, &newer.id)?;
            assert_eq!(backups::get(c, &newer.id)?, None);
            assert!(matches!(
                backups::remove(c, &newer.id),
                Err(Error::NotFound("backup"))
            ));
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn settings_pause_and_ledger_are_read_back() {
    let (_dir, store) = store().await;
    let owner = store.owner().clone();
    store
        .write(move |c| {
            assert_eq!(settings::get::<Vec<String>>(c, "x")?, None);
            settings::set(c, "x", &vec!["a", "b"])?;
            settings::set(c, "x", &vec!["c"])?;
            assert_eq!(settings::get::<Vec<String>>(c, "x")?, Some(vec!["c".to_owned()]));
            assert!(matches!(settings::get::<u32>(c, "x"), Err(Error::Unreadable(_))));

            assert_eq!(settings::paused_until(c)?, None);
            settings::set_paused_until(c, Some(moment(7)))?;
            assert_eq!(settings::paused_until(c)?, Some(moment(7)));
            settings::set_paused_until(c, None)?;
            assert_eq!(settings::paused_until(c)?, None);

            let entry = ledger::begin(c, &owner, None, &Place::folder("/backups"), "a/b/c", moment(1))?;
            assert_eq!(ledger::of_owner(c, &owner)?, slice::from_ref(&entry));
            assert_eq!(ledger::list(c)?, slice::from_ref(&entry));
            ledger::remove(c, entry.number)?;
            assert!(ledger::list(c)?.is_empty());
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_failed_write_leaves_nothing_and_a_panic_does_not_end_the_store() {
    let (_dir, store) = store().await;
    let error = store
        .write(|c| {
            settings::set(c, "half", &1)?;
            Err::<(), _>(Error::NotFound("thing"))
        })
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NotFound("thing")));
    let error = store
        .write(|c| {
            settings::set(c, "half", &1)?;
            if c.is_autocommit() {
                return Ok(());
            }
            panic!("a fault");
        })
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Stopped(_)), "{error}");
    let half: Option<u32> = store.read(|c| settings::get(c, "half")).await.unwrap();
    assert_eq!(half, None);
    // A reading connection cannot write.
    assert!(store.read(|c| settings::set(c, "half", &1)).await.is_err());
    store.write(|c| settings::set(c, "half", &2)).await.unwrap();
}
