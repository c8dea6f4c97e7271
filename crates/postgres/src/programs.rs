//! The bundled PostgreSQL programs: where they lie, and which serve a given server.
//!
//! The folder is laid out by the crate howdah-bundle, which leaves a stamp in each major's folder; versions are read
//! from there, so that nothing has to be run to know them. Nothing here knows how a program is used, except for the
//! environment that every one of them needs.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use howdah_domain::{Failure, FailureCode};
use serde::{Deserialize, Serialize};

use crate::Error;

/// The majors that Howdah ships programs for.
pub const MAJORS: [u16; 6] = [13, 14, 15, 16, 17, 18];

/// Names a folder of programs to use instead of the bundled ones.
pub const PROGRAMS_VARIABLE: &str = "HOWDAH_PROGRAMS";

/// The folder's usual name.
const FOLDER: &str = "programs";

/// The name of a major's stamp.
const STAMP: &str = "stamp.json";

/// The layout of the folder that this version reads.
const LAYOUT: u32 = 1;

#[derive(Debug, Clone, Deserialize)]
struct Stamp {
    layout: u32,
    major: u16,
    client: Option<Part>,
    server: Option<Part>,
}

#[derive(Debug, Clone, Deserialize)]
struct Part {
    version: String,
    recipe: String,
    library_path: Vec<PathBuf>,
}

/// All bundled programs.
#[derive(Debug, Clone)]
pub struct Programs {
    root: PathBuf,
    majors: BTreeMap<u16, Stamp>,
}

/// The client programs of one major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Their major.
    pub major: u16,
    /// Their version, `17.11`.
    pub version: String,
    /// Path of pg_dump.
    pub pg_dump: PathBuf,
    /// Path of pg_restore.
    pub pg_restore: PathBuf,
    /// Path of pg_dumpall.
    pub pg_dumpall: PathBuf,
    /// Path of psql.
    pub psql: PathBuf,
    /// Folders that must be on the library path; usually none.
    pub library_path: Vec<PathBuf>,
    /// Whether they are of a newer major than the server they were asked for; the run and the manifest say so.
    pub newer_than_server: bool,
}

/// The server programs of one major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerPrograms {
    /// Their major.
    pub major: u16,
    /// Their version, `17.10`.
    pub version: String,
    /// Their folder, with `bin`, `lib` and `share`.
    pub root: PathBuf,
    /// Path of postgres.
    pub postgres: PathBuf,
    /// Path of initdb.
    pub initdb: PathBuf,
    /// Path of pg_ctl.
    pub pg_ctl: PathBuf,
    /// Folders that must be on the library path.
    pub library_path: Vec<PathBuf>,
    /// Changes whenever the programs do: a SHA-256 of what they were made from.
    pub stamp: String,
}

/// One line of `howdah programs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The program's name, `pg_dump`.
    pub name: String,
    /// Its PostgreSQL major.
    pub major: u16,
    /// Its version.
    pub version: String,
    /// Where it lies.
    pub path: PathBuf,
}

impl Programs {
    /// Finds the programs: in `explicit`, in the folder that `HOWDAH_PROGRAMS` names, or else in the first of
    /// `programs` beside the executable, where installers put resources, and in a folder above the executable (a
    /// checkout, whose executables lie in `target/debug`).
    ///
    /// # Errors
    /// [`FailureCode::ProgramMissing`], naming the places; a folder that was named is not passed over for another.
    pub fn locate(explicit: Option<&Path>) -> Result<Self, Error> {
        let from_variable = || env::var_os(PROGRAMS_VARIABLE).filter(|named| !named.is_empty());
        if let Some(named) = explicit
            .map(Path::to_path_buf)
            .or_else(|| from_variable().map(PathBuf::from))
        {
            return Self::at(&named);
        }
        let executable = env::current_exe()
            .and_then(|path| path.canonicalize())
            .map_err(|error| Error::io("finding Howdah's own executable", error))?;
        let places = places_for(&executable);
        for place in &places {
            if has_stamps(place) {
                return Self::at(place);
            }
        }
        let places: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
        Err(
            missing("The PostgreSQL programs that belong to Howdah are not there.")
                .details(format!("Looked in: {}", places.join(", ")))
                .into(),
        )
    }

    /// The programs in this very folder.
    ///
    /// # Errors
    /// [`FailureCode::ProgramMissing`] when it holds none, or is laid out for another version of Howdah.
    pub fn at(root: &Path) -> Result<Self, Error> {
        let root = root.canonicalize().unwrap_or_else(|_| root.to_path_buf());
        let mut majors = BTreeMap::new();
        for major in MAJORS {
            let path = root.join(major.to_string()).join(STAMP);
            let Ok(text) = std::fs::read(&path) else { continue };
            let stamp: Stamp =
                serde_json::from_slice(&text).map_err(|error| damaged(&path, &error.to_string()))?;
            if stamp.layout != LAYOUT || stamp.major != major {
                return Err(damaged(&path, "it is laid out for another version of Howdah"));
            }
            majors.insert(major, stamp);
        }
        if majors.is_empty() {
            let text = format!("There are no PostgreSQL programs in {}.", root.display());
            return Err(missing(&text).into());
        }
        Ok(Self { root, majors })
    }

    /// The folder they lie in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The client programs for a server of this major: its own, failing that the next newer ones, never older ones
    /// (pg_dump refuses a server newer than itself).
    ///
    /// # Errors
    /// [`FailureCode::UnsupportedVersion`] for a server older than 13 or newer than any client here.
    pub fn client_for(&self, server_major: u16) -> Result<Client, Error> {
        if server_major < MAJORS[0] {
            return Err(Failure::new(
                FailureCode::UnsupportedVersion,
                format!("The server is PostgreSQL {server_major}; Howdah backs up PostgreSQL 13 to 18."),
            )
            .hint("Upgrade the server; PostgreSQL's own project has ended support for it, too.")
            .into());
        }
        let fitting = self
            .majors
            .range(server_major..)
            .find_map(|(major, stamp)| Some((*major, stamp.client.as_ref()?)));
        let Some((major, part)) = fitting else {
            let newest = self.majors.iter().rev().find(|(_, stamp)| stamp.client.is_some());
            let newest = newest.map_or_else(|| "none".to_owned(), |(major, _)| major.to_string());
            return Err(Failure::new(
                FailureCode::UnsupportedVersion,
                format!(
                    "The server is PostgreSQL {server_major}, newer than the newest programs here ({newest})."
                ),
            )
            .hint("Install a newer version of Howdah.")
            .into());
        };
        let bin = self.root.join(major.to_string()).join("client/bin");
        Ok(Client {
            major,
            version: part.version.clone(),
            pg_dump: bin.join("pg_dump"),
            pg_restore: bin.join("pg_restore"),
            pg_dumpall: bin.join("pg_dumpall"),
            psql: bin.join("psql"),
            library_path: self.library_path(major, part),
            newer_than_server: major != server_major,
        })
    }

    /// The server programs of exactly this major.
    ///
    /// # Errors
    /// [`FailureCode::ProgramMissing`].
    pub fn server(&self, major: u16) -> Result<ServerPrograms, Error> {
        let part = self
            .majors
            .get(&major)
            .and_then(|stamp| stamp.server.as_ref())
            .ok_or_else(|| {
                missing(&format!(
                    "The server programs of PostgreSQL {major} are not in {}.",
                    self.root.display()
                ))
            })?;
        let root = self.root.join(major.to_string()).join("server");
        Ok(ServerPrograms::in_folder(
            root,
            major,
            part,
            self.library_path(major, part),
        ))
    }

    /// The newest server programs there are.
    ///
    /// # Errors
    /// [`FailureCode::ProgramMissing`].
    pub fn newest_server(&self) -> Result<ServerPrograms, Error> {
        let newest = self.majors.iter().rev().find(|(_, stamp)| stamp.server.is_some());
        self.server(newest.map_or(MAJORS[MAJORS.len() - 1], |(major, _)| *major))
    }

    /// Every program, by major and name; read from the stamps.
    pub fn all(&self) -> Vec<Listed> {
        let mut all = Vec::new();
        for (major, stamp) in &self.majors {
            let parts = [
                (
                    "client",
                    &stamp.client,
                    ["pg_dump", "pg_dumpall", "pg_restore", "psql"].as_slice(),
                ),
                (
                    "server",
                    &stamp.server,
                    ["initdb", "pg_ctl", "postgres"].as_slice(),
                ),
            ];
            for (folder, part, names) in parts {
                let Some(part) = part else { continue };
                let bin = self.root.join(major.to_string()).join(folder).join("bin");
                all.extend(names.iter().map(|name| Listed {
                    name: (*name).to_owned(),
                    major: *major,
                    version: part.version.clone(),
                    path: bin.join(name),
                }));
            }
        }
        all
    }

    fn library_path(&self, major: u16, part: &Part) -> Vec<PathBuf> {
        let folder = self.root.join(major.to_string());
        let absolute = |path: &PathBuf| {
            let path = folder.join(path);
            path.canonicalize().unwrap_or(path)
        };
        part.library_path.iter().map(absolute).collect()
    }
}

impl Client {
    /// A command for one of these programs, in a known environment: its libraries found, messages in English, none of
    /// our own `PG…` variables (a stray PGOPTIONS or PGSERVICE would change what it does), standard input empty,
    /// output and error piped. Start it with [`crate::children::spawn`].
    ///
    /// The command's `Debug` shows its environment: never log a command that was given a password.
    pub fn command(&self, program: &Path) -> Command {
        clean_command(program, &self.library_path)
    }
}

impl ServerPrograms {
    fn in_folder(root: PathBuf, major: u16, part: &Part, library_path: Vec<PathBuf>) -> Self {
        let bin = root.join("bin");
        Self {
            major,
            version: part.version.clone(),
            postgres: bin.join("postgres"),
            initdb: bin.join("initdb"),
            pg_ctl: bin.join("pg_ctl"),
            library_path,
            stamp: part.recipe.clone(),
            root,
        }
    }

    /// A command for one of these programs, as [`Client::command`].
    pub fn command(&self, program: &Path) -> Command {
        clean_command(program, &self.library_path)
    }

    /// Whether an extension's control file is there, so that CREATE EXTENSION can work.
    pub fn has_extension(&self, name: &str) -> bool {
        self.root
            .join("share/postgresql/extension")
            .join(format!("{name}.control"))
            .is_file()
    }
}

/// What in our own environment must not reach a PostgreSQL program.
fn is_ours_alone(name: &str) -> bool {
    name.starts_with("PG")
        || name.starts_with("LC_")
        || matches!(name, "LANG" | "LANGUAGE" | "LD_LIBRARY_PATH")
}

fn clean_command(program: &Path, library_path: &[PathBuf]) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_ours_alone) {
            command.env_remove(name);
        }
    }
    command.env("LC_ALL", "C");
    if !library_path.is_empty() {
        let joined = env::join_paths(library_path).unwrap_or_default();
        command.env(
            if cfg!(target_os = "macos") {
                "DYLD_LIBRARY_PATH"
            } else {
                "LD_LIBRARY_PATH"
            },
            joined,
        );
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Where the folder may lie, seen from an executable, the likeliest first.
fn places_for(executable: &Path) -> Vec<PathBuf> {
    let mut places = Vec::new();
    let Some(folder) = executable.parent() else {
        return places;
    };
    places.push(folder.join(FOLDER));
    if let Some(prefix) = folder.parent() {
        // Tauri's .deb, .rpm and AppImage put resources in <prefix>/lib/<product>; a macOS bundle in ../Resources.
        for name in ["howdah", "Howdah"] {
            places.push(prefix.join("lib").join(name).join(FOLDER));
        }
        places.push(prefix.join("Resources").join(FOLDER));
    }
    // A checkout: target/debug/howdah, target/debug/deps/some-test.
    places.extend(folder.ancestors().skip(1).take(5).map(|above| above.join(FOLDER)));
    places.dedup();
    places
}

fn has_stamps(folder: &Path) -> bool {
    MAJORS
        .iter()
        .any(|major| folder.join(major.to_string()).join(STAMP).is_file())
}

fn missing(message: &str) -> Failure {
    Failure::new(FailureCode::ProgramMissing, message).hint(
        "Install Howdah again; in a checkout, `make programs` fetches them. \
         HOWDAH_PROGRAMS can name another folder of them.",
    )
}

fn damaged(path: &Path, why: &str) -> Error {
    missing("The PostgreSQL programs that belong to Howdah cannot be used.")
        .details(format!("{}: {why}", path.display()))
        .into()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// A folder with stamps of these majors; those marked false have no client.
    fn bundle(majors: &[(u16, bool)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (major, client) in majors {
            let folder = root.path().join(major.to_string());
            std::fs::create_dir(&folder).unwrap();
            let part = serde_json::json!({"version": format!("{major}.7"), "file": "f", "sha256": "s", "recipe": "r", "library_path": []});
            let client = client.then_some(&part);
            let stamp = serde_json::json!({"layout": 1, "major": major, "client": client, "server": part});
            std::fs::write(folder.join(STAMP), stamp.to_string()).unwrap();
        }
        root
    }

    #[rstest]
    #[case::exactly(17, 17, false)]
    #[case::missing_takes_the_next_newer(13, 14, true)]
    #[case::gap_takes_the_next_newer(15, 16, true)]
    fn a_server_gets_the_client_of_its_major_or_the_next_newer(
        #[case] server: u16,
        #[case] client: u16,
        #[case] newer: bool,
    ) {
        let root = bundle(&[(13, false), (14, true), (16, true), (17, true)]);
        let found = Programs::at(root.path()).unwrap().client_for(server).unwrap();
        assert_eq!((found.major, found.newer_than_server), (client, newer));
        assert_eq!(found.version, format!("{client}.7"));
        assert!(found.pg_dump.ends_with(format!("{client}/client/bin/pg_dump")));
    }

    #[rstest]
    #[case::too_old(12)]
    #[case::too_new(19)]
    #[case::newer_than_the_newest_here(18)]
    fn a_server_never_gets_an_older_client(#[case] server: u16) {
        let root = bundle(&[(16, true), (17, true), (18, false)]);
        let error = Programs::at(root.path()).unwrap().client_for(server).unwrap_err();
        assert_eq!(error.code(), FailureCode::UnsupportedVersion);
    }

    #[test]
    fn a_named_folder_without_programs_is_an_error_that_names_it() {
        let empty = tempfile::tempdir().unwrap();
        let failure = Programs::locate(Some(empty.path())).unwrap_err().to_failure();
        assert_eq!(failure.code, FailureCode::ProgramMissing);
        assert!(
            failure.message.contains(empty.path().to_str().unwrap()),
            "{}",
            failure.message
        );
    }

    #[test]
    fn programs_are_listed_with_version_and_path() {
        let root = bundle(&[(13, false), (14, true)]);
        let all = Programs::at(root.path()).unwrap().all();
        let names: Vec<_> = all.iter().map(|p| format!("{} {}", p.name, p.version)).collect();
        let server = ["initdb 13.7", "pg_ctl 13.7", "postgres 13.7"];
        assert_eq!(names[..3], server);
        assert_eq!(names.len(), 3 + 7);
        assert!(all[3].path.ends_with("14/client/bin/pg_dump"));
    }

    #[rstest]
    #[case("/usr/bin/howdah", "/usr/lib/howdah/programs")]
    #[case("/opt/x/howdah", "/opt/x/programs")]
    #[case("/src/howdah/target/debug/deps/some-1f", "/src/howdah/programs")]
    #[case(
        "/Applications/Howdah.app/Contents/MacOS/howdah",
        "/Applications/Howdah.app/Contents/Resources/programs"
    )]
    fn installed_and_built_executables_find_their_programs(#[case] executable: &str, #[case] programs: &str) {
        assert!(places_for(Path::new(executable)).contains(&PathBuf::from(programs)));
    }

    #[test]
    fn variables_of_libpq_do_not_reach_the_programs() {
        assert!(is_ours_alone("PGOPTIONS") && is_ours_alone("LANG"));
        assert!(!is_ours_alone("HOME") && !is_ours_alone("PATH"));
    }
}
