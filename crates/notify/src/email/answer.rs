//! What a mail server's answers mean (RFC 5321, "Reply Codes by Function Groups"; RFC 4954 for those to a login), told without
//! what must not be told: some servers repeat the line that they refuse, and a login's line is the password in another spelling.

use std::error::Error as _;

use data_encoding::BASE64;
use howdah_domain::channel::MailMechanism;
use lettre::transport::smtp::Error as SmtpError;

use super::Server;
use crate::{Error, one_line, shorten};

/// Characters of a server's words that are told.
const WORDS_LIMIT: usize = 500;
/// So many characters in a row of a secret, in any spelling, are not told. A server may cut what it repeats.
const TELLTALE: usize = 6;

/// Where in the conversation an answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The greeting and the introduction after it. Whether the server closed the connection tells a server that left from
    /// something that is no mail server.
    Greeting { ended: bool },
    /// The login.
    Login,
    /// The mail itself.
    Mail,
}

impl Server {
    /// An error of the conversation.
    pub(super) fn explain(&self, error: &SmtpError, phase: Phase) -> Error {
        let service = self.called();
        let details = self.words(error);
        match (code(error), phase) {
            (Some(400..500), _) => Error::Later {
                service,
                after: None,
                details,
            },
            // RFC 4954, section 6: authentication required, mechanism too weak, credentials invalid, encryption required.
            (Some(530 | 534 | 535 | 538), _) | (Some(_), Phase::Login) => Error::Denied {
                service,
                hint: self.how_to_get_in().to_owned(),
                details,
            },
            (Some(_), _) => Error::Refused { service, details },
            (None, Phase::Greeting { ended: false }) if error.is_response() => Error::Misconfigured {
                message: format!(
                    "What answers on {}:{} is not a mail server.",
                    self.host, self.port
                ),
                hint: "Check the host and the port.".to_owned(),
            },
            (None, _) => Error::Unreachable { service, details },
        }
    }

    /// The server's own words with their number, on one line: `550 5.1.1 no such user`. For an error without an answer, what
    /// the system says.
    pub(super) fn words(&self, error: &SmtpError) -> String {
        let text = match (code(error), error.source()) {
            (Some(code), Some(said)) => format!("{code} {said}"),
            (Some(code), None) => code.to_string(),
            (None, _) => error.to_string(),
        };
        // Before and after: what hides secrets is slow on long texts, and makes them shorter.
        let text = shorten(&one_line(&text), 4 * WORDS_LIMIT);
        one_line(&shorten(&self.conceal(&text), WORDS_LIMIT))
    }

    /// `text` without the login's secret in any spelling in which it crosses the wire.
    fn conceal(&self, text: &str) -> String {
        let Some(login) = &self.login else {
            return text.to_owned();
        };
        let secret = login.secret.expose();
        let user = &login.user;
        let spellings = [
            secret.to_owned(),
            BASE64.encode(secret.as_bytes()),
            BASE64.encode(format!("\0{user}\0{secret}").as_bytes()),
            BASE64.encode(format!("user={user}\x01auth=Bearer {secret}\x01\x01").as_bytes()),
        ];
        conceal(text, &spellings)
    }

    fn how_to_get_in(&self) -> &'static str {
        match self.login.as_ref().map(|login| login.mechanism) {
            None => "The server wants a login: give a user and a password.",
            Some(MailMechanism::Xoauth2) => {
                "The access token has expired, or does not allow sending mail. Get a new one."
            }
            Some(_) => {
                "Check the user and the password. Gmail, iCloud, Yahoo and others refuse the account's own password: make an app \
                 password in the account's security settings, and use that."
            }
        }
    }
}

/// The number of an answer that says no.
pub(super) fn code(error: &SmtpError) -> Option<u16> {
    error.status().map(u16::from)
}

/// Replaces whatever `text` shares with a spelling: [`TELLTALE`] characters in a row or more, or a shorter spelling as a whole.
fn conceal(text: &str, spellings: &[String]) -> String {
    let mut told = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let shared = spellings
            .iter()
            .map(|spelling| shared(rest, spelling))
            .max()
            .unwrap_or(0);
        if shared == 0 {
            told.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            if !told.ends_with('…') {
                told.push('…');
            }
            rest = &rest[shared..];
        }
    }
    told
}

/// How many bytes at the beginning of `text` stand in `spelling` too, if those are enough to give it away.
fn shared(text: &str, spelling: &str) -> usize {
    let enough = spelling.chars().count().clamp(1, TELLTALE);
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    let mut longest = 0;
    for (count, end) in ends.enumerate() {
        if !spelling.contains(&text[..end]) {
            break;
        }
        if count + 1 >= enough {
            longest = end;
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nothing_of_it("535 5.7.8 no", "535 5.7.8 no")]
    #[case::all_of_it("bad hunter2-hunter2!", "bad …!")]
    #[case::its_beginning("bad hunter2-hu", "bad …")]
    #[case::its_end("unter2 is bad", "… is bad")]
    #[case::twice("hunter2-hunter2hunter2-hunter2", "…")]
    #[case::too_little_to_tell("a hunt", "a hunt")]
    fn what_a_server_repeats_of_a_secret_is_not_told(#[case] said: &str, #[case] told: &str) {
        assert_eq!(conceal(said, &["hunter2-hunter2".to_owned()]), told);
    }

    #[test]
    fn a_short_secret_is_not_told_either_and_an_empty_one_hides_nothing() {
        assert_eq!(conceal("AUTH abc: no", &["abc".to_owned()]), "AUTH …: no");
        assert_eq!(conceal("no", &[String::new()]), "no");
        assert_eq!(conceal("ü é 日本語", &["日本語".to_owned()]), "ü é …");
    }
}
