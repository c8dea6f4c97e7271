//! COPY's text format taken apart: fields of rows, unescaped, as the bytes pass in pieces of any size.
//!
//! By the PostgreSQL manual, "COPY", "Text Format": columns are divided by tabs, a field that is `\N` is NULL, and `\b \f \n \r \t \v`,
//! `\` with one to three octal digits and `\x` with one or two hex digits stand for a byte; any other character after a backslash stands for
//! itself. A row is one line here as everywhere in a backup, and the line `\.` does not come ([`CopyRows`](crate::entry::CopyRows) ends before
//! it). Every encoding that a server may have is safe for this: in none of them is a byte below 0x80 a part of another character.
//! Nothing is held: a value of a gigabyte passes as it comes.

use std::io;
use std::ops::ControlFlow;

use crate::Error;
use crate::manifest::DUMP_FILE;

/// Who wants the fields. What its methods fail with is told as [`Error::Write`].
pub trait Fields {
    /// A piece of the present field's value, unescaped. An empty value has none.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn piece(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// The present field has ended.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn field_ended(&mut self, null: bool) -> io::Result<()>;

    /// The present row has ended. Answers whether to go on.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn row_ended(&mut self) -> io::Result<ControlFlow<()>>;
}

/// Where in a field it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At its beginning.
    Start,
    /// Inside.
    Inside,
    /// After a backslash; whether that is the field's first character.
    Backslash { first: bool },
    /// The field is `\N` so far.
    PerhapsNull,
    /// After a backslash and so many octal digits.
    Octal { value: u8, digits: u8 },
    /// After `\x`.
    HexBegun,
    /// After `\x` and one hex digit.
    Hex { value: u8 },
}

/// Takes rows apart. One for each stream of rows; the stream begins at a row's beginning.
#[derive(Debug)]
pub struct CopyText {
    columns: usize,
    /// Fields of the present row that have ended.
    ended: usize,
    state: State,
}

impl CopyText {
    /// For rows of so many columns. A table without columns has empty lines for rows.
    pub fn new(columns: usize) -> Self {
        Self {
            columns,
            ended: 0,
            state: State::Start,
        }
    }

    /// Takes the next piece of the stream. Answers how much of it was taken: all, unless `fields` wanted to stop after a row.
    ///
    /// # Errors
    /// [`Error::Damaged`] where a row has more or fewer fields than there are columns; [`Error::Write`] where `fields` fails.
    pub fn push<F: Fields + ?Sized>(&mut self, piece: &[u8], fields: &mut F) -> Result<usize, Error> {
        let failed = |source| Error::Write { source };
        let mut at = 0;
        while let Some(&byte) = piece.get(at) {
            // A character that an escape turned out not to include is looked at again in the state `Inside`.
            match self.state {
                State::Start | State::Inside => {
                    let rest = &piece[at..];
                    let plain = memchr::memchr3(b'\t', b'\n', b'\\', rest).unwrap_or(rest.len());
                    if plain > 0 {
                        self.has_room()?;
                        fields.piece(&rest[..plain]).map_err(failed)?;
                        self.state = State::Inside;
                        at += plain;
                        continue;
                    }
                    at += 1;
                    if byte == b'\\' {
                        self.has_room()?;
                        let first = self.state == State::Start;
                        self.state = State::Backslash { first };
                    } else if self.end_field(byte, false, fields)?.is_break() {
                        return Ok(at);
                    }
                }
                State::PerhapsNull if byte == b'\t' || byte == b'\n' => {
                    at += 1;
                    if self.end_field(byte, true, fields)?.is_break() {
                        return Ok(at);
                    }
                }
                State::PerhapsNull => {
                    fields.piece(b"N").map_err(failed)?;
                    self.state = State::Inside;
                }
                // A line's end ends the field, whatever stands before it.
                State::Backslash { .. } if byte == b'\n' => self.state = State::Inside,
                State::Backslash { first: true } if byte == b'N' => {
                    at += 1;
                    self.state = State::PerhapsNull;
                }
                State::Backslash { .. } => {
                    at += 1;
                    self.state = State::Inside;
                    let meant = match byte {
                        b'b' => 0x08,
                        b'f' => 0x0c,
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'v' => 0x0b,
                        b'x' => {
                            self.state = State::HexBegun;
                            continue;
                        }
                        b'0'..=b'7' => {
                            self.state = State::Octal {
                                value: byte - b'0',
                                digits: 1,
                            };
                            continue;
                        }
                        other => other,
                    };
                    fields.piece(&[meant]).map_err(failed)?;
                }
                State::Octal { value, digits } => match byte {
                    b'0'..=b'7' if digits < 3 => {
                        at += 1;
                        // Of three digits the lowest eight bits count, as for the server.
                        self.state = State::Octal {
                            value: (value << 3) | (byte - b'0'),
                            digits: digits + 1,
                        };
                    }
                    _ => {
                        fields.piece(&[value]).map_err(failed)?;
                        self.state = State::Inside;
                    }
                },
                State::HexBegun => match hex_digit(byte) {
                    Some(value) => {
                        at += 1;
                        self.state = State::Hex { value };
                    }
                    None => {
                        fields.piece(b"x").map_err(failed)?;
                        self.state = State::Inside;
                    }
                },
                State::Hex { value } => {
                    let whole = match hex_digit(byte) {
                        Some(low) => {
                            at += 1;
                            (value << 4) | low
                        }
                        None => value,
                    };
                    fields.piece(&[whole]).map_err(failed)?;
                    self.state = State::Inside;
                }
            }
        }
        Ok(at)
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// [`Error::Damaged`] where that is inside a row.
    pub fn finish(&self) -> Result<(), Error> {
        if self.ended == 0 && self.state == State::Start {
            return Ok(());
        }
        Err(Error::damaged(DUMP_FILE, "a table's rows end inside a row"))
    }

    /// Whether there may be something in the present field.
    fn has_room(&self) -> Result<(), Error> {
        if self.ended < self.columns {
            return Ok(());
        }
        Err(self.other_columns())
    }

    fn other_columns(&self) -> Error {
        Error::damaged(
            DUMP_FILE,
            format!(
                "a row does not have the {} columns that the index names",
                self.columns
            ),
        )
    }

    fn end_field<F: Fields + ?Sized>(
        &mut self,
        by: u8,
        null: bool,
        fields: &mut F,
    ) -> Result<ControlFlow<()>, Error> {
        let failed = |source| Error::Write { source };
        self.state = State::Start;
        if self.ended < self.columns {
            self.ended += 1;
            fields.field_ended(null).map_err(failed)?;
        } else if self.columns > 0 || by == b'\t' {
            return Err(self.other_columns());
        }
        if by == b'\t' {
            return Ok(ControlFlow::Continue(()));
        }
        if self.ended != self.columns {
            return Err(self.other_columns());
        }
        self.ended = 0;
        fields.row_ended().map_err(failed)
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// Rows as lists of values.
    #[derive(Debug, Default)]
    struct Rows {
        value: Vec<u8>,
        row: Vec<Option<Vec<u8>>>,
        all: Vec<Vec<Option<Vec<u8>>>>,
        most: Option<usize>,
    }

    impl Fields for Rows {
        fn piece(&mut self, bytes: &[u8]) -> io::Result<()> {
            self.value.extend_from_slice(bytes);
            Ok(())
        }

        fn field_ended(&mut self, null: bool) -> io::Result<()> {
            let value = std::mem::take(&mut self.value);
            assert!(!null || value.is_empty());
            self.row.push((!null).then_some(value));
            Ok(())
        }

        fn row_ended(&mut self) -> io::Result<ControlFlow<()>> {
            self.all.push(std::mem::take(&mut self.row));
            Ok(match self.most {
                Some(most) if self.all.len() >= most => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            })
        }
    }

    /// The one field of one row.
    fn one(text: &[u8]) -> Option<Vec<u8>> {
        let mut rows = Rows::default();
        let mut copy = CopyText::new(1);
        copy.push(text, &mut rows).unwrap();
        copy.push(b"\n", &mut rows).unwrap();
        copy.finish().unwrap();
        assert_eq!(rows.all.len(), 1);
        rows.all.remove(0).remove(0)
    }

    #[rstest]
    #[case(br"\N", None)]
    #[case(b"", Some(&b""[..]))]
    #[case(br"\\N", Some(&br"\N"[..]))]
    #[case(br"\Nx", Some(&b"Nx"[..]))]
    #[case(br"x\N", Some(&b"xN"[..]))]
    #[case(br"\N\N", Some(&b"NN"[..]))]
    #[case(br"\b\f\n\r\t\v", Some(&b"\x08\x0c\n\r\t\x0b"[..]))]
    #[case(br"\101\1018\7\77z", Some(&b"AA8\x07\x3fz"[..]))]
    #[case(br"\377\400\7777", Some(&b"\xff\x00\xff7"[..]))]
    #[case(br"\x41\x4a4\x7\xg\x", Some(&b"AJ4\x07xgx"[..]))]
    #[case(br"\x7\x7z\1\n", Some(&b"\x07\x07z\x01\n"[..]))]
    #[case(br"\q\.\\\Z", Some(&b"q.\\Z"[..]))]
    #[case("Größe\u{1f418}".as_bytes(), Some("Größe\u{1f418}".as_bytes()))]
    #[case(br"end\", Some(&b"end"[..]))]
    fn a_field_is_unescaped_as_the_manual_says(#[case] text: &[u8], #[case] value: Option<&[u8]>) {
        assert_eq!(one(text).as_deref(), value);
    }

    #[test]
    fn pieces_of_any_size_make_the_same_rows() {
        let text = b"1\t\\N\ta\\tb\\\\\n\\N\t\t\\x41\\101\\N\nlong value here\t\\Nx\t\\x\n".repeat(20);
        let rows_of = |size: usize| {
            let (mut rows, mut copy) = (Rows::default(), CopyText::new(3));
            for piece in text.chunks(size) {
                assert_eq!(copy.push(piece, &mut rows).unwrap(), piece.len());
            }
            copy.finish().unwrap();
            rows.all
        };
        let whole = rows_of(text.len());
        assert_eq!(whole.len(), 60);
        assert_eq!(
            whole[1],
            [None, Some(Vec::new()), Some(b"AAN".to_vec())],
            "NULL and the empty text are different"
        );
        for size in [1, 2, 3, 7, 64] {
            assert_eq!(rows_of(size), whole, "pieces of {size}");
        }
    }

    #[test]
    fn rows_without_columns_are_empty_lines() {
        let (mut rows, mut copy) = (Rows::default(), CopyText::new(0));
        copy.push(b"\n\n\n", &mut rows).unwrap();
        copy.finish().unwrap();
        assert_eq!(rows.all, vec![Vec::new(); 3]);
        assert!(CopyText::new(0).push(b"x\n", &mut rows).is_err());
        assert!(CopyText::new(0).push(b"\t\n", &mut rows).is_err());
    }

    #[rstest]
    #[case(b"1\n")]
    #[case(b"1\t2\t3\n")]
    #[case(b"1\t2\t\n")]
    #[case(b"\n")]
    fn another_number_of_fields_is_a_damage(#[case] text: &[u8]) {
        let error = CopyText::new(2).push(text, &mut Rows::default()).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
    }

    #[test]
    fn who_has_enough_stops_after_a_row_and_goes_on_there() {
        let text = b"1\n2\n3\n";
        let mut copy = CopyText::new(1);
        let mut rows = Rows {
            most: Some(2),
            ..Rows::default()
        };
        let taken = copy.push(text, &mut rows).unwrap();
        assert_eq!(&text[taken..], b"3\n");
        copy.push(&text[taken..], &mut rows).unwrap();
        assert_eq!(rows.all.len(), 3);
    }

    #[test]
    fn a_stream_that_ends_inside_a_row_is_damaged() {
        for text in [&b"1"[..], b"1\t", b"\\"] {
            let mut copy = CopyText::new(2);
            copy.push(text, &mut Rows::default()).unwrap();
            assert!(copy.finish().is_err(), "{text:?}");
        }
    }
}
