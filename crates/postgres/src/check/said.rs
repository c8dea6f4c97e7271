//! Texts of others cut to a length that a message or a row of a history may have. The end is kept as well as the beginning: of a long error
//! text, what matters is often said last.

use howdah_domain::Failure;

use crate::Error;

/// The most characters of a value in a message.
pub(super) const VALUE: usize = 100;

/// The most characters of a line of the server's in a message.
pub(super) const LINE: usize = 300;

/// The most characters of details.
const DETAILS: usize = 2_000;

/// At most `limit` characters of a text, its beginning and its end.
pub(super) fn shortened(text: &str, limit: usize) -> String {
    // Most texts are short, and bytes are counted at once.
    if text.len() <= limit || text.chars().count() <= limit {
        return text.to_owned();
    }
    let of_end = limit.saturating_sub(1) / 2;
    let of_beginning = limit.saturating_sub(1) - of_end;
    let beginning = text
        .char_indices()
        .nth(of_beginning)
        .map_or(text.len(), |(at, _)| at);
    let end = match of_end.checked_sub(1) {
        Some(last) => text.char_indices().rev().nth(last).map_or(0, |(at, _)| at),
        None => text.len(),
    };
    format!("{}…{}", &text[..beginning], &text[end..])
}

/// The same error, with texts of limited length.
pub(super) fn in_short(error: Error) -> Error {
    if error.is_cancelled() {
        return error;
    }
    let Failure {
        code,
        message,
        hint,
        details,
    } = error.to_failure();
    Failure {
        code,
        message: shortened(&message, 2 * LINE),
        hint: hint.map(|hint| shortened(&hint, 2 * LINE)),
        details: details.map(|details| shortened(&details, DETAILS)),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("abcdef", 6, "abcdef")]
    #[case("abcdefg", 6, "abc…fg")]
    #[case("abcdefg", 1, "…")]
    #[case("äöüäöüä", 7, "äöüäöüä")]
    #[case("äöüäöüß", 6, "äöü…üß")]
    #[case("", 3, "")]
    fn a_long_text_keeps_its_beginning_and_its_end(
        #[case] text: &str,
        #[case] limit: usize,
        #[case] expected: &str,
    ) {
        let short = shortened(text, limit);
        assert_eq!(short, expected);
        assert!(short.chars().count() <= limit);
    }
}
