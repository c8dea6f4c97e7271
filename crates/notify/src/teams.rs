//! Microsoft Teams, by a Workflows web hook that posts an Adaptive Card:
//! <https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using>. Connectors of old, which still answer here
//! and there, take the same.
//!
//! Limit: about 28 KB for the whole message (<https://learn.microsoft.com/connectors/teams/#known-issues-and-limitations-with-actions>), as
//! the service writes it, which is why there is room left. Text goes into TextRun, "Markdown is not supported"
//! (<https://learn.microsoft.com/adaptive-cards/schema-explorer/text-run>): nothing in it is markup, and mentions need an entity, which is never sent. What
//! a line break does there is not documented, so every line is a block.
//!
//! A workflow has no key by which it could tell a message that is sent again, so one whose answer was lost may come twice. That a workflow has
//! accepted a message (202) does not say that it posted it; nothing tells that.

use async_trait::async_trait;
use howdah_domain::{ChannelSecret, Severity};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::http::{Answer, Endpoint, Http, parse_secure_url};
use crate::open::Wiring;
use crate::scrub::Scrub;
use crate::text::Parts;
use crate::{Channel, Delivered, Error, Message, Secrets};

/// Bytes of the message as we write it.
const LIMIT: usize = 24 * 1024;
/// Bytes of text to begin with; what is around a line comes on top.
const FIRST_ROOM: usize = 14 * 1024;
const TITLE_LIMIT: usize = 300;
const NEW_HOOK: &str = "The workflow was deleted or turned off, or its URL is wrong. In Teams, open Workflows, the workflow that posts web hook requests, turn it on, copy its URL again and enter it here.";

/// A chat or channel of Microsoft Teams.
#[derive(Debug)]
pub(crate) struct Teams {
    name: String,
    http: Http,
    hook: Endpoint,
}

impl Teams {
    pub(crate) fn new(name: &str, secrets: &Secrets, wiring: &Wiring) -> Result<Self, Error> {
        let secret = secrets.demand(ChannelSecret::Url, "the workflow's URL")?;
        let url = parse_secure_url(secret.expose(), "The workflow's URL")?;
        let scrub = Scrub::default().with_url(&url);
        Ok(Self {
            name: name.to_owned(),
            http: Http::new("Microsoft Teams", wiring.limits, scrub, None)?,
            hook: Endpoint(url),
        })
    }

    fn answered(&self, answer: &Answer) -> Result<Delivered, Error> {
        // A connector of old answers 200 whatever happens, and tells failures in words.
        let failed = answer.body.contains("Webhook message delivery failed");
        if answer.is_success() && failed {
            return Err(
                if ["HTTP error 429", "HTTP error 5"]
                    .iter()
                    .any(|word| answer.body.contains(word))
                {
                    self.http.later(answer, &answer.body)
                } else {
                    self.http.refused(answer, &answer.body)
                },
            );
        }
        if answer.is_success() {
            return if answer.body.trim_start().starts_with('<') {
                Err(self.http.unexpected(answer))
            } else {
                Ok(Delivered::default())
            };
        }
        let told = answer.json();
        let said = match (told["error"]["code"].as_str(), told["error"]["message"].as_str()) {
            (Some(code), Some(said)) => format!("{code}: {said}"),
            (_, Some(said)) => said.to_owned(),
            _ => answer.body.clone(),
        };
        Err(self.http.failure(answer, &said, NEW_HOOK))
    }
}

#[async_trait]
impl Channel for Teams {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, message: &Message, cancel: &CancellationToken) -> Result<Delivered, Error> {
        let request = self
            .http
            .request(Method::POST, self.hook.0.clone())
            // Without a charset, the text is taken for twice its size.
            .header(CONTENT_TYPE, "application/json; charset=utf-8")
            .body(render(message));
        self.answered(&self.http.exchange(request, cancel).await?)
    }
}

/// The message as JSON, within the limit: what is around each line depends on how many there are, so it is tried.
fn render(message: &Message) -> String {
    let parts = Parts::new(message);
    let mut room = FIRST_ROOM;
    loop {
        let rendered = card(message, &parts, room).to_string();
        if rendered.len() <= LIMIT || room < 256 {
            return rendered;
        }
        room = room * 4 / 5;
    }
}

fn card(message: &Message, parts: &Parts, room: usize) -> Value {
    let colour = match message.severity {
        _ if message.kind.is_good() => "Good",
        Severity::Info => "Accent",
        Severity::Warning => "Warning",
        Severity::Critical => "Attention",
    };
    let run = |text: &str| json!({ "type": "TextRun", "text": text });
    let block =
        |run: Value, spacing: &str| json!({ "type": "RichTextBlock", "spacing": spacing, "inlines": [run] });
    let mut title = run(&parts.title(TITLE_LIMIT, char::len_utf8));
    title["weight"] = json!("Bolder");
    title["size"] = json!("Large");
    title["color"] = json!(colour);
    let mut blocks = vec![block(title, "Default")];
    // A line break costs the block around the next line.
    let cost = |around: usize| move |c| if c == '\n' { around } else { json_len(c) };
    let (body, details) = parts.fit(room, cost(85), cost(110));
    for (number, line) in lines(&body).enumerate() {
        blocks.push(block(run(line), if number == 0 { "Default" } else { "None" }));
    }
    for (number, line) in details.iter().flat_map(|details| lines(details)).enumerate() {
        let mut run = run(line);
        run["fontType"] = json!("Monospace");
        blocks.push(block(run, if number == 0 { "Medium" } else { "None" }));
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "fallbackText": parts.title(TITLE_LIMIT, char::len_utf8),
                "msteams": { "width": "Full" },
                "body": blocks,
            },
        }],
    })
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim().is_empty())
}

/// Bytes of a character in JSON.
pub(crate) fn json_len(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\t' => 2,
        c => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use howdah_domain::AlertKind;
    use jiff::Timestamp;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("x\n")]
    #[case("\"\\\t")]
    #[case("šé🐘 and words\n")]
    fn a_card_keeps_its_limit_and_the_last_line(#[case] unit: &str) {
        let mut message = Message::new(AlertKind::BackupFailed, Timestamp::UNIX_EPOCH, "t", "b\nc");
        message.details = Some(format!("{}\nERROR: the end", unit.repeat(50_000)));
        let rendered = render(&message);
        assert!(rendered.len() <= LIMIT, "{}", rendered.len());
        assert!(rendered.len() > LIMIT / 2, "{}", rendered.len());
        assert!(rendered.contains("ERROR: the end"));
    }
}
