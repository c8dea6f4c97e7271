//! Takes secrets out of what others say: an error of a library that carries a URL, an answer that repeats a token.

use std::fmt;

use howdah_domain::Secret;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

/// What stands for a secret.
const INSTEAD: &str = "(secret)";
/// Shorter texts are no secrets, and would tear holes into every sentence.
const SHORTEST: usize = 4;

/// The secrets of a channel, in every form in which they may come back.
#[derive(Clone, Default)]
pub(crate) struct Scrub(Vec<Secret>);

impl Scrub {
    /// With a text that is secret as a whole.
    #[must_use]
    pub(crate) fn with(mut self, secret: &str) -> Self {
        self.add(secret);
        let encoded = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
        if encoded != secret {
            self.add(&encoded);
        }
        self
    }

    /// With a URL that lets in whoever knows it: the whole of it, and those of its parts that look like keys.
    #[must_use]
    pub(crate) fn with_url(mut self, url: &Url) -> Self {
        self.add(url.as_str());
        self.add(&url[url::Position::BeforePath..]);
        for part in [Some(url.username()), url.password()].into_iter().flatten() {
            self.add(part);
        }
        for segment in url.path_segments().into_iter().flatten() {
            // `webhooks` and `services` are words; keys have digits or capitals, or are long.
            let key = segment
                .bytes()
                .any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
            if segment.len() >= 16 || (segment.len() >= 6 && key) {
                self.add(segment);
            }
        }
        for (_, value) in url.query_pairs() {
            if value.len() >= 6 {
                self = self.with(&value);
            }
        }
        self
    }

    fn add(&mut self, secret: &str) {
        if secret.chars().count() >= SHORTEST {
            self.0.push(Secret::new(secret));
            // The longest first, since they hold the others.
            self.0
                .sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        }
    }

    /// A text without them.
    pub(crate) fn clean(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.expose()) {
                text.replace(secret.expose(), INSTEAD)
            } else {
                text
            }
        })
    }
}

impl fmt::Debug for Scrub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scrub({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_secret_is_taken_out() {
        let scrub = Scrub::default().with("123:AB/cd");
        assert_eq!(
            scrub.clean("bad 123:AB/cd, or 123%3AAB%2Fcd"),
            "bad (secret), or (secret)"
        );
    }

    #[test]
    fn a_url_is_taken_out_in_whole_and_in_parts_and_words_stay() {
        let url =
            Url::parse("https://ada:horse@discord.com/api/webhooks/1234567/aBcDef-9?sig=xyzxyz&v=1").unwrap();
        let scrub = Scrub::default().with_url(&url);
        for text in [
            url.as_str(),
            "/api/webhooks/1234567/aBcDef-9?sig=xyzxyz&v=1",
            "aBcDef-9",
            "xyzxyz",
            "horse",
        ] {
            assert_eq!(scrub.clean(text), "(secret)", "{text}");
        }
        assert_eq!(
            scrub.clean("no such webhooks in the api"),
            "no such webhooks in the api"
        );
    }
}
