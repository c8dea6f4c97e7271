//! Rows as comma-separated values (RFC 4180), as PostgreSQL's own `COPY … WITH (FORMAT csv, HEADER)` writes them: NULL is nothing, the empty
//! text is `""`, a line ends with a newline.
//!
//! Knows fields, not where they come from. A value is quoted where it has to be; one that is longer than [`HELD`] always.

use std::io::{self, Write};
use std::ops::ControlFlow;

use crate::copy_text::Fields;

/// So much of a value is held while it is not plain whether it needs quotes.
const HELD: usize = 64 << 10;

/// Writes rows as CSV.
#[derive(Debug)]
pub struct CsvWriter<W> {
    out: W,
    columns: usize,
    /// Fields of the present line that have ended.
    ended: usize,
    held: Vec<u8>,
    /// The present field is in quotes, and what was held of it is written.
    quoted: bool,
}

impl<W: Write> CsvWriter<W> {
    /// Writes the line with the columns' names, in the rows' own encoding.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn begin(out: W, names: &[Vec<u8>]) -> io::Result<Self> {
        let mut csv = Self {
            out,
            columns: names.len(),
            ended: 0,
            held: Vec::new(),
            quoted: false,
        };
        for name in names {
            csv.piece(name)?;
            csv.field_ended(false)?;
        }
        let _ = csv.row_ended()?;
        Ok(csv)
    }

    fn escaped(&mut self, bytes: &[u8]) -> io::Result<()> {
        doubled(&mut self.out, bytes, b'"')
    }

    /// By the rules of COPY: what has a comma, a quote or a line break; what could be taken for NULL, or for the end of the data.
    fn needs_quotes(&self) -> bool {
        self.held.is_empty()
            || memchr::memchr3(b',', b'"', b'\n', &self.held).is_some()
            || memchr::memchr(b'\r', &self.held).is_some()
            || (self.columns == 1 && self.held == b"\\.")
    }

    fn separate(&mut self) -> io::Result<()> {
        if self.ended > 0 {
            self.out.write_all(b",")?;
        }
        Ok(())
    }
}

/// Writes a text in which each `quote` stands twice.
pub(crate) fn doubled(out: &mut impl Write, bytes: &[u8], quote: u8) -> io::Result<()> {
    let mut from = 0;
    for at in memchr::memchr_iter(quote, bytes) {
        out.write_all(&bytes[from..=at])?;
        from = at;
    }
    out.write_all(&bytes[from..])
}

impl<W: Write> Fields for CsvWriter<W> {
    fn piece(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.quoted {
            return self.escaped(bytes);
        }
        self.held.extend_from_slice(bytes);
        if self.held.len() > HELD {
            self.separate()?;
            self.out.write_all(b"\"")?;
            self.quoted = true;
            let held = std::mem::take(&mut self.held);
            self.escaped(&held)?;
        }
        Ok(())
    }

    fn field_ended(&mut self, null: bool) -> io::Result<()> {
        if self.quoted {
            self.out.write_all(b"\"")?;
        } else {
            self.separate()?;
            if null {
                // NULL is nothing.
            } else if self.needs_quotes() {
                let held = std::mem::take(&mut self.held);
                self.out.write_all(b"\"")?;
                self.escaped(&held)?;
                self.out.write_all(b"\"")?;
                self.held = held;
            } else {
                self.out.write_all(&self.held)?;
            }
        }
        self.held.clear();
        self.quoted = false;
        self.ended += 1;
        Ok(())
    }

    fn row_ended(&mut self) -> io::Result<ControlFlow<()>> {
        self.ended = 0;
        self.out.write_all(b"\n")?;
        Ok(ControlFlow::Continue(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copy_text::CopyText;

    fn csv(names: &[&str], rows: &[u8]) -> String {
        let names: Vec<Vec<u8>> = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        let mut out = Vec::new();
        let mut writer = CsvWriter::begin(&mut out, &names).unwrap();
        CopyText::new(names.len()).push(rows, &mut writer).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn null_is_nothing_and_the_empty_text_is_two_quotes() {
        assert_eq!(csv(&["a", "b", "c"], b"\\N\t\t1\n"), "a,b,c\n,\"\",1\n");
    }

    #[test]
    fn commas_quotes_and_line_breaks_are_quoted_and_nothing_else() {
        assert_eq!(
            csv(
                &["say \"hi\"", "b,c"],
                b"a,b\tsay \"hi\"\nx\\ny\tx\\ry\n it's \t\\\\.\n"
            ),
            "\"say \"\"hi\"\"\",\"b,c\"\n\"a,b\",\"say \"\"hi\"\"\"\n\"x\ny\",\"x\ry\"\n it's ,\\.\n"
        );
    }

    #[test]
    fn the_mark_of_the_end_is_quoted_where_it_would_stand_alone() {
        assert_eq!(csv(&["a"], b"\\\\.\n\\N\n"), "a\n\"\\.\"\n\n");
    }

    #[test]
    fn a_long_value_is_quoted_and_not_held() {
        let long = "x\"y".repeat(100_000);
        let expected = format!("a,b\n1,\"{}\"\n", long.replace('"', "\"\""));
        assert_eq!(csv(&["a", "b"], format!("1\t{long}\n").as_bytes()), expected);
    }
}
