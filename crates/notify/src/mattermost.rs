//! Mattermost, by an incoming web hook: <https://developers.mattermost.com/integrate/webhooks/incoming/>.
//!
//! Limits, from the server's `model/post.go`: a text has 16,383 characters, or 4000 where the column was never widened; what goes beside it, as an
//! attachment, 8000 as JSON in old servers and 800,000 in new ones. The title is the text, the rest an attachment of 7000, so that every
//! server takes it. A web hook has no key for a message that is sent again, so one whose answer was lost may come twice.
//!
//! The server reads Slack's `<!here>` and `<@id>` as mentions wherever they stand; [`crate::markup`] breaks them.

use async_trait::async_trait;
use howdah_domain::ChannelSecret;
use howdah_domain::channel::MattermostAddress;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::http::{Answer, Endpoint, Http, parse_url, place};
use crate::markup::{CODE_BLOCK, Flavor, code_block, code_cost, markdown, markdown_cost};
use crate::open::Wiring;
use crate::scrub::Scrub;
use crate::text::{Parts, hex_colour};
use crate::{Channel, Delivered, Error, Message, Secrets};

/// Characters of the attachment's text as the server writes it in JSON.
const ATTACHMENT_LIMIT: usize = 6500;
const TITLE_LIMIT: usize = 500;
const NEW_HOOK: &str = "The web hook was deleted or its URL is wrong. In Mattermost, open Integrations, Incoming Webhooks, make a new one and enter its URL here.";
const TURNED_OFF: &str = "Incoming web hooks are turned off on this server. An administrator turns them on in System Console, Integrations.";
const OTHER_CHANNEL: &str = "The web hook may not write to that channel. Leave the channel empty, or make a web hook that is not locked to one channel, and check the channel's name.";

/// A channel of Mattermost.
#[derive(Debug)]
pub(crate) struct Mattermost {
    name: String,
    http: Http,
    hook: Endpoint,
    channel: Option<String>,
}

impl Mattermost {
    pub(crate) fn new(
        name: &str,
        address: &MattermostAddress,
        secrets: &Secrets,
        wiring: &Wiring,
    ) -> Result<Self, Error> {
        let secret = secrets.demand(ChannelSecret::Url, "the web hook's URL")?;
        let url = parse_url(secret.expose(), "The web hook's URL")?;
        if !url.path().contains("/hooks/") {
            return Err(Error::Misconfigured {
                message: "This is not the URL of a Mattermost web hook: one has /hooks/ in it.".to_owned(),
                hint: "In Mattermost, open Integrations, Incoming Webhooks, and copy the web hook's URL."
                    .to_owned(),
            });
        }
        let scrub = Scrub::default().with_url(&url);
        let service = format!("Mattermost at {}", place(&url));
        Ok(Self {
            name: name.to_owned(),
            http: Http::new(service, wiring.limits, scrub, None)?,
            hook: Endpoint(url),
            channel: address
                .channel
                .as_deref()
                .map(|channel| channel.trim().trim_start_matches(['#', '~']).to_owned())
                .filter(|channel| !channel.is_empty()),
        })
    }

    fn answered(&self, answer: &Answer) -> Result<Delivered, Error> {
        if answer.is_success() {
            return if answer.body.trim() == "ok" {
                Ok(Delivered::default())
            } else {
                Err(self.http.unexpected(answer))
            };
        }
        // {"id": "web.incoming_webhook.invalid.app_error", "message": "Invalid webhook.", "status_code": 400}
        let told = answer.json();
        let said = told["message"].as_str().unwrap_or(&answer.body);
        Err(match told["id"].as_str() {
            Some("web.incoming_webhook.invalid.app_error") => self.http.denied(answer, said, NEW_HOOK),
            // It is sent with 501, and is for good.
            Some("web.incoming_webhook.disabled.app_error") => self.http.denied(answer, said, TURNED_OFF),
            Some(
                "web.incoming_webhook.channel.app_error"
                | "web.incoming_webhook.channel_locked.app_error"
                | "web.incoming_webhook.permissions.app_error"
                | "web.incoming_webhook.user.app_error",
            ) => self.http.denied(answer, said, OTHER_CHANNEL),
            _ => self.http.failure(answer, said, NEW_HOOK),
        })
    }
}

#[async_trait]
impl Channel for Mattermost {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, message: &Message, cancel: &CancellationToken) -> Result<Delivered, Error> {
        let mut rendered = render(message);
        if let Some(channel) = &self.channel {
            rendered["channel"] = json!(channel);
        }
        let request = self
            .http
            .request(Method::POST, self.hook.0.clone())
            .json(&rendered);
        self.answered(&self.http.exchange(request, cancel).await?)
    }
}

fn render(message: &Message) -> Value {
    let parts = Parts::new(message);
    let prose = || markdown_cost(Flavor::Mattermost, go_json_len);
    let title = parts.title(TITLE_LIMIT, prose());
    let (body, details) = parts.fit(
        ATTACHMENT_LIMIT - CODE_BLOCK.len() * 2,
        prose(),
        code_cost(go_json_len),
    );
    let mut text = markdown(&body, Flavor::Mattermost);
    if let Some(details) = details {
        text.push_str("\n\n");
        text.push_str(&code_block(&details, Flavor::Mattermost));
    }
    let mut rendered = json!({ "text": format!("**{}**", markdown(&title, Flavor::Mattermost)) });
    if !text.trim().is_empty() {
        rendered["attachments"] = json!([{
            "fallback": title,
            "color": hex_colour(message),
            "text": text.trim(),
        }]);
    }
    rendered
}

/// Characters of a character in JSON as Go writes it.
fn go_json_len(c: char) -> usize {
    match c {
        '<' | '>' | '&' => 6,
        // A backslash that escapes Markdown is itself escaped.
        '"' | '\\' | '\n' | '\t' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use howdah_domain::AlertKind;
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_message_calls_nobody_in_any_of_the_ways() {
        let mut message = Message::new(
            AlertKind::BackupFailed,
            Timestamp::UNIX_EPOCH,
            "@all *x*",
            "<!here> @channel",
        );
        message.details = Some("<!channel> <@u1>".to_owned());
        let rendered = render(&message);
        assert_eq!(rendered["text"], "**@\u{200b}all \\*x\\***");
        assert_eq!(
            rendered["attachments"][0]["text"],
            "&lt;!here&gt; @\u{200b}channel\n\n```\n<\u{200b}!channel> <\u{200b}@u1>\n```"
        );
        assert_eq!(rendered["attachments"][0]["color"], "#d7263d");
    }
}
