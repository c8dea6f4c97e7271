//! Days that have passed: the schedule itself at work under a clock that is set back (Debian's faketime), so that backups, runs
//! and logs are dated as if Howdah had been there. Nothing is written by hand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use jiff::civil::{Time, time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan as _, ZonedDateTime};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::support::app::binary;

/// How long the runs of one due time may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A data directory whose past is being made.
pub(crate) struct Past {
    data_dir: PathBuf,
    library: PathBuf,
    today: ZonedDateTime,
}

/// A database that has been backed up every day at the same times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Habit {
    pub(crate) server: &'static str,
    pub(crate) database: &'static str,
    /// As `howdah plan add --schedule` takes it.
    pub(crate) schedule: &'static str,
    /// The same as times of the day.
    pub(crate) times: &'static [Time],
    /// For how many days.
    pub(crate) days: i64,
}

/// When something happened: a plan was made, or a backup was due.
#[derive(Debug)]
pub(crate) enum Moment {
    Begun(Habit),
    /// Of these databases, at once.
    Due(Vec<&'static str>),
}

impl Past {
    pub(crate) fn of(data_dir: &Path) -> Self {
        let library = std::fs::read_dir("/usr/lib")
            .unwrap()
            .flatten()
            .map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"))
            .find(|path| path.is_file())
            .expect("faketime is installed (make setup-test)");
        Self {
            data_dir: data_dir.to_owned(),
            library,
            today: ZonedDateTime::now(),
        }
    }

    /// What happened until now, in its order.
    pub(crate) fn moments(&self, habits: &[Habit]) -> Vec<(ZonedDateTime, Moment)> {
        let at = |days: i64, time: Time| {
            let day = self.today.date().checked_sub(days.days()).unwrap();
            day.to_datetime(time)
                .to_zoned_datetime(TimeZone::system())
                .unwrap()
        };
        let mut moments: Vec<(ZonedDateTime, Moment)> = habits
            .iter()
            .map(|habit| (at(habit.days, time(20, 0, 0, 0)), Moment::Begun(*habit)))
            .collect();
        let mut due: BTreeMap<ZonedDateTime, Vec<&'static str>> = BTreeMap::new();
        for habit in habits {
            for day in (0..habit.days).rev() {
                for time in habit.times {
                    due.entry(at(day, *time)).or_default().push(habit.database);
                }
            }
        }
        // What is due about now is left to the app.
        let last = self.today.checked_sub(5.minutes()).unwrap();
        let due = due.into_iter().filter(|(at, _)| *at < last);
        moments.extend(due.map(|(at, databases)| (at, Moment::Due(databases))));
        moments.sort_by(|(a, _), (b, _)| a.cmp(b));
        moments
    }

    fn command(&self, at: &ZonedDateTime, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary().with_file_name("howdah"));
        command
            .arg("--data-dir")
            .arg(&self.data_dir)
            .args(arguments)
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME", at.strftime("@%Y-%m-%d %H:%M:%S").to_string())
            // Waiting takes its real time, and files keep theirs.
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// A command of Howdah's as it was given at that time.
    pub(crate) async fn howdah(&self, at: &ZonedDateTime, arguments: &[&str]) {
        let output = self.command(at, arguments).output().await.unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Lets the schedule run from a second before `at` until as many backups are made as are due then.
    pub(crate) async fn let_pass(&self, at: &ZonedDateTime, backups: usize) {
        let before = at.checked_sub(SignedDuration::from_secs(1)).unwrap();
        let mut child = self
            .command(&before, &["run"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command line is built beside the app");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut seen = Vec::new();
        let made = async {
            let mut made = 0;
            while made < backups {
                let Some(line) = lines.next_line().await.unwrap() else {
                    return;
                };
                made += usize::from(is_made(&line));
                seen.push(line);
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, made).await.is_ok();
        let pid = child.id().expect("it runs until it is told to end");
        assert!(
            std::process::Command::new("kill")
                .args(["-INT", &pid.to_string()])
                .status()
                .unwrap()
                .success()
        );
        child.wait().await.unwrap();
        let made = seen.iter().filter(|line| is_made(line)).count();
        assert!(in_time && made == backups, "{at}: {seen:#?}");
    }
}

/// Whether a line says that a backup was made; drills and checks end well too.
fn is_made(line: &str) -> bool {
    line.ends_with(": succeeded")
        && ![" drill of ", " check of ", " copy of ", " pruning of "]
            .iter()
            .any(|what| line.contains(what))
}
