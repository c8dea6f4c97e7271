//! Some rows of a table: a page of them, those that hold a text, one value whole. It goes on where it stopped.
//!
//! A [`Scan`] stands between two rows. It reads from the places at which the index lets reading begin, so that a page in the middle of a large
//! table costs one frame and not all that are before it; and it stops in time, found or not, so that whoever waits can say how far it is.

use std::io::{self, Read as _};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use howdah_archive::copy_text::{CopyText, Fields};
use howdah_archive::entry::{CopyRows, starts};
use howdah_archive::search::{Search, Searching};
use howdah_archive::source::ReadAhead;
use howdah_archive::text::Charset;
use howdah_domain::{Failure, FailureCode};
use tokio_util::sync::CancellationToken;

use super::{AHEAD, Table, cancelled, in_words};
use crate::api::{CellView, RowPlace, RowView, ValueView};
use crate::stored::StoredFile;

/// Rows are read in pieces of this size.
const PIECE: usize = 64 << 10;

/// So many bytes of a value are shown in a row,
const SHOWN: usize = 256;
/// in all rows of a page, with this for each value besides,
const PAGE: usize = 1 << 20;
const CELL: usize = 16;
/// and of one value that is looked at alone.
const VALUE: usize = 1 << 20;

/// Who takes rows.
trait TakeRows {
    fn piece(&mut self, bytes: &[u8]);
    fn field_ended(&mut self, null: bool);
    /// The row at that place has ended. Answers whether to go on.
    fn row_ended(&mut self, place: RowPlace) -> ControlFlow<()>;
}

/// A place between two rows of a table, and what is read from there on.
pub(super) struct Scan {
    table: Table,
    /// Where the next row is.
    place: RowPlace,
    /// Rows that are still to be passed over until there.
    passing: u64,
    /// Where reading can begin in the present entry, and which of these places it began at.
    starts: Vec<u64>,
    part: usize,
    ahead: u64,
    source: Option<Arc<ReadAhead<StoredFile>>>,
    rows: Option<CopyRows<Arc<ReadAhead<StoredFile>>>>,
    text: CopyText,
    piece: Vec<u8>,
    /// What of the piece is not taken apart yet.
    at: usize,
    until: usize,
    ended: bool,
}

impl Scan {
    /// Begins at a row, or at the table's beginning. `far`: whether many rows are going to be read.
    ///
    /// # Errors
    /// [`FailureCode::InvalidInput`] where there is no such place.
    pub(super) fn new(table: &Table, from: Option<RowPlace>, far: bool) -> Result<Self, Failure> {
        let mut scan = Self {
            table: table.clone(),
            place: from.unwrap_or(RowPlace {
                entry: 0,
                start: 0,
                skip: 0,
                row: 0,
            }),
            passing: 0,
            starts: Vec::new(),
            part: 0,
            ahead: if far { AHEAD } else { 0 },
            source: None,
            rows: None,
            text: CopyText::new(table.columns().len()),
            piece: Vec::new(),
            at: 0,
            until: 0,
            ended: false,
        };
        let known = scan.enter(scan.place.entry);
        match from {
            None => scan.place.start = scan.starts.first().copied().unwrap_or(0),
            Some(from) => {
                let part = scan.starts.iter().position(|start| *start == from.start);
                let (true, Some(part)) = (known, part) else {
                    return Err(Failure::new(
                        FailureCode::InvalidInput,
                        format!("There is no such place in {}.", in_words(table.name())),
                    )
                    .hint("Begin at the table's beginning."));
                };
                scan.part = part;
                scan.passing = from.skip;
                scan.place.skip = 0;
                scan.place.row = from.row.saturating_sub(from.skip);
            }
        }
        Ok(scan)
    }

    /// Where the next row is; none at the table's end.
    pub(super) fn place(&self) -> Option<RowPlace> {
        (!self.ended).then_some(RowPlace {
            skip: self.place.skip + self.passing,
            row: self.place.row + self.passing,
            ..self.place
        })
    }

    /// Rows of the table before the next one.
    pub(super) fn looked_at(&self) -> u64 {
        self.place.row + self.passing
    }

    /// Makes an entry the present one. Answers whether there is such an entry.
    fn enter(&mut self, number: u32) -> bool {
        let entry = usize::try_from(number)
            .ok()
            .and_then(|number| self.table.entries.get(number));
        let Some(entry) = entry else { return false };
        self.starts = starts(&self.table.inside.index, entry);
        self.source = Some(Arc::new(self.table.source(entry, self.ahead)));
        self.part = 0;
        true
    }

    /// Gets the next piece of rows. Answers whether there was one.
    fn refill(&mut self) -> Result<bool, Failure> {
        loop {
            let number = self.place.entry as usize;
            let (Some(entry), Some(source)) = (self.table.entries.get(number), &self.source) else {
                return Ok(false);
            };
            let Some(&start) = self.starts.get(self.part) else {
                self.place.entry += 1;
                if !self.enter(self.place.entry) {
                    return Ok(false);
                }
                continue;
            };
            let rows = match &mut self.rows {
                Some(rows) => rows,
                none => {
                    (self.place.start, self.place.skip) = (start, 0);
                    let end = self.starts.get(self.part + 1).copied();
                    let index = &self.table.inside.index;
                    none.insert(CopyRows::part(Arc::clone(source), index, entry, start, end))
                }
            };
            self.piece.resize(PIECE, 0);
            self.at = 0;
            self.until = match rows.read(&mut self.piece) {
                Ok(read) => read,
                Err(error) => return Err(self.table.unreadable(&error)),
            };
            if self.until > 0 {
                return Ok(true);
            }
            self.text.finish().map_err(|error| self.table.damaged(&error))?;
            self.rows = None;
            self.part += 1;
        }
    }

    /// Hands rows on until whoever takes them has enough, or there are no more.
    fn run(&mut self, take: &mut dyn TakeRows, stop: &CancellationToken) -> Result<(), Failure> {
        loop {
            if stop.is_cancelled() {
                return Err(cancelled());
            }
            if self.at == self.until {
                let more = match self.refill() {
                    Err(_) if stop.is_cancelled() => return Err(cancelled()),
                    more => more?,
                };
                if !more {
                    self.ended = true;
                    return Ok(());
                }
            }
            let mut passing = Passing {
                take,
                place: &mut self.place,
                left: &mut self.passing,
                enough: false,
            };
            let taken = self.text.push(&self.piece[self.at..self.until], &mut passing);
            let enough = passing.enough;
            self.at += taken.map_err(|error| self.table.damaged(&error))?;
            if enough {
                return Ok(());
            }
        }
    }

    /// At most `limit` rows, those that hold the text where one is looked for, as many as are found before `deadline`; and whether
    /// all that is shown is text.
    pub(super) fn page(
        &mut self,
        search: Option<Search>,
        limit: usize,
        deadline: Instant,
        stop: &CancellationToken,
    ) -> Result<(Vec<RowView>, bool), Failure> {
        let mut page = Page {
            charset: self.table.charset(),
            searching: search.map(Searching::new),
            limit,
            deadline,
            shown: Vec::new(),
            fields: Vec::new(),
            begins: 0,
            len: 0,
            rows: Vec::new(),
            bytes: 0,
            all_text: true,
        };
        if limit > 0 && !self.ended {
            self.run(&mut page, stop)?;
        }
        Ok((page.rows, page.all_text))
    }

    /// The value in one column of the next row; none where there is no such row or column.
    pub(super) fn value(
        mut self,
        column: u32,
        stop: &CancellationToken,
    ) -> Result<Option<ValueView>, Failure> {
        let mut value = Value {
            charset: self.table.charset(),
            left: column,
            bytes: Vec::new(),
            len: 0,
            view: None,
        };
        self.run(&mut value, stop)?;
        Ok(value.view)
    }
}

/// Passes over rows, keeps count of the place, and hands the others on.
struct Passing<'a> {
    take: &'a mut dyn TakeRows,
    place: &'a mut RowPlace,
    left: &'a mut u64,
    enough: bool,
}

impl Fields for Passing<'_> {
    fn piece(&mut self, bytes: &[u8]) -> io::Result<()> {
        if *self.left == 0 {
            self.take.piece(bytes);
        }
        Ok(())
    }

    fn field_ended(&mut self, null: bool) -> io::Result<()> {
        if *self.left == 0 {
            self.take.field_ended(null);
        }
        Ok(())
    }

    fn row_ended(&mut self) -> io::Result<ControlFlow<()>> {
        let place = *self.place;
        self.place.skip += 1;
        self.place.row += 1;
        if *self.left > 0 {
            *self.left -= 1;
            return Ok(ControlFlow::Continue(()));
        }
        let flow = self.take.row_ended(place);
        self.enough = flow.is_break();
        Ok(flow)
    }
}

/// Gathers a page of rows. Of each value only its beginning is kept.
struct Page {
    charset: Charset,
    searching: Option<Searching>,
    limit: usize,
    deadline: Instant,
    /// The beginnings of the present row's values, one after the other,
    shown: Vec<u8>,
    /// where each ends, how long its value is, and whether it is NULL;
    fields: Vec<(usize, u64, bool)>,
    /// and where the present value's begins, and how long it is so far.
    begins: usize,
    len: u64,
    rows: Vec<RowView>,
    bytes: usize,
    all_text: bool,
}

impl Page {
    fn keep(&mut self, place: RowPlace) {
        let mut begins = 0;
        let mut cells = Vec::with_capacity(self.fields.len());
        self.bytes += CELL * self.fields.len();
        for &(ends, len, null) in &self.fields {
            if null {
                cells.push(CellView {
                    text: None,
                    bytes: None,
                });
                continue;
            }
            let shown = &self.shown[begins..ends];
            let whole = shown.len() as u64 == len;
            let (text, is_text) = self.charset.show(shown, whole);
            self.all_text &= is_text;
            self.bytes += text.len();
            cells.push(CellView {
                text: Some(text),
                bytes: (!whole).then_some(len),
            });
            begins = ends;
        }
        self.rows.push(RowView { place, cells });
    }
}

impl TakeRows for Page {
    fn piece(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        let room = (SHOWN + self.begins).saturating_sub(self.shown.len());
        self.shown.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if let Some(searching) = &mut self.searching {
            searching.piece(bytes);
        }
    }

    fn field_ended(&mut self, null: bool) {
        if let Some(searching) = &mut self.searching {
            searching.value_ended();
        }
        self.fields.push((self.shown.len(), self.len, null));
        self.begins = self.shown.len();
        self.len = 0;
    }

    fn row_ended(&mut self, place: RowPlace) -> ControlFlow<()> {
        if self.searching.as_mut().is_none_or(Searching::take) {
            self.keep(place);
        }
        self.shown.clear();
        self.fields.clear();
        self.begins = 0;
        if self.rows.len() >= self.limit || self.bytes >= PAGE || Instant::now() >= self.deadline {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

/// Gathers one value.
struct Value {
    charset: Charset,
    /// Columns before it.
    left: u32,
    bytes: Vec<u8>,
    len: u64,
    view: Option<ValueView>,
}

impl TakeRows for Value {
    fn piece(&mut self, bytes: &[u8]) {
        if self.left == 0 && self.view.is_none() {
            self.len += bytes.len() as u64;
            let room = VALUE.saturating_sub(self.bytes.len());
            self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    fn field_ended(&mut self, null: bool) {
        if self.left > 0 {
            self.left -= 1;
        } else if self.view.is_none() {
            let whole = self.bytes.len() as u64 == self.len;
            let (text, all_text) = self.charset.show(&self.bytes, whole);
            self.view = Some(ValueView {
                text: (!null).then_some(text),
                bytes: self.len,
                shortened: !whole,
                all_text,
            });
        }
    }

    fn row_ended(&mut self, _: RowPlace) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
}
