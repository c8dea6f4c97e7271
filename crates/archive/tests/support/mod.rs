//! Writes small archives as pg_dump does, in all three format versions, so that tests know what is in them.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::print_stdout)]

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use howdah_archive::encryption::stored_name;
use howdah_archive::manifest::{
    BackupOptions, CHECKSUM_FILE, ClientInfo, DUMP_FILE, FileEntry, GLOBALS_FILE, Globals, MANIFEST_FILE,
    ServerInfo, checksum_text, restore_by_hand,
};
use howdah_archive::{EncodeOptions, Encoded, Fingerprint, Manifest, Meter, Recipients, encode, encode_for};
use howdah_domain::BackupId;
use sha2::{Digest, Sha256};

/// A table of an archive.
#[derive(Clone)]
pub struct Table {
    pub schema: String,
    pub name: String,
    pub columns: Vec<String>,
    /// Lines of COPY data, without newlines.
    pub rows: Vec<Vec<u8>>,
}

impl Table {
    pub fn new(name: &str, rows: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        Self {
            schema: "public".to_owned(),
            name: name.to_owned(),
            columns: vec!["id".to_owned(), "text".to_owned()],
            rows: rows.into_iter().map(Into::into).collect(),
        }
    }

    pub fn fingerprint(&self) -> Fingerprint {
        let mut sum = Fingerprint::EMPTY;
        self.rows.iter().for_each(|row| sum.add_row(row));
        sum
    }

    pub fn copy_data(&self) -> Vec<u8> {
        self.rows
            .iter()
            .flat_map(|row| [&row[..], b"\n"].concat())
            .collect()
    }
}

/// How data is cut into chunks.
#[derive(Clone, Copy)]
pub enum Chunks {
    /// As pg_dump does with -Z0.
    Rows,
    /// Anywhere, by a seed.
    Anywhere(u64),
    /// Of that many bytes.
    Of(usize),
}

/// An archive to be.
#[derive(Clone)]
pub struct Archive {
    pub minor: u8,
    pub tables: Vec<Table>,
    pub large_objects: Vec<(u32, Vec<u8>)>,
    pub chunks: Chunks,
}

impl Archive {
    pub fn new(minor: u8, tables: Vec<Table>) -> Self {
        Self {
            minor,
            tables,
            large_objects: Vec::new(),
            chunks: Chunks::Rows,
        }
    }

    /// A bit of everything.
    pub fn sample(minor: u8) -> Self {
        let rows = |count: usize| (0..count).map(|row| format!("{row}\trow {row} \\N \\t\\\\ ünï"));
        let mut odd = Table::new(
            "odd \"name\", (x)",
            [
                "",
                "\\\\.",
                "\\N",
                "\\\\",
                "\\n\\t\\b\\v\\f\\r",
                ".",
                "..",
                "\\.x",
            ],
        );
        odd.schema = "My schema".to_owned();
        odd.columns = vec!["a, b".to_owned(), "FROM stdin".to_owned()];
        let mut bare = Table::new("no_columns", ["", "", ""]);
        bare.columns.clear();
        let mut archive = Self::new(
            minor,
            vec![
                Table::new("users", rows(50)),
                odd,
                Table::new("empty", rows(0)),
                bare,
            ],
        );
        archive.large_objects = vec![
            (16_400, b"hello\nworld".to_vec()),
            (u32::MAX, vec![7; 100]),
            (16_402, Vec::new()),
        ];
        archive
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut writer = Writer {
            out: Vec::new(),
            minor: self.minor,
        };
        let objects = usize::from(!self.large_objects.is_empty());
        writer.header(5 + 2 * self.tables.len() + objects);
        writer.entry(
            1,
            false,
            "ENCODING",
            "ENCODING",
            None,
            "SET client_encoding = 'UTF8';\n",
            None,
        );
        writer.entry(
            2,
            false,
            "STDSTRINGS",
            "STDSTRINGS",
            None,
            "SET standard_conforming_strings = 'on';\n",
            None,
        );
        let search_path = "SELECT pg_catalog.set_config('search_path', '', false);\n";
        writer.entry(3, false, "SEARCHPATH", "SEARCHPATH", None, search_path, None);
        writer.entry(
            4,
            false,
            "EXTENSION",
            "hstore",
            None,
            "CREATE EXTENSION hstore;\n",
            None,
        );
        let setval = "SELECT pg_catalog.setval('public.users_id_seq', 42, true);\n";
        writer.entry(
            5,
            false,
            "SEQUENCE SET",
            "users_id_seq",
            Some("public"),
            setval,
            None,
        );
        for (number, table) in self.tables.iter().enumerate() {
            let schema = Some(table.schema.as_str());
            writer.entry(
                table_id(number),
                false,
                "TABLE",
                &table.name,
                schema,
                "CREATE TABLE …;\n",
                None,
            );
        }
        for (number, table) in self.tables.iter().enumerate() {
            let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
            let columns: Vec<String> = table.columns.iter().map(|name| quote(name)).collect();
            let list = if columns.is_empty() {
                String::new()
            } else {
                format!("({})", columns.join(", "))
            };
            let copy = format!(
                "COPY {}.{} {list} FROM stdin;\n",
                quote(&table.schema),
                quote(&table.name)
            );
            writer.entry(
                data_id(number),
                true,
                "TABLE DATA",
                &table.name,
                Some(&table.schema),
                "",
                Some(&copy),
            );
        }
        if objects == 1 {
            writer.entry(9, true, "BLOBS", "BLOBS", None, "", None);
        }
        for (number, table) in self.tables.iter().enumerate() {
            writer.out.push(1);
            writer.int(i64::from(data_id(number)));
            self.copy_chunks(table, &mut writer);
            writer.int(0);
        }
        if objects == 1 {
            writer.out.push(3);
            writer.int(9);
            for (oid, content) in &self.large_objects {
                writer.int(i64::from(oid.cast_signed()));
                content.chunks(40).for_each(|chunk| writer.chunk(chunk));
                writer.int(0);
            }
            writer.int(0);
        }
        writer.out
    }

    fn copy_chunks(&self, table: &Table, writer: &mut Writer) {
        const END: &[u8] = b"\\.\n\n\n";
        let mut random = match self.chunks {
            Chunks::Rows => {
                for row in &table.rows {
                    writer.chunk(&[&row[..], b"\n"].concat());
                }
                writer.chunk(END);
                return;
            }
            Chunks::Anywhere(seed) => Some(Random(seed)),
            Chunks::Of(_) => None,
        };
        let data = [&table.copy_data()[..], END].concat();
        let mut rest = &data[..];
        while !rest.is_empty() {
            let len = match (&mut random, self.chunks) {
                (Some(random), _) => 1 + random.below(60),
                (None, Chunks::Of(len)) => len,
                (None, _) => rest.len(),
            };
            let (chunk, after) = rest.split_at(len.min(rest.len()));
            writer.chunk(chunk);
            rest = after;
        }
    }
}

pub fn table_id(number: usize) -> i32 {
    100 + 2 * i32::try_from(number).unwrap()
}

pub fn data_id(number: usize) -> i32 {
    table_id(number) + 1
}

struct Writer {
    out: Vec<u8>,
    minor: u8,
}

impl Writer {
    fn int(&mut self, value: i64) {
        self.out.push(u8::from(value < 0));
        self.out
            .extend(u32::try_from(value.unsigned_abs()).unwrap().to_le_bytes());
    }

    fn string(&mut self, text: Option<&str>) {
        match text {
            Some(text) => {
                self.int(i64::try_from(text.len()).unwrap());
                self.out.extend(text.as_bytes());
            }
            None => self.int(-1),
        }
    }

    fn chunk(&mut self, chunk: &[u8]) {
        self.int(i64::try_from(chunk.len()).unwrap());
        self.out.extend(chunk);
    }

    fn header(&mut self, entries: usize) {
        self.out.extend(b"PGDMP");
        self.out.extend([1, self.minor, 0, 4, 8, 1]);
        if self.minor >= 15 {
            self.out.push(0);
        } else {
            self.int(0);
        }
        for value in [59, 30, 4, 22, 10, 126, 0] {
            self.int(value);
        }
        ["shop", "17.4 (Debian 17.4-1)", "17.4"]
            .iter()
            .for_each(|text| self.string(Some(text)));
        self.int(i64::try_from(entries).unwrap());
    }

    #[allow(clippy::too_many_arguments)]
    fn entry(
        &mut self,
        id: i32,
        has_data: bool,
        kind: &str,
        tag: &str,
        schema: Option<&str>,
        definition: &str,
        copy: Option<&str>,
    ) {
        self.int(i64::from(id));
        self.int(i64::from(has_data));
        ["1259", "16385", tag, kind]
            .iter()
            .for_each(|text| self.string(Some(text)));
        self.int(if has_data { 3 } else { 2 });
        self.string(Some(definition));
        self.string(Some(""));
        [copy, schema, Some(""), Some("heap")]
            .iter()
            .for_each(|text| self.string(*text));
        if self.minor >= 16 {
            self.int(114);
        }
        self.string(Some("owner"));
        self.string(Some("false"));
        if has_data {
            self.string(Some("100"));
        }
        self.string(None);
        self.out.push(1);
        self.out.extend([0; 8]);
    }
}

/// xorshift64*: the same numbers for the same seed.
pub struct Random(pub u64);

impl Random {
    /// From `HOWDAH_SEED`, or another one each time; printed, so that a failure can be had again.
    pub fn seeded(what: &str) -> Self {
        let from_env = std::env::var("HOWDAH_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let seed = from_env.unwrap_or_else(|| {
            let since = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap();
            u64::from(since.subsec_nanos()) | 1
        });
        println!("{what}: HOWDAH_SEED={seed}");
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 1).unwrap() % limit
    }
}

/// Hands out a slice in pieces of random length.
pub struct Dribble<'a> {
    pub rest: &'a [u8],
    pub random: Random,
    pub most: usize,
}

impl Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.random.below(10) == 0 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let len = (1 + self.random.below(self.most))
            .min(buffer.len())
            .min(self.rest.len());
        buffer[..len].copy_from_slice(&self.rest[..len]);
        self.rest = &self.rest[len..];
        Ok(len)
    }
}

pub fn encode_bytes(archive: &[u8]) -> (Encoded, Vec<u8>) {
    let mut stored = Vec::new();
    let options = EncodeOptions { level: 2, threads: 2 };
    let encoded = encode(archive, &mut stored, &options, &Meter::new(), &|| false).unwrap();
    (encoded, stored)
}

/// As [`encode_bytes`], encrypted.
pub fn encode_bytes_for(recipients: &Recipients, archive: &[u8]) -> (Encoded, Vec<u8>) {
    let mut stored = Vec::new();
    let options = EncodeOptions { level: 2, threads: 2 };
    let meter = Meter::new();
    let encoded = encode_for(Some(recipients), archive, &mut stored, &options, &meter, &|| {
        false
    })
    .unwrap();
    (encoded, stored)
}

/// A whole backup in a folder, as the engine writes one.
pub fn write_backup(folder: &Path, archive: &Archive) -> (Encoded, Manifest) {
    write_backup_for(None, folder, archive)
}

/// As [`write_backup`], encrypted where there are recipients.
pub fn write_backup_for(
    recipients: Option<&Recipients>,
    folder: &Path,
    archive: &Archive,
) -> (Encoded, Manifest) {
    let sealed = |bytes: Vec<u8>| match recipients {
        Some(recipients) => recipients.encrypt(&bytes).unwrap(),
        None => bytes,
    };
    let (encoded, stored) = match recipients {
        Some(recipients) => encode_bytes_for(recipients, &archive.bytes()),
        None => encode_bytes(&archive.bytes()),
    };
    let index = sealed(encoded.index.to_bytes().unwrap());
    let globals = sealed(zstd::bulk::compress(b"CREATE ROLE owner;\n", 3).unwrap());
    let mut files = Vec::new();
    for (name, bytes) in [
        (DUMP_FILE, &stored),
        (GLOBALS_FILE, &globals),
        ("index.json.zst", &index),
    ] {
        let name = stored_name(name, recipients.is_some());
        std::fs::write(folder.join(&name), bytes).unwrap();
        files.push(FileEntry::new(
            name,
            bytes.len() as u64,
            Sha256::digest(bytes).into(),
        ));
    }
    let encryption = recipients.map(Recipients::to_manifest);
    let manifest = Manifest {
        format: 1,
        id: BackupId::parse("20261122T040000Z-k3x7qa").unwrap(),
        howdah: "0.1.0".to_owned(),
        server: ServerInfo {
            name: "test".to_owned(),
            version: "17.4".to_owned(),
        },
        database: "shop".to_owned(),
        encoding: "UTF8".to_owned(),
        collation: None,
        extensions: encoded.extensions.clone(),
        started_at: "2026-11-22T04:00:00Z".parse().unwrap(),
        finished_at: "2026-11-22T04:00:01Z".parse().unwrap(),
        client: ClientInfo {
            version: "17.4".to_owned(),
            major: 17,
            newer_than_server: false,
        },
        options: BackupOptions {
            level: 2,
            partial: false,
            selection: None,
            globals: Globals::WithPasswords,
        },
        raw_bytes: encoded.raw_bytes,
        tables: encoded.index.tables().count() as u64,
        rows: encoded.index.rows(),
        restore_by_hand: restore_by_hand(&files, encryption.as_ref()),
        files,
        encryption,
    };
    let bytes = manifest.to_bytes();
    std::fs::write(folder.join(MANIFEST_FILE), &bytes).unwrap();
    std::fs::write(folder.join(CHECKSUM_FILE), checksum_text(&bytes)).unwrap();
    (encoded, manifest)
}

pub fn files_of(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}
