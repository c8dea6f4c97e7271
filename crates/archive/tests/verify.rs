//! A backup that was touched is found out, and the file is named.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::Path;

use howdah_archive::manifest::{
    CHECKSUM_FILE, DUMP_FILE, FORMAT, GLOBALS_FILE, MANIFEST_FILE, checksum_text,
};
use howdah_archive::source::LocalFolder;
use howdah_archive::verify::{DamageKind, Report, verify};
use howdah_archive::{Error, Manifest, Meter};
use support::{Archive, Random, Table, files_of, write_backup};

fn check(folder: &Path) -> Result<Report, Error> {
    verify(&LocalFolder::new(folder), &Meter::new(), &|| false)
}

fn backup(archive: &Archive) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_backup(folder.path(), archive);
    folder
}

#[test]
fn an_untouched_backup_is_whole() {
    let archive = Archive::sample(16);
    let folder = backup(&archive);
    let meter = Meter::new();
    let report = verify(&LocalFolder::new(folder.path()), &meter, &|| false).unwrap();
    assert_eq!(report.damages, []);
    assert!(report.is_whole() && report.content_checked && report.to_failure().is_none());
    assert_eq!((report.files, report.tables, report.rows), (5, 4, 61));
    let bytes: u64 = files_of(folder.path())
        .iter()
        .map(|file| file.metadata().unwrap().len())
        .sum();
    assert_eq!((report.bytes, meter.snapshot().stored_bytes), (bytes, bytes));
}

#[test]
fn one_flipped_bit_at_any_byte_of_any_file_is_found_and_the_file_named() {
    let mut archive = Archive::sample(16);
    archive.tables.truncate(2);
    let folder = backup(&archive);
    let mut random = Random::seeded("flipped bits");
    for path in files_of(folder.path()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let sound = fs::read(&path).unwrap();
        for at in 0..sound.len() {
            let mut flipped = sound.clone();
            flipped[at] ^= 1 << random.below(8);
            fs::write(&path, &flipped).unwrap();
            let report = check(folder.path()).unwrap();
            assert!(!report.is_whole(), "{name}: byte {at}");
            assert!(
                report.damages.iter().all(|damage| damage.file == name),
                "{name}, byte {at}: {report:?}"
            );
            assert!(report.to_failure().unwrap().message.contains(name));
        }
        fs::write(&path, &sound).unwrap();
    }
    assert!(check(folder.path()).unwrap().is_whole());
}

#[test]
fn a_missing_file_is_named() {
    for missing in [
        DUMP_FILE,
        GLOBALS_FILE,
        "index.json.zst",
        MANIFEST_FILE,
        CHECKSUM_FILE,
    ] {
        let folder = backup(&Archive::sample(15));
        fs::remove_file(folder.path().join(missing)).unwrap();
        let report = check(folder.path()).unwrap();
        let found: Vec<_> = report
            .damages
            .iter()
            .map(|damage| (damage.file.as_str(), damage.kind))
            .collect();
        assert_eq!(found, [(missing, DamageKind::Missing)]);
    }
}

#[test]
fn a_truncated_file_is_found_at_every_length() {
    let folder = backup(&Archive::sample(14));
    for path in files_of(folder.path()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let sound = fs::read(&path).unwrap();
        for len in 0..sound.len() {
            fs::write(&path, &sound[..len]).unwrap();
            let report = check(folder.path()).unwrap();
            assert!(!report.is_whole(), "{name} cut at {len}");
            assert!(
                report.damages.iter().all(|damage| damage.file == name),
                "{name} cut at {len}: {report:?}"
            );
        }
        fs::write(&path, [&sound[..], b"x"].concat()).unwrap();
        assert!(
            !check(folder.path()).unwrap().is_whole(),
            "{name} with a byte more"
        );
        fs::write(&path, &sound).unwrap();
    }
}

#[test]
fn the_table_is_named_where_a_frame_is_damaged() {
    let rows = |table: usize| (0..40_000).map(move |row| format!("{row}\trow of table {table}"));
    let tables = (0..4)
        .map(|table| Table::new(&format!("t{table}"), rows(table)))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let (encoded, _) = write_backup(folder.path(), &Archive::new(16, tables));
    let index = &encoded.index;
    let entry = &index.entries[2];
    let frame = index.frames_of(entry.raw_offset, entry.raw_end())[0];
    let path = folder.path().join(DUMP_FILE);
    let mut dump = fs::read(&path).unwrap();
    dump[usize::try_from(frame.stored_offset + frame.stored_len / 2).unwrap()] ^= 4;
    fs::write(&path, &dump).unwrap();
    let report = check(folder.path()).unwrap();
    assert_eq!(report.damages.len(), 1);
    let damage = &report.damages[0];
    assert_eq!(
        (damage.file.as_str(), damage.kind),
        (DUMP_FILE, DamageKind::Frame)
    );
    assert_eq!(damage.tables, [entry.table_name()]);
    assert!(damage.describe().contains("public.t2"), "{}", damage.describe());
    // Without the index the scanner's own place names it.
    fs::remove_file(folder.path().join("index.json.zst")).unwrap();
    let report = check(folder.path()).unwrap();
    let dump_damage = report
        .damages
        .iter()
        .find(|damage| damage.file == DUMP_FILE)
        .unwrap();
    assert_eq!(dump_damage.tables.len(), 1);
}

#[test]
fn content_that_the_index_does_not_tell_of_is_found() {
    // Every checksum is right, but the index is of another dump.
    let folder = tempfile::tempdir().unwrap();
    let (_, mut manifest) = write_backup(
        folder.path(),
        &Archive::new(16, vec![Table::new("t", ["1", "2"])]),
    );
    let other = tempfile::tempdir().unwrap();
    let (_, other_manifest) =
        write_backup(other.path(), &Archive::new(16, vec![Table::new("t", ["1", "3"])]));
    let index = "index.json.zst";
    fs::copy(other.path().join(index), folder.path().join(index)).unwrap();
    *manifest.files.iter_mut().find(|file| file.name == index).unwrap() =
        other_manifest.file(index).unwrap().clone();
    write_manifest(folder.path(), &manifest);
    let report = check(folder.path()).unwrap();
    assert!(
        report.damages.iter().any(|damage| damage.file == DUMP_FILE),
        "{report:?}"
    );
}

fn write_manifest(folder: &Path, manifest: &Manifest) {
    let bytes = manifest.to_bytes();
    fs::write(folder.join(MANIFEST_FILE), &bytes).unwrap();
    fs::write(folder.join(CHECKSUM_FILE), checksum_text(&bytes)).unwrap();
}

#[test]
fn a_manifest_names_no_file_outside_its_folder() {
    let folder = backup(&Archive::sample(16));
    let mut manifest = Manifest::from_bytes(&fs::read(folder.path().join(MANIFEST_FILE)).unwrap()).unwrap();
    manifest.files[1].name = "../../etc/passwd".to_owned();
    write_manifest(folder.path(), &manifest);
    let report = check(folder.path()).unwrap();
    assert_eq!(report.damages[0].kind, DamageKind::Missing);
}

#[test]
fn a_folder_without_manifest_is_no_backup() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(DUMP_FILE), b"x").unwrap();
    assert!(matches!(check(folder.path()), Err(Error::NotABackup)));
}

#[test]
fn a_newer_format_is_refused_and_unknown_fields_are_not() {
    let folder = backup(&Archive::sample(16));
    let path = folder.path().join(MANIFEST_FILE);
    let sound = fs::read_to_string(&path).unwrap();
    let rewrite = |text: &str| {
        fs::write(&path, text).unwrap();
        fs::write(folder.path().join(CHECKSUM_FILE), checksum_text(text.as_bytes())).unwrap();
    };
    rewrite(&sound.replacen('{', "{\"colour\": [\"blue\"],", 1));
    assert!(check(folder.path()).unwrap().is_whole());
    rewrite(&sound.replacen("\"format\": 1", "\"format\": 2", 1));
    let error = check(folder.path()).unwrap_err();
    assert!(matches!(
        error,
        Error::NewerFormat {
            found: 2,
            known: FORMAT
        }
    ));
    let failure = error.to_failure();
    assert_eq!(failure.code, howdah_domain::FailureCode::BackupUnreadable);
    assert!(failure.message.contains("newer"));
}

#[test]
fn an_encrypted_backup_is_checked_by_its_checksums() {
    let folder = backup(&Archive::sample(16));
    let mut manifest = Manifest::from_bytes(&fs::read(folder.path().join(MANIFEST_FILE)).unwrap()).unwrap();
    for file in &mut manifest.files {
        let encrypted = format!("{}.age", file.name);
        fs::rename(folder.path().join(&file.name), folder.path().join(&encrypted)).unwrap();
        file.name = encrypted;
    }
    manifest.encryption = Some(howdah_archive::manifest::Encryption {
        age_recipients: vec!["age1…".to_owned()],
        age_passphrase: false,
    });
    write_manifest(folder.path(), &manifest);
    let report = check(folder.path()).unwrap();
    assert!(report.is_whole() && !report.content_checked && report.locked);
    assert!(report.remark().unwrap().contains("not looked into"));
    let path = folder.path().join("index.json.zst.age");
    let mut bytes = fs::read(&path).unwrap();
    bytes[3] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(
        check(folder.path()).unwrap().damages[0].file,
        "index.json.zst.age"
    );
}

#[test]
fn verifying_can_be_cancelled() {
    let folder = backup(&Archive::sample(16));
    let outcome = verify(&LocalFolder::new(folder.path()), &Meter::new(), &|| true);
    assert!(outcome.unwrap_err().is_cancelled());
}
