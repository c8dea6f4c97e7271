//! Fingerprints: a number per table that is equal on both sides of a restore, whatever the order of rows.
//!
//! A row is one line of COPY's text format; its hash is XXH3-128 of the line without its newline; the fingerprint is the
//! sum of the rows' hashes modulo 2^128. This module knows lines, not tables.

use std::fmt;
use std::ops::{Add, AddAssign};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// The sum modulo 2^128 of XXH3-128 of each row. Written as 32 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Fingerprint(u128);

impl Fingerprint {
    /// The fingerprint of no rows at all.
    pub const EMPTY: Self = Self(0);

    /// Adds a row: the line of COPY data without its newline.
    #[inline]
    pub fn add_row(&mut self, line: &[u8]) {
        self.0 = self.0.wrapping_add(xxh3_128(line));
    }

    /// Adds a hash that was computed piece by piece.
    #[inline]
    pub(crate) fn add_hash(&mut self, hash: u128) {
        self.0 = self.0.wrapping_add(hash);
    }
}

impl Add for Fingerprint {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }
}

impl AddAssign for Fingerprint {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::iter::Sum for Fingerprint {
    fn sum<I: Iterator<Item = Self>>(rows: I) -> Self {
        rows.fold(Self::EMPTY, Add::add)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A text that is not 32 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a fingerprint (32 hex digits)")]
pub struct ParseFingerprintError;

impl FromStr for Fingerprint {
    type Err = ParseFingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ParseFingerprintError);
        }
        u128::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| ParseFingerprintError)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Rows and their fingerprint, taken from COPY data as it passes, in pieces of any size.
///
/// For the other side of a comparison: push what `COPY … TO STDOUT` (text format) sends. The wire protocol has no `\.`
/// line, and none is looked for.
#[derive(Clone)]
pub struct RowSum {
    rows: u64,
    fingerprint: Fingerprint,
    /// The line whose end has not come yet.
    open: Option<Box<Xxh3>>,
    idle: Option<Box<Xxh3>>,
}

impl Default for RowSum {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RowSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowSum")
            .field("rows", &self.rows)
            .field("fingerprint", &self.fingerprint)
            .finish()
    }
}

impl RowSum {
    /// No rows yet.
    pub fn new() -> Self {
        Self {
            rows: 0,
            fingerprint: Fingerprint::EMPTY,
            open: None,
            idle: None,
        }
    }

    /// Takes the next piece of the stream. Lines may straddle pieces.
    pub fn push(&mut self, mut piece: &[u8]) {
        if let Some(mut hasher) = self.open.take() {
            let Some(end) = memchr::memchr(b'\n', piece) else {
                hasher.update(piece);
                self.open = Some(hasher);
                return;
            };
            hasher.update(&piece[..end]);
            self.fingerprint.add_hash(hasher.digest128());
            self.rows += 1;
            hasher.reset();
            self.idle = Some(hasher);
            piece = &piece[end + 1..];
        }
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', piece) {
            self.fingerprint.add_row(&piece[start..end]);
            self.rows += 1;
            start = end + 1;
        }
        if start < piece.len() {
            let mut hasher = self.idle.take().unwrap_or_else(|| Box::new(Xxh3::new()));
            hasher.update(&piece[start..]);
            self.open = Some(hasher);
        }
    }

    /// The rows and their fingerprint. A last line without a newline counts as a row.
    pub fn finish(mut self) -> (u64, Fingerprint) {
        if let Some(hasher) = self.open.take() {
            self.fingerprint.add_hash(hasher.digest128());
            self.rows += 1;
        }
        (self.rows, self.fingerprint)
    }
}

/// The hash of one large object: XXH3-128 of its OID (four bytes, least significant first) and its content. Push the
/// content in pieces of any size, then [`finish`](Self::finish) it into the sum of all.
pub struct LargeObjectHash(Box<Xxh3>);

impl fmt::Debug for LargeObjectHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LargeObjectHash")
    }
}

impl LargeObjectHash {
    /// A large object without content so far.
    pub fn new(oid: u32) -> Self {
        let mut hasher = Box::new(Xxh3::new());
        hasher.update(&oid.to_le_bytes());
        Self(hasher)
    }

    /// Takes the next piece of its content.
    pub fn push(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// Adds the large object to a sum.
    pub fn finish(self, sum: &mut Fingerprint) {
        sum.add_hash(self.0.digest128());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_does_not_depend_on_the_order_of_rows() {
        let (mut a, mut b) = (Fingerprint::EMPTY, Fingerprint::EMPTY);
        for row in ["1\tone", "2\ttwo", "3\t\\N"] {
            a.add_row(row.as_bytes());
        }
        for row in ["3\t\\N", "1\tone", "2\ttwo"] {
            b.add_row(row.as_bytes());
        }
        assert_eq!(a, b);
        b.add_row(b"1\tone");
        assert_ne!(a, b);
    }

    #[test]
    fn a_fingerprint_is_xxh3_128_written_as_32_hex_digits() {
        // `printf '' | xxh128sum` and `printf a | xxh128sum` (xxHash's own program).
        let mut empty_row = Fingerprint::EMPTY;
        empty_row.add_row(b"");
        assert_eq!(empty_row.to_string(), "99aa06d3014798d86001c324468d497f");
        let mut a = Fingerprint::EMPTY;
        a.add_row(b"a");
        assert_eq!(a.to_string(), "a96faf705af16834e6c632b61e964e1f");
        assert_eq!("a96faf705af16834e6c632b61e964e1f".parse(), Ok(a));
        assert_eq!("a96f".parse::<Fingerprint>(), Err(ParseFingerprintError));
        assert_eq!(
            "+96faf705af16834e6c632b61e964e1f".parse::<Fingerprint>(),
            Err(ParseFingerprintError)
        );
    }

    #[test]
    fn pieces_of_any_size_make_the_same_sum() {
        let text = "1\tone\n\n2\ttwo two two\n3\tx\n".repeat(40);
        let mut whole = RowSum::new();
        whole.push(text.as_bytes());
        let whole = whole.finish();
        assert_eq!(whole.0, 160);
        for size in [1, 2, 3, 7, 64, 300] {
            let mut sum = RowSum::new();
            text.as_bytes().chunks(size).for_each(|piece| sum.push(piece));
            assert_eq!(sum.finish(), whole, "pieces of {size}");
        }
    }
}
