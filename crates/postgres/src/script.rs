//! SQL as pg_dump writes it, cut into statements and tokens: enough to read an option or to exchange a name.
//!
//! Not a parser: comments and dollar quotes do not occur where it is used.

/// The statements of a script, without their semicolons.
pub(crate) fn statements(sql: &str) -> Vec<&str> {
    let (mut found, mut start) = (Vec::new(), 0);
    for token in tokens(sql) {
        if token.text == ";" {
            found.push(sql[start..token.at].trim());
            start = token.at + 1;
        }
    }
    found.push(sql[start..].trim());
    found.retain(|statement| !statement.is_empty());
    found
}

/// A piece of SQL: a word, a quoted name, a literal, or another character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    /// Where it begins, in bytes.
    pub(crate) at: usize,
    pub(crate) text: &'a str,
}

impl Token<'_> {
    pub(crate) fn is_word(&self, word: &str) -> bool {
        self.text.eq_ignore_ascii_case(word)
    }

    /// A literal's or a quoted name's content; other tokens as they are.
    pub(crate) fn value(&self) -> String {
        for mark in ["'", "\""] {
            if let Some(inner) = self
                .text
                .strip_prefix(mark)
                .and_then(|inner| inner.strip_suffix(mark))
            {
                return inner.replace(&mark.repeat(2), mark);
            }
        }
        self.text.to_owned()
    }
}

/// Cuts SQL as pg_dump writes it into tokens; `E'…'` is one of them, comments do not occur.
pub(crate) fn tokens(sql: &str) -> Vec<Token<'_>> {
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let mut chars = sql.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let mut end = at + c.len_utf8();
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '-' | '.');
        if c.is_whitespace() {
            continue;
        }
        let escapes = matches!(c, 'E' | 'e') && chars.peek().is_some_and(|(_, next)| *next == '\'');
        if escapes || c == '\'' || c == '"' {
            let mark = if c == '"' { '"' } else { '\'' };
            if escapes {
                chars.next();
            }
            while let Some((inner_at, inner)) = chars.next() {
                end = inner_at + inner.len_utf8();
                if escapes && inner == '\\' {
                    chars.next();
                } else if inner == mark {
                    match chars.peek() {
                        Some((_, next)) if *next == mark => {
                            chars.next();
                        }
                        _ => break,
                    }
                }
            }
        } else if is_word(c) {
            while let Some((inner_at, inner)) = chars.next_if(|(_, inner)| is_word(*inner)) {
                end = inner_at + inner.len_utf8();
            }
        }
        tokens.push(Token {
            at,
            text: &sql[at..end],
        });
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_semicolons_outside_of_quotes() {
        assert_eq!(
            statements("ALTER DATABASE a SET x TO 'b;c';\nALTER DATABASE a SET y TO E'd\\';';\n"),
            [
                "ALTER DATABASE a SET x TO 'b;c'",
                "ALTER DATABASE a SET y TO E'd\\';'"
            ]
        );
    }

    #[test]
    fn quoted_names_and_literals_are_one_token_each() {
        let tokens = tokens("ALTER DATABASE \"a \"\"b\" SET x TO 'c''d';");
        let texts: Vec<&str> = tokens.iter().map(|token| token.text).collect();
        assert_eq!(
            texts,
            [
                "ALTER",
                "DATABASE",
                "\"a \"\"b\"",
                "SET",
                "x",
                "TO",
                "'c''d'",
                ";"
            ]
        );
        assert_eq!(
            (tokens[2].value().as_str(), tokens[6].value().as_str()),
            ("a \"b", "c'd")
        );
    }
}
