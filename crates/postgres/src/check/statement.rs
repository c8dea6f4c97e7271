//! Whether a user's SQL is one statement: what comes after a second one's beginning would not be in the read-only transaction that is put
//! around it. Not a parser: it knows where quotes and comments end (PostgreSQL manual, "Lexical Structure"), and no more.

use howdah_domain::{Failure, FailureCode};

use crate::Error;

/// Refuses more than one statement, and what cannot be sent.
///
/// Whether a backslash escapes in a plain literal is the server's setting (`standard_conforming_strings`): it must be one statement in
/// both readings.
pub(super) fn is_one(sql: &str) -> Result<(), Error> {
    if sql.contains('\0') {
        return Err(Failure::new(
            FailureCode::InvalidInput,
            "The check's question contains a NUL character.",
        )
        .hint("Remove it.")
        .into());
    }
    if [false, true]
        .into_iter()
        .any(|escapes| Scanner { rest: sql, escapes }.has_more_than_one())
    {
        return Err(Failure::new(
            FailureCode::InvalidInput,
            "The check's question is more than one statement.",
        )
        .hint("Ask by one SELECT; several values can be combined in one expression.")
        .into());
    }
    Ok(())
}

struct Scanner<'a> {
    rest: &'a str,
    escapes: bool,
}

impl Scanner<'_> {
    fn has_more_than_one(mut self) -> bool {
        let mut ended = false;
        while let Some(c) = self.rest.chars().next() {
            if c.is_ascii_whitespace() {
                self.skip(1);
            } else if self.rest.starts_with("--") {
                self.skip(self.rest.find(['\n', '\r']).unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                self.skip_comment();
            } else if c == ';' {
                ended = true;
                self.skip(1);
            } else if ended {
                return true;
            } else {
                self.skip_piece(c);
            }
        }
        false
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    /// Comments nest.
    fn skip_comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.skip(2);
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.skip(2);
            } else {
                match self.rest.chars().next() {
                    Some(c) => self.skip(c.len_utf8()),
                    None => return,
                }
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// A literal, a name, or another character.
    fn skip_piece(&mut self, first: char) {
        match first {
            '\'' => self.skip_quoted('\'', self.escapes),
            '"' => self.skip_quoted('"', false),
            '$' => match self.dollar_tag() {
                Some(tag) => {
                    let inside = self.rest.get(tag.len()..).unwrap_or_default();
                    let end = inside.find(&tag).map_or(self.rest.len(), |at| at + 2 * tag.len());
                    self.skip(end);
                }
                None => self.skip(1),
            },
            c if is_of_a_word(c) => {
                let end = self
                    .rest
                    .find(|c| !is_of_a_word(c) && c != '$')
                    .unwrap_or(self.rest.len());
                let is_escape = self
                    .rest
                    .get(..end)
                    .is_some_and(|word| word.eq_ignore_ascii_case("e"));
                self.skip(end);
                if is_escape && self.rest.starts_with('\'') {
                    self.skip_quoted('\'', true);
                }
            }
            c => self.skip(c.len_utf8()),
        }
    }

    fn skip_quoted(&mut self, quote: char, escapes: bool) {
        let mut chars = self.rest.char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            if escapes && c == '\\' {
                chars.next();
            } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
                self.skip(at + 1);
                return;
            }
        }
        self.rest = "";
    }

    /// `$$` or `$tag$`, where the rest begins with one.
    fn dollar_tag(&self) -> Option<String> {
        let inside = self.rest.get(1..)?;
        let end = inside.find('$')?;
        let name = inside.get(..end)?;
        let is_tag = name.chars().all(is_of_a_word) && !name.starts_with(|c: char| c.is_ascii_digit());
        is_tag.then(|| format!("${name}$"))
    }
}

fn is_of_a_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("SELECT 1")]
    #[case("SELECT 1;")]
    #[case("SELECT 1; ;\n -- the end; really\n/* or; /* not */; */ ;")]
    #[case("-- first; SELECT\nSELECT 1 -- no line after this;")]
    #[case("SELECT ';', \";\", 'it''s;', $$;$$, $a$;$$;$a$")]
    #[case("SELECT E'\\';', e'\\\\' AS \"a;\"\"b;\"")]
    #[case("SELECT E'a'';\\';b'")]
    #[case("SELECT a$b$c FROM t")]
    #[case("SELECT $1, $2")]
    #[case("SELECT 'ß;' AS größe$x")]
    #[case("SELECT 'never closed;")]
    #[case("SELECT $$never closed; SELECT 2")]
    #[case("/* never closed; SELECT 1")]
    #[case("")]
    fn one_statement_is_taken_for_one(#[case] sql: &str) {
        assert!(is_one(sql).is_ok(), "{sql}");
    }

    #[rstest]
    #[case("SELECT 1; SELECT 2")]
    #[case("COMMIT; DELETE FROM t")]
    #[case("SELECT $a$;$a$; DROP TABLE t")]
    #[case("SELECT a$b$c; DROP TABLE t; SELECT $b$")]
    #[case("SELECT '--'; DROP TABLE t")]
    #[case("/* /* */ ; */ SELECT 1; SELECT 2")]
    // As the server reads it with standard_conforming_strings on, and off.
    #[case("SELECT '\\'; DROP TABLE t; --'")]
    #[case("SELECT '\\''; DROP TABLE t; --'")]
    #[case("SELECT E'\\\\'; DROP TABLE t")]
    #[case("SELECT -- \r; DROP TABLE t\n 1; SELECT 2")]
    #[case("SELECT\0 1")]
    fn what_is_more_or_cannot_be_sent_is_refused(#[case] sql: &str) {
        assert_eq!(
            is_one(sql).unwrap_err().code(),
            FailureCode::InvalidInput,
            "{sql}"
        );
    }
}
