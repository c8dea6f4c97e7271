//! Eyes for secrets: every process's arguments while the test runs, and every file afterwards.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Watches all processes' arguments for a text.
pub(crate) struct Eyes {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// What the eyes saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The arguments in which the text was.
    pub(crate) leaks: BTreeSet<String>,
    /// Names of the programs that were seen at all, to know that the eyes were open.
    pub(crate) programs: BTreeSet<String>,
}

impl Eyes {
    /// Opens the eyes. The text is looked for as bytes.
    pub(crate) fn open(secret: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (ended, secret) = (stop.clone(), secret.to_owned());
        let thread = std::thread::spawn(move || {
            let mut seen = Seen::default();
            while !ended.load(Ordering::Relaxed) {
                for entry in std::fs::read_dir("/proc").unwrap().flatten() {
                    // A process that ended meanwhile has no arguments any more.
                    let Ok(arguments) = std::fs::read(entry.path().join("cmdline")) else {
                        continue;
                    };
                    if arguments.is_empty() {
                        continue;
                    }
                    let text = String::from_utf8_lossy(&arguments).replace('\0', " ");
                    let program = text.split(' ').next().unwrap_or_default();
                    seen.programs
                        .insert(program.rsplit('/').next().unwrap_or_default().to_owned());
                    if text.contains(&secret) {
                        seen.leaks.insert(text);
                    }
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            seen
        });
        Self { stop, thread }
    }

    /// Closes the eyes.
    pub(crate) fn close(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// The files below `folder` in which `secret` stands, and how many files were read. Folders named in `except` are left out.
pub(crate) fn files_with(folder: &Path, secret: &str, except: &[&str]) -> (Vec<PathBuf>, usize) {
    let mut found = Vec::new();
    let mut read = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                if except.iter().any(|name| entry.file_name() == *name) {
                    continue;
                }
                folders.push(entry.path());
            } else if kind.is_file() {
                let bytes = std::fs::read(entry.path()).unwrap();
                read += 1;
                if bytes
                    .windows(secret.len())
                    .any(|window| window == secret.as_bytes())
                {
                    found.push(entry.path());
                }
            }
        }
    }
    (found, read)
}
