//! Rows as SQL: `INSERT INTO … VALUES` with many rows each, in one transaction.
//!
//! For PostgreSQL of any version that Howdah knows, and any client. Each value is the text that COPY wrote, as a string literal by the rules of
//! `standard_conforming_strings` (only quotes are doubled); the server reads it with its column's own input function, as COPY does.
//! `OVERRIDING SYSTEM VALUE` lets identity columns take their values as COPY does, and means nothing to a table without them (manual,
//! "INSERT"). Rules and triggers of the table act as on any INSERT. Generated columns are not in a dump. The settings are those under which
//! pg_dump made the texts, for this transaction only; `lc_monetary` is the target's own, as in a restore.

use std::io::{self, Write};
use std::ops::ControlFlow;

use crate::copy_text::Fields;
use crate::csv::doubled;

/// A statement is ended when it has so many rows,
const MOST_ROWS: usize = 500;
/// or so many bytes of values.
const MOST_BYTES: usize = 1 << 20;

/// What the rows are of, in their own encoding.
#[derive(Debug, Clone)]
pub struct InsertTarget {
    /// PostgreSQL's name of the encoding.
    pub encoding: String,
    /// The table's schema.
    pub schema: Vec<u8>,
    /// The table.
    pub table: Vec<u8>,
    /// The columns, in the rows' order.
    pub columns: Vec<Vec<u8>>,
}

/// Writes rows as SQL. Its [`finish`](InsertWriter::finish) must be called.
#[derive(Debug)]
pub struct InsertWriter<W> {
    out: W,
    /// A statement as far as its first row.
    head: Vec<u8>,
    columns: usize,
    /// Fields of the present row that have ended.
    ended: usize,
    /// The present value's quote is open.
    open: bool,
    /// Rows and bytes of the present statement.
    rows: usize,
    bytes: usize,
}

impl<W: Write> InsertWriter<W> {
    /// Writes what comes before the rows.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn begin(mut out: W, target: &InsertTarget) -> io::Result<Self> {
        let mut head = b"INSERT INTO ".to_vec();
        identifier(&mut head, &target.schema)?;
        head.push(b'.');
        identifier(&mut head, &target.table)?;
        if target.columns.is_empty() {
            head.extend_from_slice(b" DEFAULT VALUES;\n");
        } else {
            for (number, column) in target.columns.iter().enumerate() {
                head.extend_from_slice(if number == 0 { b" (" } else { b", " });
                identifier(&mut head, column)?;
            }
            head.extend_from_slice(b") OVERRIDING SYSTEM VALUE VALUES\n");
        }
        out.write_all(b"BEGIN;\nSET LOCAL client_encoding = '")?;
        doubled(&mut out, target.encoding.as_bytes(), b'\'')?;
        out.write_all(
            b"';\nSET LOCAL standard_conforming_strings = on;\nSET LOCAL search_path = '';\n\
              SET LOCAL xmloption = content;\nSET LOCAL DateStyle = ISO;\nSET LOCAL IntervalStyle = postgres;\n",
        )?;
        Ok(Self {
            out,
            head,
            columns: target.columns.len(),
            ended: 0,
            open: false,
            rows: 0,
            bytes: 0,
        })
    }

    /// Writes what comes after the rows, and hands back where it wrote.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.end_statement()?;
        self.out.write_all(b"COMMIT;\n")?;
        Ok(self.out)
    }

    fn end_statement(&mut self) -> io::Result<()> {
        if self.rows > 0 {
            self.out.write_all(b";\n")?;
        }
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }

    /// What comes before the present field's value.
    fn begin_field(&mut self) -> io::Result<()> {
        if self.ended > 0 {
            return self.out.write_all(b", ");
        }
        if self.rows == 0 {
            self.out.write_all(&self.head)?;
        } else {
            self.out.write_all(b",\n")?;
        }
        self.out.write_all(b"(")
    }
}

fn identifier(out: &mut Vec<u8>, name: &[u8]) -> io::Result<()> {
    out.push(b'"');
    doubled(out, name, b'"')?;
    out.push(b'"');
    Ok(())
}

impl<W: Write> Fields for InsertWriter<W> {
    fn piece(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.open {
            self.begin_field()?;
            self.out.write_all(b"'")?;
            self.open = true;
        }
        self.bytes = self.bytes.saturating_add(bytes.len());
        doubled(&mut self.out, bytes, b'\'')
    }

    fn field_ended(&mut self, null: bool) -> io::Result<()> {
        if self.open {
            self.out.write_all(b"'")?;
        } else {
            self.begin_field()?;
            self.out.write_all(if null { b"NULL" } else { b"''" })?;
        }
        self.open = false;
        self.ended += 1;
        Ok(())
    }

    fn row_ended(&mut self) -> io::Result<ControlFlow<()>> {
        self.ended = 0;
        if self.columns == 0 {
            self.out.write_all(&self.head)?;
            return Ok(ControlFlow::Continue(()));
        }
        self.out.write_all(b")")?;
        self.rows += 1;
        if self.rows >= MOST_ROWS || self.bytes >= MOST_BYTES {
            self.end_statement()?;
        }
        Ok(ControlFlow::Continue(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copy_text::CopyText;

    fn sql(columns: &[&str], rows: &[u8]) -> String {
        let target = InsertTarget {
            encoding: "UTF8".to_owned(),
            schema: b"My schema".to_vec(),
            table: b"say \"hi\"".to_vec(),
            columns: columns.iter().map(|name| name.as_bytes().to_vec()).collect(),
        };
        let mut writer = InsertWriter::begin(Vec::new(), &target).unwrap();
        CopyText::new(columns.len()).push(rows, &mut writer).unwrap();
        String::from_utf8(writer.finish().unwrap()).unwrap()
    }

    #[test]
    fn values_are_literals_in_which_only_quotes_are_doubled() {
        let text = sql(&["a", "b"], b"it's\t\\\\x00\n\\N\t\n");
        let statements = text.split_once("postgres;\n").unwrap().1;
        assert_eq!(
            statements,
            "INSERT INTO \"My schema\".\"say \"\"hi\"\"\" (\"a\", \"b\") OVERRIDING SYSTEM VALUE VALUES\n\
             ('it''s', '\\x00'),\n(NULL, '');\nCOMMIT;\n"
        );
        assert!(
            text.starts_with("BEGIN;\nSET LOCAL client_encoding = 'UTF8';\n"),
            "{text}"
        );
    }

    #[test]
    fn rows_come_in_statements_of_bounded_size() {
        let rows: String = (0..1201).map(|n| format!("{n}\n")).collect();
        assert_eq!(sql(&["a"], rows.as_bytes()).matches("INSERT INTO").count(), 3);
        let long = format!("{}\n", "x".repeat(600_000)).repeat(4);
        assert_eq!(sql(&["a"], long.as_bytes()).matches("INSERT INTO").count(), 2);
    }

    #[test]
    fn a_table_without_rows_or_without_columns_has_its_own_form() {
        assert!(!sql(&["a"], b"").contains("INSERT"));
        let text = sql(&[], b"\n\n");
        assert_eq!(
            text.matches("\"say \"\"hi\"\"\" DEFAULT VALUES;\n").count(),
            2,
            "{text}"
        );
    }
}
