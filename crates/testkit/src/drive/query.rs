//! The `q` of `files.list`: the part of Google's query language that is about names, folders, types, the bin and private
//! properties, with `and`, `or`, `not` and parentheses. Anything else is an error, as at Google.
//!
//! Source: <https://developers.google.com/workspace/drive/api/guides/ref-search-terms>.

use super::world::{MY_DRIVE, Row, World};

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Query {
    InParents(String),
    Name(String),
    NameContains(String),
    Mime(String),
    Trashed(bool),
    Property(String, String),
    Not(Box<Query>),
    And(Vec<Query>),
    Or(Vec<Query>),
}

impl Query {
    /// Reads a query; none where it is not one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut reader = Reader {
            words: words(text)?,
            at: 0,
        };
        let query = reader.or()?;
        (reader.at == reader.words.len()).then_some(query)
    }

    /// Whether a file meets it.
    pub(super) fn holds(&self, row: &Row, world: &World) -> bool {
        match self {
            Self::InParents(id) => row.parent == *id || (id == "root" && row.parent == MY_DRIVE),
            // Drive takes no notice of case.
            Self::Name(name) => row.name.to_lowercase() == name.to_lowercase(),
            Self::NameContains(start) => row.name.to_lowercase().starts_with(&start.to_lowercase()),
            Self::Mime(mime) => row.mime == *mime,
            Self::Trashed(trashed) => world.is_trashed(row) == *trashed,
            Self::Property(key, value) => row.app_properties.get(key) == Some(value),
            Self::Not(query) => !query.holds(row, world),
            Self::And(all) => all.iter().all(|query| query.holds(row, world)),
            Self::Or(any) => any.iter().any(|query| query.holds(row, world)),
        }
    }

    /// The folders that are asked for by id; Google answers "not found" where one is not there.
    pub(super) fn folders(&self) -> Vec<&str> {
        match self {
            Self::InParents(id) => vec![id],
            Self::Not(query) => query.folders(),
            Self::And(all) | Self::Or(all) => all.iter().flat_map(Self::folders).collect(),
            _ => Vec::new(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    /// Between single quotes.
    Text(String),
    /// Letters.
    Plain(String),
    /// `=`, `!=`, `(`, `)`, `{`, `}`.
    Sign(&'static str),
}

fn words(text: &str) -> Option<Vec<Word>> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if first == '\'' {
            let (word, after) = quoted(&rest[1..])?;
            found.push(Word::Text(word));
            rest = after;
        } else if let Some(sign) = ["!=", "=", "(", ")", "{", "}"]
            .into_iter()
            .find(|sign| rest.starts_with(sign))
        {
            found.push(Word::Sign(sign));
            rest = &rest[sign.len()..];
        } else if first.is_ascii_alphabetic() {
            let end = rest
                .find(|c: char| !c.is_ascii_alphabetic())
                .unwrap_or(rest.len());
            found.push(Word::Plain(rest[..end].to_owned()));
            rest = &rest[end..];
        } else {
            return None;
        }
        rest = rest.trim_start();
    }
    Some(found)
}

/// A text up to its quote, and what follows; `\'` and `\\` are the only escapes.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut word = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\'' => return Some((word, &text[at + 1..])),
            '\\' => match letters.next()?.1 {
                escaped @ ('\'' | '\\') => word.push(escaped),
                _ => return None,
            },
            letter => word.push(letter),
        }
    }
    None
}

struct Reader {
    words: Vec<Word>,
    at: usize,
}

impl Reader {
    fn next(&mut self) -> Option<Word> {
        self.at += 1;
        self.words.get(self.at - 1).cloned()
    }

    fn text(&mut self) -> Option<String> {
        match self.next()? {
            Word::Text(text) => Some(text),
            _ => None,
        }
    }

    fn is(&mut self, word: &Word) -> bool {
        let there = self.words.get(self.at) == Some(word);
        self.at += usize::from(there);
        there
    }

    fn demand(&mut self, word: &Word) -> Option<()> {
        self.is(word).then_some(())
    }

    fn plain(&mut self, word: &str) -> bool {
        self.is(&Word::Plain(word.to_owned()))
    }

    fn or(&mut self) -> Option<Query> {
        let mut any = vec![self.and()?];
        while self.plain("or") {
            any.push(self.and()?);
        }
        Some(if any.len() == 1 {
            any.remove(0)
        } else {
            Query::Or(any)
        })
    }

    fn and(&mut self) -> Option<Query> {
        let mut all = vec![self.one()?];
        while self.plain("and") {
            all.push(self.one()?);
        }
        Some(if all.len() == 1 {
            all.remove(0)
        } else {
            Query::And(all)
        })
    }

    fn one(&mut self) -> Option<Query> {
        if self.plain("not") {
            return Some(Query::Not(Box::new(self.one()?)));
        }
        if self.is(&Word::Sign("(")) {
            let query = self.or()?;
            self.demand(&Word::Sign(")"))?;
            return Some(query);
        }
        match self.next()? {
            Word::Text(id) => {
                let parents = self.plain("in") && self.plain("parents");
                parents.then_some(Query::InParents(id))
            }
            Word::Plain(field) => self.field(&field),
            Word::Sign(_) => None,
        }
    }

    fn field(&mut self, field: &str) -> Option<Query> {
        let operator = self.next()?;
        let query = match (field, &operator) {
            ("appProperties", Word::Plain(has)) if has == "has" => return self.property(),
            ("name", Word::Plain(contains)) if contains == "contains" => {
                return Some(Query::NameContains(self.text()?));
            }
            ("trashed", Word::Sign("=" | "!=")) => match self.next()? {
                Word::Plain(value) if value == "true" || value == "false" => Query::Trashed(value == "true"),
                _ => return None,
            },
            ("name", Word::Sign("=" | "!=")) => Query::Name(self.text()?),
            ("mimeType", Word::Sign("=" | "!=")) => Query::Mime(self.text()?),
            _ => return None,
        };
        Some(if operator == Word::Sign("!=") {
            Query::Not(Box::new(query))
        } else {
            query
        })
    }

    /// `{ key='additionalID' and value='8e8aceg2af2ge72e78' }`.
    fn property(&mut self) -> Option<Query> {
        self.demand(&Word::Sign("{"))?;
        self.demand(&Word::Plain("key".to_owned()))?;
        self.demand(&Word::Sign("="))?;
        let key = self.text()?;
        self.demand(&Word::Plain("and".to_owned()))?;
        self.demand(&Word::Plain("value".to_owned()))?;
        self.demand(&Word::Sign("="))?;
        let value = self.text()?;
        self.demand(&Word::Sign("}"))?;
        Some(Query::Property(key, value))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn the_reference_s_examples_are_understood() {
        assert_eq!(Query::parse("name = 'hello'"), Some(Query::Name("hello".into())));
        assert_eq!(
            Query::parse(r"name = 'it\'s a \\'"),
            Some(Query::Name("it's a \\".into()))
        );
        assert_eq!(
            Query::parse("mimeType != 'a/b' and (trashed=true or not '123' in parents)"),
            Some(Query::And(vec![
                Query::Not(Box::new(Query::Mime("a/b".into()))),
                Query::Or(vec![
                    Query::Trashed(true),
                    Query::Not(Box::new(Query::InParents("123".into())))
                ]),
            ]))
        );
        assert_eq!(
            Query::parse("appProperties has { key='mass' and value='1.3kg' }"),
            Some(Query::Property("mass".into(), "1.3kg".into()))
        );
    }

    #[rstest]
    #[case("")]
    #[case("name = hello")]
    #[case("name = 'hello")]
    #[case("name = 'it's'")]
    #[case("title = 'hello'")]
    #[case("trashed = 'false'")]
    #[case("name = 'a' name = 'b'")]
    #[case("(name = 'a'")]
    fn what_google_refuses_is_refused(#[case] query: &str) {
        assert_eq!(Query::parse(query), None);
    }
}
