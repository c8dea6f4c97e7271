//! What all channels do with a message's text before they give it their form: nothing invisible stays in it, and it is fitted to a limit.
//!
//! Names of databases and words of servers may hold anything. Characters that a person cannot see, and that could make a
//! sentence read otherwise than it is (controls, bidirectional overrides), are shown by a sign of their own. Markup is none of
//! this module's business: see [`crate::markup`].

use howdah_domain::Severity;

use crate::shorten::{shorten_by, total};
use crate::{Message, one_line};

/// The parts of a message, made visible and without an empty one.
pub(crate) struct Parts {
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) details: Option<String>,
}

impl Parts {
    pub(crate) fn new(message: &Message) -> Self {
        let title = visible(&one_line(&message.title));
        let details = message
            .details
            .as_deref()
            .map(visible)
            .filter(|details| !details.trim().is_empty());
        Self {
            title: if title.trim().is_empty() {
                "Howdah".to_owned()
            } else {
                title.trim().to_owned()
            },
            body: visible(&message.body).trim().to_owned(),
            details: details.map(|details| details.trim_end().trim_start_matches('\n').to_owned()),
        }
    }

    /// Shortens the title to a limit of what `cost` counts.
    pub(crate) fn title(&self, limit: usize, cost: impl Fn(char) -> usize) -> String {
        one_line(&shorten_by(&self.title, limit, cost))
    }

    /// Shortens body and details to a limit that they share, of what each one's `cost` counts. The details get what the body leaves, and
    /// at least two thirds when neither fits.
    pub(crate) fn fit(
        &self,
        limit: usize,
        body_cost: impl Fn(char) -> usize,
        details_cost: impl Fn(char) -> usize,
    ) -> (String, Option<String>) {
        let Some(details) = &self.details else {
            return (shorten_by(&self.body, limit, body_cost), None);
        };
        let body = total(&self.body, &body_cost).min(limit);
        let behind = total(details, &details_cost).min(limit);
        let third = limit / 3;
        let body_room = if body <= third {
            body
        } else {
            third.max(limit - behind).min(body)
        };
        (
            shorten_by(&self.body, body_room, body_cost),
            Some(shorten_by(details, limit - body_room, details_cost)).filter(|details| !details.is_empty()),
        )
    }
}

/// Shows what cannot be seen: a control character by its picture (`␇`), a mark that turns the direction of writing, and others without
/// a width, by their number (`[U+202E]`). Line breaks and tabs stay.
pub(crate) fn visible(text: &str) -> String {
    let mut seen = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' | '\t' => seen.push(c),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\r' | '\u{2028}' | '\u{2029}' => seen.push('\n'),
            '\0'..='\u{1f}' => seen.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}')),
            '\u{7f}' => seen.push('\u{2421}'),
            '\u{80}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' => seen.push_str(&format!("[U+{:04X}]", u32::from(c))),
            '\u{fffe}' | '\u{ffff}' => seen.push('\u{fffd}'),
            c => seen.push(c),
        }
    }
    seen
}

/// The colour of a message, as red, green and blue.
pub(crate) fn colour(message: &Message) -> u32 {
    if message.kind.is_good() {
        return 0x2e_9e_5b;
    }
    match message.severity {
        Severity::Info => 0x3b_82_f6,
        Severity::Warning => 0xe5_a5_0a,
        Severity::Critical => 0xd7_26_3d,
    }
}

/// The same for services that want it as `#2e9e5b`.
pub(crate) fn hex_colour(message: &Message) -> String {
    format!("#{:06x}", colour(message))
}

/// A sign that tells at a glance how grave it is, where there is no colour.
pub(crate) fn sign(message: &Message) -> &'static str {
    if message.kind.is_good() {
        return "✅";
    }
    match message.severity {
        Severity::Info => "ℹ️",
        Severity::Warning => "⚠️",
        Severity::Critical => "🔴",
    }
}

/// Whether it is worth no sound: good to know, and neither asked for nor the end of something that made one.
pub(crate) fn is_quiet(message: &Message) -> bool {
    message.severity == Severity::Info
        && message.kind != howdah_domain::AlertKind::Test
        && message.kind.ends().is_none()
}

#[cfg(test)]
mod tests {
    use howdah_domain::AlertKind;
    use jiff::Timestamp;
    use rstest::rstest;

    use super::*;

    fn parts(body: &str, details: Option<&str>) -> Parts {
        let mut message = Message::new(AlertKind::BackupFailed, Timestamp::UNIX_EPOCH, "t", body);
        message.details = details.map(str::to_owned);
        Parts::new(&message)
    }

    #[test]
    fn what_cannot_be_seen_is_shown() {
        assert_eq!(visible("a\u{7}b\u{202e}c\r\nd\te\u{7f}"), "a␇b[U+202E]c\nd\te␡");
        assert_eq!(visible("👩\u{200d}💻 šé"), "👩\u{200d}💻 šé");
    }

    #[rstest]
    #[case(10, 10, 10, 10)]
    #[case(10, 1000, 10, 90)]
    #[case(1000, 10, 90, 10)]
    #[case(1000, 1000, 33, 67)]
    #[case(50, 1000, 33, 67)]
    fn details_get_what_the_body_leaves(
        #[case] body: usize,
        #[case] details: usize,
        #[case] body_most: usize,
        #[case] details_most: usize,
    ) {
        let parts = parts(&"b".repeat(body), Some(&"d".repeat(details)));
        let (body, details) = parts.fit(100, |_| 1, |_| 1);
        let details = details.unwrap();
        assert!(body.chars().count() <= body_most, "{body}");
        assert!(details.chars().count() <= details_most, "{details}");
        assert!(body.chars().count() + details.chars().count() + 4 >= 100.min(body_most + details_most));
    }

    #[test]
    fn a_message_without_details_has_all_the_room() {
        let (body, details) = parts(&"b".repeat(500), Some("  \n")).fit(400, |_| 1, |_| 1);
        assert_eq!((body.chars().count(), details), (400, None));
    }
}
