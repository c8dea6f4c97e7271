//! Runs the real `howdah`, each test with a data directory of its own.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap like the tests")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// An installation of howdah: a data directory and a folder for backups.
pub(crate) struct Howdah {
    pub(crate) place: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Howdah {
    pub(crate) fn new() -> Self {
        Self {
            place: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.place.path().join("data")
    }

    pub(crate) fn backups(&self) -> PathBuf {
        self.place.path().join("backups")
    }

    /// The command, with nothing of the developer's own environment that would change what it does.
    pub(crate) fn command<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_howdah"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .env("HOWDAH_DATA_DIR", self.data_dir())
            .env("HOME", self.place.path())
            .env_remove("DBUS_SESSION_BUS_ADDRESS")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Ended {
        end(self.command(arguments).spawn().unwrap())
    }

    /// Runs a command with `--json`, and demands that it ends well and prints one object and nothing else.
    pub(crate) fn json<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Value {
        let ended = self.run(arguments.into_iter().chain(["--json"]));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.object()
    }

    /// A command that reads something from its standard input.
    pub(crate) fn run_with_stdin<'a>(
        &self,
        arguments: impl IntoIterator<Item = &'a str>,
        stdin: &str,
    ) -> Ended {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        end(child)
    }
}

pub(crate) fn end(child: Child) -> Ended {
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Ended {
    /// The one JSON object on standard output.
    pub(crate) fn object(&self) -> Value {
        assert_eq!(
            self.stdout.lines().count(),
            1,
            "one line and nothing else: {self:?}"
        );
        let value: Value = serde_json::from_str(&self.stdout).unwrap();
        assert!(value.is_object());
        value
    }

    /// The code of the failure in the JSON object.
    pub(crate) fn failure_code(&self) -> String {
        let object = self.object();
        let error = &object["error"];
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|message| !message.is_empty()),
            "{self:?}"
        );
        assert!(error.get("hint").is_some(), "{self:?}");
        error["code"].as_str().unwrap().to_owned()
    }
}

/// Every file below a folder, relative, sorted; the destination's marker left out.
pub(crate) fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(items) = std::fs::read_dir(&folder) else {
            continue;
        };
        for item in items {
            let path = item.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().unwrap() != ".howdah-destination" {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A text as a path that serde and the command line take.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
