//! Telegram, by a bot: <https://core.telegram.org/bots/api#sendmessage>.
//!
//! Limits: 1–4096 characters after the markup is parsed, counted here in UTF-16 units as entities are. There is no key by which Telegram
//! could tell a message that is sent again, so a delivery whose answer was lost may come twice.
//!
//! Telegram's errors have a number and an English description; what a few of them mean is read from the description, the rest is shown as
//! it is. A bot's token is part of the URL of every request, so no URL is ever told.

mod chats;

use async_trait::async_trait;
use howdah_domain::channel::TelegramAddress;
use howdah_domain::{ChannelSecret, Secret};
use reqwest::{Method, Proxy};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::http::{Answer, Endpoint, Http, below, parse_url};
use crate::markup::{html, html_code, html_cost};
use crate::open::Wiring;
use crate::scrub::Scrub;
use crate::shorten::total;
use crate::text::{Parts, is_quiet, sign};
use crate::{Channel, Delivered, Error, Message, Secrets};

pub use chats::Chat;
pub(crate) use chats::find;

/// Characters of a message, after entities parsing.
const LIMIT: usize = 4096;
const TITLE_LIMIT: usize = 256;
const NEW_TOKEN: &str =
    "The bot's token is wrong or was revoked. Ask @BotFather for the bot's token (/token) and enter it here.";
const LET_IN: &str =
    "Add the bot to the chat again, or unblock it. In a channel it must be an administrator who may post.";

/// A chat that a bot writes to.
#[derive(Debug)]
pub(crate) struct Telegram {
    name: String,
    bot: Bot,
    chat: String,
    topic: Option<i64>,
}

/// A bot, and the way to it.
#[derive(Debug)]
struct Bot {
    http: Http,
    root: Endpoint,
}

impl Bot {
    fn new(address: &TelegramAddress, token: &Secret, wiring: &Wiring) -> Result<Self, Error> {
        let token = token.expose();
        let good = token.split_once(':').is_some_and(|(id, key)| {
            !id.is_empty()
                && id.bytes().all(|byte| byte.is_ascii_digit())
                && key.len() >= 8
                && key
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        });
        if !good {
            return Err(Error::Misconfigured {
                message: "This is no token of a Telegram bot: one looks like 123456789:AAH…, digits, a colon and letters.".to_owned(),
                hint: "Copy the whole token from @BotFather's message.".to_owned(),
            });
        }
        let server = address
            .server
            .as_deref()
            .map(str::trim)
            .filter(|server| !server.is_empty());
        let root = parse_url(
            server.unwrap_or(&wiring.bases.telegram),
            "The address of the Bot API server",
        )?;
        let mut scrub = Scrub::default().with(token);
        if let Some((_, key)) = token.split_once(':') {
            scrub = scrub.with(key);
        }
        let proxy = match address.proxy.as_deref().map(str::trim) {
            None | Some("") => None,
            Some(text) => {
                let (proxy, url) = read_proxy(text)?;
                for secret in [Some(url.username()), url.password()].into_iter().flatten() {
                    scrub = scrub.with(secret);
                }
                Some(proxy)
            }
        };
        let service = if server.is_some() {
            format!("the Bot API server {}", crate::http::place(&root))
        } else {
            "Telegram".to_owned()
        };
        let root = below(&root, &[&format!("bot{token}")]);
        Ok(Self {
            http: Http::new(service, wiring.limits, scrub, proxy)?,
            root: Endpoint(root),
        })
    }

    /// Calls a method, and returns its result.
    async fn call(
        &self,
        method: &str,
        parameters: &Value,
        most: usize,
        cancel: &CancellationToken,
    ) -> Result<Value, (Error, Value)> {
        let url = below(&self.root.0, &[method]);
        let request = self.http.request(Method::POST, url).json(parameters);
        let answer = self
            .http
            .exchange_up_to(request, most, cancel)
            .await
            .map_err(|error| (error, Value::Null))?;
        let mut told = answer.json();
        if answer.is_success() && told["ok"] == true {
            return Ok(told["result"].take());
        }
        Err((self.explain(&answer, &told), told))
    }

    fn explain(&self, answer: &Answer, told: &Value) -> Error {
        if answer.is_success() {
            return self.http.unexpected(answer);
        }
        let said = told["description"].as_str().unwrap_or(&answer.body);
        let hint = match answer.status {
            403 => LET_IN,
            _ => NEW_TOKEN,
        };
        if answer.status == 400
            && (said.contains("not enough rights") || said.contains("CHAT_WRITE_FORBIDDEN"))
        {
            return self.http.denied(answer, said, LET_IN);
        }
        self.http.failure(answer, said, hint)
    }
}

/// A proxy. Names are looked up by a SOCKS proxy too, since where Telegram is blocked its name often is.
fn read_proxy(text: &str) -> Result<(Proxy, Url), Error> {
    let wrong = || Error::Misconfigured {
        message: "The proxy is no address such as http://proxy.example:3128 or socks5://127.0.0.1:1080."
            .to_owned(),
        hint: "Correct the proxy in the channel's settings, or leave it empty.".to_owned(),
    };
    let text = match text.strip_prefix("socks5://") {
        Some(rest) => format!("socks5h://{rest}"),
        None => text.to_owned(),
    };
    let url = Url::parse(&text).map_err(|_| wrong())?;
    if !matches!(url.scheme(), "http" | "https" | "socks5h") || !url.has_host() {
        return Err(wrong());
    }
    let proxy = Proxy::all(url.as_str()).map_err(|_| wrong())?;
    Ok((proxy, url))
}

impl Telegram {
    pub(crate) fn new(
        name: &str,
        address: &TelegramAddress,
        secrets: &Secrets,
        wiring: &Wiring,
    ) -> Result<Self, Error> {
        let token = secrets.demand(ChannelSecret::Token, "the bot's token")?;
        let chat = address.chat.trim();
        if chat.parse::<i64>().is_err() && !(chat.starts_with('@') && chat.len() > 1) {
            return Err(Error::Misconfigured {
                message: "The chat is neither a number such as -1001234567890 nor a public channel's @name."
                    .to_owned(),
                hint: "Write to the bot, or add it to the group, and have Howdah look for the chat."
                    .to_owned(),
            });
        }
        Ok(Self {
            name: name.to_owned(),
            bot: Bot::new(address, token, wiring)?,
            chat: chat.to_owned(),
            topic: address.topic,
        })
    }

    /// Errors that are about this chat.
    fn about_chat(&self, error: Error, told: &Value) -> Error {
        if let Some(id) = told["parameters"]["migrate_to_chat_id"].as_i64() {
            return Error::Misconfigured {
                message: format!("The Telegram group has become a supergroup, and has a new id: {id}."),
                hint: format!("Enter {id} as the channel's chat in place of {}.", self.chat),
            };
        }
        let said = told["description"].as_str().unwrap_or_default();
        if said.contains("chat not found") {
            return Error::Misconfigured {
                message: format!("Telegram knows no chat {} that this bot may write to.", self.chat),
                hint: "Write to the bot first, or add it to the group, then have Howdah look for the chat again.".to_owned(),
            };
        }
        if said.contains("message thread not found") {
            return Error::Misconfigured {
                message: "The topic is not there any more in the Telegram group.".to_owned(),
                hint: "Choose another topic, or none.".to_owned(),
            };
        }
        error
    }
}

#[async_trait]
impl Channel for Telegram {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, message: &Message, cancel: &CancellationToken) -> Result<Delivered, Error> {
        let mut parameters = json!({
            "chat_id": self.chat.parse::<i64>().map_or_else(|_| json!(self.chat), |id| json!(id)),
            "text": render(message),
            "parse_mode": "HTML",
            "link_preview_options": { "is_disabled": true },
            "disable_notification": is_quiet(message),
        });
        if let Some(topic) = self.topic {
            parameters["message_thread_id"] = json!(topic);
        }
        match self.bot.call("sendMessage", &parameters, 64 * 1024, cancel).await {
            Ok(_) => Ok(Delivered::default()),
            Err((error, told)) => Err(self.about_chat(error, &told)),
        }
    }
}

/// The message as HTML, within Telegram's limit after parsing.
fn render(message: &Message) -> String {
    let parts = Parts::new(message);
    let title = parts.title(TITLE_LIMIT, html_cost);
    let sign = sign(message);
    // The sign and its space, and the empty lines before body and details.
    let taken = total(&title, html_cost) + sign.encode_utf16().count() + 1 + 2 + 2;
    let (body, details) = parts.fit(LIMIT - taken, html_cost, html_cost);
    let mut text = format!("{sign} <b>{}</b>", html(&title));
    if !body.is_empty() {
        text.push_str("\n\n");
        text.push_str(&html(&body));
    }
    if let Some(details) = details {
        text.push_str(&format!("\n\n<pre>{}</pre>", html_code(&details)));
    }
    text
}

#[cfg(test)]
mod tests {
    use howdah_domain::AlertKind;
    use jiff::Timestamp;
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_message_is_html_with_its_details_last_and_as_code() {
        let mut message = Message::new(
            AlertKind::BackupFailed,
            Timestamp::UNIX_EPOCH,
            "a<b> was not backed up",
            "It & that @ada.",
        );
        message.details = Some("ERROR: <x> @ada".to_owned());
        assert_eq!(
            render(&message),
            "🔴 <b>a&lt;b&gt; was not backed up</b>\n\nIt &amp; that @\u{200b}ada.\n\n<pre>ERROR: &lt;x&gt; @ada</pre>"
        );
    }

    #[rstest]
    #[case("")]
    #[case("123456:short")]
    #[case("123456:AAH/../../getMe?xx")]
    #[case("bot:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw")]
    fn what_is_no_token_is_told_and_not_repeated(#[case] token: &str) {
        let secrets = Secrets::new().with(ChannelSecret::Token, &Secret::new(token));
        let address = TelegramAddress {
            chat: "1".to_owned(),
            ..TelegramAddress::default()
        };
        let error = Telegram::new("t", &address, &secrets, &Wiring::default()).unwrap_err();
        assert!(matches!(error, Error::Misconfigured { .. }));
        assert!(token.is_empty() || !format!("{error:?}").contains(token));
    }

    #[rstest]
    #[case("socks5://ada:horse@127.0.0.1:1080", true)]
    #[case("http://proxy.example:3128", true)]
    #[case("ftp://ada:horse@proxy.example", false)]
    #[case("proxy.example:3128", false)]
    fn a_proxy_is_http_or_socks(#[case] text: &str, #[case] good: bool) {
        let read = read_proxy(text);
        assert_eq!(read.is_ok(), good);
        if let Err(error) = read {
            assert!(!format!("{error:?}").contains("horse"));
        }
    }
}
