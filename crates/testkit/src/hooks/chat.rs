//! Telegram, Discord and Mattermost.

use serde_json::{Value, json};

use super::http::{Outcome, is_hook, is_json, unknown, words};
use super::markup::{has_shortcode, html, markdown};
use super::{Kind, Shown, TELEGRAM_CHAT, World};
use crate::drive::http::{Reply, Request};

/// `POST /bot<token>/<method>`.
pub(super) fn telegram(world: &mut World, request: &Request, body: &[u8]) -> Outcome {
    let error = |status: u16, description: &str| {
        Reply::json(
            status,
            &json!({ "ok": false, "error_code": status, "description": description }),
        )
    };
    let bad = |description: &str| error(400, &format!("Bad Request: {description}"));
    let Some((token, method)) = request
        .path
        .strip_prefix("/bot")
        .and_then(|rest| rest.split_once('/'))
    else {
        return Err(error(404, "Not Found"));
    };
    if world.revoked || token != Kind::Telegram.secret() {
        return Err(error(401, "Unauthorized"));
    }
    if !is_json(request) {
        return Err(bad("message text is empty"));
    }
    let Ok(told) = serde_json::from_slice::<Value>(body) else {
        return Err(bad("can't parse JSON object"));
    };
    match method {
        "sendMessage" => {}
        "getUpdates" => {
            let limit = usize::try_from(told["limit"].as_u64().unwrap_or(100)).unwrap_or(100);
            if told["offset"].as_i64().is_some_and(|offset| offset < 0) {
                let keep = told["offset"].as_i64().unwrap_or_default().unsigned_abs();
                let gone = world
                    .updates
                    .len()
                    .saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX));
                world.updates.drain(..gone);
            }
            let updates: Vec<&Value> = world.updates.iter().take(limit).collect();
            return Err(Reply::json(200, &json!({ "ok": true, "result": updates })));
        }
        _ => return Err(error(404, "Not Found: method not found")),
    }
    let known = [
        "chat_id",
        "message_thread_id",
        "text",
        "parse_mode",
        "link_preview_options",
        "disable_notification",
        "protect_content",
    ];
    if let Some(field) = unknown(&told, &known) {
        return Err(bad(&format!("unknown parameter {field}")));
    }
    if told["chat_id"] != TELEGRAM_CHAT && told["chat_id"] != "@howdah_alerts" {
        return Err(bad("chat not found"));
    }
    if let Some(id) = world.migrated {
        return Err(Reply::json(
            400,
            &json!({ "ok": false, "error_code": 400,
                "description": "Bad Request: group chat was upgraded to a supergroup chat",
                "parameters": { "migrate_to_chat_id": id } }),
        ));
    }
    if !told["message_thread_id"].is_null() && told["message_thread_id"] != 12 {
        return Err(bad("message thread not found"));
    }
    let text = told["text"].as_str().unwrap_or_default();
    if text.len() > 1 << 15 {
        return Err(bad("text is too long"));
    }
    let read = match told["parse_mode"].as_str() {
        Some("HTML") => html(text).map_err(|why| bad(&format!("can't parse entities: {why}")))?,
        _ => return Err(bad("unsupported parse_mode")),
    };
    match read.text.trim().encode_utf16().count() {
        0 => return Err(bad("message text is empty")),
        1..=4096 => {}
        _ => return Err(bad("message is too long")),
    }
    let (title, rest) = read.text.split_once('\n').unwrap_or((&read.text, ""));
    let shown = Shown {
        title: title.to_owned(),
        text: rest.to_owned(),
        code: read.code,
        calls: !read.mentions.is_empty(),
        ..Shown::default()
    };
    let answer =
        json!({ "ok": true, "result": { "message_id": 1, "date": 0, "chat": { "id": TELEGRAM_CHAT } } });
    Ok((shown, Reply::json(200, &answer)))
}

/// `POST /api/webhooks/<id>/<token>?wait=true`.
pub(super) fn discord(world: &mut World, request: &Request, body: &[u8]) -> Outcome {
    let form = |field: &str, why: &str| {
        Reply::json(
            400,
            &json!({ "code": 50035, "message": "Invalid Form Body",
                "errors": { field: { "_errors": [{ "code": "BASE_TYPE", "message": why }] } } }),
        )
    };
    if world.revoked || !is_hook(Kind::Discord, request) {
        return Err(Reply::json(
            404,
            &json!({ "message": "Unknown Webhook", "code": 10015 }),
        ));
    }
    if !is_json(request) {
        return Err(Reply::json(
            400,
            &json!({ "message": "Expected \"Content-Type\" header to be one of {'application/json'}.", "code": 50035 }),
        ));
    }
    let Ok(told) = serde_json::from_slice::<Value>(body) else {
        return Err(Reply::json(
            400,
            &json!({ "message": "The request body contains invalid JSON.", "code": 50109 }),
        ));
    };
    let known = [
        "content",
        "username",
        "avatar_url",
        "tts",
        "embeds",
        "allowed_mentions",
        "flags",
        "thread_name",
    ];
    if let Some(field) = unknown(&told, &known) {
        return Err(form(&field, "unknown field"));
    }
    let units = |text: &str| text.encode_utf16().count();
    let content = told["content"].as_str().unwrap_or_default();
    if units(content) > 2000 {
        return Err(form("content", "Must be 2000 or fewer in length."));
    }
    let empty = Vec::new();
    let embeds = told["embeds"].as_array().unwrap_or(&empty);
    if embeds.len() > 10 || (embeds.is_empty() && content.trim().is_empty()) {
        return Err(Reply::json(
            400,
            &json!({ "message": "Cannot send an empty message", "code": 50006 }),
        ));
    }
    let mut all = 0;
    let mut read = markdown(inside(content), false).map_err(|why| form("content", &why))?;
    let title = std::mem::take(&mut read.text);
    let mut shown = Shown {
        formatted: read.formatted,
        ..Shown::default()
    };
    let mut mentions = read.mentions;
    for embed in embeds {
        if let Some(field) = unknown(embed, &["title", "description", "color", "timestamp", "footer"]) {
            return Err(form(&field, "unknown field"));
        }
        let description = embed["description"].as_str().unwrap_or_default();
        let heading = embed["title"].as_str().unwrap_or_default();
        if units(description) > 4096 || units(heading) > 256 {
            return Err(form("embeds", "Must be 4096 or fewer in length."));
        }
        if description.is_empty() && heading.is_empty() {
            return Err(form("embeds", "This field is required"));
        }
        if embed["color"].as_u64().is_some_and(|color| color > 0x00ff_ffff) {
            return Err(form(
                "color",
                "int value should be less than or equal to 16777215.",
            ));
        }
        let at = embed["timestamp"].as_str();
        if at.is_some_and(|at| at.parse::<jiff::Timestamp>().is_err()) {
            return Err(form("timestamp", "Could not parse an ISO8601 date."));
        }
        all += units(description) + units(heading);
        let read = markdown(description, false).map_err(|why| form("description", &why))?;
        shown.text.push_str(&read.text);
        shown.formatted |= read.formatted;
        shown.code = read.code;
        mentions.extend(read.mentions);
    }
    if all > 6000 {
        return Err(form("embeds", "Embed size exceeds maximum size of 6000"));
    }
    shown.title = title;
    shown.calls = told["allowed_mentions"]["parse"] != json!([]) || !mentions.is_empty();
    if request.parameter("wait") == Some("true") {
        Ok((
            shown,
            Reply::json(200, &json!({ "id": "1", "type": 0, "content": content })),
        ))
    } else {
        Ok((shown, Reply::empty(204)))
    }
}

/// `POST /hooks/<key>`.
pub(super) fn mattermost(world: &mut World, request: &Request, body: &[u8]) -> Outcome {
    let error = |status: u16, id: &str, message: &str| {
        Reply::json(
            status,
            &json!({ "id": format!("web.incoming_webhook.{id}.app_error"), "message": message,
                "detailed_error": "", "request_id": "r1", "status_code": status }),
        )
    };
    if world.revoked || !is_hook(Kind::Mattermost, request) {
        return Err(error(400, "invalid", "Invalid webhook."));
    }
    let told = serde_json::from_slice::<Value>(body).unwrap_or_default();
    if !is_json(request) || !told.is_object() {
        return Err(error(400, "parse", "Unable to parse incoming data."));
    }
    let known = [
        "text",
        "channel",
        "username",
        "icon_url",
        "attachments",
        "props",
        "priority",
    ];
    if let Some(field) = unknown(&told, &known) {
        return Err(error(400, "parse", &format!("unknown field {field}")));
    }
    if told["channel"]
        .as_str()
        .is_some_and(|channel| !["alerts", "@ada"].contains(&channel))
    {
        return Err(error(404, "channel", "Couldn't find the channel."));
    }
    let text = told["text"].as_str().unwrap_or_default();
    if text.chars().count() > 4000 {
        return Err(error(400, "text.length", "The text is too long."));
    }
    if text.is_empty() && told["attachments"].is_null() {
        return Err(error(400, "text", "No text specified."));
    }
    // Go writes these three by number.
    let props = json!({ "attachments": told["attachments"], "webhook_display_name": "Howdah" }).to_string();
    let size: usize = props
        .chars()
        .map(|c| if matches!(c, '<' | '>' | '&') { 6 } else { 1 })
        .sum();
    if size > 7900 {
        return Err(error(
            400,
            "attachment",
            &format!("Maximum attachments length is 7900 characters, received size is {size}."),
        ));
    }
    let refuse = |why: String| error(400, "parse", &why);
    let title = markdown(inside(text), true).map_err(refuse)?;
    let mut shown = Shown {
        title: title.text,
        formatted: title.formatted || has_shortcode(text),
        ..Shown::default()
    };
    let mut mentions = title.mentions;
    let mut all = text.to_owned();
    for attachment in told["attachments"].as_array().into_iter().flatten() {
        if let Some(field) = unknown(
            attachment,
            &["fallback", "color", "text", "title", "pretext", "footer"],
        ) {
            return Err(error(400, "parse", &format!("unknown field {field}")));
        }
        let text = attachment["text"].as_str().unwrap_or_default();
        all.push_str(text);
        let read = markdown(text, true).map_err(refuse)?;
        let prose = text.split("```").step_by(2).any(has_shortcode);
        shown.formatted |= read.formatted || prose;
        shown.text.push_str(&read.text);
        shown.code = read.code;
        mentions.extend(read.mentions);
    }
    // The server replaces these before anything else reads the text.
    let slacks = ["<!channel>", "<!here>", "<!all>", "<@"];
    shown.calls = !mentions.is_empty() || slacks.iter().any(|mention| all.contains(mention));
    Ok((shown, words(200, "ok")))
}

/// What stands between the stars of a bold title.
fn inside(title: &str) -> &str {
    title
        .strip_prefix("**")
        .and_then(|title| title.strip_suffix("**"))
        .unwrap_or(title)
}
