//! What to say of a table that a backup does not have: names that are near.

use howdah_archive::Index;
use howdah_domain::{Failure, FailureCode, TableName};

use super::in_words;

/// At most so many names are told,
const MOST: usize = 5;
/// and looked at: a typing error in a million names is not worth minutes.
const LOOKED_AT: usize = 100_000;

pub(super) fn not_found(index: &Index, backup: &str, wanted: &TableName) -> Failure {
    let failure = Failure::new(
        FailureCode::NotFound,
        format!("There are no rows of {} in {backup}.", in_words(wanted)),
    );
    let near = near(index, wanted);
    if near.is_empty() {
        return failure.hint(
            "`howdah show` lists the tables of a backup. A partitioned table has its rows in its partitions; views have none.",
        );
    }
    failure.hint(format!("Did you mean {}?", near.join(", ")))
}

/// The names that come nearest, as SQL writes them.
fn near(index: &Index, wanted: &TableName) -> Vec<String> {
    let (schema, name) = (wanted.schema.to_lowercase(), wanted.name.to_lowercase());
    let mut found: Vec<(usize, String)> = Vec::new();
    for entry in index.tables().take(LOOKED_AT) {
        let theirs = entry.name.to_lowercase();
        let distance = match distance(&theirs, &name, 2) {
            Some(distance) => distance * 2,
            None if name.len() > 2 && (theirs.contains(&name) || name.contains(&theirs)) => 5,
            None => continue,
        };
        let elsewhere = usize::from(entry.schema.to_lowercase() != schema);
        found.push((distance + elsewhere, quoted(&entry.table_name())));
    }
    found.sort();
    found.dedup();
    found.into_iter().take(MOST).map(|(_, name)| name).collect()
}

/// A name as it can be typed: in quotes where SQL needs them.
fn quoted(name: &TableName) -> String {
    let part = |text: &str| {
        let mut letters = text.chars();
        let plain = letters.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
            && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if plain {
            text.to_owned()
        } else {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
    };
    format!("{}.{}", part(&name.schema), part(&name.name))
}

/// How many letters have to be changed, added or left out to make one text of another (Levenshtein); none where that is more than `most`.
fn distance(a: &str, b: &str, most: usize) -> Option<usize> {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > most {
        return None;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut before = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = before + usize::from(x != y);
            before = row[j + 1];
            row[j + 1] = changed.min(before + 1).min(row[j] + 1);
        }
        if row.iter().all(|cost| *cost > most) {
            return None;
        }
    }
    row.last().copied().filter(|cost| *cost <= most)
}

#[cfg(test)]
mod tests {
    use howdah_archive::{Entry, Fingerprint};
    use rstest::rstest;

    use super::*;

    fn index(names: &[(&str, &str)]) -> Index {
        let entries = names.iter().map(|(schema, name)| Entry {
            dump_id: 1,
            kind: Entry::TABLE_DATA.to_owned(),
            schema: (*schema).to_owned(),
            name: (*name).to_owned(),
            columns: Vec::new(),
            copied_into: None,
            raw_offset: 0,
            raw_len: 1,
            data_len: 0,
            rows: 0,
            fingerprint: Fingerprint::EMPTY,
        });
        Index {
            entries: entries.collect(),
            ..Index::default()
        }
    }

    #[rstest]
    #[case(
        "public",
        "order",
        "Did you mean public.orders, audit.orders, public.order_items?"
    )]
    #[case("public", "ORDERS", "Did you mean public.orders, audit.orders?")]
    #[case("shop", "orders", "Did you mean audit.orders, public.orders?")]
    #[case("public", "oddname", "Did you mean \"My schema\".\"Odd.Name\"?")]
    #[case("public", "nothing_like_it", "`howdah show` lists")]
    fn names_that_are_near_are_told_as_they_are_typed(
        #[case] schema: &str,
        #[case] name: &str,
        #[case] hint: &str,
    ) {
        let index = index(&[
            ("public", "orders"),
            ("public", "order_items"),
            ("audit", "orders"),
            ("My schema", "Odd.Name"),
            ("public", "x"),
        ]);
        let wanted = TableName {
            schema: schema.to_owned(),
            name: name.to_owned(),
        };
        let failure = not_found(&index, "/backups/one", &wanted);
        assert_eq!(failure.code, FailureCode::NotFound);
        assert!(failure.message.contains(&in_words(&wanted)), "{failure:?}");
        assert!(failure.hint.as_deref().unwrap().starts_with(hint), "{failure:?}");
    }

    #[rstest]
    #[case("orders", "orders", Some(0))]
    #[case("orders", "order", Some(1))]
    #[case("orders", "odrers", Some(2))]
    #[case("orders", "users", None)]
    #[case("", "ab", Some(2))]
    #[case("größe", "grösse", Some(2))]
    fn the_distance_counts_letters(#[case] a: &str, #[case] b: &str, #[case] expected: Option<usize>) {
        assert_eq!(distance(a, b, 2), expected);
    }
}
