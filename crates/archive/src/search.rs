//! Whether a value holds a text, whatever the case of its letters.
//!
//! Knows values, not rows. A value comes in pieces of any size and is not held: only so much of it as a text might straddle.

use crate::text::Charset;

/// So much of a value is looked at at once.
const WINDOW: usize = 64 << 10;

/// What is looked for.
#[derive(Debug, Clone)]
pub struct Search {
    /// In lower case.
    wanted: String,
    charset: Charset,
    /// How much of a window's end may be the beginning of what is looked for.
    overlap: usize,
}

impl Search {
    /// Looks for a text in values of an encoding; none where the text is empty.
    pub fn new(text: &str, charset: Charset) -> Option<Self> {
        let wanted = text.to_lowercase();
        // No encoding has characters of more than four bytes; a letter's cases may differ in length.
        let overlap = wanted.chars().count().saturating_mul(8);
        (!wanted.is_empty()).then_some(Self {
            wanted,
            charset,
            overlap,
        })
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        if self.wanted.is_ascii() {
            return ascii_is_in(self.wanted.as_bytes(), bytes);
        }
        // What is ASCII alone holds no other letter.
        !bytes.is_ascii()
            && self
                .charset
                .show(bytes, false)
                .0
                .to_lowercase()
                .contains(&self.wanted)
    }
}

/// Whether an ASCII text in lower case is in a value.
fn ascii_is_in(wanted: &[u8], bytes: &[u8]) -> bool {
    let Some((&first, rest)) = wanted.split_first() else {
        return true;
    };
    memchr::memchr2_iter(first, first.to_ascii_uppercase(), bytes).any(|at| {
        bytes
            .get(at + 1..at + 1 + rest.len())
            .is_some_and(|after| after.eq_ignore_ascii_case(rest))
    })
}

/// The search in one value after the other.
#[derive(Debug)]
pub struct Searching {
    search: Search,
    window: Vec<u8>,
    found: bool,
}

impl Searching {
    /// Begins with a value.
    pub fn new(search: Search) -> Self {
        Self {
            search,
            window: Vec::new(),
            found: false,
        }
    }

    /// A piece of the present value.
    pub fn piece(&mut self, bytes: &[u8]) {
        if self.found {
            return;
        }
        self.window.extend_from_slice(bytes);
        if self.window.len() > WINDOW.max(2 * self.search.overlap) {
            self.found = self.search.is_in(&self.window);
            let seen = self.window.len() - self.search.overlap;
            // Where it is near, between two characters, which no encoding has inside an ASCII one.
            let near = (seen.saturating_sub(256)..seen).rev();
            let cut = near.into_iter().find(|at| self.window[*at].is_ascii());
            self.window.drain(..cut.unwrap_or(seen));
        }
    }

    /// The present value has ended.
    pub fn value_ended(&mut self) {
        self.found = self.found || self.search.is_in(&self.window);
        self.window.clear();
    }

    /// Whether some value since the last call held the text.
    pub fn take(&mut self) -> bool {
        self.window.clear();
        std::mem::take(&mut self.found)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn found(text: &str, encoding: &str, value: &[u8], size: usize) -> bool {
        let mut searching = Searching::new(Search::new(text, Charset::of(encoding)).unwrap());
        value.chunks(size).for_each(|piece| searching.piece(piece));
        searching.value_ended();
        searching.take()
    }

    #[rstest]
    #[case("ada", "UTF8", b"write to Ada@example.com", true)]
    #[case("ADA@", "UTF8", b"write to Ada@example.com", true)]
    #[case("ada", "UTF8", b"ad a", false)]
    #[case("aab", "UTF8", b"aaab", true)]
    #[case("GRÖSSE", "UTF8", "die grösse".as_bytes(), true)]
    #[case("größe", "LATIN1", b"Gr\xf6\xdfe", true)]
    #[case("größe", "UTF8", b"Groesse", false)]
    #[case("таб", "KOI8R", b"\xf4\xc1\xc2", true)]
    #[case("x", "UTF8", b"", false)]
    fn the_case_of_letters_does_not_count(
        #[case] text: &str,
        #[case] encoding: &str,
        #[case] value: &[u8],
        #[case] is_in: bool,
    ) {
        for size in [1, 3, 1000] {
            assert_eq!(found(text, encoding, value, size), is_in, "pieces of {size}");
        }
    }

    #[rstest]
    #[case("needle")]
    #[case("nädel")]
    fn a_text_in_a_long_value_is_found_wherever_it_stands(#[case] text: &str) {
        for before in [0, WINDOW - 3, WINDOW, 3 * WINDOW + 1] {
            let value = format!(
                "{}{}{}",
                "x".repeat(before),
                text.to_uppercase(),
                "y".repeat(WINDOW)
            );
            for size in [1000, 8192, value.len()] {
                assert!(
                    found(text, "UTF8", value.as_bytes(), size),
                    "after {before} in {size}"
                );
            }
        }
    }

    #[test]
    fn one_value_does_not_go_on_in_the_next() {
        let mut searching = Searching::new(Search::new("ab", Charset::Utf8).unwrap());
        for value in [b"a", b"b"] {
            searching.piece(value);
            searching.value_ended();
        }
        assert!(!searching.take());
        assert!(Search::new("", Charset::Utf8).is_none());
    }
}
