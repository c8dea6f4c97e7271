//! Some tables of an archive: which of its entries make them whole.
//!
//! A table is more than its `TABLE` entry: rows, indexes, constraints, defaults, sequences, triggers, policies, comments
//! and privileges are entries of their own, tied to it by dependencies. What it stands on (types, functions, extensions, its
//! schema) comes along where the database is made for the restore; elsewhere it is taken to be there. No server is asked here.

use std::collections::{BTreeSet, HashMap, HashSet};

use howdah_archive::Index;
use howdah_domain::{Failure, FailureCode, TableName};

use crate::contents::{Contents, Item};
use crate::{Error, quote};

/// The entries of some tables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Part {
    /// Their numbers, in the archive's order.
    pub entries: Vec<i32>,
    /// The sequences whose values are among them.
    pub sequences: BTreeSet<TableName>,
    ids: HashSet<i32>,
}

impl Part {
    /// Whether an entry is in it.
    pub fn has(&self, dump_id: i32) -> bool {
        self.ids.contains(&dump_id)
    }

    /// The entries that `keeps` chooses, of all or of the part that was wanted.
    pub fn kept(contents: &Contents, wanted: Option<&Self>, keeps: impl Fn(&Item) -> bool) -> Self {
        let kept = |item: &&Item| wanted.is_none_or(|part| part.has(item.dump_id)) && keeps(item);
        let items: Vec<&Item> = contents.items.iter().filter(kept).collect();
        Self {
            entries: items.iter().map(|item| item.dump_id).collect(),
            sequences: items
                .iter()
                .filter(|item| item.kind == "SEQUENCE SET")
                .map(|item| item.table_name())
                .collect(),
            ids: items.iter().map(|item| item.dump_id).collect(),
        }
    }

    /// All, or the part that was wanted, without the refreshes of materialized views, which pg_restore counts among what is defined.
    pub fn without_refreshes(contents: &Contents, wanted: Option<&Self>) -> Self {
        Self::kept(contents, wanted, |item| item.kind != "MATERIALIZED VIEW DATA")
    }

    /// All, or the part that was wanted, without extensions and what is said of them.
    pub fn without_extensions(contents: &Contents, wanted: Option<&Self>) -> Self {
        let extensions: HashSet<i32> = contents
            .items
            .iter()
            .filter(|item| item.kind == "EXTENSION")
            .map(|item| item.dump_id)
            .collect();
        Self::kept(contents, wanted, |item| {
            let is_said =
                item.kind == "COMMENT" && item.dependencies.iter().any(|id| extensions.contains(id));
            item.kind != "EXTENSION" && !is_said
        })
    }

    /// What an index tells of this part's rows and sequences, for a comparison. It has no frames.
    pub fn index(&self, whole: &Index) -> Index {
        Index {
            entries: whole
                .entries
                .iter()
                .filter(|entry| self.has(entry.dump_id))
                .cloned()
                .collect(),
            sequences: whole
                .sequences
                .iter()
                .filter(|sequence| {
                    self.sequences.contains(&TableName {
                        schema: sequence.schema.clone(),
                        name: sequence.name.clone(),
                    })
                })
                .cloned()
                .collect(),
            settings: whole.settings.clone(),
            ..Index::default()
        }
    }
}

/// The entries that make `tables`, and all that lies in `schemas`, whole; with `foundations`, also those that they stand on. What
/// could not go along (a foreign key or a view that needs a table that was not chosen) is told in `warnings`.
///
/// # Errors
/// [`FailureCode::NotFound`] naming a table or a schema that the archive does not hold.
pub fn part_of(
    contents: &Contents,
    tables: &[TableName],
    schemas: &[String],
    foundations: bool,
    warnings: &mut Vec<String>,
) -> Result<Part, Error> {
    let items = &contents.items;
    let mut own: HashSet<i32> = HashSet::new();
    for table in tables {
        let found = items.iter().find(|item| {
            is_relation(&item.kind) && item.tag == table.name && item.schema.as_deref() == Some(&table.schema)
        });
        let Some(found) = found else {
            return Err(Failure::new(
                FailureCode::NotFound,
                format!(
                    "There is no table {}.{} in this backup.",
                    table.schema, table.name
                ),
            )
            .hint(
                "`howdah show BACKUP` lists its tables. Names are exact: quote those with capitals or dots.",
            )
            .into());
        };
        own.insert(found.dump_id);
    }
    let mut of_schemas: Vec<i32> = Vec::new();
    for schema in schemas {
        let said = [
            format!("SCHEMA {schema}"),
            format!("SCHEMA {}", quote::ident(schema)),
        ];
        let found: Vec<i32> = items
            .iter()
            .filter(|item| lies_in(item, schema, &said))
            .map(|item| item.dump_id)
            .collect();
        if found.is_empty() {
            return Err(Failure::new(
                FailureCode::NotFound,
                format!("There is no schema {schema} in this backup, or nothing in it."),
            )
            .hint("`howdah show BACKUP` lists its tables. Names are exact.")
            .into());
        }
        of_schemas.extend(found);
    }
    own.extend(&of_schemas);
    let mut choice = Choice {
        by_id: items.iter().map(|item| (item.dump_id, item)).collect(),
        items,
        own,
        brought: HashSet::new(),
        foundations,
    };
    choice.take_partitions();
    choice.take_owned_sequences();
    let mut left_out = choice.leave_what_cannot_stand(&of_schemas);
    choice.take_foundations();
    left_out.extend(choice.take_what_belongs());
    for item in items {
        if left_out.contains(&item.dump_id) && !choice.has(item.dump_id) {
            warnings.push(format!(
                "{} was left out: it needs something that was not chosen.",
                item.label()
            ));
        }
    }
    warnings.extend(choice.without_rows());
    Ok(Part::kept(contents, None, |item| choice.has(item.dump_id)))
}

/// What is chosen so far.
struct Choice<'a> {
    items: &'a [Item],
    by_id: HashMap<i32, &'a Item>,
    /// The tables and all that is theirs.
    own: HashSet<i32>,
    /// What they stand on.
    brought: HashSet<i32>,
    foundations: bool,
}

impl Choice<'_> {
    fn has(&self, id: i32) -> bool {
        self.own.contains(&id) || self.brought.contains(&id)
    }

    /// Partitions go with their table: `TABLE ATTACH` depends on both, the parent's number first or last. In an archive of
    /// pg_dump 13 the partition's own definition attaches it.
    fn take_partitions(&mut self) {
        loop {
            let before = self.own.len();
            for partition in self.items.iter().filter(|item| item.attaches) {
                if partition.dependencies.iter().any(|id| self.own.contains(id)) {
                    self.own.insert(partition.dump_id);
                }
            }
            for attach in self.items.iter().filter(|item| item.kind == "TABLE ATTACH") {
                // Its tag is the partition's name; the other table it depends on is the parent.
                let partition = self.items.iter().find(|item| {
                    attach.dependencies.contains(&item.dump_id)
                        && item.tag == attach.tag
                        && item.schema == attach.schema
                        && is_relation(&item.kind)
                });
                let Some(partition) = partition else { continue };
                let parent_chosen = attach
                    .dependencies
                    .iter()
                    .any(|id| *id != partition.dump_id && self.own.contains(id));
                if parent_chosen {
                    self.own.insert(partition.dump_id);
                }
            }
            if self.own.len() == before {
                return;
            }
        }
    }

    /// Views and functions of a chosen schema that need a table of another one stay out. Answers which.
    fn leave_what_cannot_stand(&mut self, of_schemas: &[i32]) -> HashSet<i32> {
        let mut left_out = HashSet::new();
        loop {
            let lacking: Vec<i32> = of_schemas
                .iter()
                .filter(|id| self.own.contains(id))
                .filter_map(|id| self.by_id.get(id))
                .filter(|item| !matches!(item.kind.as_str(), "TABLE" | "FOREIGN TABLE" | "SEQUENCE"))
                .filter(|item| {
                    let mut with = HashSet::new();
                    !item.dependencies.iter().all(|id| self.can_come(*id, &mut with))
                })
                .map(|item| item.dump_id)
                .collect();
            if lacking.is_empty() {
                return left_out;
            }
            for id in lacking {
                self.own.remove(&id);
                left_out.insert(id);
            }
        }
    }

    /// Sequences owned by a chosen table (serial and identity columns) go with it.
    fn take_owned_sequences(&mut self) {
        let owned: Vec<i32> = self
            .items
            .iter()
            .filter(|item| item.kind == "SEQUENCE OWNED BY" || item.kind == "SEQUENCE")
            .filter(|item| item.dependencies.iter().any(|id| self.own.contains(id)))
            .flat_map(|item| item.dependencies.iter().copied().chain([item.dump_id]))
            .filter(|id| self.by_id.get(id).is_some_and(|item| item.kind == "SEQUENCE"))
            .collect();
        self.own.extend(owned);
    }

    /// What the tables themselves stand on. A table that stands on another one (it inherits from it) is refused by the server
    /// where that one is not there, by name.
    fn take_foundations(&mut self) {
        let needed: Vec<i32> = self
            .own
            .iter()
            .filter_map(|id| self.by_id.get(id))
            .flat_map(|item| item.dependencies.iter().copied())
            .collect();
        for id in needed {
            let mut with = HashSet::new();
            if self.can_come(id, &mut with) {
                self.brought.extend(with);
            }
        }
    }

    /// Whether an entry that another one depends on is there, or can come along; then `with` holds what has to.
    fn can_come(&self, id: i32, with: &mut HashSet<i32>) -> bool {
        if self.has(id) || with.contains(&id) {
            return true;
        }
        let Some(item) = self.by_id.get(&id) else {
            return true;
        };
        if !self.foundations {
            return !needs_choosing(&item.kind);
        }
        // A sequence that stands alone is a foundation like a type.
        if needs_choosing(&item.kind) && item.kind != "SEQUENCE" {
            return false;
        }
        if item.is_of_database() {
            return true;
        }
        with.insert(id);
        item.dependencies.iter().all(|id| self.can_come(*id, with))
    }

    /// What belongs to something chosen, and what belongs to that (the comment on an index). Answers what has to stay out.
    fn take_what_belongs(&mut self) -> HashSet<i32> {
        let mut left_out = HashSet::new();
        loop {
            let before = self.own.len() + self.brought.len();
            for item in self.items {
                if self.has(item.dump_id) || !belongs_to_a_table(&item.kind) {
                    continue;
                }
                let depends_on = |set: &HashSet<i32>| item.dependencies.iter().any(|id| set.contains(id));
                let is_own = depends_on(&self.own);
                // A function that came along brings its comment, not the triggers of other tables.
                let beside = depends_on(&self.brought) && belongs_to_anything(&item.kind);
                if !(is_own || beside) {
                    continue;
                }
                let mut with = HashSet::new();
                if item.dependencies.iter().all(|id| self.can_come(*id, &mut with)) {
                    self.brought.extend(with);
                    let set = if is_own { &mut self.own } else { &mut self.brought };
                    set.insert(item.dump_id);
                } else if is_own {
                    left_out.insert(item.dump_id);
                }
            }
            if self.own.len() + self.brought.len() == before {
                return left_out;
            }
        }
    }

    /// Tables that come back empty because the backup was told to leave their rows out.
    fn without_rows(&self) -> Vec<String> {
        let filled: HashSet<i32> = self
            .items
            .iter()
            .filter(|item| item.attaches || matches!(item.kind.as_str(), "TABLE DATA" | "TABLE ATTACH"))
            .flat_map(|item| item.dependencies.iter().copied())
            .collect();
        self.items
            .iter()
            .filter(|item| item.kind == "TABLE" && self.own.contains(&item.dump_id))
            .filter(|item| !filled.contains(&item.dump_id))
            .map(|item| format!("{} is empty: the backup holds no rows of it.", item.label()))
            .collect()
    }
}

/// Whether an entry is of a schema: the schema itself, what is `said` of it (its privileges, its comment), or what lies in it and
/// does not belong to a table, which follows that. Publications are the database's, whatever they are listed under.
fn lies_in(item: &Item, schema: &str, said: &[String]) -> bool {
    match item.kind.as_str() {
        "SCHEMA" => item.tag == schema,
        "ACL" | "COMMENT" | "SECURITY LABEL" => said.contains(&item.tag),
        kind if kind.starts_with("PUBLICATION") => false,
        kind => item.schema.as_deref() == Some(schema) && !belongs_to_a_table(kind),
    }
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

/// What may belong to an entry of any kind.
fn belongs_to_anything(kind: &str) -> bool {
    matches!(
        kind,
        "ACL" | "COMMENT" | "SECURITY LABEL" | "SEQUENCE SET" | "CHECK CONSTRAINT"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contents::Section;

    fn item(dump_id: i32, kind: &str, tag: &str, dependencies: &[i32]) -> Item {
        Item {
            schema: Some("public".to_owned()),
            section: Section::PreData,
            ..Item::of_test(dump_id, kind, tag, dependencies)
        }
    }

    fn contents() -> Contents {
        Contents {
            items: vec![
                item(1, "TABLE", "orders", &[18]),
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
                item(17, "SCHEMA", "types", &[]),
                item(18, "TYPE", "colour", &[17]),
                item(19, "COMMENT", "TYPE colour", &[18]),
                item(20, "FUNCTION", "touch()", &[]),
                item(21, "TRIGGER", "orders touch", &[1, 20]),
                item(22, "TRIGGER", "customers touch", &[2, 20]),
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

    /// What is chosen, and what is told.
    fn chosen(tables: &[&str], foundations: bool) -> (Part, Vec<String>) {
        let tables: Vec<TableName> = tables.iter().map(|name| table(name)).collect();
        let mut warnings = Vec::new();
        let part = part_of(&contents(), &tables, &[], foundations, &mut warnings).unwrap();
        (part, warnings)
    }

    #[test]
    fn a_table_brings_its_own_and_leaves_a_foreign_key_to_another_behind() {
        let (part, warnings) = chosen(&["orders"], false);
        assert_eq!(part.entries, [1, 3, 4, 5, 6, 8, 9, 12, 21]);
        assert_eq!(part.sequences, BTreeSet::from([table("orders_id_seq")]));
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("orders_customer_fkey"));
    }

    #[test]
    fn a_foreign_key_comes_along_when_both_of_its_tables_do() {
        let (part, warnings) = chosen(&["orders", "customers"], false);
        assert!(part.has(11) && warnings.is_empty(), "{part:?} {warnings:?}");
    }

    /// The choice of a schema in an archive with a second one, `other`, whose table one of its views needs.
    #[test]
    fn a_schema_brings_what_lies_in_it_and_what_is_said_of_it() {
        let mut contents = contents();
        let in_schema = |mut item: Item, schema: Option<&str>| {
            item.schema = schema.map(str::to_owned);
            item
        };
        contents.items.extend([
            in_schema(item(30, "ACL", "SCHEMA public", &[]), None),
            in_schema(item(31, "TABLE", "elsewhere", &[]), Some("other")),
            item(32, "VIEW", "over_elsewhere", &[31]),
            item(33, "VIEW", "over_that", &[32]),
            item(34, "VIEW", "over_orders", &[1]),
            item(35, "PUBLICATION TABLE", "all orders", &[1]),
            in_schema(item(36, "ACL", "SCHEMA other", &[]), None),
            in_schema(item(37, "TABLE DATA", "elsewhere", &[31]), Some("other")),
        ]);
        let chosen = |schemas: &[&str]| {
            let schemas: Vec<String> = schemas.iter().map(|name| (*name).to_owned()).collect();
            let mut warnings = Vec::new();
            let part = part_of(&contents, &[], &schemas, false, &mut warnings)?;
            Ok::<_, Error>((part, warnings))
        };
        let (part, warnings) = chosen(&["public", "public"]).unwrap();
        assert!(
            part.has(1) && part.has(30) && part.has(34) && part.has(11),
            "{part:?}"
        );
        for outside in [31, 32, 33, 35, 36, 37] {
            assert!(!part.has(outside), "{outside} in {part:?}");
        }
        for view in ["over_elsewhere", "over_that"] {
            assert!(
                warnings.iter().any(|warning| warning.contains(view)),
                "{warnings:?}"
            );
        }
        let (both, warnings) = chosen(&["public", "other"]).unwrap();
        assert!(
            both.has(33) && both.has(36) && warnings.is_empty(),
            "{warnings:?}"
        );
        assert_eq!(chosen(&["nowhere"]).unwrap_err().code(), FailureCode::NotFound);
    }

    #[test]
    fn a_partitioned_table_brings_its_partitions() {
        assert_eq!(chosen(&["log"], false).0.entries, [13, 14, 15, 16]);
    }

    #[test]
    fn a_partition_that_its_own_definition_attaches_comes_along() {
        let mut contents = contents();
        contents.items.retain(|item| item.dump_id != 15);
        let partition = contents.items.iter_mut().find(|item| item.dump_id == 14).unwrap();
        (partition.attaches, partition.dependencies) = (true, vec![13]);
        let mut warnings = Vec::new();
        let part = part_of(&contents, &[table("log")], &[], false, &mut warnings).unwrap();
        assert_eq!(part.entries, [13, 14, 16]);
        assert!(warnings.is_empty(), "{warnings:?}");
    }

    #[test]
    fn a_new_database_gets_what_a_table_stands_on_and_nothing_of_other_tables() {
        let (part, warnings) = chosen(&["orders"], true);
        // The type, its schema and its comment; the trigger's function, and not the trigger that others have of it.
        assert_eq!(part.entries, [1, 3, 4, 5, 6, 8, 9, 12, 17, 18, 19, 20, 21]);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
    }

    #[test]
    fn what_stands_on_another_table_stays_out_with_what_needs_it() {
        let mut contents = contents();
        // The trigger's function takes a customer.
        contents.items[19].dependencies = vec![2];
        let mut warnings = Vec::new();
        let part = part_of(&contents, &[table("orders")], &[], true, &mut warnings).unwrap();
        assert!(!part.has(20) && !part.has(21), "{part:?}");
        assert!(
            warnings
                .iter()
                .any(|warning| warning.contains("TRIGGER public.orders touch")),
            "{warnings:?}"
        );
    }

    #[test]
    fn a_table_whose_rows_were_left_out_of_the_backup_is_told() {
        let mut contents = contents();
        contents.items.retain(|item| item.dump_id != 6);
        let mut warnings = Vec::new();
        part_of(
            &contents,
            &[table("orders"), table("log")],
            &[],
            false,
            &mut warnings,
        )
        .unwrap();
        assert!(
            warnings
                .iter()
                .any(|warning| warning.starts_with("TABLE public.orders is empty")),
            "{warnings:?}"
        );
        assert!(
            !warnings.iter().any(|warning| warning.contains("log")),
            "{warnings:?}"
        );
    }

    #[test]
    fn a_table_that_is_not_there_is_named() {
        let error = part_of(&contents(), &[table("oders")], &[], false, &mut Vec::new()).unwrap_err();
        assert_eq!(error.code(), FailureCode::NotFound);
        assert!(error.to_failure().message.contains("public.oders"));
    }

    #[test]
    fn a_part_has_the_index_of_its_own_rows_and_sequences() {
        let entry = |dump_id| howdah_archive::Entry {
            dump_id,
            kind: howdah_archive::Entry::TABLE_DATA.to_owned(),
            schema: "public".to_owned(),
            name: "any".to_owned(),
            columns: Vec::new(),
            copied_into: None,
            raw_offset: 0,
            raw_len: 0,
            data_len: 0,
            rows: 0,
            fingerprint: howdah_archive::Fingerprint::EMPTY,
        };
        let whole = Index {
            entries: vec![entry(6), entry(7)],
            ..Index::default()
        };
        let index = chosen(&["orders"], false).0.index(&whole);
        assert_eq!(index.entries, [entry(6)]);
    }
}
