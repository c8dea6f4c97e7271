//! Discord, by a web hook: <https://docs.discord.com/developers/resources/webhook#execute-webhook>.
//!
//! The title is the message's content (2000 characters), which notifications show; the rest is an embed with the colour (description 4096, all
//! texts together 6000). `wait=true` has Discord tell whether the message was saved; without it, it says 204 whatever happens.
//! `nonce` exists for bots alone, not for web hooks, so a delivery whose answer was lost may come twice.

use async_trait::async_trait;
use howdah_domain::ChannelSecret;
use reqwest::Method;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::http::{Endpoint, Http, parse_secure_url};
use crate::markup::{CODE_BLOCK, Flavor, code_block, code_cost, markdown, markdown_cost};
use crate::open::Wiring;
use crate::scrub::Scrub;
use crate::text::{Parts, colour, is_quiet};
use crate::{Channel, Delivered, Error, Message, Secrets};

/// Characters of an embed's description, counted in UTF-16 units.
const DESCRIPTION_LIMIT: usize = 4096;
/// Characters of a title, escaped; Discord's limit for content is 2000.
const TITLE_LIMIT: usize = 500;
/// `SUPPRESS_NOTIFICATIONS` of the message flags.
const SILENT: u32 = 1 << 12;
const NEW_HOOK: &str = "The web hook was deleted or its URL is wrong. In Discord, open the channel's settings, Integrations, Webhooks, make a new one and enter its URL here.";

/// A channel of Discord.
#[derive(Debug)]
pub(crate) struct Discord {
    name: String,
    http: Http,
    hook: Endpoint,
}

impl Discord {
    pub(crate) fn new(name: &str, secrets: &Secrets, wiring: &Wiring) -> Result<Self, Error> {
        let secret = secrets.demand(ChannelSecret::Url, "the web hook's URL")?;
        let mut url = parse_secure_url(secret.expose(), "The web hook's URL")?;
        if !url.path().contains("/webhooks/") {
            return Err(Error::Misconfigured {
                message: "This is not the URL of a Discord web hook: one begins with https://discord.com/api/webhooks/.".to_owned(),
                hint: "In Discord, open the channel's settings, Integrations, Webhooks, and copy the web hook's URL."
                    .to_owned(),
            });
        }
        let scrub = Scrub::default().with_url(&url);
        let others: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(key, _)| key != "wait")
            .map(|(key, value)| (key.into_owned(), value.into_owned()))
            .collect();
        url.query_pairs_mut()
            .clear()
            .extend_pairs(others)
            .append_pair("wait", "true");
        Ok(Self {
            name: name.to_owned(),
            http: Http::new("Discord", wiring.limits, scrub, None)?,
            hook: Endpoint(url),
        })
    }
}

#[async_trait]
impl Channel for Discord {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, message: &Message, cancel: &CancellationToken) -> Result<Delivered, Error> {
        let request = self
            .http
            .request(Method::POST, self.hook.0.clone())
            .json(&render(message));
        let answer = self.http.exchange(request, cancel).await?;
        let told = answer.json();
        if answer.is_success() {
            return if told["id"].is_string() {
                Ok(Delivered::default())
            } else {
                Err(self.http.unexpected(&answer))
            };
        }
        // {"message": "Unknown Webhook", "code": 10015}; a form that is refused tells where in "errors".
        let said = match (told["message"].as_str(), told.get("errors")) {
            (Some(said), Some(errors)) => format!("{said} {errors}"),
            (Some(said), None) => said.to_owned(),
            (None, _) => answer.body.clone(),
        };
        Err(self.http.failure(&answer, &said, NEW_HOOK))
    }
}

fn render(message: &Message) -> serde_json::Value {
    let parts = Parts::new(message);
    let prose = || markdown_cost(Flavor::Discord, char::len_utf16);
    let title = parts.title(TITLE_LIMIT, prose());
    let (body, details) = parts.fit(
        DESCRIPTION_LIMIT - CODE_BLOCK.len(),
        prose(),
        code_cost(char::len_utf16),
    );
    let mut description = markdown(&body, Flavor::Discord);
    if let Some(details) = details {
        description.push_str("\n\n");
        description.push_str(&code_block(&details, Flavor::Discord));
    }
    let mut rendered = json!({
        "content": format!("**{}**", markdown(&title, Flavor::Discord)),
        "allowed_mentions": { "parse": [] },
        "embeds": [],
    });
    if !description.trim().is_empty() {
        rendered["embeds"] = json!([{
            "description": description.trim(),
            "color": colour(message),
            "timestamp": message.at.to_string(),
        }]);
    }
    if is_quiet(message) {
        rendered["flags"] = json!(SILENT);
    }
    rendered
}

#[cfg(test)]
mod tests {
    use howdah_domain::{AlertKind, Secret};
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_message_calls_nobody_and_its_details_are_code() {
        let mut message = Message::new(
            AlertKind::BackupFailed,
            Timestamp::UNIX_EPOCH,
            "a_b failed",
            "@everyone",
        );
        message.details = Some("```x".to_owned());
        let rendered = render(&message);
        assert_eq!(rendered["content"], r"**a\_b failed**");
        assert_eq!(rendered["allowed_mentions"]["parse"], json!([]));
        assert_eq!(
            rendered["embeds"][0]["description"],
            "@\u{200b}everyone\n\n```\n`\u{200b}`\u{200b}`x\n```"
        );
        assert_eq!(rendered["embeds"][0]["color"], 0x00d7_263d);
    }

    #[test]
    fn a_link_to_a_channel_is_told_from_a_web_hook() {
        let secrets = Secrets::new().with(
            ChannelSecret::Url,
            &Secret::new("https://discord.com/channels/123456789/987654321"),
        );
        let error = Discord::new("d", &secrets, &Wiring::default()).unwrap_err();
        assert!(error.to_string().contains("not the URL of a Discord web hook"));
    }
}
