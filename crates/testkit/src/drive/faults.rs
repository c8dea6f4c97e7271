//! What goes wrong, with which requests, and how often. It knows nothing of what the requests do.

use std::collections::HashMap;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum On {
    /// For an access token.
    Token,
    /// `files.list`.
    List,
    /// `files.get` without content.
    Get,
    /// `files.get` with content.
    Download,
    /// `files.create` without content: a folder.
    Create,
    /// `files.update`.
    Update,
    /// `files.delete`.
    Delete,
    /// `files.generateIds`.
    Ids,
    /// `about.get`.
    About,
    /// Opening an upload session.
    Open,
    /// A chunk whose total is not known yet.
    Chunk,
    /// The last chunk.
    LastChunk,
    /// The question how far a session has come.
    Progress,
    /// Giving up a session.
    GiveUp,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The request is read and answered with this error.
    Answer {
        /// The HTTP status.
        status: u16,
        /// Google's `reason`.
        reason: &'static str,
        /// Seconds for `Retry-After`.
        retry_after: Option<u32>,
    },
    /// The connection breaks when this many bytes of the request's body were read; the bytes have arrived.
    CutRequest(u64),
    /// All is done as it should be, and the connection breaks before the answer.
    LoseAnswer,
    /// The connection breaks when this many bytes of the answer's body were sent.
    CutAnswer(u64),
    /// Of a chunk, only this many bytes are kept, and the answer says so.
    Keep(u64),
    /// A session says that it has only this many bytes, after it had said more.
    Forget(u64),
    /// Nothing of the request's body is read, and nothing is answered.
    StopReading,
    /// The request is read, and nothing is answered.
    Silence,
    /// A bit of the chunk is turned over.
    Alter,
    /// The upload session is dropped.
    DropSession,
    /// Every access token expires at that moment.
    ExpireTokens,
}

#[derive(Debug)]
struct Planned {
    on: On,
    skip: u32,
    times: u32,
    fault: Fault,
}

/// What is still to go wrong.
#[derive(Debug, Default)]
pub(super) struct Faults {
    planned: Vec<Planned>,
    counts: HashMap<On, u32>,
}

impl Faults {
    pub(super) fn add(&mut self, on: On, skip: u32, times: u32, fault: Fault) {
        self.planned.push(Planned {
            on,
            skip,
            times,
            fault,
        });
    }

    pub(super) fn count(&self, on: On) -> u32 {
        self.counts.get(&on).copied().unwrap_or_default()
    }

    pub(super) fn forgive(&mut self) {
        self.planned.clear();
    }

    pub(super) fn left(&self) -> usize {
        self.planned.len()
    }

    /// A request has come: what goes wrong with it.
    pub(super) fn strike(&mut self, on: On) -> Option<Fault> {
        *self.counts.entry(on).or_default() += 1;
        let index = self.planned.iter().position(|planned| planned.on == on)?;
        let planned = &mut self.planned[index];
        if planned.skip > 0 {
            planned.skip -= 1;
            return None;
        }
        planned.times -= 1;
        let fault = planned.fault.clone();
        if planned.times == 0 {
            self.planned.remove(index);
        }
        Some(fault)
    }
}
