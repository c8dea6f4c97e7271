//! An archive goes in, and comes out as frames, index and fingerprints.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use howdah_archive::decode::Decoder;
use howdah_archive::encode::MAX_FRAME;
use howdah_archive::entry::{CopyRows, RawRange, starts};
use howdah_archive::{EncodeOptions, Error, Index, Meter, encode};
use howdah_domain::TableName;
use rstest::rstest;
use support::{Archive, Chunks, Dribble, Random, Table, data_id, encode_bytes};

fn decoded(index: &Index, stored: Vec<u8>) -> Vec<u8> {
    let mut archive = Vec::new();
    Decoder::new(io::Cursor::new(stored), index, 2)
        .unwrap()
        .read_to_end(&mut archive)
        .unwrap();
    archive
}

fn assert_index_tells_of(index: &Index, archive: &Archive) {
    assert_eq!(index.tables().count(), archive.tables.len());
    for (number, table) in archive.tables.iter().enumerate() {
        let entry = index
            .table(&TableName {
                schema: table.schema.clone(),
                name: table.name.clone(),
            })
            .unwrap();
        assert_eq!(entry.dump_id, data_id(number));
        assert_eq!(entry.rows, table.rows.len() as u64, "{}", table.name);
        assert_eq!(entry.fingerprint, table.fingerprint(), "{}", table.name);
        assert_eq!(entry.data_len, table.copy_data().len() as u64, "{}", table.name);
        assert_eq!(entry.columns, table.columns);
    }
}

#[rstest]
fn what_goes_in_comes_out_in_each_format_version(#[values(14, 15, 16)] minor: u8) {
    let sample = Archive::sample(minor);
    let bytes = sample.bytes();
    let (encoded, stored) = encode_bytes(&bytes);
    assert_index_tells_of(&encoded.index, &sample);
    assert_eq!(encoded.header.version, (1, minor, 0));
    assert_eq!(encoded.header.database, "shop");
    assert_eq!(encoded.extensions, ["hstore"]);
    assert_eq!(encoded.index.settings["encoding"], "UTF8");
    assert_eq!(encoded.index.settings["standard_conforming_strings"], "on");
    assert_eq!(encoded.index.settings["search_path"], "");
    assert_eq!(encoded.index.sequences.len(), 1);
    assert_eq!(
        (
            encoded.index.sequences[0].last_value,
            encoded.index.sequences[0].is_called
        ),
        (42, true)
    );
    let objects = encoded.index.entries.last().unwrap();
    assert_eq!(
        (objects.kind.as_str(), objects.rows, objects.data_len),
        ("BLOBS", 3, 111)
    );
    assert_eq!(encoded.raw_bytes, bytes.len() as u64);
    assert_eq!(encoded.stored_bytes, stored.len() as u64);
    assert_eq!(zstd::stream::decode_all(&stored[..]).unwrap(), bytes);
    assert_eq!(decoded(&encoded.index, stored), bytes);
}

#[test]
fn the_index_survives_its_file() {
    let (encoded, _) = encode_bytes(&Archive::sample(16).bytes());
    let bytes = encoded.index.to_bytes().unwrap();
    assert_eq!(Index::from_bytes(&bytes).unwrap(), encoded.index);
    assert!(Index::from_bytes(&bytes[..bytes.len() - 1]).is_err());
}

#[test]
fn pieces_and_chunks_of_any_size_make_the_same_index() {
    let mut random = Random::seeded("pieces and chunks");
    for _ in 0..200 {
        let mut sample = Archive::sample(14 + u8::try_from(random.below(3)).unwrap());
        let rows = (0..random.below(200)).map(|_| {
            let len = random.below(20);
            (0..len)
                .map(|_| b"\\.\\nab\t"[random.below(7)])
                .collect::<Vec<u8>>()
        });
        let rows = rows.filter(|row| row != b"\\.").collect::<Vec<_>>();
        sample.tables.push(Table::new("random", rows));
        sample.chunks = match random.below(3) {
            0 => Chunks::Rows,
            1 => Chunks::Anywhere(random.next() | 1),
            _ => Chunks::Of(1 + random.below(40)),
        };
        let bytes = sample.bytes();
        let most = 1 + random.below(300);
        let mut stored = Vec::new();
        let input = Dribble {
            rest: &bytes,
            random: Random(random.next() | 1),
            most,
        };
        let options = EncodeOptions { level: 1, threads: 1 };
        let encoded = encode(input, &mut stored, &options, &Meter::new(), &|| false).unwrap();
        assert_index_tells_of(&encoded.index, &sample);
        for (number, table) in sample.tables.iter().enumerate() {
            let mut rows = Vec::new();
            let entry = &encoded.index.entries[number];
            CopyRows::new(&stored[..], &encoded.index, entry)
                .read_to_end(&mut rows)
                .unwrap();
            assert_eq!(rows, table.copy_data());

            let mut reader = CopyRows::new(&stored[..], &encoded.index, entry);
            let mut pieces = vec![0; random.below(20)];
            let read = reader.read(&mut pieces).unwrap();
            pieces.truncate(read);
            while let Some(piece) = reader.next_piece().unwrap() {
                assert!(!piece.is_empty());
                pieces.extend(piece);
            }
            assert_eq!(pieces, rows);
        }
    }
}

/// Rows that do not compress, so that stored sizes say something.
fn noise(random: &mut Random, len: usize) -> Vec<u8> {
    (0..len)
        .map(|_| b'a' + u8::try_from(random.below(26)).unwrap())
        .collect()
}

#[test]
fn frames_follow_the_rules() {
    let mut random = Random::seeded("frames");
    let mut tables = Vec::new();
    // 300 small tables of up to 64 KiB, then large ones, then small ones again.
    for number in 0..300 {
        let len = random.below(60_000);
        tables.push(Table::new(&format!("small_{number}"), [noise(&mut random, len)]));
    }
    for (number, rows) in [200, 9_000, 26_000].into_iter().enumerate() {
        let row = noise(&mut random, 1_000);
        tables.push(Table::new(
            &format!("large_{number}"),
            (0..rows).map(|_| row.clone()),
        ));
    }
    tables.push(Table::new("last", ["1"]));
    let sample = Archive::new(16, tables);
    let bytes = sample.bytes();
    let (encoded, stored) = encode_bytes(&bytes);
    let index = &encoded.index;
    assert_index_tells_of(index, &sample);
    assert!(
        index.frames.iter().any(|frame| frame.raw_offset == index.toc_len),
        "data begins a frame"
    );
    for frame in &index.frames {
        assert!(frame.raw_len <= MAX_FRAME as u64);
        assert!(frame.begins_at_row());
    }
    for entry in index.tables() {
        let frames = index.frames_of(entry.raw_offset, entry.raw_end());
        if entry.raw_len >= 64 << 10 {
            assert_eq!(
                frames[0].raw_offset, entry.raw_offset,
                "{} begins a frame",
                entry.name
            );
        } else {
            assert!(
                frames.len() == 1 && frames[0].raw_len < (1 << 20) + (64 << 10),
                "{} lies in one",
                entry.name
            );
        }
    }
    // Small tables are gathered: some 9 MB in frames of 1 MiB.
    let small = index
        .table(&TableName {
            schema: "public".to_owned(),
            name: "large_0".to_owned(),
        })
        .unwrap()
        .raw_offset;
    let gathered = index
        .frames
        .iter()
        .filter(|frame| frame.raw_offset < small)
        .count();
    assert!(
        (8..=12).contains(&gathered),
        "{gathered} frames before the large tables"
    );
    assert_eq!(decoded(index, stored.clone()), bytes);
    // A large table can be read from the beginning of each of its frames.
    let largest = index
        .table(&TableName {
            schema: "public".to_owned(),
            name: "large_2".to_owned(),
        })
        .unwrap();
    let starts = starts(index, largest);
    assert_eq!(starts.len(), 4);
    let mut rows = Vec::new();
    for (number, start) in starts.iter().enumerate() {
        let end = starts.get(number + 1).copied();
        CopyRows::part(&stored[..], index, largest, *start, end)
            .read_to_end(&mut rows)
            .unwrap();
    }
    assert!(rows == sample.tables[302].copy_data());
}

#[test]
fn a_huge_row_is_cut_inside_and_the_index_says_so() {
    let mut random = Random::seeded("huge row");
    let huge = noise(&mut random, 30 << 20);
    let rows = [b"before".to_vec(), huge, b"after".to_vec()];
    let mut sample = Archive::new(15, vec![Table::new("huge", rows), Table::new("next", ["x"])]);
    sample.large_objects = vec![(1, noise(&mut random, 9 << 20)), (2, b"small".to_vec())];
    let bytes = sample.bytes();
    let (encoded, stored) = encode_bytes(&bytes);
    let index = &encoded.index;
    assert_index_tells_of(index, &sample);
    assert!(index.frames.iter().filter(|frame| !frame.begins_at_row()).count() >= 4);
    assert_eq!(
        starts(index, &index.entries[0]).len(),
        2,
        "before, and the huge row"
    );
    let mut rows = Vec::new();
    CopyRows::new(&stored[..], index, &index.entries[0])
        .read_to_end(&mut rows)
        .unwrap();
    assert!(rows == sample.tables[0].copy_data());
    assert!(decoded(index, stored) == bytes);
}

#[test]
fn ten_thousand_tables_are_gathered() {
    let tables = (0..10_000)
        .map(|number| Table::new(&format!("table_{number}"), [number.to_string()]))
        .collect();
    let sample = Archive::new(14, tables);
    let bytes = sample.bytes();
    let meter = Meter::new();
    let mut stored = Vec::new();
    let encoded = encode(
        &bytes[..],
        &mut stored,
        &EncodeOptions::default(),
        &meter,
        &|| false,
    )
    .unwrap();
    assert_index_tells_of(&encoded.index, &sample);
    let snapshot = meter.snapshot();
    assert_eq!(
        (snapshot.tables_done, snapshot.tables_total, snapshot.rows),
        (10_000, Some(10_000), 10_000)
    );
    assert_eq!(
        (snapshot.raw_bytes, snapshot.stored_bytes),
        (bytes.len() as u64, stored.len() as u64)
    );
    assert!(encoded.index.frames.len() < 6);
    let index = encoded.index.to_bytes().unwrap();
    assert_eq!(Index::from_bytes(&index).unwrap(), encoded.index);
}

#[test]
fn an_archive_without_tables_is_a_backup_too() {
    let bytes = Archive::new(16, Vec::new()).bytes();
    let (encoded, stored) = encode_bytes(&bytes);
    assert_eq!(
        (encoded.index.entries.len(), encoded.index.toc_len),
        (0, bytes.len() as u64)
    );
    assert_eq!(decoded(&encoded.index, stored), bytes);
}

#[test]
fn the_table_of_contents_can_be_had_alone() {
    let sample = Archive::sample(16);
    let bytes = sample.bytes();
    let (encoded, stored) = encode_bytes(&bytes);
    let mut toc = Vec::new();
    RawRange::header_and_toc(&stored[..], &encoded.index)
        .read_to_end(&mut toc)
        .unwrap();
    assert_eq!(toc, bytes[..toc.len()]);
    let data = encoded.index.entries[0].raw_offset;
    assert_eq!(toc.len() as u64, data);
    let mut range = Vec::new();
    RawRange::new(&stored[..], &encoded.index, data - 10, data + 10)
        .read_to_end(&mut range)
        .unwrap();
    assert_eq!(range, bytes[toc.len() - 10..toc.len() + 10]);
}

#[test]
fn a_seek_table_ends_the_file() {
    let (encoded, stored) = encode_bytes(&Archive::sample(16).bytes());
    let frames = &encoded.index.frames;
    let (_, footer) = stored.split_at(stored.len() - 9);
    assert_eq!(footer[..4], u32::try_from(frames.len()).unwrap().to_le_bytes());
    assert_eq!(footer[4..], [0, 0xB1, 0xEA, 0x92, 0x8F]);
    let table = &stored[usize::try_from(frames.last().unwrap().stored_end()).unwrap()..];
    assert_eq!(table[..4], 0x184D_2A5E_u32.to_le_bytes());
    assert_eq!(table.len(), 8 + 8 * frames.len() + 9);
    assert_eq!(
        table[8..12],
        u32::try_from(frames[0].stored_len).unwrap().to_le_bytes()
    );
    assert_eq!(
        table[12..16],
        u32::try_from(frames[0].raw_len).unwrap().to_le_bytes()
    );
}

/// A disk with room for so many bytes.
struct SmallDisk(usize);

impl Write for SmallDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0 -= bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_ends_it_soon_and_is_told_as_such() {
    let mut random = Random::seeded("full disk");
    let row = noise(&mut random, 10_000);
    let bytes = Archive::new(16, vec![Table::new("t", (0..8_000).map(|_| row.clone()))]).bytes();
    let read = AtomicUsize::new(0);
    let counted = Counted {
        rest: &bytes,
        read: &read,
    };
    let outcome = encode(
        counted,
        SmallDisk(2_000),
        &EncodeOptions::default(),
        &Meter::new(),
        &|| false,
    );
    let error = outcome.unwrap_err();
    let Error::Write { source } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(source.kind(), io::ErrorKind::StorageFull);
    assert_eq!(error.to_failure().code, howdah_domain::FailureCode::DiskFull);
    assert!(
        read.load(Ordering::Relaxed) < bytes.len(),
        "it stopped before the end"
    );
}

struct Counted<'a> {
    rest: &'a [u8],
    read: &'a AtomicUsize,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.rest.read(buffer)?;
        self.read.fetch_add(len, Ordering::Relaxed);
        Ok(len)
    }
}

#[test]
fn cancelling_ends_it_before_the_next_read() {
    let bytes = Archive::new(16, vec![Table::new("t", (0..300_000).map(|row| row.to_string()))]).bytes();
    let read = AtomicUsize::new(0);
    let counted = Counted {
        rest: &bytes,
        read: &read,
    };
    let cancelled = || read.load(Ordering::Relaxed) > 1_000_000;
    let outcome = encode(
        counted,
        io::sink(),
        &EncodeOptions::default(),
        &Meter::new(),
        &cancelled,
    );
    assert!(outcome.unwrap_err().is_cancelled());
    assert!(read.load(Ordering::Relaxed) < 1_000_000 + (512 << 10));
}

#[test]
fn a_read_error_keeps_its_source() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    let outcome = encode(
        Broken,
        io::sink(),
        &EncodeOptions::default(),
        &Meter::new(),
        &|| false,
    );
    assert!(matches!(outcome, Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe));
}
