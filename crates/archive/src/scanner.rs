//! Reads pg_dump's custom format as it passes: header, table of contents, data blocks, and whether all of them came.
//!
//! A push parser: it is handed the archive in pieces of any size, hands on what it finds to a [`Sink`], and keeps
//! nothing but the announced blocks' names and what of a header or entry straddles two pieces. Whatever bytes come, it
//! neither panics nor allocates more than a fixed multiple of what came. It knows no frames and no index.

use std::collections::HashMap;

use crate::Error;
use crate::block::{BlockKind, BlockScanner, BlockSum};
use crate::toc::{self, ArchiveHeader, INT, Layout, Stop, TocEntry};

/// Who is told what an archive holds. Offsets count the archive's bytes from its beginning.
pub trait Sink {
    /// The header has come.
    fn header(&mut self, _header: &ArchiveHeader) {}

    /// An entry of the table of contents has come.
    fn toc_entry(&mut self, _entry: &TocEntry<'_>) {}

    /// The table of contents ended before `offset`.
    fn toc_end(&mut self, _offset: u64) {}

    /// A data block begins at `offset`.
    fn block_begin(&mut self, _offset: u64, _dump_id: i32) {}

    /// The data block ended before `offset`.
    fn block_end(&mut self, _offset: u64, _dump_id: i32, _sum: &BlockSum) {}
}

/// For who wants to know only whether it is whole.
impl Sink for () {}

/// No archive has more entries than this: PostgreSQL counts objects with 32 bits, and pg_dump holds all in memory.
const MAX_ENTRIES: u32 = 50_000_000;

/// How much is looked at again and again while an entry straddles pieces.
const ENTRY_STEP: usize = 64 << 10;

/// Where in the archive it stands.
enum State {
    Header,
    Toc { layout: Layout, left: u32 },
    BetweenBlocks,
    Block { dump_id: i32 },
}

/// An announced data block.
struct Announced {
    kind: BlockKind,
    label: Box<str>,
    seen: bool,
}

/// Reads an archive piece by piece.
pub struct Scanner {
    state: State,
    offset: u64,
    /// What of a header, an entry or a block's head has come.
    pending: Vec<u8>,
    /// How long that must be before it is worth looking again.
    needed: usize,
    announced: HashMap<i32, Announced>,
    to_come: usize,
    block: BlockScanner,
    /// Where the block's chunks begin.
    block_data_at: u64,
    cut_at: u64,
    rows_before: u64,
}

impl std::fmt::Debug for Scanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scanner")
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// At an archive's beginning.
    pub fn new() -> Self {
        Self {
            state: State::Header,
            offset: 0,
            pending: Vec::new(),
            needed: 0,
            announced: HashMap::new(),
            to_come: 0,
            block: BlockScanner::new(BlockKind::Table),
            block_data_at: 0,
            cut_at: 0,
            rows_before: 0,
        }
    }

    /// Bytes that have come.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The last place, up to where it stands, at which a frame may end: between rows, large objects, or blocks. 0 in
    /// the header and table of contents.
    pub fn cut_at(&self) -> u64 {
        match self.state {
            State::Block { .. } if self.block.cut_at() > 0 => self.block_data_at + self.block.cut_at(),
            _ => self.cut_at,
        }
    }

    /// Rows of tables that have come, those of the table at work included.
    pub fn rows(&self) -> u64 {
        let current = match self.state {
            State::Block { .. } if self.block.kind() == BlockKind::Table => self.block.sum().rows,
            _ => 0,
        };
        self.rows_before + current
    }

    /// Takes the next piece of the archive.
    ///
    /// # Errors
    /// [`Error::Malformed`]; nothing may be pushed after it.
    pub fn push(&mut self, mut input: &[u8], sink: &mut impl Sink) -> Result<(), Error> {
        while !input.is_empty() {
            let taken = match self.state {
                State::Block { dump_id } => self.push_block(input, dump_id, sink)?,
                State::BetweenBlocks => self.push_block_head(input, sink)?,
                State::Header | State::Toc { .. } => self.push_toc(input, sink)?,
            };
            input = &input[taken..];
        }
        Ok(())
    }

    /// The archive has ended.
    ///
    /// # Errors
    /// [`Error::Truncated`] where something was still to come.
    pub fn finish(&self) -> Result<(), Error> {
        let missing = match &self.state {
            State::Header => "inside its header".to_owned(),
            State::Toc { .. } => "inside its table of contents".to_owned(),
            State::Block { dump_id } => match self.announced.get(dump_id) {
                Some(announced) => format!("inside the data of {}", announced.label),
                None => "inside a data block".to_owned(),
            },
            State::BetweenBlocks if self.to_come > 0 => {
                let first = self
                    .announced
                    .iter()
                    .filter(|(_, block)| !block.seen)
                    .min_by_key(|(id, _)| **id);
                let label = first.map_or("", |(_, block)| &block.label);
                match self.to_come {
                    1 => format!("before the data of {label}"),
                    count => format!("before the data of {label} and of {} others", count - 1),
                }
            }
            State::BetweenBlocks if !self.pending.is_empty() => "inside the head of a data block".to_owned(),
            State::BetweenBlocks => return Ok(()),
        };
        Err(Error::Truncated {
            offset: self.offset,
            missing,
        })
    }

    fn push_block<S: Sink>(&mut self, input: &[u8], dump_id: i32, sink: &mut S) -> Result<usize, Error> {
        let taken = self
            .block
            .push(input, &mut ())
            .map_err(|reason| self.malformed_at(self.offset, reason.to_owned()))?;
        self.offset += taken as u64;
        if self.block.has_ended() {
            self.rows_before = self.rows();
            self.state = State::BetweenBlocks;
            self.cut_at = self.offset;
            sink.block_end(self.offset, dump_id, self.block.sum());
        }
        Ok(taken)
    }

    /// A block's type byte and dump id.
    fn push_block_head<S: Sink>(&mut self, input: &[u8], sink: &mut S) -> Result<usize, Error> {
        const HEAD: usize = 1 + INT;
        let taken = (HEAD - self.pending.len()).min(input.len());
        self.pending.extend_from_slice(&input[..taken]);
        self.offset += taken as u64;
        let kind = BlockKind::from_byte(self.pending[0]);
        let Some(kind) = kind.filter(|_| self.to_come > 0) else {
            let reason = if self.to_come == 0 {
                "bytes after the last data block".to_owned()
            } else {
                format!("a data block of type {}", self.pending[0])
            };
            return Err(self.malformed_at(self.offset, reason));
        };
        let Some((_, int)) = self
            .pending
            .split_first_chunk::<1>()
            .filter(|(_, int)| int.len() == INT)
        else {
            return Ok(taken);
        };
        let int = *int.first_chunk().expect("BUG: its length was looked at");
        let dump_id = toc::decode_int(int)
            .and_then(|id| i32::try_from(id).ok())
            .unwrap_or(0);
        self.pending.clear();
        let start = self.offset - HEAD as u64;
        match self.announced.get_mut(&dump_id) {
            Some(announced) if !announced.seen && announced.kind == kind => announced.seen = true,
            Some(announced) if announced.seen => {
                let reason = format!("a second data block of {}", announced.label);
                return Err(self.malformed_at(start, reason));
            }
            Some(announced) => {
                let reason = format!("the data block of {} is of another type", announced.label);
                return Err(self.malformed_at(start, reason));
            }
            None => {
                let reason = format!("a data block that the table of contents does not announce ({dump_id})");
                return Err(self.malformed_at(start, reason));
            }
        }
        self.to_come -= 1;
        self.block.begin(kind);
        self.block_data_at = self.offset;
        self.state = State::Block { dump_id };
        sink.block_begin(start, dump_id);
        Ok(taken)
    }

    /// The header, or entries of the table of contents: from `input` itself where they lie wholly in it.
    fn push_toc<S: Sink>(&mut self, input: &[u8], sink: &mut S) -> Result<usize, Error> {
        if self.pending.is_empty() {
            return self.take_toc(input, 0, sink).map(|parsed| match parsed {
                Ok(used) => used,
                Err(needed) => {
                    self.pending.extend_from_slice(input);
                    self.needed = needed;
                    self.offset += input.len() as u64;
                    input.len()
                }
            });
        }
        let before = self.pending.len();
        let wanted = (self.needed.saturating_sub(before))
            .max(ENTRY_STEP)
            .min(input.len());
        let mut pending = std::mem::take(&mut self.pending);
        pending.extend_from_slice(&input[..wanted]);
        let parsed = if pending.len() < self.needed {
            Err(self.needed)
        } else {
            // What was pending is counted already, and is not counted again.
            self.take_toc(&pending, before, sink)?
        };
        match parsed {
            Ok(used) => {
                pending.clear();
                pending.shrink_to(ENTRY_STEP);
                self.pending = pending;
                Ok(used - before)
            }
            Err(needed) => {
                self.pending = pending;
                self.needed = needed;
                self.offset += wanted as u64;
                Ok(wanted)
            }
        }
    }

    /// Parses one thing from the front of `bytes`, of which `counted` are in `offset` already. The inner error is how
    /// long `bytes` would have to be.
    fn take_toc<S: Sink>(
        &mut self,
        bytes: &[u8],
        counted: usize,
        sink: &mut S,
    ) -> Result<Result<usize, usize>, Error> {
        let start = self.offset - counted as u64;
        let parsed = match self.state {
            State::Toc { layout, .. } => match toc::parse_entry(bytes, layout) {
                Ok((entry, used)) => {
                    self.announce(&entry, start)?;
                    sink.toc_entry(&entry);
                    Ok((layout, used))
                }
                Err(stop) => Err(stop),
            },
            _ => match toc::parse_header(bytes) {
                Ok((header, layout, used)) => {
                    if layout.entries > MAX_ENTRIES {
                        return Err(
                            self.malformed_at(start, format!("it announces {} entries", layout.entries))
                        );
                    }
                    sink.header(&header);
                    Ok((layout, used))
                }
                Err(stop) => Err(stop),
            },
        };
        let (layout, used) = match parsed {
            Ok(parsed) => parsed,
            Err(Stop::More(needed)) if needed <= toc::MAX_ENTRY => return Ok(Err(needed)),
            Err(Stop::More(_)) => {
                return Err(self.malformed_at(
                    start,
                    "an entry of the table of contents without an end".to_owned(),
                ));
            }
            Err(Stop::Bad(reason)) => return Err(self.malformed_at(start, reason)),
        };
        self.offset = start + used as u64;
        let left = match self.state {
            State::Toc { left, .. } => left - 1,
            _ => layout.entries,
        };
        if left > 0 {
            self.state = State::Toc { layout, left };
        } else {
            self.state = State::BetweenBlocks;
            self.cut_at = self.offset;
            sink.toc_end(self.offset);
        }
        Ok(Ok(used))
    }

    fn announce(&mut self, entry: &TocEntry<'_>, start: u64) -> Result<(), Error> {
        if !entry.has_data {
            return Ok(());
        }
        let kind = match entry.kind {
            b"TABLE DATA" => BlockKind::Table,
            b"BLOBS" => BlockKind::LargeObjects,
            other => {
                let reason = format!("data of an unknown kind: {}", String::from_utf8_lossy(other));
                return Err(self.malformed_at(start, reason));
            }
        };
        let tag = String::from_utf8_lossy(entry.tag);
        let label = match entry.namespace {
            Some(schema) => format!("{}.{tag}", String::from_utf8_lossy(schema)),
            None => tag.into_owned(),
        };
        let announced = Announced {
            kind,
            label: label.into_boxed_str(),
            seen: false,
        };
        if self.announced.insert(entry.dump_id, announced).is_some() {
            return Err(self.malformed_at(start, format!("two entries with the dump id {}", entry.dump_id)));
        }
        self.to_come += 1;
        Ok(())
    }

    fn malformed_at(&self, offset: u64, reason: String) -> Error {
        let place = match &self.state {
            State::Block { dump_id } => self.announced.get(dump_id).map(|block| &block.label),
            _ => None,
        };
        match place {
            Some(label) => Error::malformed(offset, format!("{reason} (in the data of {label})")),
            None => Error::malformed(offset, reason),
        }
    }
}
