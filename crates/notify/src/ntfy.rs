//! ntfy: <https://docs.ntfy.sh/publish/#publish-as-json>.
//!
//! Limits: 4096 bytes of a message (`DefaultMessageLengthLimit` in the server's `config.go`; a longer one becomes a file), and twice that of the
//! JSON around it. It is sent as plain text: ntfy's Markdown is read by its web app and on Android, and shown raw elsewhere; plain text shows a
//! name as it is everywhere, so nothing is escaped.
//!
//! Twins: from 2.16 on, a message with the `sequence_id` of another one takes its place (older servers take no notice of it), so one
//! that is sent again shows once.

use async_trait::async_trait;
use howdah_domain::channel::NtfyAddress;
use howdah_domain::{ChannelSecret, Secret, Severity};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::http::{Answer, Http, parse_url, place};
use crate::open::Wiring;
use crate::scrub::Scrub;
use crate::shorten::total;
use crate::teams::json_len;
use crate::text::{Parts, is_quiet};
use crate::{Channel, Delivered, Error, Message, Secrets};

/// Bytes of a message.
const MESSAGE_LIMIT: usize = 4096;
/// Bytes of a message as it stands in JSON, so that all fits into twice the message's limit.
const JSON_LIMIT: usize = 6500;
/// Bytes of a title. None is documented.
const TITLE_LIMIT: usize = 250;
const LET_IN: &str = "The topic is protected. Check the token, or the user and the password, and that this account may write to the topic (ntfy access).";

/// A topic of ntfy.
#[derive(Debug)]
pub(crate) struct Ntfy {
    name: String,
    http: Http,
    server: Url,
    topic: String,
    login: Login,
}

#[derive(Debug)]
enum Login {
    None,
    Token(Secret),
    User(String, Secret),
}

impl Ntfy {
    pub(crate) fn new(
        name: &str,
        address: &NtfyAddress,
        secrets: &Secrets,
        wiring: &Wiring,
    ) -> Result<Self, Error> {
        let topic = address.topic.trim();
        let good = (1..=64).contains(&topic.len())
            && topic
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if !good {
            return Err(Error::Misconfigured {
                message: "A topic of ntfy has 1 to 64 letters, digits, - and _.".to_owned(),
                hint: "Correct the topic; it is the part behind the server's address.".to_owned(),
            });
        }
        let server = match address.server.trim() {
            "" => wiring.bases.ntfy.as_str(),
            server => server,
        };
        let server = parse_url(server, "The ntfy server's address")?;
        let user = address
            .user
            .as_deref()
            .map(str::trim)
            .filter(|user| !user.is_empty());
        let login = match (user, secrets.get(ChannelSecret::Token)) {
            (Some(user), _) => Login::User(
                user.to_owned(),
                secrets.demand(ChannelSecret::Password, "the password")?.clone(),
            ),
            (None, Some(token)) => Login::Token(token.clone()),
            (None, None) => Login::None,
        };
        let scrub = match &login {
            Login::None => Scrub::default(),
            Login::Token(secret) => Scrub::default().with(secret.expose()),
            Login::User(user, secret) => {
                let basic = data_encoding::BASE64.encode(format!("{user}:{}", secret.expose()).as_bytes());
                Scrub::default().with(secret.expose()).with(&basic)
            }
        };
        Ok(Self {
            name: name.to_owned(),
            http: Http::new(format!("ntfy at {}", place(&server)), wiring.limits, scrub, None)?,
            server,
            topic: topic.to_owned(),
            login,
        })
    }

    fn answered(&self, answer: &Answer) -> Result<Delivered, Error> {
        let told = answer.json();
        if answer.is_success() {
            return if told["id"].is_string() {
                Ok(Delivered::default())
            } else {
                Err(self.http.unexpected(answer))
            };
        }
        // {"code": 40101, "http": 401, "error": "unauthorized", "link": "…"}
        let said = told["error"].as_str().unwrap_or(&answer.body);
        Err(self.http.failure(answer, said, LET_IN))
    }
}

#[async_trait]
impl Channel for Ntfy {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, message: &Message, cancel: &CancellationToken) -> Result<Delivered, Error> {
        let request = self
            .http
            .request(Method::POST, self.server.clone())
            .json(&render(message, &self.topic));
        let request = match &self.login {
            Login::None => request,
            Login::Token(token) => request.bearer_auth(token.expose()),
            Login::User(user, password) => request.basic_auth(user, Some(password.expose())),
        };
        self.answered(&self.http.exchange(request, cancel).await?)
    }
}

fn render(message: &Message, topic: &str) -> Value {
    let parts = Parts::new(message);
    // Both limits at once: a character counts as much as it takes of the one that it takes more of.
    let cost = |c: char| {
        c.len_utf8()
            .max((json_len(c) * MESSAGE_LIMIT).div_ceil(JSON_LIMIT))
    };
    let (body, details) = parts.fit(MESSAGE_LIMIT - total("\n\n", cost), cost, cost);
    let text = match details {
        Some(details) if body.is_empty() => details,
        Some(details) => format!("{body}\n\n{details}"),
        None => body,
    };
    let (priority, tag) = match message.severity {
        _ if message.kind.is_good() => (if is_quiet(message) { 2 } else { 3 }, "white_check_mark"),
        Severity::Info => (if is_quiet(message) { 2 } else { 3 }, "information_source"),
        Severity::Warning => (4, "warning"),
        Severity::Critical => (5, "rotating_light"),
    };
    let mut rendered = json!({
        "topic": topic,
        "title": parts.title(TITLE_LIMIT, char::len_utf8),
        "message": text,
        "priority": priority,
        "tags": [tag],
    });
    let id = &message.id;
    if (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    {
        rendered["sequence_id"] = json!(id);
    }
    rendered
}

#[cfg(test)]
mod tests {
    use howdah_domain::AlertKind;
    use jiff::Timestamp;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("\"\n")]
    #[case("šé🐘")]
    #[case("words \\ and lines\n")]
    fn both_limits_are_kept(#[case] unit: &str) {
        let mut message = Message::new(
            AlertKind::BackupFailed,
            Timestamp::UNIX_EPOCH,
            "\"".repeat(500),
            "b",
        );
        message.details = Some(unit.repeat(20_000));
        let rendered = render(&message, &"t".repeat(64));
        let text = rendered["message"].as_str().unwrap();
        assert!(text.len() <= 4096 && text.len() > 2000, "{}", text.len());
        assert!(rendered.to_string().len() <= 8192);
    }

    #[test]
    fn a_message_that_is_sent_again_has_the_same_sequence() {
        let mut message = Message::new(AlertKind::Test, Timestamp::UNIX_EPOCH, "t", "b");
        assert_eq!(render(&message, "t").get("sequence_id"), None);
        message.id = "01JD-x_y".to_owned();
        assert_eq!(render(&message, "t")["sequence_id"], "01JD-x_y");
    }
}
