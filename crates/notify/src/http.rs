//! One HTTP request to a service, and what became of it. It knows no service.
//!
//! What every channel that speaks HTTP needs: limits of time and size, an end soon after it is cancelled, no way to another host than
//! the one that was entered, and errors whose texts hold no secret.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{DATE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Client, Method, Proxy, RequestBuilder};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use url::{Host, Url};

use crate::scrub::Scrub;
use crate::text::visible;
use crate::{Error, shorten};

/// The most of an answer that is read.
const ANSWER_LIMIT: usize = 64 * 1024;
/// The most of a service's own words that an error repeats, in characters.
const WORDS_LIMIT: usize = 600;
/// The longest wait that is believed.
const LONGEST_WAIT: f64 = 40.0 * 86_400.0;
/// What we call ourselves.
const AGENT: &str = concat!("Howdah/", env!("CARGO_PKG_VERSION"));

/// How long a service may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// To take a connection, TLS included.
    pub connect: Duration,
    /// In all, from the first look-up of its name to the end of its answer.
    pub total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            total: Duration::from_secs(30),
        }
    }
}

/// A service that is spoken to over HTTP.
pub(crate) struct Http {
    service: String,
    client: Client,
    limits: Limits,
    scrub: Scrub,
}

impl Http {
    /// `service` is what people call it, within a sentence. `scrub` holds whatever its errors must not repeat.
    pub(crate) fn new(
        service: impl Into<String>,
        limits: Limits,
        scrub: Scrub,
        proxy: Option<Proxy>,
    ) -> Result<Self, Error> {
        let mut client = Client::builder()
            .user_agent(AGENT)
            .connect_timeout(limits.connect)
            .redirect(same_place())
            .referer(false)
            // Messages are rare: a connection that was kept is most often dead when the next one comes.
            .pool_max_idle_per_host(0);
        if let Some(proxy) = proxy {
            client = client.proxy(proxy);
        }
        let service = service.into();
        match client.build() {
            Ok(client) => Ok(Self {
                service,
                client,
                limits,
                scrub,
            }),
            Err(error) => Err(Error::Misconfigured {
                message: format!(
                    "No connection to {service} can be prepared: {}.",
                    scrub.clean(&words(&error.without_url()))
                ),
                hint: "Check the channel's settings, and the certificates of this machine.".to_owned(),
            }),
        }
    }

    /// A request to be filled.
    pub(crate) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// Sends a request and reads the answer, whatever its status.
    pub(crate) async fn exchange(
        &self,
        request: RequestBuilder,
        cancel: &CancellationToken,
    ) -> Result<Answer, Error> {
        self.exchange_up_to(request, ANSWER_LIMIT, cancel).await
    }

    /// The same with another limit for what is read of the answer.
    pub(crate) async fn exchange_up_to(
        &self,
        request: RequestBuilder,
        most: usize,
        cancel: &CancellationToken,
    ) -> Result<Answer, Error> {
        let talk = async {
            let mut response = request.send().await?;
            let mut body = Vec::new();
            while body.len() < most {
                let Some(piece) = response.chunk().await? else {
                    break;
                };
                body.extend_from_slice(&piece[..piece.len().min(most - body.len())]);
            }
            Ok::<_, reqwest::Error>(Answer {
                status: response.status().as_u16(),
                headers: response.headers().clone(),
                body: String::from_utf8_lossy(&body).into_owned(),
            })
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Error::Cancelled),
            answer = tokio::time::timeout(self.limits.total, talk) => match answer {
                Ok(answer) => answer.map_err(|error| self.explain(error)),
                Err(_) => Err(self.silence(self.limits.total)),
            },
        }
    }

    fn silence(&self, limit: Duration) -> Error {
        Error::Timeout {
            service: self.service.clone(),
            limit,
        }
    }

    /// Why there is no answer.
    fn explain(&self, error: reqwest::Error) -> Error {
        let error = error.without_url();
        let service = self.service.clone();
        let details = self.scrub.clean(&words(&error));
        if error.is_timeout() {
            let limit = if error.is_connect() {
                self.limits.connect
            } else {
                self.limits.total
            };
            self.silence(limit)
        } else if error.is_builder() {
            Error::Misconfigured {
                message: format!("What {service} is to be sent cannot be sent: {details}."),
                hint: "Check the address and the headers in the channel's settings.".to_owned(),
            }
        } else if is_about_a_certificate(&error) {
            Error::Untrusted {
                service,
                fingerprint: None,
                details,
            }
        } else {
            Error::Unreachable { service, details }
        }
    }

    /// What an answer that is no success means, where the service has nothing special to say: `said` are its own words, and `denied` is
    /// what helps when it does not let us in.
    pub(crate) fn failure(&self, answer: &Answer, said: &str, denied: &str) -> Error {
        match answer.status {
            429 | 500..=599 => self.later(answer, said),
            300..=399 => self.moved(answer),
            401 | 403 | 404 | 410 => self.denied(answer, said, denied),
            _ => self.refused(answer, said),
        }
    }

    /// It has no time now.
    pub(crate) fn later(&self, answer: &Answer, said: &str) -> Error {
        Error::Later {
            service: self.service.clone(),
            after: answer.retry_after(),
            details: self.details(answer, said),
        }
    }

    /// It does not let us in.
    pub(crate) fn denied(&self, answer: &Answer, said: &str, hint: &str) -> Error {
        Error::Denied {
            service: self.service.clone(),
            hint: hint.to_owned(),
            details: self.details(answer, said),
        }
    }

    /// It refuses this message for good.
    pub(crate) fn refused(&self, answer: &Answer, said: &str) -> Error {
        Error::Refused {
            service: self.service.clone(),
            details: self.details(answer, said),
        }
    }

    /// It sends us elsewhere.
    fn moved(&self, answer: &Answer) -> Error {
        let host = answer
            .header(LOCATION.as_str())
            .and_then(|location| Url::parse(location).ok())
            .and_then(|url| Some(format!("{}://{}", url.scheme(), url.host_str()?)));
        Error::Misconfigured {
            message: match host {
                Some(host) => format!(
                    "{} sends Howdah on to {}, where it does not go with what lets it in.",
                    crate::error::capital(&self.service),
                    self.scrub.clean(&host)
                ),
                None => format!(
                    "{} sends Howdah on to another place (HTTP {}), where it does not go.",
                    crate::error::capital(&self.service),
                    answer.status
                ),
            },
            hint: "Enter the address that it has now; often it begins with https:// in place of http://."
                .to_owned(),
        }
    }

    /// Something answered with success that is not the service: the login page of a hotel's network, a proxy.
    pub(crate) fn unexpected(&self, answer: &Answer) -> Error {
        Error::Unreachable {
            service: self.service.clone(),
            details: format!(
                "something else answered in its place (HTTP {}): a proxy, or the login page of this network",
                answer.status
            ),
        }
    }

    /// A service's words, without secrets, for people who look closer.
    fn details(&self, answer: &Answer, said: &str) -> String {
        // The page of a proxy says nothing that its status does not.
        let said = said.trim();
        if said.is_empty() || said.starts_with('<') {
            return format!("HTTP {}", answer.status);
        }
        // What was not read to its end may break off within a secret; the first part does not.
        let said = self.scrub.clean(said);
        let said = &said[..said.floor_char_boundary(ANSWER_LIMIT / 4)];
        let said = shorten(&visible(said), WORDS_LIMIT);
        format!("HTTP {}: {said}", answer.status)
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client would show its proxy, with the password.
        f.debug_struct("Http")
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

/// A service's answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: HeaderMap,
    /// As much as was read of it.
    pub(crate) body: String,
}

impl Answer {
    /// Whether it is a success.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON; null where it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// How long it asks to wait: in `Retry-After` (RFC 9110, section 10.2.3), or in the body, where Telegram
    /// (`parameters.retry_after`) and Discord (`retry_after`, with fractions of a second) tell it.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let body = self.json();
        let told = body["parameters"]["retry_after"]
            .as_f64()
            .or_else(|| body["retry_after"].as_f64());
        told.or_else(|| {
            let header = self.header(RETRY_AFTER.as_str())?.trim();
            header.parse().ok().or_else(|| {
                let until = moment(header)?;
                // By the service's own clock, where it tells the time.
                let now = self
                    .header(DATE.as_str())
                    .and_then(moment)
                    .unwrap_or_else(Timestamp::now);
                Some(until.duration_since(now).as_secs_f64().max(0.0))
            })
        })
        .filter(|seconds| (0.0..=LONGEST_WAIT).contains(seconds))
        .map(Duration::from_secs_f64)
    }
}

/// A date of HTTP.
fn moment(text: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

/// Redirects that stay where they are and send the message itself (307, 308). Others would go to another host with a token in their
/// path, or turn a message into a question that is answered with success (301, 302, 303).
fn same_place() -> reqwest::redirect::Policy {
    reqwest::redirect::Policy::custom(|attempt| {
        let same = attempt
            .previous()
            .last()
            .is_some_and(|from| from.origin() == attempt.url().origin());
        if same && matches!(attempt.status().as_u16(), 307 | 308) && attempt.previous().len() <= 3 {
            attempt.follow()
        } else {
            attempt.stop()
        }
    })
}

/// An error's words with those of its causes: the outermost ("error sending request") say little.
fn words(error: &reqwest::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !words.contains(&more) {
            words.push_str(": ");
            words.push_str(&more);
        }
        cause = error.source();
    }
    words
}

fn is_about_a_certificate(error: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
        return true;
    }
    // An I/O error does not show what it wraps as its source, but that one's source.
    let wrapped = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref)
        .map(|inner| inner as &(dyn std::error::Error + 'static));
    wrapped
        .or_else(|| error.source())
        .is_some_and(is_about_a_certificate)
}

/// Reads an address that was entered. `what` it is, at the beginning of a sentence: `The web hook's URL`. Its text is not repeated.
pub(crate) fn parse_url(text: &str, what: &str) -> Result<Url, Error> {
    Url::parse(text.trim())
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| Error::Misconfigured {
            message: format!("{what} is no URL that begins with https:// or http://."),
            hint: "Copy it again, as a whole.".to_owned(),
        })
}

/// The same for a service that is never reached without TLS; a test's may be, on this machine.
pub(crate) fn parse_secure_url(text: &str, what: &str) -> Result<Url, Error> {
    let url = parse_url(text, what)?;
    let here = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        _ => false,
    };
    if url.scheme() == "https" || here {
        Ok(url)
    } else {
        Err(Error::Misconfigured {
            message: format!("{what} begins with http://, and the service is reached by https:// only."),
            hint: "Copy it again, as a whole.".to_owned(),
        })
    }
}

/// A URL that lets in whoever knows it; it does not show in debug output.
#[derive(Clone)]
pub(crate) struct Endpoint(pub(crate) Url);

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Endpoint(…)")
    }
}

/// A URL with more at the end of its path; its query stays.
pub(crate) fn below(url: &Url, segments: &[&str]) -> Url {
    let mut url = url.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

/// The host of a URL as people say it, with a port that is not the usual one.
pub(crate) fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};
    use rstest::rstest;

    use super::*;

    fn answer(headers: &[(&'static str, &'static str)], body: &str) -> Answer {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        Answer {
            status: 429,
            headers,
            body: body.to_owned(),
        }
    }

    #[rstest]
    #[case(&[("retry-after", "7")], "", Some(7.0))]
    #[case(&[("retry-after", "Wed, 21 Oct 2015 07:29:00 GMT"), ("date", "Wed, 21 Oct 2015 07:28:00 GMT")], "", Some(60.0))]
    #[case(&[("retry-after", "Wed, 21 Oct 2015 07:29:00 GMT")], "", Some(0.0))]
    #[case(&[], r#"{"ok":false,"parameters":{"retry_after":35}}"#, Some(35.0))]
    #[case(&[("retry-after", "65")], r#"{"retry_after":64.57,"global":false}"#, Some(64.57))]
    #[case(&[("retry-after", "soon")], "", None)]
    #[case(&[("retry-after", "-3")], "", None)]
    #[case(&[("retry-after", "NaN")], "", None)]
    #[case(&[("retry-after", "1e300")], "", None)]
    #[case(&[], "", None)]
    fn a_wait_is_read_in_every_form(
        #[case] headers: &[(&'static str, &'static str)],
        #[case] body: &str,
        #[case] seconds: Option<f64>,
    ) {
        assert_eq!(
            answer(headers, body).retry_after(),
            seconds.map(Duration::from_secs_f64)
        );
    }

    #[test]
    fn an_address_is_extended_before_its_query() {
        let url = Url::parse("https://hc-ping.com/key/slug/?create=1").unwrap();
        assert_eq!(
            below(&url, &["fail"]).as_str(),
            "https://hc-ping.com/key/slug/fail?create=1"
        );
    }

    #[test]
    fn a_wrong_address_is_not_repeated() {
        for text in ["hooks.example/s3cret", "ftp://s3cret", "https://", "s3cret"] {
            let error = parse_url(text, "The web hook's URL").unwrap_err();
            assert!(!format!("{error:?}{error}").contains("s3cret"));
        }
        assert!(parse_secure_url("http://discord.example/x", "It").is_err());
        assert!(parse_secure_url("http://127.0.0.1:1/x", "It").is_ok());
    }
}
