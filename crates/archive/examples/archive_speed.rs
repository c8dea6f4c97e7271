//! Measures the scanner, the encoder and encryption: `cargo run --release -p howdah-archive --example archive_speed [ARCHIVE]`.
//!
//! ARCHIVE is what `pg_dump -Fc -Z0` wrote; without it, one table of 100-byte rows is made up for the scanner, and one of
//! words for encryption.
#![allow(clippy::print_stdout)]

use std::fs::File;
use std::io::{self, Read};
use std::time::Instant;

use howdah_archive::scanner::Scanner;
use howdah_archive::{EncodeOptions, Identity, Meter, Recipients, encode, encode_for};

/// An archive of one table with rows of 100 bytes.
fn made_up(megabytes: usize) -> Vec<u8> {
    archive_of(megabytes, |chance| {
        b'a' + u8::try_from((chance >> 60) & 15).unwrap_or(0)
    })
}

/// An archive of one table with rows of some words out of a few thousand, as people write them.
fn words(megabytes: usize) -> Vec<u8> {
    let mut word = (0_u64, 0_u32);
    archive_of(megabytes, move |chance| {
        if word.1 == 0 {
            // Small numbers come often: the most common words do.
            let rank = (chance >> 33) % 4096 * ((chance >> 20) % 4096) / 4096;
            word = (
                rank.wrapping_mul(0x9e37_79b9_7f4a_7c15),
                3 + u32::try_from(rank % 7).unwrap_or(0),
            );
            return b' ';
        }
        word.1 -= 1;
        b'a' + u8::try_from((word.0 >> (6 * word.1)) % 26).unwrap_or(0)
    })
}

/// An archive of one table, rows of 100 letters, which `letter` makes of chance.
fn archive_of(megabytes: usize, mut letter: impl FnMut(u64) -> u8) -> Vec<u8> {
    let int = |value: i32| [&[0_u8][..], &value.to_le_bytes()].concat();
    let string = |text: &str| [&int(i32::try_from(text.len()).unwrap_or(0)), text.as_bytes()].concat();
    let mut archive = b"PGDMP\x01\x0e\x00\x04\x08\x01".to_vec();
    (0..8).for_each(|_| archive.extend(int(0)));
    ["bench", "17", "17"]
        .iter()
        .for_each(|text| archive.extend(string(text)));
    archive.extend([int(1), int(1), int(1)].concat());
    ["0", "0", "t", "TABLE DATA"]
        .iter()
        .for_each(|text| archive.extend(string(text)));
    archive.extend(int(3));
    ["", "", "COPY public.t (a) FROM stdin;\n", "public"]
        .iter()
        .for_each(|text| archive.extend(string(text)));
    (0..4).for_each(|_| archive.extend(string("")));
    archive.extend(b"\x01\x01\x00\x00\x00");
    archive.extend([0; 9]);
    archive.extend(b"\x01");
    archive.extend(int(1));
    let mut state = 1_u64;
    while archive.len() < megabytes << 20 {
        archive.extend(int(101));
        for _ in 0..100 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            archive.push(letter(state));
        }
        archive.push(b'\n');
    }
    archive.extend(int(5));
    archive.extend(b"\\.\n\n\n");
    archive.extend(int(0));
    archive
}

fn scan(name: &str, archive: &[u8]) {
    for _ in 0..3 {
        let mut scanner = Scanner::new();
        let begin = Instant::now();
        for piece in archive.chunks(256 << 10) {
            scanner.push(piece, &mut ()).expect("the archive is in order");
        }
        scanner.finish().expect("the archive is whole");
        let seconds = begin.elapsed().as_secs_f64();
        println!(
            "scan {name}: {:.2} GB/s, {:.0} ns per row ({} rows)",
            archive.len() as f64 / seconds / 1e9,
            seconds * 1e9 / scanner.rows() as f64,
            scanner.rows()
        );
    }
}

/// The same archive encoded plain and encrypted, in turns; the best time of each.
fn encrypt(name: &str, archive: &[u8]) {
    let recipients = Recipients::keys([Identity::generate().recipient()]).expect("there is one");
    let mut best = [f64::INFINITY; 2];
    let mut stored = 0;
    for _ in 0..5 {
        for (recipients, best) in [None, Some(&recipients)].into_iter().zip(&mut best) {
            let options = EncodeOptions::default();
            let begin = Instant::now();
            let encoded = encode_for(recipients, archive, io::sink(), &options, &Meter::new(), &|| {
                false
            })
            .expect("it can be encoded");
            *best = best.min(begin.elapsed().as_secs_f64());
            stored = encoded.stored_bytes;
        }
    }
    let [plain, encrypted] = best;
    println!(
        "encrypt {name}: {:.0} MB to {:.0} MB, plain {plain:.2} s, encrypted {encrypted:.2} s: {:+.1} %; {} MB at the most",
        archive.len() as f64 / 1e6,
        stored as f64 / 1e6,
        (encrypted / plain - 1.0) * 100.0,
        (most_memory() >> 10).saturating_sub(archive.len() as u64 >> 20),
    );
}

/// The most resident memory so far in KiB, the archive included; 0 where the system does not tell.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let value = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    value.unwrap_or(0)
}

fn main() {
    let words = words(800);
    encrypt("rows of words", &words);
    drop(words);
    scan("rows of 100 bytes", &made_up(1000));
    let Some(path) = std::env::args().nth(1) else {
        return;
    };
    let mut archive = Vec::new();
    File::open(&path)
        .and_then(|mut file| file.read_to_end(&mut archive))
        .expect("the archive can be read");
    scan(&path, &archive);
    for threads in [1, 2] {
        for level in [1, 2, 3, 4, 5] {
            let begin = Instant::now();
            let encoded = encode(
                &archive[..],
                io::sink(),
                &EncodeOptions { level, threads },
                &Meter::new(),
                &|| false,
            )
            .expect("it can be encoded");
            let seconds = begin.elapsed().as_secs_f64();
            println!(
                "encode level {level}, {threads} threads: {:.0} MB/s, {} → {} bytes, {} frames",
                encoded.raw_bytes as f64 / seconds / 1e6,
                encoded.raw_bytes,
                encoded.stored_bytes,
                encoded.index.frames.len()
            );
        }
    }
}
