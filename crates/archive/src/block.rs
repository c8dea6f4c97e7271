//! Reads one data block of an archive as it passes: chunks, rows, fingerprint, and where a cut may fall.
//!
//! A block is a table's COPY data (type 1) or large objects (type 3). With pg_dump's `-Z0` a chunk is a row, and there
//! is a short way for that; but a row may straddle chunks and pushes, and a chunk may hold many rows. This module knows
//! neither tables nor frames, and never holds a row: what straddles is hashed as it comes.

use xxhash_rust::xxh3::Xxh3;

use crate::fingerprint::Fingerprint;
use crate::toc::{INT, decode_int, int_to_oid};

/// Who wants the bytes of a block without its framing.
pub trait Spans {
    /// A piece of COPY data: rows, or parts of rows, with their newlines. Not the end mark.
    fn copy_data(&mut self, span: &[u8]);

    /// A large object begins.
    fn large_object(&mut self, _oid: u32) {}

    /// A piece of the large object that began last.
    fn large_object_data(&mut self, _span: &[u8]) {}
}

/// For who does not.
impl Spans for () {
    #[inline]
    fn copy_data(&mut self, _span: &[u8]) {}
}

/// What kind of block it is: the byte it begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// A table's rows.
    Table,
    /// Large objects.
    LargeObjects,
}

impl BlockKind {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Table),
            3 => Some(Self::LargeObjects),
            _ => None,
        }
    }
}

/// What a block held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockSum {
    /// Rows, or large objects.
    pub rows: u64,
    /// Over them.
    pub fingerprint: Fingerprint,
    /// Bytes without framing: rows with their newlines, or large objects' contents.
    pub data_len: u64,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// A large object's OID, or 0 at the end of the block.
    Oid,
    /// A chunk's length, or 0 at the end of the table or large object.
    Length,
    /// So many bytes of a chunk.
    Data(usize),
    /// Nothing: the block has ended.
    End,
}

/// The line whose end has not come yet.
struct OpenLine {
    hasher: Box<Xxh3>,
    len: u64,
    head: [u8; 2],
}

impl OpenLine {
    fn push(&mut self, part: &[u8]) {
        let known = usize::try_from(self.len).unwrap_or(usize::MAX);
        for (place, byte) in self.head.iter_mut().skip(known).zip(part) {
            *place = *byte;
        }
        self.hasher.update(part);
        self.len += part.len() as u64;
    }

    /// How many bytes of the end mark it is so far, where it may still become that.
    fn held(&self) -> Option<usize> {
        let len = usize::try_from(self.len)
            .ok()
            .filter(|len| *len <= END_OF_COPY.len())?;
        (self.head[..len] == END_OF_COPY[..len]).then_some(len)
    }

    fn close(&mut self) {
        self.hasher.reset();
        self.len = 0;
    }
}

/// Reads a block, from after its dump id on.
pub(crate) struct BlockScanner {
    kind: BlockKind,
    expect: Expect,
    /// The beginning of an int that straddles pushes.
    int: [u8; INT],
    int_len: usize,
    line: OpenLine,
    /// The `\.` line has come.
    copy_ended: bool,
    sum: BlockSum,
    /// Bytes of the block so far.
    consumed: u64,
    /// Where in the block a cut may fall: the last place between rows, or large objects, that is between chunks too.
    cut_at: u64,
}

/// The line that ends COPY data.
const END_OF_COPY: &[u8] = b"\\.";

impl BlockScanner {
    pub(crate) fn new(kind: BlockKind) -> Self {
        let line = OpenLine {
            hasher: Box::new(Xxh3::new()),
            len: 0,
            head: [0; 2],
        };
        let mut scanner = Self {
            kind,
            expect: Expect::End,
            int: [0; INT],
            int_len: 0,
            line,
            copy_ended: false,
            sum: BlockSum {
                rows: 0,
                fingerprint: Fingerprint::EMPTY,
                data_len: 0,
            },
            consumed: 0,
            cut_at: 0,
        };
        scanner.begin(kind);
        scanner
    }

    /// Makes it ready for another block, keeping what is allocated.
    pub(crate) fn begin(&mut self, kind: BlockKind) {
        self.kind = kind;
        self.expect = match kind {
            BlockKind::Table => Expect::Length,
            BlockKind::LargeObjects => Expect::Oid,
        };
        self.int_len = 0;
        self.line.close();
        self.copy_ended = false;
        self.sum = BlockSum {
            rows: 0,
            fingerprint: Fingerprint::EMPTY,
            data_len: 0,
        };
        self.consumed = 0;
        self.cut_at = 0;
    }

    pub(crate) fn kind(&self) -> BlockKind {
        self.kind
    }

    /// Whether the block's end has come.
    pub(crate) fn has_ended(&self) -> bool {
        self.expect == Expect::End
    }

    /// What has come so far.
    pub(crate) fn sum(&self) -> &BlockSum {
        &self.sum
    }

    /// Bytes after the block's head at which a cut may fall; at most what has been consumed.
    pub(crate) fn cut_at(&self) -> u64 {
        self.cut_at
    }

    /// Whether it stands between two rows and two chunks, so that a part of a block may end here.
    pub(crate) fn stands_at_cut(&self) -> bool {
        self.cut_at == self.consumed && self.int_len == 0
    }

    /// Takes what it can of `input`: all of it, or up to the block's end. Returns how much that was.
    ///
    /// # Errors
    /// What is wrong with the block.
    pub(crate) fn push<S: Spans + ?Sized>(
        &mut self,
        input: &[u8],
        spans: &mut S,
    ) -> Result<usize, &'static str> {
        let mut at = 0;
        loop {
            if self.expect == Expect::Length
                && self.kind == BlockKind::Table
                && self.int_len == 0
                && self.line.len == 0
                && !self.copy_ended
            {
                at = self.whole_rows(input, at, spans);
            }
            let rest = &input[at..];
            if rest.is_empty() || self.expect == Expect::End {
                return Ok(at);
            }
            let taken = match self.expect {
                Expect::Data(left) => {
                    let piece = &rest[..left.min(rest.len())];
                    self.expect = if piece.len() == left {
                        Expect::Length
                    } else {
                        Expect::Data(left - piece.len())
                    };
                    self.chunk_piece(piece, spans)?;
                    piece.len()
                }
                _ => {
                    let taken = (INT - self.int_len).min(rest.len());
                    self.int[self.int_len..self.int_len + taken].copy_from_slice(&rest[..taken]);
                    self.int_len += taken;
                    taken
                }
            };
            at += taken;
            self.consumed += taken as u64;
            if self.int_len == INT {
                self.int_len = 0;
                self.int_came(spans)?;
            }
            if self.between_rows() {
                self.cut_at = self.consumed;
            }
        }
    }

    /// The short way: chunks that are one row each, wholly in `input` from `at` on. Returns where it stopped.
    #[inline]
    fn whole_rows<S: Spans + ?Sized>(&mut self, input: &[u8], from: usize, spans: &mut S) -> usize {
        let mut at = from;
        let (mut rows, mut fingerprint, mut data_len) = (0_u64, self.sum.fingerprint, 0_u64);
        while let Some((head, rest)) = input[at..].split_first_chunk::<INT>() {
            let [0, a, b, c, d] = *head else { break };
            let len = u32::from_le_bytes([a, b, c, d]) as usize;
            let Some(chunk) = rest.get(..len) else { break };
            let Some((b'\n', line)) = chunk.split_last() else {
                break;
            };
            if memchr::memchr(b'\n', line).is_some() || line == END_OF_COPY {
                break;
            }
            fingerprint.add_row(line);
            rows += 1;
            data_len += len as u64;
            spans.copy_data(chunk);
            at += INT + len;
        }
        if at > from {
            self.sum.fingerprint = fingerprint;
            self.sum.rows += rows;
            self.sum.data_len += data_len;
            self.consumed += (at - from) as u64;
            self.cut_at = self.consumed;
        }
        at
    }

    fn between_rows(&self) -> bool {
        self.int_len == 0
            && match self.kind {
                BlockKind::Table => self.expect == Expect::Length && self.line.len == 0,
                BlockKind::LargeObjects => self.expect == Expect::Oid,
            }
    }

    fn int_came<S: Spans + ?Sized>(&mut self, spans: &mut S) -> Result<(), &'static str> {
        let value = decode_int(self.int).ok_or("an int with a sign that is neither 0 nor 1")?;
        match (self.expect, value) {
            (Expect::Oid, 0) => self.expect = Expect::End,
            (Expect::Oid, value) => {
                let oid = int_to_oid(value).ok_or("a large object without an OID")?;
                self.line.hasher.reset();
                self.line.hasher.update(&oid.to_le_bytes());
                self.expect = Expect::Length;
                spans.large_object(oid);
            }
            (_, 0) if self.kind == BlockKind::LargeObjects => {
                self.sum.fingerprint.add_hash(self.line.hasher.digest128());
                self.sum.rows += 1;
                self.expect = Expect::Oid;
            }
            (_, 0) => {
                if !self.copy_ended {
                    return Err(
                        "a table's data ends without the line \\. (Howdah reads COPY data; was --inserts given?)",
                    );
                }
                if self.line.len > 0 {
                    return Err("a table's data goes on after the line \\.");
                }
                self.expect = Expect::End;
            }
            (_, value) => {
                let len = i32::try_from(value)
                    .ok()
                    .and_then(|len| usize::try_from(len).ok());
                self.expect = Expect::Data(len.ok_or("a chunk of negative length")?);
            }
        }
        Ok(())
    }

    fn chunk_piece<S: Spans + ?Sized>(&mut self, piece: &[u8], spans: &mut S) -> Result<(), &'static str> {
        match self.kind {
            BlockKind::LargeObjects => {
                self.line.hasher.update(piece);
                self.sum.data_len += piece.len() as u64;
                spans.large_object_data(piece);
                Ok(())
            }
            BlockKind::Table => self.lines(piece, spans),
        }
    }

    /// Lines and parts of lines.
    fn lines<S: Spans + ?Sized>(&mut self, mut piece: &[u8], spans: &mut S) -> Result<(), &'static str> {
        while !piece.is_empty() {
            let end = memchr::memchr(b'\n', piece);
            let (part, whole) = end.map_or((piece, piece), |end| (&piece[..end], &piece[..=end]));
            if self.copy_ended && !part.is_empty() {
                return Err("a table's data goes on after the line \\.");
            }
            if end.is_some() && self.line.len == 0 {
                if part == END_OF_COPY {
                    self.copy_ended = true;
                } else if !self.copy_ended {
                    self.sum.fingerprint.add_row(part);
                    self.row_came(whole, spans);
                }
            } else if !self.copy_ended {
                self.straddling(part, whole, end.is_some(), spans);
            }
            piece = &piece[whole.len()..];
        }
        Ok(())
    }

    fn row_came<S: Spans + ?Sized>(&mut self, whole: &[u8], spans: &mut S) {
        self.sum.rows += 1;
        self.sum.data_len += whole.len() as u64;
        spans.copy_data(whole);
    }

    /// A part of a line that did not come in one piece. What may still become the end mark is held back from `spans`.
    fn straddling<S: Spans + ?Sized>(&mut self, part: &[u8], whole: &[u8], ends: bool, spans: &mut S) {
        let was_held = self.line.held();
        self.line.push(part);
        if let Some(held) = self.line.held() {
            if ends && held == END_OF_COPY.len() {
                self.copy_ended = true;
                self.line.close();
                return;
            }
            if !ends {
                return;
            }
        }
        if let Some(held) = was_held.filter(|held| *held > 0) {
            spans.copy_data(&END_OF_COPY[..held]);
            self.sum.data_len += held as u64;
        }
        if !whole.is_empty() {
            spans.copy_data(whole);
            self.sum.data_len += whole.len() as u64;
        }
        if ends {
            self.sum.fingerprint.add_hash(self.line.hasher.digest128());
            self.sum.rows += 1;
            self.line.close();
        }
    }
}
