//! Looking into a backup as the window does: page by page, by a search, one value, a table as a file.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::PathBuf;
use std::time::Duration;

use howdah_domain::{BackupId, FailureCode, Place, TableName};
use howdah_engine::api::{
    CellView, DestinationInput, Event, RowFormat, RowPlace, RowsPage, RowsRequest, SaveTableRequest,
    ValueRequest,
};
use howdah_engine::oneoff::OneOffPlace;
use howdah_testkit::{Cluster, sample};
use support::{TestEngine, failure};

/// An engine that knows one backup, with a copy in each of two folders.
struct Looked {
    test: TestEngine,
    cluster: Cluster,
    id: BackupId,
    /// The backup's own folders.
    copies: [PathBuf; 2],
}

const TABLES: &str = "
    CREATE TABLE large AS SELECT n AS id, 'row ' || n AS name, md5(n::text) || md5((n * 7)::text) || md5((n * 11)::text) AS body
        FROM generate_series(1, 200000) n;
    CREATE TABLE odd (id int, value text, raw bytea);
    INSERT INTO odd VALUES (1, NULL, NULL), (2, '', ''), (3, E'tab\\there\\nand a line \\\\ back', '\\x00ff'),
        (4, repeat('long ', 1000), NULL), (5, repeat('é', 400000), NULL);
    CREATE TABLE \"none\" (a int, \"b c\" text);
    CREATE TABLE bare (); INSERT INTO bare DEFAULT VALUES; INSERT INTO bare DEFAULT VALUES";

impl Looked {
    async fn start(cluster: Cluster, database: &str) -> Self {
        let test = TestEngine::start().await;
        let folders = ["one", "two"].map(|name| test.dir.path().join(name));
        let mut wanted = test.one_off(cluster.connection(database), cluster.password());
        wanted.to = folders
            .iter()
            .map(|folder| OneOffPlace {
                place: Place::folder(folder),
                secret: None,
            })
            .collect();
        let made = test.back_up(&wanted).await.unwrap();
        for folder in &folders {
            let input = DestinationInput {
                id: None,
                name: None,
                place: Place::folder(folder),
                secret: None,
                sign_in: None,
            };
            let destination = test.engine.add_destination(input).await.unwrap();
            test.engine.attach(&destination.id).await.unwrap();
        }
        let id = made.manifest.id.clone();
        let page = test.engine.backup_page(&id).await.unwrap();
        let copies: Vec<PathBuf> = page
            .backup
            .copies
            .iter()
            .map(|copy| PathBuf::from(&copy.path))
            .collect();
        Self {
            test,
            cluster,
            id,
            copies: copies.try_into().unwrap(),
        }
    }

    async fn with_tables() -> Self {
        let cluster = Cluster::start(17).await.unwrap();
        cluster.create_database("shop").await.unwrap();
        cluster.sql("shop", TABLES).await.unwrap();
        Self::start(cluster, "shop").await
    }

    fn request(&self, table: &str, search: &str, from: Option<RowPlace>, limit: u32) -> RowsRequest {
        RowsRequest {
            look_id: "look".to_owned(),
            backup_id: self.id.clone(),
            table: name("public", table),
            search: search.to_owned(),
            from,
            limit,
        }
    }

    async fn rows(&self, table: &str, search: &str, from: Option<RowPlace>, limit: u32) -> RowsPage {
        let request = self.request(table, search, from, limit);
        self.test.engine.rows(request).await.unwrap()
    }

    /// All rows that hold a text, and how many answers that took.
    async fn all(&self, table: &str, search: &str, limit: u32) -> (Vec<Vec<Option<String>>>, usize) {
        let (mut all, mut answers, mut from) = (Vec::new(), 0, None);
        loop {
            let page = self.rows(table, search, from, limit).await;
            answers += 1;
            assert!(page.rows.len() <= limit as usize);
            all.extend(page.rows.into_iter().map(|row| texts(row.cells)));
            from = page.next;
            if from.is_none() {
                assert_eq!(page.looked_at, page.total_rows);
                return (all, answers);
            }
        }
    }
}

fn name(schema: &str, name: &str) -> TableName {
    TableName {
        schema: schema.to_owned(),
        name: name.to_owned(),
    }
}

fn texts(cells: Vec<CellView>) -> Vec<Option<String>> {
    cells.into_iter().map(|cell| cell.text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_one_another_also_when_nothing_is_remembered() {
    let looked = Looked::with_tables().await;
    let first = looked.rows("large", "", None, 300).await;
    assert_eq!(first.columns, ["id", "name", "body"]);
    assert_eq!((first.total_rows, first.looked_at), (200_000, 300));
    assert_eq!(first.encoding, "UTF8");
    assert_eq!(first.database_name, "shop");
    assert_eq!(first.rows[299].cells[0].text.as_deref(), Some("300"));
    let next = first.next.unwrap();
    assert_eq!(next.row, 300);

    // From the same place twice: the first time where the last look ended, the second time found anew.
    for _ in 0..2 {
        let page = looked.rows("large", "", Some(next), 2).await;
        assert_eq!(page.rows[0].cells[1].text.as_deref(), Some("row 301"));
        assert_eq!(page.rows[0].place, next);
    }
    // Each row's own place leads to it, in every frame of the table.
    let found = looked.all("large", "99999", 10).await.0;
    let ids: Vec<&str> = found.iter().map(|row| row[0].as_deref().unwrap()).collect();
    assert!(ids.contains(&"99999") && ids.contains(&"199999"), "{ids:?}");
    let mut from = None;
    let mut starts = std::collections::BTreeSet::new();
    while let Some(page) = Some(looked.rows("large", "row 19999", from, 3).await) {
        for row in &page.rows {
            starts.insert(row.place.start);
            let again = looked.rows("large", "", Some(row.place), 1).await;
            assert_eq!(again.rows[0].cells, row.cells);
            assert_eq!(
                row.place.row + 1,
                row.cells[0].text.as_ref().unwrap().parse::<u64>().unwrap()
            );
        }
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    assert!(starts.len() > 1, "the table has several frames: {starts:?}");

    let nonsense = RowPlace {
        start: next.start + 1,
        ..next
    };
    for place in [nonsense, RowPlace { entry: 9, ..next }] {
        let refused = failure(
            looked
                .test
                .engine
                .rows(looked.request("large", "", Some(place), 1))
                .await,
        );
        assert_eq!(refused.code, FailureCode::InvalidInput);
    }
    let unknown = failure(looked.test.engine.rows(looked.request("larg", "", None, 1)).await);
    assert_eq!(unknown.code, FailureCode::NotFound);
    assert!(unknown.hint.unwrap().contains("public.large"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_finds_what_the_server_finds_whatever_the_case() {
    let looked = Looked::with_tables().await;
    for text in ["ROW 1234", "abcde", "nowhere to be found"] {
        let found = looked.all("large", text, 50).await.0;
        let query = format!(
            "SELECT count(*) FROM large WHERE strpos(lower(concat_ws(E'\\x01', id::text, name, body)), lower('{text}')) > 0"
        );
        let expected = looked.cluster.one("shop", &query).await.unwrap();
        assert_eq!(found.len().to_string(), expected, "{text}");
    }
    let long = looked.all("odd", "É", 10).await.0;
    assert_eq!(long.len(), 1, "also in the middle of a long value");
    assert_eq!(long[0][0].as_deref(), Some("5"));
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_shown_as_they_are_and_long_ones_by_their_beginning() {
    let looked = Looked::with_tables().await;
    let page = looked.rows("odd", "", None, 100).await;
    assert!(page.all_text);
    assert_eq!(page.next, None);
    let cell = |row: usize, column: usize| page.rows[row].cells[column].clone();
    assert_eq!(cell(0, 1).text, None);
    assert_eq!(cell(1, 1).text.as_deref(), Some(""));
    assert_eq!(cell(2, 1).text.as_deref(), Some("tab\there\nand a line \\ back"));
    assert_eq!(cell(2, 2).text.as_deref(), Some("\\x00ff"));
    assert_eq!(cell(3, 1).bytes, Some(5000));
    assert_eq!(cell(3, 1).text.unwrap().len(), 256);
    assert_eq!(cell(4, 1).bytes, Some(800_000));
    assert!(cell(4, 1).text.unwrap().chars().all(|letter| letter == 'é'));

    let value = |row: usize, column: u32| ValueRequest {
        look_id: "value".to_owned(),
        backup_id: looked.id.clone(),
        table: name("public", "odd"),
        place: page.rows[row].place,
        column,
    };
    let whole = looked.test.engine.row_value(value(3, 1)).await.unwrap();
    assert_eq!(whole.text.unwrap(), "long ".repeat(1000));
    assert!(!whole.shortened);
    let large = looked.test.engine.row_value(value(4, 1)).await.unwrap();
    assert_eq!((large.bytes, large.shortened), (800_000, false));
    assert_eq!(
        looked.test.engine.row_value(value(0, 1)).await.unwrap().text,
        None
    );
    let beyond = failure(looked.test.engine.row_value(value(0, 7)).await);
    assert_eq!(beyond.code, FailureCode::NotFound);

    let none = looked.rows("none", "", None, 100).await;
    assert_eq!(none.columns, ["a", "b c"]);
    assert_eq!((none.rows.len(), none.next), (0, None));
    let bare = looked.rows("bare", "", None, 100).await;
    assert_eq!((bare.rows.len(), bare.columns.len()), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_keeps_nobody_from_the_rows_and_two_damaged_ones_say_so() {
    let looked = Looked::with_tables().await;
    let folder = looked.test.dir.path().join("saved");
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("large.csv");
    let save = || SaveTableRequest {
        look_id: "save".to_owned(),
        backup_id: looked.id.clone(),
        table: name("public", "large"),
        format: RowFormat::Csv,
    };
    for (damaged, copy) in looked.copies.iter().enumerate() {
        let dump = copy.join("dump.pgdump.zst");
        let mut bytes = std::fs::read(&dump).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&dump, bytes).unwrap();
        let saved = looked.test.engine.save_table(save(), path.clone()).await;
        if damaged == 0 {
            let saved = saved.unwrap();
            assert_eq!(saved.rows, 200_000);
            assert_eq!(std::fs::metadata(&path).unwrap().len(), saved.bytes);
            assert_eq!(looked.all("large", "row 150000", 10).await.0.len(), 1);
        } else {
            let failed = failure(saved);
            assert_eq!(failed.code, FailureCode::BackupDamaged);
            assert!(failed.message.contains("public.large"), "{failed:?}");
        }
    }
    assert_eq!(
        std::fs::read_dir(&folder).unwrap().count(),
        1,
        "the good file alone"
    );
    assert_eq!(looked.rows("odd", "", None, 10).await.rows.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_is_cancelled_and_a_new_one_ends_the_old() {
    let looked = Looked::with_tables().await;
    let path = looked.test.dir.path().join("large.sql");
    let mut events = looked.test.engine.events();
    let engine = looked.test.engine.clone();
    let request = SaveTableRequest {
        look_id: "save".to_owned(),
        backup_id: looked.id.clone(),
        table: name("public", "large"),
        format: RowFormat::Sql,
    };
    let (to, again) = (path.clone(), request.clone());
    let saving = tokio::spawn(async move { engine.save_table(request, to).await });
    let told = async {
        loop {
            if let Event::Saving { look_id, of, .. } = events.recv().await.unwrap() {
                return (look_id, of);
            }
        }
    };
    let (look_id, of) = tokio::time::timeout(Duration::from_secs(30), told).await.unwrap();
    assert_eq!(look_id, "save");
    assert!(of > 10_000_000, "{of}");
    looked.test.engine.cancel_look("save");
    assert_eq!(failure(saving.await.unwrap()).code, FailureCode::Cancelled);
    let beside = support::files_below(looked.test.dir.path());
    assert!(!beside.iter().any(|file| file.ends_with(".part")), "{beside:?}");
    assert!(!path.exists());
    looked.test.engine.cancel_look("nothing of that name");

    // Of two looks of one name the first ends, and what is left of it is in nobody's way.
    let first = looked.test.engine.save_table(again.clone(), path.clone());
    let second = looked.test.engine.save_table(again, path.clone());
    let (first, second) = tokio::join!(first, second);
    assert_eq!(failure(first).code, FailureCode::Cancelled);
    assert_eq!(second.unwrap().rows, 200_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_loaded_through_their_root_are_seen_alone_and_together() {
    let cluster = Cluster::start(17).await.unwrap();
    sample::every_kind(&cluster, "every").await.unwrap();
    let looked = Looked::start(cluster, "every").await;
    let count = |table: &'static str| {
        let mut request = looked.request(table, "", None, 1000);
        request.table.schema = "app".to_owned();
        let engine = looked.test.engine.clone();
        async move {
            let page = engine.rows(request).await.unwrap();
            assert_eq!(page.next, None);
            assert_eq!(page.rows.len() as u64, page.total_rows);
            page.total_rows
        }
    };
    let mut parts = 0;
    for table in ["by_mood_0", "by_mood_1", "by_mood_2"] {
        parts += count(table).await;
    }
    assert_eq!(parts, 400);
    assert_eq!(
        count("by_mood").await,
        400,
        "the root, which has no rows of its own"
    );

    // What is saved of a partition goes where pg_dump would put it: into the root.
    let path = looked.test.dir.path().join("part.sql");
    let request = SaveTableRequest {
        look_id: "save".to_owned(),
        backup_id: looked.id.clone(),
        table: name("app", "by_mood_1"),
        format: RowFormat::Sql,
    };
    looked
        .test
        .engine
        .save_table(request, path.clone())
        .await
        .unwrap();
    assert!(
        std::fs::read_to_string(&path)
            .unwrap()
            .contains("INSERT INTO \"app\".\"by_mood\" (")
    );
}
