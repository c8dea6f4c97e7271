//! Listens to a run at work, keeps its log and progress, and tells the window.
//!
//! Work may report from any thread and as often as it likes: lines and figures gather here, and a task hands them on four
//! times a second to listeners, once a second (figures) to SQLite.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use howdah_domain::{Phase, Progress, RunId, RunState};
use howdah_store::tables::run_logs::{self, LogLevel as StoredLevel, LogLine as StoredLine};
use howdah_store::tables::runs::{self, Outcome};
use tokio::task::JoinHandle;

use crate::api::{Event, LogLevel, LogLine};
use crate::engine::{Engine, lock};
use crate::work::{Reporter, TICK};

/// Lines that may gather between two ticks; a program that says more is cut short, and the log says so.
const MOST_LINES: usize = 4_000;

/// How often figures are written to SQLite.
const SAVE: Duration = Duration::from_secs(1);

/// What has gathered.
#[derive(Default)]
struct Gathered {
    lines: Vec<LogLine>,
    left_out: usize,
    phase: Option<Phase>,
    phase_changed: bool,
    progress: Progress,
    progress_changed: bool,
}

/// The reporter of one run.
pub(crate) struct Recorder {
    engine: Engine,
    run_id: RunId,
    gathered: Mutex<Gathered>,
}

/// A recorder and the task that hands on what it gathers.
pub(crate) struct Recording {
    recorder: Arc<Recorder>,
    task: JoinHandle<()>,
}

impl Recording {
    /// Begins to record.
    pub(crate) fn start(engine: &Engine, run_id: &RunId) -> Self {
        let recorder = Arc::new(Recorder {
            engine: engine.clone(),
            run_id: run_id.clone(),
            gathered: Mutex::default(),
        });
        let task = tokio::spawn({
            let recorder = Arc::clone(&recorder);
            async move {
                let mut saved = Instant::now();
                let mut ticks = tokio::time::interval(TICK);
                loop {
                    ticks.tick().await;
                    let save = saved.elapsed() >= SAVE;
                    recorder.hand_on(save).await;
                    if save {
                        saved = Instant::now();
                    }
                }
            }
        });
        Self { recorder, task }
    }

    /// What work reports to.
    pub(crate) fn reporter(&self) -> Arc<dyn Reporter> {
        Arc::clone(&self.recorder) as Arc<dyn Reporter>
    }

    /// Ends the recording: everything gathered is handed on. Answers how far the run got.
    pub(crate) async fn finish(self) -> Progress {
        self.task.abort();
        // Aborted between two awaits, it may have taken lines that it has not written: wait until it has let go.
        drop(self.task.await);
        self.recorder.hand_on(false).await;
        lock(&self.recorder.gathered).progress.clone()
    }
}

impl Recorder {
    fn state(gathered: &Gathered) -> Option<RunState> {
        gathered.phase.map(|phase| RunState::Running { phase })
    }

    async fn hand_on(&self, save: bool) {
        let (lines, phase, told, saved) = {
            let mut gathered = lock(&self.gathered);
            let mut lines = std::mem::take(&mut gathered.lines);
            if gathered.left_out > 0 {
                let text = format!(
                    "… {} lines are left out here: they came too fast.",
                    gathered.left_out
                );
                lines.push(LogLine {
                    at: self.engine.0.clock.now(),
                    level: LogLevel::Warning,
                    text,
                });
                gathered.left_out = 0;
            }
            let phase = std::mem::take(&mut gathered.phase_changed)
                .then_some(gathered.phase)
                .flatten();
            let told = gathered.progress_changed.then(|| {
                (
                    Self::state(&gathered).unwrap_or(RunState::Queued),
                    gathered.progress.clone(),
                )
            });
            gathered.progress_changed = false;
            (lines, phase, told, save.then(|| gathered.progress.clone()))
        };
        if !lines.is_empty() {
            self.engine.0.events.send(Event::Log {
                run_id: self.run_id.clone(),
                lines: lines.clone(),
            });
        }
        if let Some((state, progress)) = told {
            self.engine.0.events.send(Event::Progress {
                run_id: self.run_id.clone(),
                state,
                progress,
            });
        }
        if lines.is_empty() && phase.is_none() && saved.is_none() {
            return;
        }
        let run_id = self.run_id.clone();
        let now = self.engine.0.clock.now();
        let written = self
            .engine
            .0
            .store
            .write(move |tx| {
                if !lines.is_empty() {
                    run_logs::append(tx, &run_id, &lines.iter().map(stored).collect::<Vec<_>>())?;
                }
                if let Some(progress) = &saved {
                    runs::save_progress(tx, &run_id, progress)?;
                }
                match phase {
                    Some(phase) => {
                        let running = |state| matches!(state, RunState::Running { .. });
                        let to = RunState::Running { phase };
                        Ok(runs::transition(tx, &run_id, running, to, now, &Outcome::default())?.done())
                    }
                    None => Ok(None),
                }
            })
            .await;
        match written {
            Ok(Some(run)) => self.engine.tell_run(&run),
            Ok(None) => {}
            // The run goes on: a full disk here must not end a backup there. Its end is recorded or it is interrupted.
            Err(error) => tracing::warn!(%error, run = %self.run_id, "a run's log could not be written"),
        }
    }
}

impl Reporter for Recorder {
    fn phase(&self, phase: Phase) {
        let mut gathered = lock(&self.gathered);
        gathered.phase_changed |= gathered.phase != Some(phase);
        gathered.phase = Some(phase);
    }

    fn log(&self, level: LogLevel, text: &str) {
        let at = self.engine.0.clock.now();
        let mut gathered = lock(&self.gathered);
        if gathered.lines.len() < MOST_LINES {
            gathered.lines.push(LogLine {
                at,
                level,
                text: text.to_owned(),
            });
        } else {
            gathered.left_out += 1;
        }
    }

    fn progress(&self, progress: Progress) {
        let mut gathered = lock(&self.gathered);
        gathered.progress_changed |= gathered.progress != progress;
        gathered.progress = progress;
    }
}

fn stored(line: &LogLine) -> StoredLine {
    let level = match line.level {
        LogLevel::Info => StoredLevel::Info,
        LogLevel::Warning => StoredLevel::Warning,
        LogLevel::Error => StoredLevel::Error,
    };
    StoredLine {
        at: line.at,
        level,
        text: line.text.clone(),
    }
}
