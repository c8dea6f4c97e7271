//! What a backup holds beside tables' rows, compared: large objects and sequences' values.

use howdah_archive::fingerprint::LargeObjectHash;
use howdah_archive::{Entry, Fingerprint, Index};
use tokio_postgres::types::Type;

use super::{Kind, Mismatch};
use crate::connect::Session;
use crate::{Error, quote};

/// How much of a large object is read at once, in bytes.
const LARGE_OBJECT_PIECE: i32 = 1 << 20;
/// How many large objects are begun in one query.
const LARGE_OBJECTS_AT_ONCE: usize = 16;

/// All large objects together, where the backup holds any.
pub(super) async fn large_objects(session: &Session, index: &Index) -> Result<Option<Mismatch>, Error> {
    const WHAT: &str = "reading the large objects";
    let query = |error| Error::query(WHAT, error);
    let entries: Vec<&Entry> = index
        .entries
        .iter()
        .filter(|entry| entry.kind == Entry::BLOBS)
        .collect();
    if entries.is_empty() {
        return Ok(None);
    }
    let expected_rows: u64 = entries.iter().map(|entry| entry.rows).sum();
    let expected: Fingerprint = entries.iter().map(|entry| entry.fingerprint).sum();
    let rows = session
        .client
        .query_typed(
            "SELECT oid FROM pg_catalog.pg_largeobject_metadata ORDER BY oid",
            &[],
        )
        .await
        .map_err(query)?;
    let oids: Vec<u32> = rows.iter().map(|row| row.get(0)).collect();
    let mut found = Fingerprint::EMPTY;
    for some in oids.chunks(LARGE_OBJECTS_AT_ONCE) {
        let rows = session
            .client
            .query_typed(
                "SELECT oid, pg_catalog.lo_get(oid, 0, $2) FROM pg_catalog.unnest($1) AS chosen(oid)",
                &[(&some, Type::OID_ARRAY), (&LARGE_OBJECT_PIECE, Type::INT4)],
            )
            .await
            .map_err(query)?;
        for row in rows {
            let (oid, mut piece): (u32, Vec<u8>) = (row.get(0), row.get(1));
            let mut hash = LargeObjectHash::new(oid);
            let mut offset = 0_i64;
            loop {
                hash.push(&piece);
                if piece.len() < LARGE_OBJECT_PIECE as usize {
                    break;
                }
                offset += i64::from(LARGE_OBJECT_PIECE);
                let more = session
                    .client
                    .query_typed(
                        "SELECT pg_catalog.lo_get($1, $2, $3)",
                        &[
                            (&oid, Type::OID),
                            (&offset, Type::INT8),
                            (&LARGE_OBJECT_PIECE, Type::INT4),
                        ],
                    )
                    .await
                    .map_err(query)?;
                piece = more.first().map_or_else(Vec::new, |row| row.get(0));
            }
            hash.finish(&mut found);
        }
    }
    let found_rows = oids.len() as u64;
    if found_rows == expected_rows && found == expected {
        return Ok(None);
    }
    Ok(Some(Mismatch {
        kind: Kind::LargeObjects,
        schema: String::new(),
        name: "large objects".to_owned(),
        expected_rows,
        found_rows: Some(found_rows),
        expected: expected.to_string(),
        found: Some(found.to_string()),
        why: None,
    }))
}

/// Every sequence's value.
pub(super) async fn sequences(session: &Session, index: &Index) -> Result<Vec<Mismatch>, Error> {
    let text =
        |last: i64, is_called: bool| format!("{last}{}", if is_called { "" } else { " (not called yet)" });
    let mut mismatches = Vec::new();
    for sequence in &index.sequences {
        let statement = format!(
            "SELECT last_value, is_called FROM {}",
            quote::qualified(&sequence.schema, &sequence.name)
        );
        let (found, why) = match session.client.query_typed(&statement, &[]).await {
            Ok(rows) => (
                rows.first()
                    .map(|row| text(row.get::<_, i64>(0), row.get::<_, bool>(1))),
                None,
            ),
            Err(error) if error.as_db_error().is_some() && !error.is_closed() => {
                (None, Some(crate::classify::server_text(&error)))
            }
            Err(error) => return Err(Error::query("reading the sequences", error)),
        };
        let expected = text(sequence.last_value, sequence.is_called);
        if found.as_ref() != Some(&expected) {
            mismatches.push(Mismatch {
                kind: Kind::Sequence,
                schema: sequence.schema.clone(),
                name: sequence.name.clone(),
                expected_rows: 1,
                found_rows: found.as_ref().map(|_| 1),
                expected,
                found,
                why,
            });
        }
    }
    Ok(mismatches)
}
