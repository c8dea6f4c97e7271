//! Slack: web hooks and `chat.postMessage`.

use serde_json::{Value, json};

use super::http::{Outcome, is_hook, is_json, unknown, words};
use super::markup::{mrkdwn, unescape};
use super::{Kind, Shown, World};
use crate::drive::http::{Reply, Request};

/// `POST /services/…`, answered with a word.
pub(super) fn hook(world: &mut World, request: &Request, body: &[u8]) -> Outcome {
    if world.revoked || !is_hook(Kind::SlackHook, request) {
        return Err(words(404, "no_service"));
    }
    match read(request, body, &[]) {
        Ok(shown) => Ok((shown, words(200, "ok"))),
        Err(word) => Err(words(400, &word)),
    }
}

/// `POST /chat.postMessage`, answered with 200 and JSON.
pub(super) fn bot(world: &mut World, request: &Request, body: &[u8]) -> Outcome {
    let no = |word: &str| Reply::json(200, &json!({ "ok": false, "error": word }));
    if request.path != "/chat.postMessage" {
        return Err(no("unknown_method"));
    }
    let bearer = format!("Bearer {}", Kind::SlackBot.secret());
    match request.header("authorization") {
        None => return Err(no("not_authed")),
        Some(header) if header != bearer => return Err(no("invalid_auth")),
        Some(_) if world.revoked => return Err(no("token_revoked")),
        Some(_) => {}
    }
    let told = serde_json::from_slice::<Value>(body).unwrap_or_default();
    if !["#alerts", "C0123456789"].contains(&told["channel"].as_str().unwrap_or_default()) {
        return Err(no("channel_not_found"));
    }
    match read(request, body, &["channel"]) {
        Ok(shown) => {
            let answer = json!({ "ok": true, "channel": "C0123456789", "ts": "1.000100" });
            Ok((shown, Reply::json(200, &answer)))
        }
        Err(word) => Err(no(&word)),
    }
}

/// A message of blocks and attachments.
fn read(request: &Request, body: &[u8], more: &[&str]) -> Result<Shown, String> {
    if !is_json(request) {
        return Err("invalid_payload".to_owned());
    }
    let told = serde_json::from_slice::<Value>(body).map_err(|_| "invalid_payload".to_owned())?;
    let mut known = vec![
        "text",
        "blocks",
        "attachments",
        "mrkdwn",
        "unfurl_links",
        "unfurl_media",
        "thread_ts",
    ];
    known.extend(more);
    if let Some(field) = unknown(&told, &known) {
        return Err(format!("invalid_arg_name {field}"));
    }
    let text = told["text"].as_str().unwrap_or_default();
    if text.chars().count() > 40_000 {
        return Err("msg_too_long".to_owned());
    }
    let mut shown = Shown {
        // What notifications show.
        calls: text.contains('<'),
        ..Shown::default()
    };
    for block in told["blocks"].as_array().into_iter().flatten() {
        self::block(block, &mut shown)?;
    }
    for attachment in told["attachments"].as_array().into_iter().flatten() {
        if let Some(field) = unknown(attachment, &["color", "fallback", "blocks"]) {
            return Err(format!("invalid_attachments {field}"));
        }
        for block in attachment["blocks"].as_array().into_iter().flatten() {
            self::block(block, &mut shown)?;
        }
    }
    if shown.title.is_empty() {
        shown.title = unescape(text);
    }
    if text.is_empty() && shown.text.is_empty() {
        return Err("no_text".to_owned());
    }
    Ok(shown)
}

fn block(block: &Value, shown: &mut Shown) -> Result<(), String> {
    let bad = |why: &str| format!("invalid_blocks {why}");
    let text = block["text"]["text"].as_str().unwrap_or_default();
    let units = text.encode_utf16().count();
    match (block["type"].as_str(), block["text"]["type"].as_str()) {
        (Some("header"), Some("plain_text")) if (1..=150).contains(&units) => {
            text.clone_into(&mut shown.title);
        }
        (Some("section"), Some("plain_text")) if (1..=3000).contains(&units) => {
            if block["text"].get("verbatim").is_some() {
                return Err(bad("verbatim is for mrkdwn"));
            }
            if block["text"]["emoji"] != false && super::markup::has_shortcode(text) {
                shown.formatted = true;
            }
            shown.text.push_str(text);
        }
        (Some("section"), Some("mrkdwn")) if (1..=3000).contains(&units) => {
            if block["text"].get("emoji").is_some() {
                return Err(bad("emoji is for plain_text"));
            }
            let read = mrkdwn(text).map_err(|why| bad(&why))?;
            shown.calls |= !read.mentions.is_empty();
            shown.formatted |= read.formatted;
            shown.text.push('\n');
            shown.text.push_str(&read.text);
            shown.code = read.code;
        }
        _ => return Err(bad("a block of an unknown form, or too long")),
    }
    Ok(())
}
