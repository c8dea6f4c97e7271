//! Any web hook: a request with JSON, of all parts of a message or as a template says.
//!
//! **Template.** JSON in which `{{title}}`, `{{body}}`, `{{details}}`, `{{severity}}`, `{{kind}}`, `{{database}}`, `{{server}}`,
//! `{{environment}}`, `{{at}}` (RFC 3339), `{{id}}` and `{{route}}` stand for the message's parts. Each is escaped as the inside of a JSON
//! string, so it stands within quotation marks: `{"text": "{{title}}: {{body}}"}`. Several databases are joined by commas; what a message
//! has not is empty. Without a template, an object of all parts is sent.
//!
//! **Signature.** With a signing key, `X-Howdah-Timestamp` is the time in seconds since 1970, and `X-Howdah-Signature` is `sha256=` and, in lower-case
//! hex, HMAC-SHA256 of that number, a full stop and the body. Whoever checks both, and refuses what is older than some minutes, takes
//! nothing that was forged, and nothing that was recorded and sent again.
//!
//! **Twins.** A delivery whose answer was lost is sent again. `X-Howdah-Id` is the same both times.
//!
//! Any status of 200–299 is a success.

use async_trait::async_trait;
use aws_lc_rs::hmac;
use howdah_domain::channel::{WebhookAddress, WebhookMethod};
use howdah_domain::{ChannelSecret, Secret};
use jiff::Timestamp;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::http::{Endpoint, Http, parse_url, place};
use crate::open::Wiring;
use crate::scrub::Scrub;
use crate::{Channel, Delivered, Error, Message, Secrets, shorten};

/// Characters of a body or of details. Nobody documents a limit; many servers refuse more than some hundred kilobytes.
const PART_LIMIT: usize = 32_000;
/// Bytes of a template, and of what is made of it.
const TEMPLATE_LIMIT: usize = 64 * 1024;
const BODY_LIMIT: usize = 1024 * 1024;
const NAMES: [&str; 11] = [
    "title",
    "body",
    "details",
    "severity",
    "kind",
    "database",
    "server",
    "environment",
    "at",
    "id",
    "route",
];
/// Headers that the request itself decides.
const OURS: [&str; 8] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "te",
    "upgrade",
    "x-howdah-timestamp",
    "x-howdah-signature",
];
const CHECK: &str = "Check the web hook's URL and its secret headers: a token may have expired, or the web hook may have been deleted.";

/// A web hook.
#[derive(Debug)]
pub(crate) struct Webhook {
    name: String,
    http: Http,
    url: Endpoint,
    method: Method,
    template: Option<String>,
    headers: HeaderMap,
    key: Option<Secret>,
}

impl Webhook {
    pub(crate) fn new(
        name: &str,
        address: &WebhookAddress,
        secrets: &Secrets,
        wiring: &Wiring,
    ) -> Result<Self, Error> {
        let url = parse_url(
            secrets.demand(ChannelSecret::Url, "the web hook's URL")?.expose(),
            "The web hook's URL",
        )?;
        let mut scrub = Scrub::default().with_url(&url);
        let headers = match secrets.get(ChannelSecret::Headers) {
            Some(lines) => headers(lines)?,
            None => HeaderMap::new(),
        };
        for value in headers.values().filter_map(|value| value.to_str().ok()) {
            scrub = scrub.with(value);
            for part in value.split_whitespace().filter(|part| part.len() >= 8) {
                scrub = scrub.with(part);
            }
        }
        let key = secrets.get(ChannelSecret::SigningKey).cloned();
        if let Some(key) = &key {
            scrub = scrub.with(key.expose());
        }
        let template = address
            .template
            .clone()
            .filter(|template| !template.trim().is_empty());
        if let Some(template) = &template {
            preview(Some(template), &sample())?;
        }
        let service = format!("the web hook at {}", place(&url));
        Ok(Self {
            name: name.to_owned(),
            http: Http::new(service, wiring.limits, scrub, None)?,
            url: Endpoint(url),
            method: match address.method {
                WebhookMethod::Post => Method::POST,
                WebhookMethod::Put => Method::PUT,
                WebhookMethod::Patch => Method::PATCH,
            },
            template,
            headers,
            key,
        })
    }
}

#[async_trait]
impl Channel for Webhook {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, message: &Message, cancel: &CancellationToken) -> Result<Delivered, Error> {
        let body = preview(self.template.as_deref(), message)?;
        let mut headers = self.headers.clone();
        headers
            .entry(CONTENT_TYPE)
            .or_insert(HeaderValue::from_static("application/json; charset=utf-8"));
        if let Ok(id) = HeaderValue::from_str(&message.id) {
            headers.insert("x-howdah-id", id);
        }
        if let Some(key) = &self.key {
            let now = Timestamp::now().as_second();
            headers.insert("x-howdah-timestamp", HeaderValue::from(now));
            let signature = format!("sha256={}", sign(key, now, &body));
            if let Ok(signature) = HeaderValue::from_str(&signature) {
                headers.insert("x-howdah-signature", signature);
            }
        }
        let request = self
            .http
            .request(self.method.clone(), self.url.0.clone())
            .headers(headers)
            .body(body);
        let answer = self.http.exchange(request, cancel).await?;
        if answer.is_success() {
            Ok(Delivered::default())
        } else {
            Err(self.http.failure(&answer, &answer.body, CHECK))
        }
    }
}

/// What is sent of a message: what the template makes of it, or all of its parts. It is valid JSON.
///
/// # Errors
/// [`Error::Misconfigured`] where it names something that a message has not, or where what comes out is no JSON.
pub fn preview(template: Option<&str>, message: &Message) -> Result<String, Error> {
    let Some(template) = template.filter(|template| !template.trim().is_empty()) else {
        return Ok(whole(message).to_string());
    };
    if template.len() > TEMPLATE_LIMIT {
        return Err(Error::Misconfigured {
            message: "The web hook's template is longer than 64 kB.".to_owned(),
            hint: "Shorten it.".to_owned(),
        });
    }
    let mut made = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some(at) = rest.find("{{") {
        let (before, behind) = rest.split_at(at);
        made.push_str(before);
        let Some(end) = behind.find("}}") else {
            rest = behind;
            break;
        };
        let name = behind[2..end].trim();
        if NAMES.contains(&name) {
            made.push_str(&inside(&part(message, name)));
            rest = &behind[end + 2..];
        } else if name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.') {
            let name = shorten(name, 40);
            return Err(Error::Misconfigured {
                message: format!("The web hook's template names {{{{{name}}}}}, which a message has not."),
                hint: format!("There are {{{{{}}}}}.", NAMES.join("}}, {{")),
            });
        } else {
            // Two braces that begin a nested object.
            made.push('{');
            rest = &behind[1..];
        }
        if made.len() > BODY_LIMIT {
            return Err(Error::Misconfigured {
                message: "What the web hook's template makes of a message is longer than 1 MB.".to_owned(),
                hint: "Name {{details}} and {{body}} once each.".to_owned(),
            });
        }
    }
    made.push_str(rest);
    match serde_json::from_str::<Value>(&made) {
        Ok(_) => Ok(made),
        Err(error) => Err(Error::Misconfigured {
            message: format!("What the web hook's template makes of a message is no JSON: {error}."),
            hint: "Write each {{…}} within quotation marks, and check commas and braces.".to_owned(),
        }),
    }
}

/// A text as it stands between the quotation marks of a JSON string.
fn inside(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn part(message: &Message, name: &str) -> String {
    let joined = |part: fn(&crate::Subject) -> String| {
        let mut parts: Vec<String> = Vec::new();
        for subject in &message.databases {
            let part = part(subject);
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        shorten(&parts.join(", "), 1000)
    };
    match name {
        "title" => shorten(&message.title, PART_LIMIT),
        "body" => shorten(&message.body, PART_LIMIT),
        "details" => shorten(message.details.as_deref().unwrap_or_default(), PART_LIMIT),
        "severity" => word(json!(message.severity)),
        "kind" => word(json!(message.kind)),
        "database" => joined(|subject| subject.database.clone()),
        "server" => joined(|subject| subject.server.clone()),
        "environment" => joined(|subject| word(json!(subject.environment))),
        "at" => message.at.to_string(),
        "id" => message.id.clone(),
        "route" => message.route.clone().unwrap_or_default(),
        _ => String::new(),
    }
}

/// The word of an enum, as it is elsewhere.
fn word(value: Value) -> String {
    match value {
        Value::String(word) => word,
        other => other.to_string(),
    }
}

/// All parts.
fn whole(message: &Message) -> Value {
    json!({
        "id": message.id,
        "kind": message.kind,
        "severity": message.severity,
        "good": message.kind.is_good(),
        "title": part(message, "title"),
        "body": part(message, "body"),
        "details": message.details.as_ref().map(|_| part(message, "details")),
        "databases": message.databases.iter().take(100).map(|subject| json!({
            "database": subject.database,
            "server": subject.server,
            "environment": subject.environment,
        })).collect::<Vec<_>>(),
        "at": message.at.to_string(),
        "route": message.route,
        "stands_for": message.stands_for,
    })
}

/// A message to try a template with, with everything in it that breaks JSON.
fn sample() -> Message {
    let mut message = Message::new(
        howdah_domain::AlertKind::Test,
        Timestamp::UNIX_EPOCH,
        "A \"test\"",
        "of\n\\",
    );
    message.details = Some("}{".to_owned());
    message
}

/// The headers, a line each. What is wrong is told by the line's number.
fn headers(lines: &Secret) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (number, line) in lines.expose().lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let wrong = |what: &str| Error::Misconfigured {
            message: format!("Line {} of the web hook's headers {what}.", number + 1),
            hint: "Write one header on each line, such as Authorization: Bearer and the token.".to_owned(),
        };
        let header = line.split_once(':').and_then(|(name, value)| {
            let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        });
        let Some((name, mut value)) = header else {
            return Err(wrong("is not a name, a colon and a value"));
        };
        if OURS.contains(&name.as_str()) {
            return Err(wrong(&format!("sets {name}, which the request decides itself")));
        }
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

/// HMAC-SHA256 of the time, a full stop and the body, in hex.
fn sign(key: &Secret, at: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(at.to_string().as_bytes());
    context.update(b".");
    context.update(body.as_bytes());
    data_encoding::HEXLOWER.encode(context.sign().as_ref())
}

#[cfg(test)]
mod tests {
    use howdah_domain::{AlertKind, Environment};
    use rstest::rstest;

    use super::*;

    fn message() -> Message {
        let mut message = Message::new(
            AlertKind::BackupFailed,
            Timestamp::UNIX_EPOCH,
            "a\"b failed",
            "one\ntwo",
        )
        .route("/runs/1");
        message.id = "m1".to_owned();
        message.details = Some("{{title}} \\ \u{7}".to_owned());
        message.databases = ["shop", "blog"]
            .map(|database| crate::Subject {
                database: database.to_owned(),
                server: "db1".to_owned(),
                environment: Environment::Production,
            })
            .to_vec();
        message
    }

    #[test]
    fn a_template_is_filled_once_and_escaped() {
        let template = r#"{"a":{"t":"{{title}}","d":"{{ details }}"},"x":"{{database}}@{{server}} {{environment}} {{severity}} {{kind}} {{at}} {{id}} {{route}}"}"#;
        let made: Value = serde_json::from_str(&preview(Some(template), &message()).unwrap()).unwrap();
        assert_eq!(made["a"]["t"], "a\"b failed");
        assert_eq!(made["a"]["d"], "{{title}} \\ \u{7}");
        assert_eq!(
            made["x"],
            "shop, blog@db1 production critical backup_failed 1970-01-01T00:00:00Z m1 /runs/1"
        );
    }

    #[rstest]
    #[case(r#"{"a":"{{tilte}}"}"#, "{{tilte}}")]
    #[case(r#"{"a":{{title}}}"#, "no JSON")]
    #[case(r#"{"a":"{{title}}",}"#, "no JSON")]
    #[case("{{title}}", "no JSON")]
    #[case(r#"{"a":"{{title"#, "no JSON")]
    fn a_wrong_template_is_told(#[case] template: &str, #[case] told: &str) {
        let error = preview(Some(template), &message()).unwrap_err();
        assert!(matches!(error, Error::Misconfigured { .. }));
        assert!(error.to_string().contains(told), "{error}");
    }

    #[test]
    fn braces_of_json_itself_are_no_placeholders() {
        let made = preview(Some("{\"a\":[{\n\"b\":{\"c\":{}}}]}"), &message()).unwrap();
        assert_eq!(made, "{\"a\":[{\n\"b\":{\"c\":{}}}]}");
    }

    #[rstest]
    #[case("Authorization: Bearer horse-battery\nX-Key: staple", 2)]
    #[case("\n X-Key : a:b \n", 1)]
    fn headers_are_read_a_line_each(#[case] lines: &str, #[case] count: usize) {
        assert_eq!(headers(&Secret::new(lines)).unwrap().len(), count);
    }

    #[rstest]
    #[case("horse-battery")]
    #[case("X-Key: a\nhorse battery: x")]
    #[case("Host: horse")]
    fn a_wrong_header_is_told_by_its_line(#[case] lines: &str) {
        let error = headers(&Secret::new(lines)).unwrap_err();
        assert!(!format!("{error:?}").contains("horse"), "{error:?}");
        assert!(error.to_string().starts_with("Line "));
    }

    #[test]
    fn a_signature_is_of_time_and_body() {
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac key
        assert_eq!(
            sign(&Secret::new("key"), 1_700_000_000, "{}"),
            "9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae"
        );
    }
}
