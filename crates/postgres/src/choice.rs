//! Some tables of an archive: which of its entries make them whole.
//!
//! A table is more than its `TABLE` entry: rows, indexes, constraints, defaults, sequences, triggers, policies, comments
//! and privileges are entries of their own, tied to it by dependencies. No server is asked here.

use std::collections::{HashMap, HashSet};

use howdah_domain::{FailureCode, TableName};

use crate::Error;
use crate::contents::{Contents, Item};

/// The numbers of the entries that belong to `tables`, in the archive's order. What could not go along (a foreign key to
/// a table that was not chosen) is told in `warnings`.
///
/// # Errors
/// [`FailureCode::NotFound`] naming a table that the archive does not hold.
pub fn entries_of(
    contents: &Contents,
    tables: &[TableName],
    warnings: &mut Vec<String>,
) -> Result<Vec<i32>, Error> {
    let items = &contents.items;
    let by_id: HashMap<i32, &Item> = items.iter().map(|item| (item.dump_id, item)).collect();
    let mut chosen: HashSet<i32> = HashSet::new();
    for table in tables {
        let found = items.iter().find(|item| {
            is_relation(&item.kind) && item.tag == table.name && item.schema.as_deref() == Some(&table.schema)
        });
        let Some(found) = found else {
            return Err(Error::new(
                FailureCode::NotFound,
                format!(
                    "There is no table {}.{} in this backup.",
                    table.schema, table.name
                ),
            ));
        };
        chosen.insert(found.dump_id);
    }
    with_partitions(items, &mut chosen);
    with_sequences(items, &by_id, &mut chosen);
    // What belongs to something chosen, and what belongs to that (the comment on an index).
    let mut left_out = HashSet::new();
    loop {
        let before = chosen.len();
        for item in items {
            if chosen.contains(&item.dump_id) || !belongs_to_a_table(&item.kind) {
                continue;
            }
            if !item.dependencies.iter().any(|id| chosen.contains(id)) {
                continue;
            }
            let needs_another = item.dependencies.iter().any(|id| {
                !chosen.contains(id) && by_id.get(id).is_some_and(|needed| needs_choosing(&needed.kind))
            });
            if needs_another {
                left_out.insert(item.dump_id);
            } else {
                chosen.insert(item.dump_id);
            }
        }
        if chosen.len() == before {
            break;
        }
    }
    for item in items {
        if left_out.contains(&item.dump_id) && !chosen.contains(&item.dump_id) {
            warnings.push(format!(
                "{} was left out: it needs something that was not chosen.",
                item.label()
            ));
        }
    }
    Ok(items
        .iter()
        .map(|item| item.dump_id)
        .filter(|id| chosen.contains(id))
        .collect())
}

fn is_relation(kind: &str) -> bool {
    matches!(
        kind,
        "TABLE" | "FOREIGN TABLE" | "VIEW" | "MATERIALIZED VIEW" | "SEQUENCE"
    )
}

/// What an entry may need besides its own table, so that it must stay out if that was not chosen.
fn needs_choosing(kind: &str) -> bool {
    is_relation(kind) || matches!(kind, "CONSTRAINT" | "INDEX")
}

fn belongs_to_a_table(kind: &str) -> bool {
    matches!(
        kind,
        "TABLE DATA"
            | "TABLE ATTACH"
            | "MATERIALIZED VIEW DATA"
            | "CONSTRAINT"
            | "CHECK CONSTRAINT"
            | "FK CONSTRAINT"
            | "INDEX"
            | "INDEX ATTACH"
            | "STATISTICS"
            | "STATISTICS DATA"
            | "TRIGGER"
            | "RULE"
            | "POLICY"
            | "ROW SECURITY"
            | "REPLICA IDENTITY"
            | "DEFAULT"
            | "SEQUENCE OWNED BY"
            | "SEQUENCE SET"
            | "ACL"
            | "COMMENT"
            | "SECURITY LABEL"
    )
}

/// Partitions go with their table: `TABLE ATTACH` depends on both, the parent's number first or last.
fn with_partitions(items: &[Item], chosen: &mut HashSet<i32>) {
    loop {
        let before = chosen.len();
        for attach in items.iter().filter(|item| item.kind == "TABLE ATTACH") {
            // Its tag is the partition's name; the other table it depends on is the parent.
            let partition = items.iter().find(|item| {
                attach.dependencies.contains(&item.dump_id)
                    && item.tag == attach.tag
                    && item.schema == attach.schema
                    && is_relation(&item.kind)
            });
            let Some(partition) = partition else { continue };
            let parent_chosen = attach
                .dependencies
                .iter()
                .any(|id| *id != partition.dump_id && chosen.contains(id));
            if parent_chosen {
                chosen.insert(partition.dump_id);
            }
        }
        if chosen.len() == before {
            return;
        }
    }
}

/// Sequences owned by a chosen table (serial and identity columns) go with it.
fn with_sequences(items: &[Item], by_id: &HashMap<i32, &Item>, chosen: &mut HashSet<i32>) {
    let owned: Vec<i32> = items
        .iter()
        .filter(|item| item.kind == "SEQUENCE OWNED BY" || item.kind == "SEQUENCE")
        .filter(|item| item.dependencies.iter().any(|id| chosen.contains(id)))
        .flat_map(|item| item.dependencies.iter().copied().chain([item.dump_id]))
        .filter(|id| by_id.get(id).is_some_and(|item| item.kind == "SEQUENCE"))
        .collect();
    chosen.extend(owned);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contents::Section;

    fn item(dump_id: i32, kind: &str, tag: &str, dependencies: &[i32]) -> Item {
        Item {
            dump_id,
            has_data: kind == "TABLE DATA",
            kind: kind.to_owned(),
            schema: Some("public".to_owned()),
            tag: tag.to_owned(),
            owner: None,
            section: Section::PreData,
            dependencies: dependencies.to_vec(),
            definition: Vec::new(),
            copy_statement: None,
        }
    }

    fn contents() -> Contents {
        Contents {
            items: vec![
                item(1, "TABLE", "orders", &[]),
                item(2, "TABLE", "customers", &[]),
                item(3, "SEQUENCE", "orders_id_seq", &[]),
                item(4, "SEQUENCE OWNED BY", "orders_id_seq", &[3, 1]),
                item(5, "DEFAULT", "orders id", &[3, 1]),
                item(6, "TABLE DATA", "orders", &[1]),
                item(7, "TABLE DATA", "customers", &[2]),
                item(8, "SEQUENCE SET", "orders_id_seq", &[3]),
                item(9, "CONSTRAINT", "orders orders_pkey", &[1]),
                item(10, "CONSTRAINT", "customers customers_pkey", &[2]),
                item(11, "FK CONSTRAINT", "orders orders_customer_fkey", &[1, 2, 10]),
                item(12, "COMMENT", "CONSTRAINT orders_pkey ON orders", &[9]),
                item(13, "TABLE", "log", &[]),
                item(14, "TABLE", "log_1", &[]),
                item(15, "TABLE ATTACH", "log_1", &[14, 13]),
                item(16, "TABLE DATA", "log_1", &[14]),
            ],
            ..Contents::default()
        }
    }

    fn table(name: &str) -> TableName {
        TableName {
            schema: "public".into(),
            name: name.into(),
        }
    }

    #[test]
    fn a_table_brings_its_own_and_leaves_a_foreign_key_to_another_behind() {
        let mut warnings = Vec::new();
        let ids = entries_of(&contents(), &[table("orders")], &mut warnings).unwrap();
        assert_eq!(ids, [1, 3, 4, 5, 6, 8, 9, 12]);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("orders_customer_fkey"));
    }

    #[test]
    fn a_foreign_key_comes_along_when_both_of_its_tables_do() {
        let mut warnings = Vec::new();
        let ids = entries_of(&contents(), &[table("orders"), table("customers")], &mut warnings).unwrap();
        assert!(ids.contains(&11) && warnings.is_empty(), "{ids:?} {warnings:?}");
    }

    #[test]
    fn a_partitioned_table_brings_its_partitions() {
        let ids = entries_of(&contents(), &[table("log")], &mut Vec::new()).unwrap();
        assert_eq!(ids, [13, 14, 15, 16]);
    }

    #[test]
    fn a_table_that_is_not_there_is_named() {
        let error = entries_of(&contents(), &[table("oders")], &mut Vec::new()).unwrap_err();
        assert!(error.to_failure().message.contains("public.oders"));
    }
}
