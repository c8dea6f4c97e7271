//! Archives that real pg_dumps wrote; what is in them was computed by other programs (psql's COPY and xxHash).
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Read;

use howdah_archive::Fingerprint;
use howdah_archive::entry::CopyRows;
use howdah_archive::scanner::Scanner;
use howdah_domain::TableName;
use rstest::rstest;
use support::{Random, encode_bytes};

const ARCHIVES: [&[u8]; 3] = [
    include_bytes!("fixtures/pg_dump-13.dump"),
    include_bytes!("fixtures/pg_dump-16.dump"),
    include_bytes!("fixtures/pg_dump-18.dump"),
];

/// Table, rows, and the sum of `xxhash.xxh3_128` (Python) over the lines of `psql -c 'COPY … TO STDOUT'`.
const EXPECTED: [(&str, &str, u64, &str); 5] = [
    ("public", "gen", 1000, "ae76c2f095c11fab701f494ba8ed31c8"),
    ("public", "dot", 5, "c32fbb219dd28c3a037b809dfcba5182"),
    ("public", "nocols", 2, "33540da6028f31b0c00386488d1a92fe"),
    ("public", "empty", 0, "00000000000000000000000000000000"),
    (
        "My schema",
        "odd \"name\", (x)",
        4,
        "e674f4d1405e9b5e61a8893d2ea7ffb2",
    ),
];

#[rstest]
fn rows_and_fingerprints_are_what_other_programs_compute(#[values(0, 1, 2)] archive: usize) {
    let (encoded, stored) = encode_bytes(ARCHIVES[archive]);
    let index = &encoded.index;
    for (schema, name, rows, fingerprint) in EXPECTED {
        let name = TableName {
            schema: schema.to_owned(),
            name: name.to_owned(),
        };
        let entry = index.table(&name).unwrap();
        assert_eq!(
            (entry.rows, entry.fingerprint.to_string().as_str()),
            (rows, fingerprint),
            "{}",
            entry.name
        );
        let mut copy_data = Vec::new();
        CopyRows::new(&stored[..], index, entry)
            .read_to_end(&mut copy_data)
            .unwrap();
        assert_eq!(copy_data.len() as u64, entry.data_len);
    }
    // Partitions that are loaded through their root are compared as one.
    let root = TableName {
        schema: "public".to_owned(),
        name: "ph".to_owned(),
    };
    let parts = || {
        index
            .tables()
            .filter(|entry| entry.copied_into.as_ref() == Some(&root))
    };
    assert_eq!(parts().map(|entry| entry.rows).sum::<u64>(), 100);
    let sum: Fingerprint = parts().map(|entry| entry.fingerprint).sum();
    assert_eq!(sum.to_string(), "9e429f3c24ac3d1854ab50151b323700");
    let objects: Vec<_> = index
        .entries
        .iter()
        .filter(|entry| entry.kind == "BLOBS")
        .collect();
    assert_eq!(objects.iter().map(|entry| entry.rows).sum::<u64>(), 51);
    assert_eq!(index.sequences[0].last_value, 1000);
    assert_eq!(encoded.extensions, ["hstore"]);
    assert_eq!(encoded.collation.as_deref(), Some("C.UTF-8"));
    assert_eq!(
        index
            .table(&TableName {
                schema: "public".to_owned(),
                name: "gen".to_owned()
            })
            .unwrap()
            .columns,
        ["id", "a"]
    );
    assert_eq!(zstd::stream::decode_all(&stored[..]).unwrap(), ARCHIVES[archive]);
}

fn scan(bytes: &[u8]) -> Result<(), howdah_archive::Error> {
    let mut scanner = Scanner::new();
    bytes
        .chunks(999)
        .try_for_each(|piece| scanner.push(piece, &mut ()))?;
    scanner.finish()
}

#[rstest]
fn a_real_archive_cut_anywhere_is_truncated(#[values(0, 1, 2)] archive: usize) {
    let bytes = ARCHIVES[archive];
    scan(bytes).unwrap();
    for len in (0..bytes.len()).step_by(13) {
        let outcome = scan(&bytes[..len]);
        assert!(
            matches!(outcome, Err(howdah_archive::Error::Truncated { .. })),
            "cut at {len}: {outcome:?}"
        );
    }
}

#[test]
fn mutated_real_archives_never_panic() {
    let mut random = Random::seeded("mutated real archives");
    let mut found = 0;
    for _ in 0..20_000 {
        let mut bytes = ARCHIVES[random.below(3)].to_vec();
        for _ in 0..1 + random.below(3) {
            let at = random.below(bytes.len());
            bytes[at] = [bytes[at] ^ (1 << random.below(8)), 0, 0xff, 0x7f][random.below(4)];
        }
        found += usize::from(scan(&bytes).is_err());
    }
    // Most mutations fall into rows or names, which only a checksum can tell; but not all.
    assert!(found > 1_000, "{found}");
}
