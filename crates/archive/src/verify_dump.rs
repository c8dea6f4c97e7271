//! Looks into a dump while it is verified: every frame, the seek table, and the content against the index.
//!
//! Knows the dump's file alone; folder, manifest and checksums are `verify.rs`.

use std::io::{self, Read};

use howdah_domain::TableName;

use crate::frames::FrameReader;
use crate::gather::{Contents, Gatherer};
use crate::scanner::Scanner;
use crate::seekable::seek_table;
use crate::verify::{Content as File, Damage, DamageKind};
use crate::{Entry, Error, Index, Meter};

/// What was seen of a dump.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) tables: u64,
    pub(crate) rows: u64,
    pub(crate) raw_bytes: u64,
    /// The content was read to its end, and is an archive.
    pub(crate) whole: bool,
}

/// What scans the content, until something is in the way.
struct Content<'a> {
    scanner: Scanner,
    gatherer: Gatherer,
    meter: &'a Meter,
    /// Nothing was in the way so far.
    goes_on: bool,
}

impl<'a> Content<'a> {
    fn new(meter: &'a Meter) -> Self {
        Self {
            scanner: Scanner::new(),
            gatherer: Gatherer::new(meter.clone()),
            meter,
            goes_on: true,
        }
    }

    /// Takes the next piece; what is wrong with it.
    fn push(&mut self, raw: &[u8]) -> Option<String> {
        if !self.goes_on {
            return None;
        }
        let outcome = self.scanner.push(raw, &mut self.gatherer);
        self.meter.set_raw_bytes(self.scanner.offset());
        self.meter.set_rows(self.scanner.rows());
        self.goes_on = outcome.is_ok();
        outcome.err().map(|error| error.to_string())
    }

    /// The table whose rows were at work.
    fn table(&self) -> Vec<TableName> {
        self.meter.snapshot().table.into_iter().collect()
    }

    fn finish(self) -> Result<(Contents, Checked), String> {
        self.scanner.finish().map_err(|error| error.to_string())?;
        let (rows, raw_bytes) = (self.scanner.rows(), self.scanner.offset());
        let contents = self.gatherer.finish();
        let tables = contents.entries.iter().filter(|entry| entry.is_table()).count() as u64;
        Ok((
            contents,
            Checked {
                tables,
                rows,
                raw_bytes,
                whole: true,
            },
        ))
    }
}

/// A dump whose index is at hand.
pub(crate) fn with_index(
    file: &mut File<'_, '_>,
    index: &Index,
    meter: &Meter,
    damages: &mut Vec<Damage>,
) -> Result<Checked, Error> {
    let mut content = Content::new(meter);
    let mut reader = FrameReader::new()?;
    let (mut stored, mut raw) = (Vec::new(), Vec::new());
    for frame in &index.frames {
        stored.clear();
        let read = file.take(frame.stored_len).read_to_end(&mut stored);
        let broken = match read.map_err(|error| file.error(error)) {
            Ok(_) if (stored.len() as u64) < frame.stored_len => {
                Some("it ends before its last frame".to_owned())
            }
            Ok(_) => None,
            Err(Error::Damaged { reason, .. }) => Some(reason),
            Err(error) => return Err(error),
        };
        if let Some(reason) = broken {
            let mut damage = Damage::new(file.name, DamageKind::Frame, reason);
            damage.tables = tables_in(index, frame.raw_offset, index.raw_len());
            damages.push(damage);
            return Ok(Checked::default());
        }
        let reason = match reader.read(frame, &stored, &mut raw) {
            Ok(()) => content.push(&raw),
            Err(error) => {
                content.goes_on = false;
                Some(error.to_string())
            }
        };
        if let Some(reason) = reason {
            let mut damage = Damage::new(file.name, DamageKind::Frame, reason);
            damage.tables = tables_in(index, frame.raw_offset, frame.raw_end());
            damages.push(damage);
        }
    }
    let expected = seek_table(&index.frames);
    stored.clear();
    // And one byte more: an encrypted file is known to be whole only at its end.
    let read = file.take(expected.len() as u64 + 1).read_to_end(&mut stored);
    match read.map_err(|error| file.error(error)) {
        Err(Error::Damaged { reason, .. }) => {
            damages.push(Damage::new(file.name, DamageKind::SeekTable, reason));
        }
        Err(error) => return Err(error),
        Ok(_) if !stored.starts_with(&expected) => {
            let detail = "the seek table at its end does not tell of its frames";
            damages.push(Damage::new(file.name, DamageKind::SeekTable, detail));
        }
        Ok(_) => {}
    }
    if !content.goes_on {
        return Ok(Checked::default());
    }
    match content.finish() {
        Ok((contents, checked)) => {
            compare(file.name, &contents, index, damages);
            Ok(checked)
        }
        Err(reason) => {
            damages.push(Damage::new(file.name, DamageKind::Content, reason));
            Ok(Checked::default())
        }
    }
}

/// A dump whose index is missing or damaged: its frames one after another, and whether they hold an archive.
pub(crate) fn without_index(
    file: &mut File<'_, '_>,
    meter: &Meter,
    damages: &mut Vec<Damage>,
) -> Result<Checked, Error> {
    let mut content = Content::new(meter);
    let mut broken = None;
    let outcome = unpack(file, |raw| {
        broken = content.push(raw);
        broken.is_none()
    })?;
    let reason = match (broken, outcome) {
        (Some(reason), _) | (None, Some(reason)) => Err(reason),
        (None, None) => Ok(()),
    };
    let tables = content.table();
    match reason.and_then(|()| content.finish()) {
        Ok((_, checked)) => Ok(checked),
        Err(reason) => {
            let mut damage = Damage::new(file.name, DamageKind::Frame, reason);
            damage.tables = tables;
            damages.push(damage);
            Ok(Checked::default())
        }
    }
}

/// Whether a `.zst` decompresses; if not, why.
pub(crate) fn unpacks(file: &mut File<'_, '_>) -> Result<Option<String>, Error> {
    unpack(file, |_| true)
}

/// Decompresses a `.zst` piece by piece, as long as `take` wants more. What is wrong with it.
fn unpack(file: &mut File<'_, '_>, mut take: impl FnMut(&[u8]) -> bool) -> Result<Option<String>, Error> {
    let mut piece = vec![0; 256 << 10];
    let mut source = Noting { file, failed: None };
    let outcome = (|| -> io::Result<()> {
        let mut decoder = zstd::stream::read::Decoder::new(&mut source)?;
        decoder.window_log_max(23)?;
        loop {
            let len = decoder.read(&mut piece)?;
            if len == 0 || !take(&piece[..len]) {
                return Ok(());
            }
        }
    })();
    match (source.failed.take(), outcome) {
        (Some(error), _) => match source.file.error(error) {
            Error::Damaged { reason, .. } => Ok(Some(reason)),
            error => Err(error),
        },
        (None, Err(error)) => Ok(Some(error.to_string())),
        (None, Ok(())) => Ok(None),
    }
}

/// Tells the errors of reading from zstd's.
struct Noting<'a, 'n, 'f> {
    file: &'a mut File<'n, 'f>,
    failed: Option<io::Error>,
}

impl Read for Noting<'_, '_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer).map_err(|error| {
            let kind = error.kind();
            self.failed = Some(error);
            kind.into()
        })
    }
}

/// The content against the index.
fn compare(file: &str, contents: &Contents, index: &Index, damages: &mut Vec<Damage>) {
    let mut differs = |entry: Option<&Entry>, detail: String| {
        let mut damage = Damage::new(file, DamageKind::Content, detail);
        damage.tables = entry
            .filter(|entry| entry.is_table())
            .map(Entry::table_name)
            .into_iter()
            .collect();
        damages.push(damage);
    };
    if contents.entries.len() != index.entries.len() || contents.toc_len != index.toc_len {
        let (found, told) = (contents.entries.len(), index.entries.len());
        differs(
            None,
            format!("it has {found} data entries, the index tells of {told}"),
        );
        return;
    }
    for (found, told) in contents.entries.iter().zip(&index.entries) {
        if (found.rows, found.fingerprint) != (told.rows, told.fingerprint) {
            let detail = format!(
                "{} rows with the fingerprint {}, the index tells of {} with {}",
                found.rows, found.fingerprint, told.rows, told.fingerprint
            );
            differs(Some(told), detail);
        } else if found != told {
            differs(
                Some(told),
                "the index tells of it otherwise than the dump".to_owned(),
            );
        }
    }
    if contents.sequences != index.sequences {
        differs(None, "its sequences are not those of the index".to_owned());
    }
    if let Some((name, _)) = contents
        .settings
        .iter()
        .find(|(name, value)| index.settings.get(*name) != Some(*value))
    {
        differs(None, format!("its setting {name} is not that of the index"));
    }
}

fn tables_in(index: &Index, raw_start: u64, raw_end: u64) -> Vec<TableName> {
    index
        .tables_in(raw_start, raw_end)
        .map(Entry::table_name)
        .collect()
}
