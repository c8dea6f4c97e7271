//! Faults of the emulator: at which request, and what then.

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Asking for a token.
    Token,
    /// Asking for a page of a list.
    List,
    /// Asking what is known of an object.
    Stat,
    /// Asking for an object's bytes.
    Read,
    /// Beginning an upload.
    Begin,
    /// Sending a part of an object that is not its last.
    Part,
    /// Sending the last part, which makes the object appear.
    Last,
    /// Asking how much of an upload has arrived.
    Question,
    /// Ending an upload without an object.
    End,
    /// Removing an object.
    Delete,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// The request is refused.
    Refuse {
        status: u16,
        reason: &'static str,
        retry_after: Option<u64>,
    },
    /// The connection is closed before anything is done.
    HangUp,
    /// Everything is done, and the connection is closed instead of an answer.
    LoseAnswer,
    /// Only this many bytes of the answer's body arrive.
    CutAnswer(usize),
    /// A bit of the body is turned on its way.
    Alter,
    /// Nothing is answered, and the connection stays.
    Stall,
}

/// Something that goes wrong at some requests.
#[derive(Debug, Clone)]
pub struct Fault {
    step: Step,
    what: What,
    spare: u32,
    times: u32,
    struck: u32,
}

impl Fault {
    fn new(step: Step, what: What) -> Self {
        Self {
            step,
            what,
            spare: 0,
            times: u32::MAX,
            struck: 0,
        }
    }

    /// Requests of a kind are refused.
    pub fn refuse(step: Step, status: u16, reason: &'static str) -> Self {
        Self::new(
            step,
            What::Refuse {
                status,
                reason,
                retry_after: None,
            },
        )
    }

    /// Requests of a kind are refused, with the advice to come back after so many seconds.
    pub fn refuse_until(step: Step, status: u16, reason: &'static str, seconds: u64) -> Self {
        Self::new(
            step,
            What::Refuse {
                status,
                reason,
                retry_after: Some(seconds),
            },
        )
    }

    /// The connection is closed before anything is done.
    pub fn hang_up(step: Step) -> Self {
        Self::new(step, What::HangUp)
    }

    /// Everything is done, and the answer is lost.
    pub fn lose_answer(step: Step) -> Self {
        Self::new(step, What::LoseAnswer)
    }

    /// Only so many bytes of the answer's body arrive.
    pub fn cut_answer(step: Step, bytes: usize) -> Self {
        Self::new(step, What::CutAnswer(bytes))
    }

    /// A bit of what is sent is turned on its way.
    pub fn alter(step: Step) -> Self {
        Self::new(step, What::Alter)
    }

    /// Nothing is answered.
    pub fn stall(step: Step) -> Self {
        Self::new(step, What::Stall)
    }

    /// Not at the first `requests` of the kind.
    #[must_use]
    pub fn after(mut self, requests: u32) -> Self {
        self.spare = requests;
        self
    }

    /// So many times, and then never again.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Whether it has ever struck.
    pub(super) fn has_struck(&self) -> bool {
        self.struck > 0
    }

    /// What this fault does to the request, which is counted.
    fn strike(&mut self, step: Step) -> Option<What> {
        if self.step != step || self.struck >= self.times {
            return None;
        }
        if self.spare > 0 {
            self.spare -= 1;
            return None;
        }
        self.struck += 1;
        Some(self.what)
    }
}

/// What goes wrong with a request of a kind, if anything does.
pub(super) fn strike(faults: &mut [Fault], step: Step) -> Option<What> {
    faults.iter_mut().find_map(|fault| fault.strike(step))
}
