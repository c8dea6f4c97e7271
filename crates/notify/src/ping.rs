//! A dead man's switch that tells when Howdah falls silent: Healthchecks (<https://healthchecks.io/docs/http_api/>) and whatever works alike.
//!
//! A backup that began is POSTed to `URL/start`, one that succeeded to the URL itself, one that failed to `URL/fail` with its title and text; a test
//! counts as a success. Other messages are none of its business, and are taken without a request.
//!
//! Healthchecks keeps the *first* bytes of a body, 100 kB on its own site, and says in `Ping-Body-Limit` how many where it is hosted otherwise. Since
//! the error stands at the end, the text is shortened to that beforehand. A ping that is sent twice is a twin in its log, and does no harm.
//!
//! For a check that is not there it answers 404, or, by the URL with a UUID, 200 with `OK (not found)`; likewise for too many.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use howdah_domain::{AlertKind, ChannelSecret};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use tokio_util::sync::CancellationToken;

use crate::http::{Endpoint, Http, below, parse_url, place};
use crate::open::Wiring;
use crate::scrub::Scrub;
use crate::shorten::shorten_by;
use crate::text::Parts;
use crate::{Channel, Delivered, Error, Message, Secrets};

/// Bytes of a body, until the service says otherwise.
const LIMIT: usize = 100_000;
const NEW_CHECK: &str = "The check was deleted, or its URL is wrong. Open the check, copy its ping URL and enter it here, without /start or /fail.";

/// A dead man's switch.
#[derive(Debug)]
pub(crate) struct Ping {
    name: String,
    http: Http,
    url: Endpoint,
    /// How many bytes of a body it keeps.
    limit: AtomicUsize,
}

impl Ping {
    pub(crate) fn new(name: &str, secrets: &Secrets, wiring: &Wiring) -> Result<Self, Error> {
        let secret = secrets.demand(ChannelSecret::Url, "the ping URL")?;
        let url = parse_url(secret.expose(), "The ping URL")?;
        let scrub = Scrub::default().with_url(&url);
        let service = format!("the dead man's switch at {}", place(&url));
        Ok(Self {
            name: name.to_owned(),
            http: Http::new(service, wiring.limits, scrub, None)?,
            url: Endpoint(url),
            limit: AtomicUsize::new(LIMIT),
        })
    }
}

#[async_trait]
impl Channel for Ping {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, message: &Message, cancel: &CancellationToken) -> Result<Delivered, Error> {
        let url = match message.kind {
            AlertKind::BackupStarted => below(&self.url.0, &["start"]),
            AlertKind::BackupSucceeded | AlertKind::Test => self.url.0.clone(),
            AlertKind::BackupFailed => below(&self.url.0, &["fail"]),
            _ => return Ok(Delivered::default()),
        };
        let parts = Parts::new(message);
        let text = [Some(&parts.title), Some(&parts.body), parts.details.as_ref()]
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty())
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("\n\n");
        let request = self
            .http
            .request(Method::POST, url)
            .header(CONTENT_TYPE, "text/plain; charset=utf-8")
            .body(shorten_by(
                &text,
                self.limit.load(Ordering::Relaxed),
                char::len_utf8,
            ));
        let answer = self.http.exchange(request, cancel).await?;
        if let Some(limit) = answer
            .header("ping-body-limit")
            .and_then(|limit| limit.trim().parse().ok())
        {
            self.limit.store(LIMIT.min(limit), Ordering::Relaxed);
        }
        let said = answer.body.trim();
        if !answer.is_success() {
            return Err(match answer.status {
                409 => Error::Misconfigured {
                    message: "The ping URL fits several checks, so the dead man's switch took no notice."
                        .to_owned(),
                    hint: "Give the check a slug that no other has, or use its URL with a UUID.".to_owned(),
                },
                _ => self.http.failure(&answer, said, NEW_CHECK),
            });
        }
        match said {
            "OK (not found)" => Err(self.http.denied(&answer, said, NEW_CHECK)),
            "OK (rate limited)" => Err(self.http.later(&answer, said)),
            said if said.starts_with("<") => Err(self.http.unexpected(&answer)),
            _ => Ok(Delivered::default()),
        }
    }
}
