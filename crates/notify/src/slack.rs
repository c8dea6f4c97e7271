//! Slack, by a web hook (<https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>) or by a bot's token
//! (<https://docs.slack.dev/reference/methods/chat.postMessage>).
//!
//! Limits: a header block 150 characters, a section's text 3000 (<https://docs.slack.dev/reference/block-kit/blocks>), `text` 40,000, of which no more
//! than a title is used: it is what notifications show. Prose goes into `plain_text`, in which nothing is markup; the details are a block of code in mrkdwn, escaped.
//!
//! `chat.postMessage` has errors about a `client_msg_id`, but no argument of that name, so it is not sent: a delivery whose answer was
//! lost may come twice.

use async_trait::async_trait;
use howdah_domain::channel::SlackAddress;
use howdah_domain::{ChannelSecret, Secret};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::http::{Answer, Endpoint, Http, below, parse_secure_url, parse_url};
use crate::markup::{CODE_BLOCK, slack, slack_code, slack_cost};
use crate::open::Wiring;
use crate::scrub::Scrub;
use crate::shorten::shorten_by;
use crate::text::{Parts, hex_colour};
use crate::{Channel, Delivered, Error, Message, Secrets};

const HEADER_LIMIT: usize = 150;
const SECTION_LIMIT: usize = 3000;
const NEW_HOOK: &str = "The web hook was removed or its URL is wrong. On api.slack.com/apps, open the app, Incoming Webhooks, add a new one to the channel and enter its URL here.";
const NEW_TOKEN: &str = "The bot's token is wrong or was revoked. On api.slack.com/apps, open the app, install it to the workspace again and enter its Bot User OAuth Token (xoxb-…) here.";
const INVITE: &str =
    "Check the channel's name, and invite the bot: write /invite and the bot's name in the channel.";
const ARCHIVED: &str = "The channel was archived. Unarchive it, or choose another.";
const PROHIBITED: &str =
    "The workspace's administrators do not allow it. Ask them, or choose another channel.";
const SCOPE: &str = "The app lacks the right to write. On api.slack.com/apps, add the scope chat:write to the bot and install the app again.";

/// A channel of Slack.
#[derive(Debug)]
pub(crate) struct Slack {
    name: String,
    http: Http,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Hook(Endpoint),
    Bot {
        method: Url,
        token: Secret,
        channel: String,
    },
}

impl Slack {
    pub(crate) fn new(
        name: &str,
        address: &SlackAddress,
        secrets: &Secrets,
        wiring: &Wiring,
    ) -> Result<Self, Error> {
        let channel = address
            .channel
            .as_deref()
            .map(str::trim)
            .filter(|channel| !channel.is_empty());
        let (way, scrub) = match channel {
            Some(channel) => Self::bot(channel, secrets, wiring)?,
            None => Self::hook(secrets)?,
        };
        Ok(Self {
            name: name.to_owned(),
            http: Http::new("Slack", wiring.limits, scrub, None)?,
            way,
        })
    }

    fn hook(secrets: &Secrets) -> Result<(Way, Scrub), Error> {
        let secret = secrets.demand(ChannelSecret::Url, "the web hook's URL")?;
        let url = parse_secure_url(secret.expose(), "The web hook's URL")?;
        if !url.path().starts_with("/services/") {
            return Err(Error::Misconfigured {
                message: "This is not the URL of a Slack web hook: one begins with https://hooks.slack.com/services/.".to_owned(),
                hint: "On api.slack.com/apps, open the app, Incoming Webhooks, and copy the web hook's URL.".to_owned(),
            });
        }
        let scrub = Scrub::default().with_url(&url);
        Ok((Way::Hook(Endpoint(url)), scrub))
    }

    fn bot(channel: &str, secrets: &Secrets, wiring: &Wiring) -> Result<(Way, Scrub), Error> {
        let token = secrets.demand(ChannelSecret::Token, "the bot's token")?;
        if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::Misconfigured {
                message: "This is no token of a Slack bot: one looks like xoxb-….".to_owned(),
                hint: "On api.slack.com/apps, open the app, OAuth & Permissions, and copy the Bot User OAuth Token."
                    .to_owned(),
            });
        }
        let root = parse_url(&wiring.bases.slack, "The address of Slack's API")?;
        let way = Way::Bot {
            method: below(&root, &["chat.postMessage"]),
            token: token.clone(),
            channel: channel.to_owned(),
        };
        Ok((way, Scrub::default().with(token.expose())))
    }

    /// A web hook answers with a word as plain text.
    fn hook_answered(&self, answer: &Answer) -> Result<Delivered, Error> {
        let word = answer.body.trim();
        if answer.is_success() {
            return if word == "ok" {
                Ok(Delivered::default())
            } else {
                Err(self.http.unexpected(answer))
            };
        }
        Err(match word {
            "channel_is_archived" => self.http.denied(answer, word, ARCHIVED),
            "action_prohibited" | "posting_to_general_channel_denied" => {
                self.http.denied(answer, word, PROHIBITED)
            }
            "no_service" | "no_service_id" | "no_active_hooks" | "no_team" | "team_disabled"
            | "invalid_token" | "channel_not_found" => self.http.denied(answer, word, NEW_HOOK),
            _ => self.http.failure(answer, word, NEW_HOOK),
        })
    }

    /// The Web API answers 200 and says in JSON whether it worked.
    fn bot_answered(&self, answer: &Answer) -> Result<Delivered, Error> {
        let told = answer.json();
        if answer.is_success() && told["ok"] == true {
            return Ok(Delivered::default());
        }
        let Some(word) = told["error"].as_str() else {
            return Err(if answer.is_success() {
                self.http.unexpected(answer)
            } else {
                self.http.failure(answer, &answer.body, NEW_TOKEN)
            });
        };
        let said = match told["needed"].as_str() {
            Some(needed) => format!("{word} (needed: {needed})"),
            None => word.to_owned(),
        };
        Err(match word {
            "ratelimited"
            | "rate_limited"
            | "message_limit_exceeded"
            | "fatal_error"
            | "internal_error"
            | "service_unavailable"
            | "request_timeout"
            | "team_added_to_org" => self.http.later(answer, &said),
            "invalid_auth" | "not_authed" | "account_inactive" | "token_revoked" | "token_expired"
            | "no_permission" | "org_login_required" => self.http.denied(answer, &said, NEW_TOKEN),
            "missing_scope" | "not_allowed_token_type" => self.http.denied(answer, &said, SCOPE),
            "channel_not_found" | "not_in_channel" => self.http.denied(answer, &said, INVITE),
            "is_archived" => self.http.denied(answer, &said, ARCHIVED),
            "access_denied"
            | "accesslimited"
            | "ekm_access_denied"
            | "restricted_action"
            | "restricted_action_read_only_channel"
            | "team_access_not_granted" => self.http.denied(answer, &said, PROHIBITED),
            _ if answer.is_success() => self.http.refused(answer, &said),
            _ => self.http.failure(answer, &said, NEW_TOKEN),
        })
    }
}

#[async_trait]
impl Channel for Slack {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, message: &Message, cancel: &CancellationToken) -> Result<Delivered, Error> {
        let mut rendered = render(message);
        match &self.way {
            Way::Hook(hook) => {
                let request = self.http.request(Method::POST, hook.0.clone()).json(&rendered);
                self.hook_answered(&self.http.exchange(request, cancel).await?)
            }
            Way::Bot {
                method,
                token,
                channel,
            } => {
                rendered["channel"] = json!(channel);
                let request = self
                    .http
                    .request(Method::POST, method.clone())
                    .bearer_auth(token.expose())
                    .json(&rendered);
                self.bot_answered(&self.http.exchange(request, cancel).await?)
            }
        }
    }
}

fn render(message: &Message) -> Value {
    let parts = Parts::new(message);
    let title = parts.title(HEADER_LIMIT, char::len_utf16);
    let plain = |text: &str| json!({ "type": "plain_text", "text": text, "emoji": false });
    let mut sections = Vec::new();
    // In plain text nothing is escaped by us; that Slack may write `&` as `&amp;` is counted.
    let body = shorten_by(&parts.body, SECTION_LIMIT, slack_cost);
    if !body.is_empty() {
        sections.push(json!({ "type": "section", "text": plain(&body) }));
    }
    if let Some(details) = &parts.details {
        let details = shorten_by(details, SECTION_LIMIT - CODE_BLOCK.len(), slack_cost);
        sections.push(json!({
            "type": "section",
            "text": { "type": "mrkdwn", "text": slack_code(&details), "verbatim": true },
        }));
    }
    let mut rendered = json!({
        "text": slack(&title),
        "mrkdwn": false,
        "unfurl_links": false,
        "unfurl_media": false,
        "blocks": [{ "type": "header", "text": plain(&title) }],
    });
    if !sections.is_empty() {
        rendered["attachments"] = json!([{ "color": hex_colour(message), "blocks": sections }]);
    }
    rendered
}

#[cfg(test)]
mod tests {
    use howdah_domain::AlertKind;
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_message_has_a_header_a_colour_and_details_as_code() {
        let mut message = Message::new(
            AlertKind::DatabaseRecovered,
            Timestamp::UNIX_EPOCH,
            "<!here> is back",
            "It *was* down.",
        );
        message.details = Some("<!channel> & `x`".to_owned());
        let rendered = render(&message);
        assert_eq!(rendered["text"], "&lt;!here&gt; is back");
        assert_eq!(rendered["blocks"][0]["text"]["text"], "<!here> is back");
        let attachment = &rendered["attachments"][0];
        assert_eq!(attachment["color"], "#2e9e5b");
        assert_eq!(attachment["blocks"][0]["text"]["type"], "plain_text");
        assert_eq!(
            attachment["blocks"][1]["text"]["text"],
            "```\n&lt;!channel&gt; &amp; `x`\n```"
        );
    }
}
