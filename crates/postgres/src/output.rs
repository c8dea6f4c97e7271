//! What a child process writes: its pipes as asynchronous streams, and the end of what came through them.

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;

/// How long output is still read after a process has ended, in case something it left behind holds the pipe open.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// The last bytes of a stream.
#[derive(Debug, Clone)]
pub struct Tail {
    limit: usize,
    bytes: Vec<u8>,
    dropped: u64,
}

impl Tail {
    /// Keeps the last `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            bytes: Vec::new(),
            dropped: 0,
        }
    }

    /// Adds bytes at the end; memory stays within twice the limit.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > self.limit.saturating_mul(2) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let surplus = self.bytes.len().saturating_sub(self.limit);
        self.bytes.drain(..surplus);
        self.dropped += surplus as u64;
    }

    /// The bytes kept.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.bytes.len().saturating_sub(self.limit)..]
    }

    /// The bytes kept, as text; what is not UTF-8 becomes U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    /// How many bytes before them were not kept.
    pub fn dropped(&self) -> u64 {
        self.dropped + self.bytes.len().saturating_sub(self.limit) as u64
    }
}

/// A stream being read to its end in the background.
#[derive(Debug)]
pub struct Collecting {
    tail: Arc<Mutex<Tail>>,
    task: JoinHandle<()>,
}

/// Reads a child's pipe in a task, keeping the last `limit` bytes. Must be called on a tokio runtime.
///
/// # Errors
/// Those of [`readable`].
pub fn collect(pipe: File, limit: usize) -> io::Result<Collecting> {
    let mut pipe = readable(pipe)?;
    let tail = Arc::new(Mutex::new(Tail::new(limit)));
    let into = Arc::clone(&tail);
    let task = tokio::spawn(async move {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(n @ 1..) = pipe.read(&mut buffer).await {
            into.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(&buffer[..n]);
        }
    });
    Ok(Collecting { tail, task })
}

impl Collecting {
    /// What has come so far.
    pub fn so_far(&self) -> Tail {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What came, once the process has ended: reads to the end of the pipe, or for a second when something that the
    /// process left behind keeps it open.
    pub async fn finish(mut self) -> Tail {
        // Both ends are fine: what counts is what was read.
        let _ = tokio::time::timeout(LAST_OUTPUT, &mut self.task).await;
        self.so_far()
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A child's pipe as an asynchronous reader. Must be called on a tokio runtime.
///
/// # Errors
/// When it is not the reading end of a pipe, or the runtime has no I/O driver.
pub fn readable(pipe: File) -> io::Result<pipe::Receiver> {
    pipe::Receiver::from_file(pipe)
}

/// A child's standard input as an asynchronous writer. Must be called on a tokio runtime.
///
/// # Errors
/// When it is not the writing end of a pipe, or the runtime has no I/O driver.
pub fn writable(pipe: File) -> io::Result<pipe::Sender> {
    pipe::Sender::from_file(pipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_keeps_the_end_and_counts_the_rest() {
        let mut tail = Tail::new(4);
        for piece in ["ab", "cdefgh", "i", ""] {
            tail.push(piece.as_bytes());
            assert!(tail.bytes.len() <= 8);
        }
        assert_eq!((tail.text().as_str(), tail.dropped()), ("fghi", 5));
    }
}
