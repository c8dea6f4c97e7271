//! Moves pg_dump's bytes through the archive's encoder to the destinations, and watches that they move.
//!
//! The encoder is blocking and works on threads of its own; the destination is async. A bounded channel joins them, so
//! that a slow destination slows pg_dump down instead of filling memory. This module knows no server: what pg_dump
//! waits for when it is silent is asked of a callback.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use howdah_archive::encryption::Recipients;
use howdah_archive::{EncodeOptions, Encoded, Meter, encode_for};
use howdah_domain::{Failure, FailureCode};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::lanes::{Fan, Lanes};
use crate::work::{Reporter, TICK, tell_while};

/// Chunks between the encoder and the destination.
const CHUNKS: usize = 8;

/// The largest chunk, in bytes: a frame that did not compress has several.
const CHUNK: usize = 1 << 20;

/// Why the bytes stopped.
#[derive(Debug)]
pub(super) enum Stop {
    /// The user cancelled.
    Cancelled,
    /// No destination is left.
    Destination(Failure),
    /// The encoder failed: the dump is truncated or malformed, or could not be read.
    Encoder(howdah_archive::Error),
    /// pg_dump wrote nothing for the given time.
    Silent(Duration),
    /// The destination took nothing for the given time.
    DestinationStalled(Duration),
}

/// How the bytes are moved.
pub(super) struct Pump<'a> {
    /// How to encode.
    pub encode: EncodeOptions,
    /// Who can read it.
    pub recipients: Option<&'a Recipients>,
    /// How long nothing may move.
    pub patience: Duration,
    /// What `raw_bytes` is expected to become.
    pub expected: Option<u64>,
    /// Hears how far it is.
    pub reporter: &'a dyn Reporter,
    /// Ends it.
    pub cancel: &'a CancellationToken,
}

impl Pump<'_> {
    /// Moves everything from `input` to the lanes that `fan` goes into; those that fall out leave. Gives the fan back, unfinished,
    /// with what the encoder found out.
    ///
    /// When it returns an error, the caller ends pg_dump; the encoder's threads end when `input` does, or at the next
    /// chunk.
    pub(super) async fn run(
        &self,
        input: impl Read + Send + 'static,
        mut fan: Fan,
        lanes: &mut Lanes<'_>,
    ) -> Result<(Encoded, Fan), Stop> {
        let meter = Meter::new();
        let stopped = Arc::new(AtomicBool::new(false));
        let _stop_encoder = SetOnDrop(Arc::clone(&stopped));
        let (chunks, mut arriving) = mpsc::channel::<Bytes>(CHUNKS);
        let encoded = self.start_encoder(input, chunks, &meter, &stopped);

        let taking = AtomicBool::new(false);
        let store = async {
            while let Some(chunk) = arriving.recv().await {
                taking.store(true, Ordering::Relaxed);
                for (number, failure) in fan.write(chunk).await {
                    lanes.leave(number, failure);
                }
                if fan.is_empty() {
                    break;
                }
                taking.store(false, Ordering::Relaxed);
            }
            lanes.demand_one().map(|()| fan)
        };
        let moving = tell_while(store, &meter, self.expected, self.reporter);
        let stored = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return Err(Stop::Cancelled),
            stored = moving => stored,
            stop = self.nothing_moves(&meter, &taking) => return Err(stop),
        };
        let fan = stored.map_err(Stop::Destination)?;
        // The channel closed, so the encoder is done: with everything, or with an error.
        match encoded.await {
            Ok(Ok(encoded)) => Ok((encoded, fan)),
            Ok(Err(howdah_archive::Error::Cancelled)) => Err(Stop::Cancelled),
            Ok(Err(error)) => Err(Stop::Encoder(error)),
            Err(_) => Err(Stop::Encoder(howdah_archive::Error::Compress {
                reason: "the encoder's thread died".to_owned(),
            })),
        }
    }

    fn start_encoder(
        &self,
        input: impl Read + Send + 'static,
        chunks: mpsc::Sender<Bytes>,
        meter: &Meter,
        stopped: &Arc<AtomicBool>,
    ) -> oneshot::Receiver<Result<Encoded, howdah_archive::Error>> {
        let (done, encoded) = oneshot::channel();
        let (options, meter, stopped) = (self.encode, meter.clone(), Arc::clone(stopped));
        let recipients = self.recipients.cloned();
        let work = move || {
            let is_cancelled = || stopped.load(Ordering::Relaxed);
            let result = encode_for(
                recipients.as_ref(),
                input,
                ChannelWriter(chunks),
                &options,
                &meter,
                &is_cancelled,
            );
            // Nobody waits for the result of a cancelled run.
            drop(done.send(result));
        };
        // Where no thread can be started, the dropped sender is the error that the caller sees.
        drop(
            std::thread::Builder::new()
                .name("howdah-encode".to_owned())
                .spawn(work),
        );
        encoded
    }

    /// Returns only when nothing has moved for too long.
    async fn nothing_moves(&self, meter: &Meter, taking: &AtomicBool) -> Stop {
        let mut moved = (Instant::now(), 0);
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            let snapshot = meter.snapshot();
            let total = snapshot.raw_bytes + snapshot.stored_bytes;
            if total != moved.1 {
                moved = (Instant::now(), total);
            } else if moved.0.elapsed() >= self.patience {
                return if taking.load(Ordering::Relaxed) {
                    Stop::DestinationStalled(self.patience)
                } else {
                    Stop::Silent(self.patience)
                };
            }
        }
    }
}

impl Stop {
    /// The failure as people see it, where neither pg_dump nor the server has more to say.
    pub(super) fn to_failure(&self) -> Failure {
        match self {
            Self::Cancelled => Failure::new(
                FailureCode::Cancelled,
                "The backup was cancelled. Nothing of it was kept.",
            ),
            Self::Destination(failure) => failure.clone(),
            Self::Encoder(error) => error.to_failure(),
            Self::Silent(time) => Failure::new(
                FailureCode::Stalled,
                format!(
                    "pg_dump wrote nothing for {}, so the backup was ended.",
                    minutes(*time)
                ),
            )
            .hint("The server may be overloaded or the connection dead. Howdah tries again."),
            Self::DestinationStalled(time) => Failure::new(
                FailureCode::DestinationUnreachable,
                format!(
                    "The destination took no bytes for {}, so the backup was ended.",
                    minutes(*time)
                ),
            )
            .hint("Check that the disk or share answers, then back up again."),
        }
    }
}

/// A time of waiting, for people.
pub(super) fn minutes(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds < 120 => format!("{seconds} seconds"),
        seconds => format!("{} minutes", seconds / 60),
    }
}

/// Sets a flag when it goes, however the function that holds it ends.
struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The blocking end of the channel: waits while the destination is behind.
struct ChannelWriter(mpsc::Sender<Bytes>);

impl Write for ChannelWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let chunk = &bytes[..bytes.len().min(CHUNK)];
        self.0.blocking_send(Bytes::copy_from_slice(chunk)).map_err(|_| {
            io::Error::new(io::ErrorKind::BrokenPipe, "the destination no longer takes bytes")
        })?;
        Ok(chunk.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
