//! Which chats a bot has heard of lately: whoever wrote to it, and the groups it was added to (`getUpdates`).
//!
//! Telegram keeps what a bot has not fetched for a day. Looking does not take it away from another program that fetches it, unless a
//! hundred or more wait: then the oldest are forgotten, since the newest are not seen otherwise.

use howdah_domain::Secret;
use howdah_domain::channel::TelegramAddress;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Bot;
use crate::Error;
use crate::open::Wiring;
use crate::text::visible;

/// The most that is read of an answer: a hundred updates with long messages.
const MOST: usize = 2 * 1024 * 1024;
/// The most updates of an answer.
const PAGE: usize = 100;

/// A chat that a bot may write to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chat {
    /// What to enter as the chat.
    pub id: String,
    /// What people call it: a group's title, a person's name.
    pub name: String,
    /// The topic's id, where somebody wrote in one.
    pub topic: Option<i64>,
}

/// The chats, those heard of last first.
pub(crate) async fn find(
    address: &TelegramAddress,
    token: &Secret,
    wiring: &Wiring,
    cancel: &CancellationToken,
) -> Result<Vec<Chat>, Error> {
    let bot = Bot::new(address, token, wiring)?;
    let mut updates = fetch(&bot, None, cancel).await?;
    if updates.len() >= PAGE {
        updates = fetch(&bot, Some(-100), cancel).await?;
    }
    Ok(chats(&updates))
}

async fn fetch(bot: &Bot, offset: Option<i64>, cancel: &CancellationToken) -> Result<Vec<Value>, Error> {
    let mut parameters = json!({ "limit": PAGE, "timeout": 0 });
    if let Some(offset) = offset {
        parameters["offset"] = json!(offset);
    }
    match bot.call("getUpdates", &parameters, MOST, cancel).await {
        Ok(Value::Array(updates)) => Ok(updates),
        Ok(_) => Ok(Vec::new()),
        Err((_, told)) if told["error_code"] == 409 => Err(Error::Misconfigured {
            message:
                "Another program receives what is written to this bot, so Howdah cannot look for the chat."
                    .to_owned(),
            hint: "Make a bot of its own for Howdah with @BotFather, or enter the chat's id yourself."
                .to_owned(),
        }),
        Err((error, _)) => Err(error),
    }
}

fn chats(updates: &[Value]) -> Vec<Chat> {
    let messages: Vec<&Value> = updates
        .iter()
        .filter_map(|update| {
            [
                "message",
                "edited_message",
                "channel_post",
                "edited_channel_post",
                "my_chat_member",
            ]
            .iter()
            .find_map(|kind| update.get(kind))
        })
        .collect();
    let mut found: Vec<Chat> = Vec::new();
    for message in messages.iter().rev() {
        let Some(id) = message["chat"]["id"].as_i64() else {
            continue;
        };
        let topic = message["message_thread_id"]
            .as_i64()
            .filter(|_| message["is_topic_message"] == true);
        let chat = Chat {
            id: id.to_string(),
            name: name(
                &message["chat"],
                topic.map(|topic| topic_name(&messages, id, topic)),
            ),
            topic,
        };
        if !found
            .iter()
            .any(|other| other.id == chat.id && other.topic == chat.topic)
        {
            found.push(chat);
        }
    }
    found
}

fn name(chat: &Value, topic: Option<String>) -> String {
    let part = |key: &str| chat[key].as_str().unwrap_or_default();
    let person = format!("{} {}", part("first_name"), part("last_name"));
    let name = [part("title"), person.trim(), part("username")]
        .into_iter()
        .find(|name| !name.is_empty())
        .unwrap_or("(no name)");
    match topic {
        Some(topic) => visible(&format!("{name} › {topic}")),
        None => visible(name),
    }
}

/// A topic's name, where one of the messages tells it.
fn topic_name(messages: &[&Value], chat: i64, topic: i64) -> String {
    messages
        .iter()
        .filter(|message| message["chat"]["id"] == chat && message["message_thread_id"] == topic)
        .find_map(|message| {
            message["forum_topic_created"]["name"]
                .as_str()
                .or_else(|| message["reply_to_message"]["forum_topic_created"]["name"].as_str())
        })
        .map_or_else(|| format!("topic {topic}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chats_are_found_once_each_and_the_latest_first() {
        let group = json!({ "id": -1001, "type": "supergroup", "title": "Ops", "is_forum": true });
        let updates = [
            json!({ "update_id": 1, "message": { "chat": { "id": 7, "first_name": "Ada", "last_name": "L" } } }),
            json!({ "update_id": 2, "my_chat_member": { "chat": group } }),
            json!({ "update_id": 3, "message": { "chat": group, "message_thread_id": 12, "is_topic_message": true,
                "reply_to_message": { "forum_topic_created": { "name": "Backups" } } } }),
            json!({ "update_id": 4, "message": { "chat": { "id": 7, "first_name": "Ada", "last_name": "L" } } }),
            json!({ "update_id": 5, "poll": {} }),
        ];
        let chat = |id: &str, name: &str, topic| Chat {
            id: id.to_owned(),
            name: name.to_owned(),
            topic,
        };
        assert_eq!(
            chats(&updates),
            [
                chat("7", "Ada L", None),
                chat("-1001", "Ops › Backups", Some(12)),
                chat("-1001", "Ops", None)
            ]
        );
    }
}
