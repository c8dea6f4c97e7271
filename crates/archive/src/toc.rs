//! The archive's header and table of contents: what pg_dump says that it is going to write.
//!
//! Parses one header or one entry from the front of a slice, borrowing its strings; where the slice ends too early it
//! says how long it would have to be at least. It keeps nothing and knows no data blocks (that is `scanner.rs`).
//! Source of the layout: FORMAT, "pg_dump's custom format" (docs/format.md), checked against pg_dump 13 to 18.

/// The longest string that a table of contents may hold: 64 MiB. The longest real ones are definitions of views and
/// functions, and the lists of large objects.
pub const MAX_STRING: usize = 64 << 20;

/// The longest table-of-contents entry, all its strings together.
pub(crate) const MAX_ENTRY: usize = 128 << 20;

/// Bytes of an int: the sign, and four bytes, least significant first.
pub(crate) const INT: usize = 5;

/// The head of an archive, as pg_dump wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArchiveHeader {
    /// The archive format's version: `(1, 14, 0)` for PostgreSQL 13–15, `(1, 15, 0)` for 16, `(1, 16, 0)` for 17 and 18.
    pub version: (u8, u8, u8),
    /// The database's name.
    pub database: String,
    /// The server's version: `16.4 (Debian 16.4-1)`.
    pub server_version: String,
    /// pg_dump's version: `16.15`.
    pub pg_dump_version: String,
}

/// What the header says of how to read on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    minor: u8,
    offset_size: usize,
    /// Entries of the table of contents.
    pub(crate) entries: u32,
}

/// An entry of the table of contents, its strings as they stand in the archive (in the dump's encoding).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TocEntry<'a> {
    /// Its number.
    pub dump_id: i32,
    /// Whether a data block is announced.
    pub has_data: bool,
    /// The OID of the catalogue the object is in, in digits.
    pub table_oid: &'a [u8],
    /// The object's OID, in digits.
    pub oid: &'a [u8],
    /// The object's name.
    pub tag: &'a [u8],
    /// What it is: `TABLE`, `TABLE DATA`, `SEQUENCE SET`, …
    pub kind: &'a [u8],
    /// 1 none, 2 pre-data, 3 data, 4 post-data.
    pub section: i64,
    /// The SQL that makes it.
    pub definition: &'a [u8],
    /// The SQL that drops it.
    pub drop: &'a [u8],
    /// The COPY statement that loads it.
    pub copy_statement: Option<&'a [u8]>,
    /// Its schema.
    pub namespace: Option<&'a [u8]>,
    /// Its tablespace.
    pub tablespace: Option<&'a [u8]>,
    /// Its table access method.
    pub access_method: Option<&'a [u8]>,
    /// `pg_class.relkind` as a number (archives from 1.16 on).
    pub relkind: Option<i64>,
    /// Its owner.
    pub owner: Option<&'a [u8]>,
    /// The numbers of the entries it depends on.
    pub dependencies: Vec<i32>,
}

/// Why nothing was parsed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The slice must be at least this long.
    More(usize),
    /// It is not what it should be.
    Bad(String),
}

/// Reads ints and strings off the front of a slice.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Stop> {
        let end = self.at.saturating_add(len);
        let taken = self.bytes.get(self.at..end).ok_or(Stop::More(end))?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        Ok(self.take(1)?[0])
    }

    fn int(&mut self) -> Result<i64, Stop> {
        let bytes = self
            .take(INT)?
            .first_chunk()
            .expect("BUG: as many as were asked for");
        decode_int(*bytes).ok_or_else(|| Stop::Bad("an int with a sign that is neither 0 nor 1".to_owned()))
    }

    fn string(&mut self) -> Result<Option<&'a [u8]>, Stop> {
        match self.int()? {
            -1 => Ok(None),
            len => match usize::try_from(len) {
                Ok(len) if len <= MAX_STRING => self.take(len).map(Some),
                _ => Err(Stop::Bad(format!("a string of length {len}"))),
            },
        }
    }

    fn text(&mut self) -> Result<&'a [u8], Stop> {
        Ok(self.string()?.unwrap_or_default())
    }
}

/// An int of the archive: a sign byte (0 or 1) and four bytes, least significant first.
#[inline]
pub(crate) fn decode_int(bytes: [u8; INT]) -> Option<i64> {
    let [sign, a, b, c, d] = bytes;
    let value = i64::from(u32::from_le_bytes([a, b, c, d]));
    match sign {
        0 => Some(value),
        1 => Some(-value),
        _ => None,
    }
}

/// An OID, which pg_dump writes as a signed int: those above 2^31 come as negative numbers.
pub(crate) fn int_to_oid(value: i64) -> Option<u32> {
    match i32::try_from(value) {
        Ok(value) => Some(value.cast_unsigned()),
        // -2^31 has no positive counterpart and is written as itself.
        Err(_) => u32::try_from(value).ok(),
    }
}

fn dump_id(value: i64) -> Result<i32, Stop> {
    i32::try_from(value)
        .ok()
        .filter(|id| *id > 0)
        .ok_or_else(|| Stop::Bad(format!("the dump id {value}")))
}

/// The header, its layout, and its length.
pub(crate) fn parse_header(bytes: &[u8]) -> Result<(ArchiveHeader, Layout, usize), Stop> {
    let bad = |reason: String| Err(Stop::Bad(reason));
    let mut cursor = Cursor { bytes, at: 0 };
    const MAGIC: &[u8] = b"PGDMP";
    let known = bytes.len().min(MAGIC.len());
    if bytes[..known] != MAGIC[..known] {
        return bad("it does not begin as an archive of pg_dump's custom format does".to_owned());
    }
    cursor.take(MAGIC.len())?;
    let version = (cursor.byte()?, cursor.byte()?, cursor.byte()?);
    if version.0 != 1 || !(14..=16).contains(&version.1) {
        return bad(format!(
            "its format is {}.{}, known are 1.14 to 1.16 (PostgreSQL 13 to 18)",
            version.0, version.1
        ));
    }
    let (int_size, offset_size, format) = (cursor.byte()?, cursor.byte()?, cursor.byte()?);
    if int_size != 4 || !(4..=8).contains(&offset_size) {
        return bad(format!(
            "its ints have {int_size} bytes and its offsets {offset_size}"
        ));
    }
    if format != 1 {
        return bad(format!("its format is number {format}, not the custom format"));
    }
    let compression = if version.1 >= 15 {
        i64::from(cursor.byte()?)
    } else {
        cursor.int()?
    };
    if compression != 0 {
        return bad("its data is compressed already (pg_dump must run with -Z0)".to_owned());
    }
    for _ in [
        "second",
        "minute",
        "hour",
        "day",
        "month",
        "year",
        "daylight saving",
    ] {
        cursor.int()?;
    }
    let mut text = || {
        cursor
            .text()
            .map(|text| String::from_utf8_lossy(text).into_owned())
    };
    let (database, server_version, pg_dump_version) = (text()?, text()?, text()?);
    let entries = cursor.int()?;
    let Ok(entries) = u32::try_from(entries) else {
        return bad(format!("it announces {entries} entries"));
    };
    let header = ArchiveHeader {
        version,
        database,
        server_version,
        pg_dump_version,
    };
    let layout = Layout {
        minor: version.1,
        offset_size: usize::from(offset_size),
        entries,
    };
    Ok((header, layout, cursor.at))
}

/// An entry, and its length.
pub(crate) fn parse_entry(bytes: &[u8], layout: Layout) -> Result<(TocEntry<'_>, usize), Stop> {
    let mut cursor = Cursor { bytes, at: 0 };
    let dump_id = self::dump_id(cursor.int()?)?;
    let has_data = match cursor.int()? {
        0 => false,
        1 => true,
        other => return Err(Stop::Bad(format!("an entry with the data mark {other}"))),
    };
    let (table_oid, oid, tag, kind) = (cursor.text()?, cursor.text()?, cursor.text()?, cursor.text()?);
    let section = cursor.int()?;
    if !(1..=4).contains(&section) {
        return Err(Stop::Bad(format!("an entry of section {section}")));
    }
    let (definition, drop, copy_statement) = (cursor.text()?, cursor.text()?, cursor.string()?);
    let (namespace, tablespace, access_method) = (cursor.string()?, cursor.string()?, cursor.string()?);
    let relkind = if layout.minor >= 16 {
        Some(cursor.int()?)
    } else {
        None
    };
    let owner = cursor.string()?;
    cursor.string()?; // with OIDs: "false" since PostgreSQL 12
    let mut dependencies = Vec::new();
    while let Some(digits) = cursor.string()? {
        let number = std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse().ok());
        dependencies.push(number.ok_or_else(|| Stop::Bad("a dependency that is no number".to_owned()))?);
    }
    cursor.take(1 + layout.offset_size)?;
    let entry = TocEntry {
        dump_id,
        has_data,
        table_oid,
        oid,
        tag,
        kind,
        section,
        definition,
        drop,
        copy_statement: copy_statement.filter(|statement| !statement.is_empty()),
        namespace: namespace.filter(|name| !name.is_empty()),
        tablespace,
        access_method,
        relkind,
        owner,
        dependencies,
    };
    Ok((entry, cursor.at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_oid_above_two_to_the_31_is_read_from_a_negative_int() {
        // WriteInt writes the sign and the absolute value of the int that the OID was cast to.
        assert_eq!(int_to_oid(decode_int([0, 1, 0, 0, 0]).unwrap()), Some(1));
        assert_eq!(int_to_oid(decode_int([1, 1, 0, 0, 0]).unwrap()), Some(u32::MAX));
        assert_eq!(int_to_oid(decode_int([1, 0, 0, 0, 0x80]).unwrap()), Some(1 << 31));
        assert_eq!(
            int_to_oid(decode_int([0, 0xff, 0xff, 0xff, 0x7f]).unwrap()),
            Some(i32::MAX.cast_unsigned())
        );
        assert_eq!(decode_int([2, 1, 0, 0, 0]), None);
    }

    #[test]
    fn what_is_no_archive_is_told_at_its_first_byte() {
        assert!(matches!(parse_header(b"P"), Err(Stop::More(_))));
        assert!(matches!(
            parse_header(b"-- PostgreSQL database dump"),
            Err(Stop::Bad(_))
        ));
        assert!(matches!(parse_header(b"PGDX"), Err(Stop::Bad(_))));
    }
}
