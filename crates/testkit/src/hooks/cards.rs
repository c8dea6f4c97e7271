//! Microsoft Teams: a workflow that posts an Adaptive Card.

use serde_json::{Value, json};

use super::http::{Outcome, is_hook, is_json, unknown};
use super::{Kind, Shown, World};
use crate::drive::http::{Reply, Request};

/// `POST` to the workflow's trigger.
pub(super) fn teams(world: &mut World, request: &Request, body: &[u8]) -> Outcome {
    let error = |status: u16, code: &str, message: &str| {
        Reply::json(status, &json!({ "error": { "code": code, "message": message } }))
    };
    let schema = |why: &str| error(400, "TriggerInputSchemaMismatch", why);
    if !is_hook(Kind::Teams, request) {
        return Err(error(
            401,
            "DirectApiAuthorizationRequired",
            "The request must be authenticated by a Shared Access scheme.",
        ));
    }
    if world.revoked {
        return Err(error(404, "WorkflowNotFound", "The workflow could not be found."));
    }
    // Without a charset the text is taken as UTF-16.
    let utf8 = request
        .header("content-type")
        .is_some_and(|kind| kind.contains("charset=utf-8"));
    if body.len() * (if utf8 { 1 } else { 2 }) > 28 * 1024 {
        return Err(error(413, "RequestEntityTooLarge", "Request Entity too large"));
    }
    let told = serde_json::from_slice::<Value>(body).unwrap_or_default();
    if !is_json(request) || told["type"] != "message" {
        return Err(schema(
            "Required properties are missing from object: type, attachments.",
        ));
    }
    let Some([attachment]) = told["attachments"].as_array().map(Vec::as_slice) else {
        return Err(schema("attachments"));
    };
    let card = &attachment["content"];
    if attachment["contentType"] != "application/vnd.microsoft.card.adaptive"
        || card["type"] != "AdaptiveCard"
    {
        return Err(schema("contentType"));
    }
    let known = ["$schema", "type", "version", "fallbackText", "msteams", "body"];
    if let Some(field) = unknown(card, &known) {
        return Err(schema(&field));
    }
    if !["1.2", "1.3", "1.4", "1.5"].contains(&card["version"].as_str().unwrap_or_default()) {
        return Err(schema("version"));
    }
    let mut shown = Shown {
        calls: card["msteams"].get("entities").is_some(),
        ..Shown::default()
    };
    let mut code = Vec::new();
    for (number, block) in card["body"].as_array().into_iter().flatten().enumerate() {
        if block["type"] != "RichTextBlock" || unknown(block, &["type", "spacing", "inlines"]).is_some() {
            return Err(schema("body"));
        }
        for run in block["inlines"].as_array().into_iter().flatten() {
            let fields = ["type", "text", "weight", "size", "color", "fontType"];
            let Some(text) = run["text"].as_str() else {
                return Err(schema("text"));
            };
            if run["type"] != "TextRun" || unknown(run, &fields).is_some() || text.contains('\n') {
                return Err(schema("inlines"));
            }
            if number == 0 {
                text.clone_into(&mut shown.title);
            } else {
                shown.text.push_str(text);
                shown.text.push('\n');
            }
            if run["fontType"] == "Monospace" {
                code.push(text);
            }
        }
    }
    if !code.is_empty() {
        shown.code = Some(code.join("\n"));
    }
    Ok((shown, Reply::empty(202)))
}
