//! A message as a mail: its headers, a plain text and the same as HTML. It knows no server.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use data_encoding::HEXLOWER;
use howdah_domain::{Environment, Severity};
use lettre::message::header::{HeaderName, HeaderValue, To};
use lettre::message::{Mailbox, Mailboxes, MultiPart, SinglePart};
use sha2::{Digest as _, Sha256};

use crate::{Error, Message, one_line, shorten};

/// Characters of a subject; programs show fewer.
const SUBJECT_LIMIT: usize = 200;
/// Bytes of what happened, why, and what to do.
const BODY_LIMIT: usize = 20_000;
/// Bytes of the technical text.
const DETAILS_LIMIT: usize = 100_000;
/// Databases that are named.
const DATABASES_LIMIT: usize = 20;

/// The mail as it is handed to a server.
pub(super) fn write(message: &Message, from: &Mailbox, to: &[Mailbox]) -> Result<Vec<u8>, Error> {
    let parts = Parts::of(message);
    let mut letter = lettre::Message::builder()
        .from(from.clone())
        .header(To::from(to.iter().cloned().collect::<Mailboxes>()))
        .subject(subject(message))
        .date(date(message))
        .message_id(Some(message_id(message, from)));
    // RFC 3834, section 5: nobody's absence note answers it. Exchange wants to be told in its own words.
    letter = letter.raw_header(header("Auto-Submitted", "auto-generated"));
    letter = letter.raw_header(header("X-Auto-Response-Suppress", "All"));
    if message.severity == Severity::Critical {
        letter = letter.raw_header(header("X-Priority", "1 (Highest)"));
        letter = letter.raw_header(header("Importance", "high"));
    }
    let body = MultiPart::alternative()
        .singlepart(SinglePart::plain(parts.plain()))
        .singlepart(SinglePart::html(
            parts.html(message.severity, message.kind.is_good()),
        ));
    let letter = letter.multipart(body).map_err(|error| Error::Misconfigured {
        message: format!("No mail can be written: {error}."),
        hint: "Check the sender and the recipients.".to_owned(),
    })?;
    Ok(letter.formatted())
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// What a list of mails shows. A title says what happened; only what cannot wait is marked besides.
fn subject(message: &Message) -> String {
    let title = name(&message.title);
    match message.severity {
        Severity::Critical => format!("[Critical] {title}"),
        Severity::Warning | Severity::Info => title,
    }
}

/// A title or a name: one line, of bounded length.
fn name(text: &str) -> String {
    shorten(&one_line(text), SUBJECT_LIMIT).replace('\n', " ")
}

/// When it happened, so that an attempt of tomorrow is the same mail. A mail's date has no place for years before 1970 or of
/// five digits.
fn date(message: &Message) -> SystemTime {
    const YEAR_9999: u64 = 253_370_764_800;
    let seconds = u64::try_from(message.at.as_second()).unwrap_or(0).min(YEAR_9999);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// The same for every attempt at a message, so that servers and mail programs can tell that two are one: an attempt whose
/// end was not seen may have arrived. The sender's domain makes it unique, as RFC 5322, section 3.6.4, advises.
fn message_id(message: &Message, from: &Mailbox) -> String {
    let plain = !message.id.is_empty()
        && message.id.len() <= 100
        && message
            .id
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    let id: Cow<'_, str> = if plain {
        Cow::Borrowed(&message.id)
    } else if message.id.is_empty() {
        Cow::Owned(digest(&format!(
            "{:?} {} {} {}",
            message.kind, message.at, message.title, message.body
        )))
    } else {
        Cow::Owned(digest(&message.id))
    };
    format!("<howdah.{id}@{}>", from.email.domain())
}

fn digest(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text)[..16])
}

/// What both forms say.
struct Parts {
    title: String,
    body: String,
    databases: Vec<String>,
    at: String,
    stands_for: u32,
    details: Option<String>,
}

impl Parts {
    fn of(message: &Message) -> Self {
        let mut databases: Vec<String> = message
            .databases
            .iter()
            .take(DATABASES_LIMIT)
            .map(|subject| {
                let used = match subject.environment {
                    Environment::Production => " (production)",
                    Environment::Staging => " (staging)",
                    Environment::Development => " (development)",
                    Environment::None => "",
                };
                format!("{} on {}{used}", name(&subject.database), name(&subject.server))
            })
            .collect();
        if message.databases.len() > DATABASES_LIMIT {
            databases.push(format!("and {} more", message.databases.len() - DATABASES_LIMIT));
        }
        Self {
            title: name(&message.title),
            body: fit(&clean(&message.body), BODY_LIMIT),
            databases,
            at: message.at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
            stands_for: message.stands_for,
            details: message
                .details
                .as_deref()
                .map(|details| fit(&clean(details), DETAILS_LIMIT))
                .filter(|details| !details.is_empty()),
        }
    }

    /// The label of the databases, and what they are.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = Vec::new();
        match self.databases.as_slice() {
            [] => {}
            [one] => facts.push(("Database", one.clone())),
            many => facts.push(("Databases", many.join(", "))),
        }
        facts.push(("Time", self.at.clone()));
        if self.stands_for > 1 {
            facts.push(("Stands for", format!("{} messages", self.stands_for)));
        }
        facts
    }

    fn plain(&self) -> String {
        let mut text = format!("{}\n\n", self.title);
        if !self.body.is_empty() {
            let _ = write!(text, "{}\n\n", self.body);
        }
        for (label, value) in self.facts() {
            let _ = writeln!(text, "{label}: {value}");
        }
        if let Some(details) = &self.details {
            let _ = write!(text, "\nDetails:\n\n{details}\n");
        }
        // The separator of RFC 3676, section 4.3: programs set what follows it apart, and leave it out of answers.
        text.push_str("\n-- \nHowdah\n");
        text
    }

    /// Without colours for text and ground, which a program that is set to dark chooses itself. The bar's colours are seen on both.
    fn html(&self, severity: Severity, good: bool) -> String {
        let bar = match severity {
            Severity::Critical => "#d64545",
            Severity::Warning => "#c98a1b",
            Severity::Info if good => "#2f9e5f",
            Severity::Info => "#4a86c5",
        };
        let title = escape(&self.title);
        let mut html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta name=\"supported-color-schemes\" content=\"light dark\">\n<title>{title}</title>\n</head>\n\
             <body style=\"margin:0;padding:16px;font-family:system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;\
             font-size:15px;line-height:1.5\">\n\
             <div style=\"max-width:640px;border-left:4px solid {bar};padding-left:16px\">\n\
             <h1 style=\"margin:0 0 12px;font-size:18px;line-height:1.3\">{title}</h1>\n"
        );
        if !self.body.is_empty() {
            let body = escape(&self.body).replace('\n', "<br>\n");
            let _ = writeln!(html, "<p style=\"margin:0 0 12px\">{body}</p>");
        }
        html.push_str("<table role=\"presentation\" style=\"border-collapse:collapse;font-size:14px\">\n");
        for (label, value) in self.facts() {
            let _ = writeln!(
                html,
                "<tr><td style=\"padding:0 16px 0 0;vertical-align:top;white-space:nowrap;color:#808080\">{label}</td>\
                 <td style=\"padding:0\">{}</td></tr>",
                escape(&value)
            );
        }
        html.push_str("</table>\n");
        if let Some(details) = &self.details {
            // A line break right after the tag is not part of the text.
            let _ = writeln!(
                html,
                "<pre style=\"margin:16px 0 0;padding:12px;border:1px solid #808080;border-radius:4px;\
                 font-family:ui-monospace,Menlo,Consolas,monospace;font-size:13px;white-space:pre-wrap;\
                 overflow-wrap:anywhere\">\n{}</pre>",
                escape(details)
            );
        }
        html.push_str("</div>\n<p style=\"margin:16px 0 0;font-size:12px;color:#808080\">Howdah</p>\n</body>\n</html>\n");
        html
    }
}

/// `text` with line feeds alone between its lines and no other control characters, of which NUL is forbidden in a mail.
fn clean(text: &str) -> String {
    text.replace("\r\n", "\n")
        .chars()
        .map(|c| match c {
            '\r' => '\n',
            '\n' | '\t' => c,
            c if c.is_control() => ' ',
            c => c,
        })
        .collect()
}

/// `text` in at most `limit` bytes, shortened as [`shorten`] does.
fn fit(text: &str, limit: usize) -> String {
    let mut characters = limit;
    loop {
        let short = shorten(text, characters);
        if short.len() <= limit {
            return short;
        }
        characters = characters / 4 * 3;
    }
}

/// Escapes what would be markup.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use howdah_domain::AlertKind;
    use rstest::rstest;

    use super::*;

    fn told(id: &str) -> Message {
        let at = "2026-03-04T05:06:07Z".parse().unwrap();
        Message {
            id: id.to_owned(),
            ..Message::new(
                AlertKind::BackupFailed,
                at,
                "shop was not backed up",
                "It failed.",
            )
        }
    }

    fn from() -> Mailbox {
        "howdah@example.com".parse().unwrap()
    }

    #[rstest]
    #[case::an_id("01JX-abc_9", "<howdah.01JX-abc_9@example.com>")]
    #[case::what_has_no_place_there(
        "a b>\r\nBcc: x",
        "<howdah.8ec1e9a9e1a5a8d1f1ff2dc2c6a4a06c@example.com>"
    )]
    fn a_message_has_one_id_for_all_attempts(#[case] id: &str, #[case] expected: &str) {
        let written = message_id(&told(id), &from());
        if id.contains(' ') {
            assert_eq!(written.len(), expected.len(), "{written}");
            assert!(written.chars().all(|c| c.is_ascii_graphic()), "{written}");
        } else {
            assert_eq!(written, expected);
        }
        assert_eq!(message_id(&told(id), &from()), written);
    }

    #[test]
    fn messages_without_an_id_differ_by_what_they_say() {
        let one = told("");
        let other = Message {
            title: "blog was not backed up".to_owned(),
            ..one.clone()
        };
        assert_eq!(message_id(&one, &from()), message_id(&one.clone(), &from()));
        assert_ne!(message_id(&one, &from()), message_id(&other, &from()));
    }

    #[test]
    fn a_text_of_wide_characters_fits_too_and_keeps_its_end() {
        let text = format!("first\n{}\nlast", "日本語\n".repeat(20_000));
        let short = fit(&text, 100_000);
        assert!(short.len() <= 100_000 && short.len() > 40_000, "{}", short.len());
        assert!(short.starts_with("first\n") && short.ends_with("\nlast"));
        assert_eq!(fit("", 10), "");
        assert_eq!(fit("日本語", 2), "");
    }

    #[rstest]
    #[case::before_1970("-009999-01-05T00:00:00Z", 0)]
    #[case::long_after("9999-12-30T00:00:00Z", 253_370_764_800)]
    fn a_date_that_a_mail_cannot_have_is_bounded(#[case] at: &str, #[case] seconds: u64) {
        let message = Message {
            at: at.parse().unwrap(),
            ..told("x")
        };
        let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(date(&message), expected);
        let letter = write(&message, &from(), &[from()]).unwrap();
        assert!(letter.starts_with(b"From: howdah@example.com\r\n"));
    }

    #[test]
    fn only_what_cannot_wait_is_marked_in_the_subject() {
        let mut message = told("x");
        assert_eq!(subject(&message), "[Critical] shop was not backed up");
        message.severity = Severity::Warning;
        assert_eq!(subject(&message), "shop was not backed up");
        message.title = format!("a\r\nBcc: eve@example.com\0{}", "x".repeat(500));
        let subject = subject(&message);
        assert!(!subject.chars().any(char::is_control), "{subject:?}");
        assert!(subject.chars().count() <= SUBJECT_LIMIT);
    }

    #[test]
    fn every_character_of_markup_is_escaped() {
        assert_eq!(
            escape("<a href=\"x\">'&'"),
            "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;"
        );
    }

    #[test]
    fn a_plain_text_reads_from_top_to_bottom() {
        let mut message = told("x");
        message.details = Some("pg_dump: error: \u{1b}[31mno\r\nlast".to_owned());
        message.databases = vec![crate::Subject {
            database: "shop".to_owned(),
            server: "main".to_owned(),
            environment: Environment::Production,
        }];
        message.stands_for = 3;
        assert_eq!(
            Parts::of(&message).plain(),
            "shop was not backed up\n\nIt failed.\n\nDatabase: shop on main (production)\nTime: 2026-03-04 05:06:07 UTC\n\
             Stands for: 3 messages\n\nDetails:\n\npg_dump: error:  [31mno\nlast\n\n-- \nHowdah\n"
        );
    }
}
