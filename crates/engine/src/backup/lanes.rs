//! The destinations of one pass: the dump is read once and written to all of them.
//!
//! Each destination is a lane. A lane that fails or stalls leaves the pass with its reason, and the others go on; the pass
//! fails only when no lane is left. What a lane had written when it left is removed by the caller
//! ([`Lanes::lost`] says which those are).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use howdah_archive::manifest::FileEntry;
use howdah_domain::{Failure, FailureCode};
use howdah_storage::{Destination, Error, ObjectPath, ObjectWriter, Stored};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{Target, files};
use crate::work::Reporter;

/// Chunks between the pass and one lane.
const QUEUE: usize = 4;

/// How long one lane may hold up the others, at most.
const LONGEST_HOLD: Duration = Duration::from_secs(120);

/// What a destination said of each file: name and checksum.
pub type Checksums = std::collections::BTreeMap<String, String>;

/// The lanes of one pass.
pub(super) struct Lanes<'a> {
    lanes: Vec<Lane>,
    folder: &'a ObjectPath,
    reporter: &'a dyn Reporter,
    cancel: &'a CancellationToken,
    /// No step of a lane lasts longer: a share that has gone away answers nothing, not even an error.
    patience: Duration,
}

/// One destination.
struct Lane {
    target: Target,
    /// Why it left.
    failure: Option<Failure>,
    checksums: Checksums,
}

impl<'a> Lanes<'a> {
    /// All lanes, each still in the pass.
    pub(super) fn new(
        targets: &[Target],
        folder: &'a ObjectPath,
        reporter: &'a dyn Reporter,
        cancel: &'a CancellationToken,
        patience: Duration,
    ) -> Self {
        let lanes = targets.iter().map(|target| Lane {
            target: target.clone(),
            failure: None,
            checksums: Checksums::new(),
        });
        Self {
            lanes: lanes.collect(),
            folder,
            reporter,
            cancel,
            patience,
        }
    }

    /// The lanes that left, by their number.
    pub(super) fn lost(&self) -> Vec<usize> {
        (0..self.lanes.len())
            .filter(|number| self.lanes[*number].failure.is_some())
            .collect()
    }

    /// What became of each lane, in the order of the targets.
    pub(super) fn outcomes(self) -> Vec<Result<Checksums, Failure>> {
        self.lanes
            .into_iter()
            .map(|lane| lane.failure.map_or(Ok(lane.checksums), Err))
            .collect()
    }

    /// Begins a file in every lane.
    pub(super) async fn create(&mut self, name: &str, estimate: Option<u64>) -> Result<Fan, Failure> {
        let path = self.path(name)?;
        let cancel = self.cancel.clone();
        let begun = self
            .in_each(|destination| {
                let (path, cancel) = (path.clone(), cancel.clone());
                async move { destination.create(&path, estimate, &cancel).await }
            })
            .await?;
        let only = begun.len() == 1;
        Ok(Fan {
            strands: begun
                .into_iter()
                .map(|(number, writer)| Strand::start(number, writer))
                .collect(),
            name: name.to_owned(),
            hold: (!only).then(|| LONGEST_HOLD.min(self.patience / 2)),
        })
    }

    /// Makes a file appear in every lane that has taken all of it.
    pub(super) async fn finish(&mut self, fan: Fan, len: u64) -> Result<(), Failure> {
        let name = fan.name.clone();
        let patience = self.patience;
        let mut ending = Vec::new();
        for strand in fan.strands {
            ending.push(async move {
                let number = strand.number;
                let ended = in_time(patience, async { strand.end().await?.finish(len).await });
                (number, ended.await)
            });
        }
        let finished = join_all(ending).await;
        self.keep(&name, finished)
    }

    /// Puts a small file, whole, into every lane.
    pub(super) async fn put(&mut self, name: &str, bytes: Vec<u8>) -> Result<FileEntry, Failure> {
        let entry = files::entry(name, &bytes);
        let path = self.path(name)?;
        let bytes = Bytes::from(bytes);
        let cancel = self.cancel.clone();
        let stored = self
            .in_each(|destination| {
                let (path, bytes, cancel) = (path.clone(), bytes.clone(), cancel.clone());
                async move { files::put(&*destination, &path, bytes, &cancel).await }
            })
            .await?;
        self.keep(
            name,
            stored
                .into_iter()
                .map(|(number, stored)| (number, Ok(stored)))
                .collect(),
        )?;
        Ok(entry)
    }

    /// A lane leaves the pass.
    pub(super) fn leave(&mut self, number: usize, failure: Failure) {
        let lane = &mut self.lanes[number];
        if lane.failure.is_none() && !failure.is_cancelled() {
            self.reporter.warn(format!(
                "{} drops out of this backup: {} The others go on.",
                lane.target.name, failure.message
            ));
        }
        lane.failure.get_or_insert(failure);
    }

    /// The pass goes on while a lane is left; else it fails with the first lane's reason.
    pub(super) fn demand_one(&self) -> Result<(), Failure> {
        let mut failures = self.lanes.iter().map(|lane| lane.failure.as_ref());
        if failures.clone().any(|failure| failure.is_none()) {
            return Ok(());
        }
        // With several, one that will heal by itself is the better reason: the run is tried again then.
        let first = failures.clone().flatten().find(|failure| failure.is_retryable());
        Err(first
            .or_else(|| failures.find_map(|failure| failure))
            .cloned()
            .unwrap_or_else(|| Failure::new(FailureCode::DestinationMissing, "The plan has no destination.")))
    }

    fn path(&self, name: &str) -> Result<ObjectPath, Failure> {
        self.folder.join(name).map_err(|error| error.to_failure())
    }

    /// Does something in every lane at once; those where it fails leave.
    async fn in_each<T, F>(
        &mut self,
        work: impl Fn(Arc<dyn Destination>) -> F,
    ) -> Result<Vec<(usize, T)>, Failure>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut at_work = Vec::new();
        for (number, lane) in self.lanes.iter().enumerate() {
            if lane.failure.is_none() {
                let work = work(Arc::clone(&lane.target.destination));
                let patience = self.patience;
                at_work.push(async move { (number, in_time(patience, work).await) });
            }
        }
        let mut done = Vec::new();
        for (number, result) in join_all(at_work).await {
            match result {
                Ok(value) => done.push((number, value)),
                Err(failure) => self.leave(number, failure),
            }
        }
        self.demand_one()?;
        Ok(done)
    }

    /// Takes note of what the destinations said of a file; those where it did not appear leave.
    fn keep(&mut self, name: &str, finished: Vec<(usize, Result<Stored, Failure>)>) -> Result<(), Failure> {
        for (number, stored) in finished {
            match stored {
                Ok(stored) => {
                    if let Some(checksum) = stored.checksum {
                        let checksums = &mut self.lanes[number].checksums;
                        checksums.insert(name.to_owned(), checksum.into_text());
                    }
                }
                Err(failure) => self.leave(number, failure),
            }
        }
        self.demand_one()
    }
}

/// A file on its way into several lanes.
pub(super) struct Fan {
    strands: Vec<Strand>,
    name: String,
    /// How long one strand may hold up the others; none where there are no others.
    hold: Option<Duration>,
}

/// A file on its way into one lane, written by a task of its own.
struct Strand {
    number: usize,
    chunks: mpsc::Sender<Bytes>,
    task: AbortOnDropHandle<Result<Box<dyn ObjectWriter>, Error>>,
}

impl Strand {
    fn start(number: usize, mut writer: Box<dyn ObjectWriter>) -> Self {
        let (chunks, mut arriving) = mpsc::channel::<Bytes>(QUEUE);
        let task = tokio::spawn(async move {
            while let Some(chunk) = arriving.recv().await {
                writer.write(chunk).await?;
            }
            Ok(writer)
        });
        Self {
            number,
            chunks,
            task: AbortOnDropHandle::new(task),
        }
    }

    /// Waits until everything that was handed over is written.
    async fn end(self) -> Result<Box<dyn ObjectWriter>, Error> {
        drop(self.chunks);
        match self.task.await {
            Ok(result) => result,
            Err(error) => Err(Error::Failed {
                what: "writing",
                at: String::new(),
                source: error.into(),
            }),
        }
    }
}

impl Fan {
    /// Hands a chunk to every lane. Answers those that fell out.
    pub(super) async fn write(&mut self, chunk: Bytes) -> Vec<(usize, Failure)> {
        let mut fallen = Vec::new();
        let mut staying = Vec::with_capacity(self.strands.len());
        for strand in self.strands.drain(..) {
            let sending = strand.chunks.send(chunk.clone());
            let sent = match self.hold {
                None => Ok(sending.await),
                Some(hold) => tokio::time::timeout(hold, sending).await,
            };
            match sent {
                Ok(Ok(())) => staying.push(strand),
                // The task has ended, so it has an error to tell.
                Ok(Err(_)) => {
                    let number = strand.number;
                    if let Err(error) = strand.end().await {
                        fallen.push((number, error.to_failure()));
                    }
                }
                // Dropped, the task ends and its writer removes what it wrote.
                Err(_) => fallen.push((strand.number, stalled(self.hold.unwrap_or_default()))),
            }
        }
        self.strands = staying;
        fallen
    }

    /// Whether nobody takes the file any more.
    pub(super) fn is_empty(&self) -> bool {
        self.strands.is_empty()
    }
}

/// A step at a destination, ended where it lasts longer than a dump may stand still.
async fn in_time<T>(patience: Duration, step: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    match tokio::time::timeout(patience, step).await {
        Ok(outcome) => outcome.map_err(|error| error.to_failure()),
        Err(_) => Err(stalled(patience)),
    }
}

/// A destination that took nothing while the others waited.
fn stalled(time: Duration) -> Failure {
    Failure::new(
        FailureCode::DestinationUnreachable,
        format!(
            "The destination took no bytes for {}.",
            howdah_domain::units::duration(time)
        ),
    )
    .hint("Check that the disk, the share or the service answers. The missing copy is made later from another one.")
}
