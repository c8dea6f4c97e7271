//! Pushover: <https://pushover.net/api>.
//!
//! Limits: a message 1024 characters of UTF-8, a title 250. It is plain text, in which nothing is markup. There is no key for a
//! message that is sent again, so one whose answer was lost may come twice.
//!
//! 429 means that the application has used up its messages of this month; `X-Limit-App-Reset` says when the next one begins.

use std::time::Duration;

use async_trait::async_trait;
use howdah_domain::channel::PushoverAddress;
use howdah_domain::{ChannelSecret, Secret, Severity};
use jiff::Timestamp;
use reqwest::Method;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::http::{Answer, Http, below, parse_url};
use crate::open::Wiring;
use crate::scrub::Scrub;
use crate::text::{Parts, is_quiet};
use crate::{Channel, Delivered, Error, Message, Secrets};

const MESSAGE_LIMIT: usize = 1024;
const TITLE_LIMIT: usize = 250;
const NEW_TOKEN: &str = "The application's token is wrong or was deleted. On pushover.net, make an application and enter its API token here.";

/// A user or group of Pushover.
#[derive(Debug)]
pub(crate) struct Pushover {
    name: String,
    http: Http,
    method: Url,
    token: Secret,
    user: String,
    device: Option<String>,
}

impl Pushover {
    pub(crate) fn new(
        name: &str,
        address: &PushoverAddress,
        secrets: &Secrets,
        wiring: &Wiring,
    ) -> Result<Self, Error> {
        let token = secrets.demand(ChannelSecret::Token, "the application's token")?;
        let user = address.user.trim();
        if user.is_empty() {
            return Err(Error::Misconfigured {
                message: "This channel lacks the user's or group's key.".to_owned(),
                hint: "It stands at the top of your page on pushover.net.".to_owned(),
            });
        }
        let root = parse_url(&wiring.bases.pushover, "The address of Pushover's API")?;
        Ok(Self {
            name: name.to_owned(),
            http: Http::new(
                "Pushover",
                wiring.limits,
                Scrub::default().with(token.expose()),
                None,
            )?,
            method: below(&root, &["1", "messages.json"]),
            token: token.clone(),
            user: user.to_owned(),
            device: address
                .device
                .as_deref()
                .map(|device| device.trim().to_owned())
                .filter(|device| !device.is_empty()),
        })
    }

    fn answered(&self, answer: &Answer) -> Result<Delivered, Error> {
        // {"status": 0, "token": "invalid", "errors": ["application token is invalid"], "request": "…"}
        let told = answer.json();
        if answer.is_success() {
            return if told["status"] == 1 {
                Ok(Delivered::default())
            } else {
                Err(self.http.unexpected(answer))
            };
        }
        let errors: Vec<&str> = told["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|error| error.as_str())
            .collect();
        let said = if errors.is_empty() {
            answer.body.clone()
        } else {
            errors.join("; ")
        };
        let invalid = |what: &str| told[what] == "invalid" && (400..500).contains(&answer.status);
        Err(if answer.status == 429 {
            let mut error = self.http.later(answer, &said);
            if let Error::Later { after, .. } = &mut error {
                *after = after.or_else(|| reset(answer));
            }
            error
        } else if invalid("token") {
            self.http.denied(answer, &said, NEW_TOKEN)
        } else if invalid("user") || invalid("device") {
            Error::Misconfigured {
                message: "Pushover knows no such user, group or device, or none of theirs takes messages."
                    .to_owned(),
                hint: "Copy the user's or group's key from pushover.net again, and check the device's name."
                    .to_owned(),
            }
        } else {
            self.http.failure(answer, &said, NEW_TOKEN)
        })
    }
}

/// How long it is until the application's messages are counted anew.
fn reset(answer: &Answer) -> Option<Duration> {
    let at = answer.header("x-limit-app-reset")?.trim().parse().ok()?;
    let left = Timestamp::from_second(at).ok()?.duration_since(Timestamp::now());
    Duration::try_from(left).ok()
}

#[async_trait]
impl Channel for Pushover {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, message: &Message, cancel: &CancellationToken) -> Result<Delivered, Error> {
        let (title, text) = render(message);
        // High priority passes the quiet hours of the phone; the highest would demand an answer, every 30 seconds.
        let priority = match message.severity {
            Severity::Info if is_quiet(message) => "-1",
            Severity::Info | Severity::Warning => "0",
            Severity::Critical => "1",
        };
        let at = message.at.as_second().to_string();
        let mut form = vec![
            ("token", self.token.expose()),
            ("user", &self.user),
            ("title", &title),
            ("message", &text),
            ("priority", priority),
            ("timestamp", &at),
        ];
        if let Some(device) = &self.device {
            form.push(("device", device));
        }
        let request = self.http.request(Method::POST, self.method.clone()).form(&form);
        self.answered(&self.http.exchange(request, cancel).await?)
    }
}

fn render(message: &Message) -> (String, String) {
    let parts = Parts::new(message);
    let chars = |_| 1;
    let (body, details) = parts.fit(MESSAGE_LIMIT - 2, chars, chars);
    let text = match details {
        Some(details) if body.is_empty() => details,
        Some(details) => format!("{body}\n\n{details}"),
        // A message is demanded.
        None if body.is_empty() => "—".to_owned(),
        None => body,
    };
    (parts.title(TITLE_LIMIT, chars), text)
}
