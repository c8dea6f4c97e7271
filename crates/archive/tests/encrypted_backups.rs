//! Whole backups, encrypted: dumps of real pg_dumps go in, and come out for Howdah and for the standard programs.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use howdah_archive::decode::Decoder;
use howdah_archive::entry::{CopyRows, RawRange};
use howdah_archive::manifest::{CHECKSUM_FILE, MANIFEST_FILE};
use howdah_archive::source::LocalFolder;
use howdah_archive::verify::{DamageKind, Report, verify_with};
use howdah_archive::{Error, Identity, Index, Keys, Manifest, Meter, Recipients};
use howdah_domain::{Secret, Selection, TableName};
use rstest::rstest;
use sha2::{Digest, Sha256};
use support::{Archive, Random, encode_bytes, encode_bytes_for, files_of, write_backup_for};

const ARCHIVES: [&[u8]; 3] = [
    include_bytes!("fixtures/pg_dump-13.dump"),
    include_bytes!("fixtures/pg_dump-16.dump"),
    include_bytes!("fixtures/pg_dump-18.dump"),
];

const DUMP: &str = "dump.pgdump.zst.age";

fn key() -> (Identity, Keys, Recipients) {
    let identity = Identity::generate();
    let recipients = Recipients::keys([identity.recipient()]).unwrap();
    (identity.clone(), Keys::none().and_identity(identity), recipients)
}

#[rstest]
fn a_dump_comes_back_whole_and_table_by_table(#[values(0, 1, 2)] archive: usize) {
    let (_, keys, recipients) = key();
    let raw = ARCHIVES[archive];
    let (encoded, stored) = encode_bytes_for(&recipients, raw);
    let (plain, plain_stored) = encode_bytes(raw);
    assert_eq!(
        encoded.index, plain.index,
        "the index tells of the file before encryption"
    );
    assert_eq!(encoded.stored_bytes, stored.len() as u64);
    assert_eq!(encoded.sha256, <[u8; 32]>::from(Sha256::digest(&stored)));
    assert!(keys.decrypt(DUMP, &stored).unwrap() == plain_stored);

    let index = &encoded.index;
    let mut whole = Vec::new();
    let reader = keys.reader(DUMP, Cursor::new(stored.clone())).unwrap();
    Decoder::new(reader, index, 2)
        .unwrap()
        .read_to_end(&mut whole)
        .unwrap();
    assert!(whole == raw);

    let source = keys.source(DUMP, &stored[..]).unwrap();
    let mut toc = Vec::new();
    RawRange::header_and_toc(&source, index)
        .read_to_end(&mut toc)
        .unwrap();
    assert!(raw.starts_with(&toc) && toc.len() as u64 == index.toc_len);
    for entry in index.tables() {
        let (mut rows, mut expected) = (Vec::new(), Vec::new());
        CopyRows::new(&source, index, entry)
            .read_to_end(&mut rows)
            .unwrap();
        CopyRows::new(&plain_stored[..], index, entry)
            .read_to_end(&mut expected)
            .unwrap();
        assert!(rows == expected, "{}", entry.name);
    }
}

#[test]
fn a_dump_that_was_cut_off_ends_with_an_error_that_says_so() {
    let (_, keys, recipients) = key();
    let (encoded, stored) = encode_bytes_for(&recipients, ARCHIVES[1]);
    let cut = stored[..stored.len() / 2].to_vec();
    let reader = keys.reader(DUMP, Cursor::new(cut)).unwrap();
    let outcome = Decoder::new(reader, &encoded.index, 2)
        .unwrap()
        .read_to_end(&mut Vec::new());
    let error = Error::from_io("x", outcome.unwrap_err());
    assert!(
        matches!(&error, Error::Damaged { file, .. } if file == DUMP),
        "{error}"
    );
}

fn check(keys: &Keys, folder: &Path) -> Result<Report, Error> {
    verify_with(keys, &LocalFolder::new(folder), &Meter::new(), &|| false)
}

#[test]
fn with_its_key_an_encrypted_backup_is_checked_to_the_last_row_and_without_it_as_far_as_can_be() {
    let (_, keys, recipients) = key();
    let folder = tempfile::tempdir().unwrap();
    write_backup_for(Some(&recipients), folder.path(), &Archive::sample(16));
    let report = check(&keys, folder.path()).unwrap();
    assert_eq!(report.damages, []);
    assert!(report.content_checked && !report.locked && report.remark().is_none());
    assert_eq!((report.files, report.tables, report.rows), (5, 4, 61));

    let report = check(&Keys::none(), folder.path()).unwrap();
    assert!(report.is_whole() && !report.content_checked && report.locked);
    assert!(report.remark().unwrap().contains("not looked into"));
    assert_eq!((report.files, report.tables), (5, 0));

    let (_, wrong, _) = key();
    let error = check(&wrong, folder.path()).unwrap_err();
    assert!(matches!(error, Error::WrongKey { .. }), "{error}");
    let wrong = Keys::none().and_passphrase(Secret::new("x"));
    let error = check(&wrong, folder.path()).unwrap_err();
    assert!(
        matches!(
            error,
            Error::KeyMissing {
                passphrase: false,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn with_or_without_the_key_a_flipped_bit_is_found_and_its_file_named() {
    let (_, keys, recipients) = key();
    let mut archive = Archive::sample(16);
    archive.tables.truncate(2);
    let folder = tempfile::tempdir().unwrap();
    write_backup_for(Some(&recipients), folder.path(), &archive);
    let mut random = Random::seeded("flipped bits");
    for path in files_of(folder.path()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let sound = fs::read(&path).unwrap();
        // Some bytes of the header and of the rest: each is two verifications.
        let rest = (0..60).map(|_| random.below(sound.len())).collect::<Vec<_>>();
        for at in (0..sound.len().min(300)).step_by(3).chain(rest) {
            let mut flipped = sound.clone();
            flipped[at] ^= 1 << random.below(8);
            fs::write(&path, &flipped).unwrap();
            for keys in [&keys, &Keys::none()] {
                let report = check(keys, folder.path()).unwrap();
                assert!(!report.is_whole(), "{name}: byte {at}");
                assert!(
                    report.damages.iter().all(|damage| damage.file == name),
                    "{name}, byte {at}: {report:?}"
                );
            }
        }
        fs::write(&path, &sound[..sound.len() - 1]).unwrap();
        assert!(!check(&keys, folder.path()).unwrap().is_whole(), "{name}, cut");
        fs::write(&path, &sound).unwrap();
    }
    assert!(check(&keys, folder.path()).unwrap().is_whole());
}

#[test]
fn a_file_whose_checksum_is_right_but_which_does_not_decrypt_is_damaged() {
    let (_, keys, recipients) = key();
    let folder = tempfile::tempdir().unwrap();
    let (_, mut manifest) = write_backup_for(Some(&recipients), folder.path(), &Archive::sample(16));
    for name in ["index.json.zst.age", "globals.sql.zst.age", DUMP] {
        let path = folder.path().join(name);
        let sound = fs::read(&path).unwrap();
        let mut flipped = sound.clone();
        *flipped.last_mut().unwrap() ^= 1;
        fs::write(&path, &flipped).unwrap();
        let file = manifest.files.iter_mut().find(|file| file.name == name).unwrap();
        let checksum = std::mem::replace(
            &mut file.sha256,
            howdah_archive::manifest::to_hex(&Sha256::digest(&flipped)),
        );
        write_manifest(folder.path(), &manifest);
        let report = check(&keys, folder.path()).unwrap();
        let of_it: Vec<_> = report
            .damages
            .iter()
            .filter(|damage| damage.file == name)
            .collect();
        assert_eq!(of_it.len(), 1, "{name}: {report:?}");
        assert!(of_it[0].detail.contains("does not decrypt"), "{name}: {report:?}");
        assert_ne!(of_it[0].kind, DamageKind::Checksum);
        fs::write(&path, &sound).unwrap();
        manifest
            .files
            .iter_mut()
            .find(|file| file.name == name)
            .unwrap()
            .sha256 = checksum;
    }
}

fn write_manifest(folder: &Path, manifest: &Manifest) {
    let bytes = manifest.to_bytes();
    fs::write(folder.join(MANIFEST_FILE), &bytes).unwrap();
    fs::write(
        folder.join(CHECKSUM_FILE),
        howdah_archive::manifest::checksum_text(&bytes),
    )
    .unwrap();
}

#[test]
fn an_encrypted_backups_manifest_names_no_table_but_its_index_does() {
    let (identity, keys, recipients) = key();
    let folder = tempfile::tempdir().unwrap();
    let (mut encoded, mut manifest) =
        write_backup_for(Some(&recipients), folder.path(), &Archive::sample(16));
    let selection = Selection {
        exclude_data: vec![TableName {
            schema: "secret_schema".to_owned(),
            name: "secret_table".to_owned(),
        }],
        ..Selection::default()
    };
    manifest.options.partial = true;
    manifest.options.selection = Some(selection.clone());
    let text = String::from_utf8(manifest.to_bytes()).unwrap();
    let secret = identity.to_secret();
    for name in ["secret_schema", "secret_table", "users", "odd", secret.expose()] {
        assert!(!text.contains(name), "{name}: {text}");
    }
    assert!(text.contains(&recipients.to_manifest().age_recipients[0]));
    assert!(!text.contains("age_passphrase"), "{text}");
    let read = Manifest::from_bytes(text.as_bytes()).unwrap();
    assert_eq!((read.options.partial, read.options.selection), (true, None));
    assert_eq!(read.encryption, manifest.encryption);

    encoded.index.selection = Some(selection.clone());
    let stored = recipients.encrypt(&encoded.index.to_bytes().unwrap()).unwrap();
    let name = manifest.index_file().unwrap().name.as_str();
    let index = Index::read_from(keys.reader(name, &stored[..]).unwrap()).unwrap();
    assert_eq!(index.selection, Some(selection));

    // A plain one names what was chosen, as before.
    manifest.encryption = None;
    assert!(
        String::from_utf8(manifest.to_bytes())
            .unwrap()
            .contains("secret_table")
    );
}

/// Runs a shell command in a folder; what it writes.
fn shell(folder: &Path, command: &str, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("bash")
        .args(["-euo", "pipefail", "-c", command])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // It may end without having read everything.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    });
    assert!(
        output.status.success(),
        "{command}: {} (`make setup-test` installs age and zstd)",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// As the manifest says it, without what comes after zstd.
fn opening_commands(manifest: &Manifest) -> Vec<String> {
    let commands = manifest
        .restore_by_hand
        .lines()
        .filter(|line| !line.starts_with('#'));
    commands
        .map(|line| line.rsplit_once(" | ").unwrap().0.to_owned())
        .collect()
}

#[test]
fn the_standard_programs_read_what_we_wrote_by_the_commands_of_the_manifest() {
    let (identity, _, recipients) = key();
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::sample(16);
    let (_, manifest) = write_backup_for(Some(&recipients), folder.path(), &archive);
    fs::write(folder.path().join("key.txt"), identity.to_secret().expose()).unwrap();
    let commands = opening_commands(&manifest);
    assert_eq!(shell(folder.path(), &commands[0], b""), b"CREATE ROLE owner;\n");
    assert!(shell(folder.path(), &commands[1], b"") == archive.bytes());
}

#[test]
fn with_a_passphrase_too_the_standard_programs_read_what_we_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let recipients = Recipients::passphrase(Secret::new("open sesame")).unwrap();
    let archive = Archive::sample(16);
    let (_, manifest) = write_backup_for(Some(&recipients), folder.path(), &archive);
    let report = check(
        &Keys::none().and_passphrase(Secret::new("open sesame")),
        folder.path(),
    )
    .unwrap();
    assert!(report.is_whole() && report.content_checked, "{report:?}");
    // age asks on a terminal: script lends it one.
    let command = &opening_commands(&manifest)[1];
    let on_terminal = format!("script -qec '{command} > out' /dev/null");
    shell(folder.path(), &on_terminal, b"open sesame\n");
    assert!(fs::read(folder.path().join("out")).unwrap() == archive.bytes());
}

#[rstest]
#[case::nothing(0)]
#[case::a_chunk(64 << 10)]
#[case::more(500_000)]
fn we_read_what_the_standard_programs_wrote(#[case] len: usize) {
    let folder = tempfile::tempdir().unwrap();
    shell(folder.path(), "age-keygen -o key.txt", b"");
    let key_file = Secret::new(fs::read_to_string(folder.path().join("key.txt")).unwrap());
    let keys = Keys::from_key_file(&key_file).unwrap();
    let public = shell(folder.path(), "age-keygen -y key.txt", b"");
    let public = String::from_utf8(public).unwrap();
    let mut random = Random::seeded("written by age");
    let content: Vec<u8> = (0..len)
        .map(|_| u8::try_from(random.below(256)).unwrap())
        .collect();
    let (_, other, _) = key();
    let stored = shell(folder.path(), &format!("age -r {}", public.trim()), &content);
    assert!(keys.decrypt("x.age", &stored).unwrap() == content);
    assert!(keys.source("x.age", &stored[..]).is_ok());
    assert!(matches!(
        other.decrypt("x.age", &stored),
        Err(Error::WrongKey { .. })
    ));
    // And the other way round.
    let recipients = Recipients::parse(&[public]).unwrap();
    let ours = recipients.encrypt(&content).unwrap();
    assert!(shell(folder.path(), "age -d -i key.txt", &ours) == content);
}
