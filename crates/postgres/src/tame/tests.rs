use super::*;

fn tamed(items: Vec<Item>, machine: &Machine) -> Tamed {
    let contents = Contents {
        items,
        ..Contents::default()
    };
    tame(&contents, machine, |_| true)
}

fn names(tamed: &Tamed) -> Vec<String> {
    tamed
        .left_out
        .iter()
        .map(|left| format!("{} {}", left.kind, left.name))
        .collect()
}

#[test]
fn what_depends_on_a_missing_extension_is_left_out_with_its_rows() {
    let found = tamed(
        vec![
            Item::of_test(1, "EXTENSION", "postgis", &[]),
            Item::of_test(2, "COMMENT", "EXTENSION postgis", &[1]),
            Item::of_test(3, "TABLE", "places", &[1]),
            Item::of_test(4, "TABLE", "plain", &[]),
            Item::of_test(5, "TABLE DATA", "places", &[3]),
            Item::of_test(6, "TABLE DATA", "plain", &[4]),
            Item::of_test(7, "FK CONSTRAINT", "plain place", &[4, 3]),
        ],
        &Machine::default(),
    );
    assert_eq!(
        names(&found),
        [
            "EXTENSION postgis",
            "COMMENT EXTENSION postgis",
            "TABLE places",
            "TABLE DATA places",
            "FK CONSTRAINT plain place"
        ]
    );
    let tables: Vec<_> = found.left_out.iter().filter_map(LeftOut::table).collect();
    assert_eq!(tables.len(), 1);
    assert!(
        found.left_out[3]
            .sentence()
            .contains("postgis is not on this machine")
    );
    assert!(found.left_out.iter().all(|left| left.why == Why::Lacks));
}

#[test]
fn a_view_over_a_foreign_partition_is_not_filled() {
    let found = tamed(
        vec![
            Item::of_test(1, "TABLE", "parts", &[]),
            Item::of_test(2, "FOREIGN TABLE", "part_far", &[]),
            Item::of_test(3, "TABLE ATTACH", "part_far", &[2, 1]),
            Item::of_test(4, "VIEW", "all", &[1]),
            Item::of_test(5, "MATERIALIZED VIEW", "sums", &[4]),
            Item::of_test(6, "MATERIALIZED VIEW DATA", "sums", &[5, 99]),
            Item::of_test(7, "MATERIALIZED VIEW", "here", &[]),
            Item::of_test(8, "MATERIALIZED VIEW DATA", "here", &[7]),
            Item::of_test(9, "MATERIALIZED VIEW", "of sums", &[5]),
            Item::of_test(10, "MATERIALIZED VIEW DATA", "of sums", &[9, 6]),
        ],
        &Machine::default(),
    );
    assert_eq!(
        names(&found),
        ["MATERIALIZED VIEW DATA sums", "MATERIALIZED VIEW DATA of sums"]
    );
    assert!(found.keeps(8) && found.keeps(4) && !found.keeps(10));
}

#[test]
fn only_the_statement_that_asks_for_lz4_goes() {
    let text = "CREATE TABLE t (\n    a text DEFAULT 'x; SET COMPRESSION lz4;'\n);\nALTER TABLE ONLY t ALTER COLUMN a SET COMPRESSION lz4;\n\
                ALTER TABLE ONLY t ALTER COLUMN b SET COMPRESSION pglz;\n";
    let kept = without_lz4(text);
    assert_eq!(
        kept,
        "CREATE TABLE t (\n    a text DEFAULT 'x; SET COMPRESSION lz4;'\n);\nALTER TABLE ONLY t ALTER COLUMN b SET COMPRESSION pglz;\n"
    );
}

#[test]
fn the_wrapper_of_a_server_is_found_past_its_name_and_type() {
    let sql = b"CREATE SERVER \"FOREIGN DATA WRAPPER x\" TYPE 'FOREIGN DATA WRAPPER y' FOREIGN DATA WRAPPER \"my \xe9 fdw\" OPTIONS (\n    host 'h'\n);\n";
    assert_eq!(wrapper(sql).unwrap(), b"\"my \xe9 fdw\"");
}

#[test]
fn a_definition_is_exchanged_at_its_own_place() {
    let (old, new) = (
        b"CREATE SERVER a;".to_vec(),
        b"CREATE SERVER a; and more".to_vec(),
    );
    let mut front = b"PGDMP CREATE SERVER a; ".to_vec();
    front.extend(with_length(b"-- CREATE SERVER a;").unwrap());
    front.extend(with_length(&old).unwrap());
    front.extend(b"tail");
    let mut expected = b"PGDMP CREATE SERVER a; ".to_vec();
    expected.extend(with_length(b"-- CREATE SERVER a;").unwrap());
    expected.extend(with_length(&new).unwrap());
    expected.extend(b"tail");
    let tamed = Tamed {
        changes: vec![(old, new)],
        ..Tamed::default()
    };
    tamed.rewrite(&mut front).unwrap();
    assert_eq!(front, expected);
    let error = tamed.rewrite(&mut b"PGDMP".to_vec()).unwrap_err();
    assert_eq!(error.code(), FailureCode::Internal);
}

#[test]
fn settings_that_load_libraries_are_left_out_and_others_kept() {
    let mut tamed = Tamed::default();
    let mut statements = vec![
        "ALTER DATABASE \"x\" SET session_preload_libraries TO 'auto_explain'".to_owned(),
        "ALTER DATABASE \"x\" SET work_mem TO '4MB'".to_owned(),
        "SECURITY LABEL FOR p ON DATABASE \"x\" IS 'y'".to_owned(),
    ];
    tamed.of_database("x", &mut statements);
    assert_eq!(statements.len(), 1);
    assert_eq!(tamed.left_out.len(), 2);
}

#[test]
fn a_name_is_found_as_a_word_of_its_own() {
    assert!(speaks_of("extension \"http\" does not exist", "http"));
    assert!(speaks_of("function http.get(text) does not exist", "http"));
    assert!(!speaks_of("relation \"app.http_log\" does not exist", "http"));
    assert!(speaks_of("type uuid-ossp.x", "uuid-ossp"));
}
