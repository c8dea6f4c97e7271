//! Whatever bytes come, the scanner answers with an error: no panic, and no memory that the bytes did not bring.
#![allow(clippy::unwrap_used)]

mod support;

use std::io;

use howdah_archive::scanner::Scanner;
use howdah_archive::{EncodeOptions, Error, Meter, encode};
use rstest::rstest;
use support::{Archive, Random, Table};

fn scan(bytes: &[u8], piece: usize) -> Result<u64, Error> {
    let mut scanner = Scanner::new();
    bytes
        .chunks(piece)
        .try_for_each(|piece| scanner.push(piece, &mut ()))?;
    scanner.finish()?;
    Ok(scanner.rows())
}

#[rstest]
fn an_archive_cut_at_any_byte_is_truncated(
    #[values(14, 15, 16)] minor: u8,
    #[values(1, 7, 1_000_000)] piece: usize,
) {
    let bytes = Archive::sample(minor).bytes();
    assert_eq!(scan(&bytes, piece).unwrap(), 61);
    for len in 0..bytes.len() {
        let outcome = scan(&bytes[..len], piece);
        assert!(
            matches!(outcome, Err(Error::Truncated { .. })),
            "cut at {len}: {outcome:?}"
        );
    }
}

#[test]
fn what_is_still_to_come_is_named() {
    let bytes = Archive::sample(16).bytes();
    let missing = |len: usize| match scan(&bytes[..len], 1_000) {
        Err(Error::Truncated { missing, .. }) => missing,
        other => panic!("{other:?}"),
    };
    assert_eq!(missing(3), "inside its header");
    assert_eq!(missing(200), "inside its table of contents");
    assert_eq!(missing(bytes.len() - 1), "inside the data of BLOBS");
    let all = (0..bytes.len())
        .map(missing)
        .collect::<std::collections::BTreeSet<_>>();
    assert!(all.contains("inside the data of public.users"), "{all:?}");
    assert!(
        all.contains("inside the data of My schema.odd \"name\", (x)"),
        "{all:?}"
    );
}

#[test]
fn more_after_the_end_is_malformed() {
    let mut bytes = Archive::sample(16).bytes();
    bytes.push(1);
    assert!(matches!(scan(&bytes, 100), Err(Error::Malformed { .. })));
}

#[test]
fn a_second_block_of_a_table_is_malformed() {
    let sample = Archive::new(16, vec![Table::new("a", ["1"]), Table::new("b", ["2"])]);
    let bytes = sample.bytes();
    // The second block's dump id becomes the first's.
    let at = bytes.len() - (1 + 5 + (5 + 2) + (5 + 5) + 5);
    assert_eq!(bytes[at], 1);
    let mut twice = bytes;
    twice[at + 2] = 101;
    let outcome = scan(&twice, 100);
    assert!(
        matches!(&outcome, Err(Error::Malformed { reason, .. }) if reason.contains("second")),
        "{outcome:?}"
    );
    twice[at + 2] = 77;
    assert!(matches!(scan(&twice, 100), Err(Error::Malformed { .. })));
}

#[test]
fn inserts_instead_of_copy_data_are_told() {
    let mut sample = Archive::new(16, vec![Table::new("a", ["INSERT INTO a VALUES (1);"])]);
    sample.chunks = support::Chunks::Rows;
    let bytes = sample.bytes();
    // The chunk with the line \. goes.
    let end = bytes.len() - 5;
    let without = [&bytes[..end - 10], &bytes[end..]].concat();
    let outcome = scan(&without, 100);
    assert!(
        matches!(&outcome, Err(Error::Malformed { reason, .. }) if reason.contains("--inserts")),
        "{outcome:?}"
    );
}

#[rstest]
#[case::compressed_already(11, 1)]
#[case::another_major_version(5, 2)]
#[case::an_older_format(6, 13)]
#[case::a_newer_format(6, 17)]
#[case::wide_ints(8, 8)]
#[case::a_tar_archive(10, 3)]
fn a_header_of_another_kind_is_malformed(#[case] at: usize, #[case] byte: u8) {
    let mut bytes = Archive::sample(16).bytes();
    bytes[at] = byte;
    assert!(matches!(scan(&bytes, 100), Err(Error::Malformed { .. })));
}

#[test]
fn a_length_that_nothing_follows_costs_no_memory() {
    // A string of 64 MiB, and a chunk of 2 GiB, that are announced and never come.
    let bytes = Archive::sample(16).bytes();
    let string = [&bytes[..0x90], &[0, 0, 0, 0, 4][..]].concat();
    let before = resident();
    for _ in 0..100 {
        let _ = scan(&string, 10).unwrap_err();
        let chunk = [&bytes[..bytes.len() - 400], &[0, 0xff, 0xff, 0xff, 0x7f][..]].concat();
        let _ = scan(&chunk, 10).unwrap_err();
    }
    assert!(resident() < before + 20_000, "KiB: {} → {}", before, resident());
}

/// Resident memory in KiB; 0 where the system does not tell.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|value| value.parse().ok())
        .unwrap_or(0)
}

#[test]
fn mutated_archives_never_panic() {
    let mut random = Random::seeded("mutated archives");
    let samples = [14, 15, 16].map(|minor| Archive::sample(minor).bytes());
    let before = resident();
    for _ in 0..30_000 {
        let mut bytes = samples[random.below(3)].clone();
        for _ in 0..1 + random.below(4) {
            let at = random.below(bytes.len());
            match random.below(5) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => bytes[at] = u8::try_from(random.below(256)).unwrap(),
                2 => drop(bytes.drain(at..(at + 1 + random.below(20)).min(bytes.len()))),
                3 => {
                    let end = (at + 1 + random.below(50)).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    let to = random.below(bytes.len());
                    bytes.splice(to..to, piece);
                }
                _ => bytes[at] = [0, 1, 0xff, 0x7f, 0x80][random.below(5)],
            }
            if bytes.is_empty() {
                break;
            }
        }
        // Whatever it is called: it ends, and what is not an error has all its rows.
        let _ = scan(&bytes, 1 + random.below(500));
    }
    assert!(resident() < before + 50_000, "KiB: {} → {}", before, resident());
}

#[test]
fn a_truncated_archive_is_no_backup() {
    let bytes = Archive::sample(16).bytes();
    for len in (0..bytes.len()).step_by(97) {
        let outcome = encode(
            &bytes[..len],
            io::sink(),
            &EncodeOptions::default(),
            &Meter::new(),
            &|| false,
        );
        let error = outcome.unwrap_err();
        assert_eq!(error.to_failure().code, howdah_domain::FailureCode::DumpTruncated);
        assert!(!error.is_retryable());
    }
}
