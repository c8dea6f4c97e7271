//! Measures the scanner and the encoder: `cargo run --release -p howdah-archive --example archive_speed [ARCHIVE]`.
//!
//! ARCHIVE is what `pg_dump -Fc -Z0` wrote; without it, one table of 100-byte rows is made up for the scanner.
#![allow(clippy::print_stdout)]

use std::fs::File;
use std::io::{self, Read};
use std::time::Instant;

use howdah_archive::scanner::Scanner;
use howdah_archive::{EncodeOptions, Meter, encode};

/// An archive of one table with rows of 100 bytes.
fn made_up(megabytes: usize) -> Vec<u8> {
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
            archive.push(b'a' + u8::try_from((state >> 60) & 15).unwrap_or(0));
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

fn main() {
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
