//! What a choice of schemas or tables leaves outside although it is needed.

use howdah_domain::{Connection, FailureCode, Secret, Selection};
use howdah_postgres::outside::{self, Outside};
use howdah_postgres::rights;
use howdah_testkit::Cluster;
use rstest::rstest;
use tokio_util::sync::CancellationToken;

use crate::support::{PATIENCE, session, table};
use crate::{dump, only_schemas, only_tables};

async fn find(connection: &Connection, secret: &Secret, selection: &Selection) -> Outside {
    let session = session(connection, secret).await;
    let never = CancellationToken::new();
    rights::begin(&session, PATIENCE, &never).await.unwrap();
    outside::find(&session, selection, PATIENCE, &never)
        .await
        .unwrap()
}

const TWO_SCHEMAS: &str = "
    CREATE SCHEMA app; CREATE SCHEMA lib;
    CREATE TYPE lib.colour AS ENUM ('red');
    CREATE DOMAIN lib.positive AS int CHECK (VALUE > 0);
    CREATE FUNCTION lib.f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';
    CREATE FUNCTION lib.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE SEQUENCE lib.counter;
    CREATE TABLE lib.customers(id int PRIMARY KEY);
    CREATE TABLE lib.unused(id int);
    CREATE TABLE app.orders(
        id int DEFAULT nextval('lib.counter') PRIMARY KEY,
        customer int CONSTRAINT of_customer REFERENCES lib.customers,
        colour lib.colour, colours lib.colour[], n lib.positive,
        CHECK (lib.f(n) > 0));
    CREATE INDEX ON app.orders (lib.f(id));
    CREATE TRIGGER touched BEFORE UPDATE ON app.orders FOR EACH ROW EXECUTE FUNCTION lib.touch();
    CREATE VIEW app.v AS SELECT * FROM lib.customers;
    CREATE TABLE app.parted(a int) PARTITION BY LIST (a);
    CREATE TABLE lib.part PARTITION OF app.parted FOR VALUES IN (1);
    CREATE TABLE app.own(a int REFERENCES app.orders);
";

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_choice_of_schemas_leaves_out_is_found(#[values(13, 14, 15, 16, 17, 18)] major: u16) {
    let cluster = Cluster::start(major).await.unwrap();
    let secret = cluster.password();
    cluster.create_database("shop").await.unwrap();
    cluster.sql("shop", TWO_SCHEMAS).await.unwrap();
    let connection = cluster.connection("shop");

    let found = find(&connection, &secret, &only_schemas(&["app"])).await;
    let objects: Vec<&str> = found.needed.iter().map(|needed| needed.object.as_str()).collect();
    assert_eq!(
        objects,
        [
            "function lib.f(integer)",
            "function lib.touch()",
            "sequence lib.counter",
            "table lib.customers",
            "table lib.part",
            "type lib.colour",
            "type lib.positive",
        ],
        "{found:#?}"
    );
    assert_eq!(found.total, 7);
    let failure = found.failure().unwrap();
    assert!(
        failure
            .details
            .unwrap()
            .contains("table lib.customers, needed by")
    );

    assert!(find(&connection, &secret, &Selection::default()).await.is_clean());
    assert!(
        find(&connection, &secret, &only_schemas(&["app", "lib"]))
            .await
            .is_clean()
    );
    let excluded = Selection {
        exclude_schemas: vec!["lib".to_owned()],
        ..Selection::default()
    };
    assert_eq!(find(&connection, &secret, &excluded).await.total, 7);
    // lib alone misses only the table that its partition belongs to.
    let found = find(&connection, &secret, &only_schemas(&["lib"])).await;
    assert_eq!(found.needed.len(), 1, "{found:#?}");
    assert_eq!(found.needed[0].object, "table app.parted");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_choice_of_tables_leaves_out_is_found() {
    let cluster = Cluster::start(18).await.unwrap();
    let secret = cluster.password();
    cluster.create_database("shop").await.unwrap();
    cluster.sql("shop", TWO_SCHEMAS).await.unwrap();
    let connection = cluster.connection("shop");
    let own = Selection {
        tables: vec![table("app", "own")],
        ..Selection::default()
    };
    let found = find(&connection, &secret, &own).await;
    let objects: Vec<&str> = found.needed.iter().map(|needed| needed.object.as_str()).collect();
    assert_eq!(objects, ["schema app", "table app.orders"], "{found:#?}");
    // The partitions of a chosen table are chosen with it.
    let parted = Selection {
        tables: vec![table("app", "parted")],
        ..Selection::default()
    };
    let found = find(&connection, &secret, &parted).await;
    let objects: Vec<&str> = found.needed.iter().map(|needed| needed.object.as_str()).collect();
    assert_eq!(objects, ["schema app", "schema lib"], "{found:#?}");
    let excluded = Selection {
        exclude_tables: vec![table("lib", "customers")],
        ..Selection::default()
    };
    let found = find(&connection, &secret, &excluded).await;
    let objects: Vec<&str> = found.needed.iter().map(|needed| needed.object.as_str()).collect();
    assert_eq!(objects, ["table lib.customers"], "{found:#?}");
    assert_eq!(found.needed[0].times, 2, "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn extensions_servers_and_large_objects_are_left_out_unless_kept() {
    let cluster = Cluster::start(17).await.unwrap();
    let secret = cluster.password();
    cluster.create_database("shop").await.unwrap();
    cluster
        .sql(
            "shop",
            "CREATE EXTENSION hstore; CREATE SCHEMA app; CREATE TABLE app.t(h hstore, i int); CREATE INDEX ON app.t USING gin (h);
             CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw;
             CREATE FOREIGN TABLE app.f(a int) SERVER far; SELECT lo_create(0), lo_create(0)",
        )
        .await
        .unwrap();
    let connection = cluster.connection("shop");
    let app = only_schemas(&["app"]);
    let found = find(&connection, &secret, &app).await;
    let objects: Vec<&str> = found.needed.iter().map(|needed| needed.object.as_str()).collect();
    assert_eq!(objects, ["extension hstore", "server far"], "{found:#?}");
    assert_eq!(found.large_objects, 2);
    let kept = Selection {
        keep_extensions: true,
        keep_large_objects: true,
        ..app
    };
    let found = find(&connection, &secret, &kept).await;
    let objects: Vec<&str> = found.needed.iter().map(|needed| needed.object.as_str()).collect();
    assert_eq!(
        (objects, found.large_objects),
        (vec!["server far"], 0),
        "{found:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chosen_schema_or_table_that_is_gone_fails_here_and_in_pg_dump() {
    let cluster = Cluster::start(18).await.unwrap();
    let secret = cluster.password();
    cluster.create_database("shop").await.unwrap();
    let connection = cluster.connection("shop");
    for selection in [only_schemas(&["gone"]), only_tables(&["gone"])] {
        let found = find(&connection, &secret, &selection).await;
        assert_eq!(found.missing.len(), 1, "{found:?}");
        assert_eq!(found.failure().unwrap().code, FailureCode::NotFound);
        let error = dump(&cluster, &connection, &secret, &selection)
            .await
            .unwrap_err();
        assert_eq!(error.code(), FailureCode::NotFound, "{:#?}", error.to_failure());
    }
}
