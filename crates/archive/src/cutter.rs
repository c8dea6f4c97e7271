//! Decides where frames begin and end. Knows offsets, no bytes.
//!
//! The rules (FORMAT, "Frames"): the header and table of contents have frames of their own; a table of 64 KiB or more
//! begins a frame; smaller ones are gathered up to 1 MiB; a frame holds at most 8 MiB; a cut falls between rows, unless
//! what is not divided is itself larger than a frame.

use crate::Frame;
use crate::block::BlockSum;
use crate::encode::MAX_FRAME;
use crate::scanner::Sink;

/// A table at least this long begins a frame.
const OWN_FRAME: u64 = 64 << 10;
/// Shorter ones are gathered until a frame is at least this long.
const GATHERED: u64 = 1 << 20;

/// A place where a frame ends, and the flags of the one that begins there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) at: u64,
    pub(crate) next_flags: u64,
}

/// Decides as the archive passes.
#[derive(Debug, Default)]
pub(crate) struct Cutter {
    /// Where the frame at work begins.
    begin: u64,
    /// Where the block at work begins, until it has a frame of its own or has ended.
    block_at: Option<u64>,
    cuts: Vec<Cut>,
}

impl Cutter {
    /// Bytes that the frame at work can still take, when so many bytes of the archive have come.
    pub(crate) fn room(&self, offset: u64) -> usize {
        MAX_FRAME
            - usize::try_from(offset - self.begin)
                .unwrap_or(MAX_FRAME)
                .min(MAX_FRAME)
    }

    /// The cuts since the last call, in order. `offset` is how many bytes have come, at most as many as there was
    /// room; `cut_at` is the last of them after which a cut may fall.
    pub(crate) fn cuts(&mut self, offset: u64, cut_at: u64) -> std::vec::Drain<'_, Cut> {
        self.grown_to(offset);
        if self.room(offset) == 0 {
            if cut_at > self.begin {
                self.cut(cut_at, 0);
            } else {
                self.cut(offset, Frame::MID_ROW);
            }
        }
        self.cuts.drain(..)
    }

    fn cut(&mut self, at: u64, next_flags: u64) {
        if at > self.begin {
            self.cuts.push(Cut { at, next_flags });
            self.begin = at;
        }
    }

    /// The block at work reaches to `offset` at least.
    fn grown_to(&mut self, offset: u64) {
        if let Some(begin) = self.block_at.filter(|begin| offset - begin >= OWN_FRAME) {
            self.cut(begin, 0);
            self.block_at = None;
        }
    }
}

impl Sink for Cutter {
    fn toc_end(&mut self, offset: u64) {
        self.cut(offset, 0);
    }

    fn block_begin(&mut self, offset: u64, _dump_id: i32) {
        self.block_at = Some(offset);
    }

    fn block_end(&mut self, offset: u64, _dump_id: i32, _sum: &BlockSum) {
        self.grown_to(offset);
        self.block_at = None;
        if offset - self.begin >= GATHERED {
            self.cut(offset, 0);
        }
    }
}
