//! Gotify: <https://gotify.net/docs/pushmsg>, <https://gotify.net/docs/msgextras>.
//!
//! No limit is documented; 8000 characters are more than anybody reads on a phone. The text is Markdown, which `client::display` announces to Gotify's own
//! clients. There is no key for a message that is sent again, so one whose answer was lost may come twice.

use async_trait::async_trait;
use howdah_domain::channel::GotifyAddress;
use howdah_domain::{ChannelSecret, Secret, Severity};
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::http::{Http, below, parse_url, place};
use crate::markup::{CODE_BLOCK, Flavor, code_block, code_cost, markdown, markdown_cost};
use crate::open::Wiring;
use crate::scrub::Scrub;
use crate::text::{Parts, is_quiet};
use crate::{Channel, Delivered, Error, Message, Secrets};

const LIMIT: usize = 8000;
const TITLE_LIMIT: usize = 250;
const NEW_TOKEN: &str = "The application's token is wrong or was deleted, or nothing but Gotify's server is at this address. In Gotify, open Apps, copy the token of an application (not of a client) and enter it here.";

/// An application of a Gotify server.
#[derive(Debug)]
pub(crate) struct Gotify {
    name: String,
    http: Http,
    method: Url,
    token: Secret,
}

impl Gotify {
    pub(crate) fn new(
        name: &str,
        address: &GotifyAddress,
        secrets: &Secrets,
        wiring: &Wiring,
    ) -> Result<Self, Error> {
        let token = secrets.demand(ChannelSecret::Token, "the application's token")?;
        if HeaderValue::from_str(token.expose()).is_err() {
            return Err(Error::Misconfigured {
                message: "This is no token of a Gotify application.".to_owned(),
                hint: "In Gotify, open Apps, and copy the application's token.".to_owned(),
            });
        }
        let server = parse_url(&address.server, "The Gotify server's address")?;
        let service = format!("Gotify at {}", place(&server));
        Ok(Self {
            name: name.to_owned(),
            http: Http::new(
                service,
                wiring.limits,
                Scrub::default().with(token.expose()),
                None,
            )?,
            method: below(&server, &["message"]),
            token: token.clone(),
        })
    }
}

#[async_trait]
impl Channel for Gotify {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, message: &Message, cancel: &CancellationToken) -> Result<Delivered, Error> {
        let request = self
            .http
            .request(Method::POST, self.method.clone())
            .header("X-Gotify-Key", self.token.expose())
            .json(&render(message));
        let answer = self.http.exchange(request, cancel).await?;
        let told = answer.json();
        if answer.is_success() {
            return if told["id"].is_u64() {
                Ok(Delivered::default())
            } else {
                Err(self.http.unexpected(&answer))
            };
        }
        // {"error": "Unauthorized", "errorCode": 401, "errorDescription": "you need to provide a valid access token …"}
        let said = told["errorDescription"]
            .as_str()
            .or_else(|| told["error"].as_str())
            .unwrap_or(&answer.body);
        Err(self.http.failure(&answer, said, NEW_TOKEN))
    }
}

fn render(message: &Message) -> Value {
    let parts = Parts::new(message);
    let chars = |_| 1;
    let (body, details) = parts.fit(
        LIMIT - CODE_BLOCK.len(),
        markdown_cost(Flavor::CommonMark, chars),
        code_cost(chars),
    );
    let mut text = markdown(&body, Flavor::CommonMark);
    if let Some(details) = details {
        text.push_str("\n\n");
        text.push_str(&code_block(&details, Flavor::CommonMark));
    }
    let text = text.trim();
    // From 4 on there is a sound, from 8 on a vibration (Gotify's Android app).
    let priority = match message.severity {
        Severity::Info if is_quiet(message) => 2,
        Severity::Info | Severity::Warning => 5,
        Severity::Critical => 8,
    };
    json!({
        "title": parts.title(TITLE_LIMIT, chars),
        // A message is demanded.
        "message": if text.is_empty() { "—" } else { text },
        "priority": priority,
        "extras": { "client::display": { "contentType": "text/markdown" } },
    })
}
