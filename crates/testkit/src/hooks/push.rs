//! ntfy, Gotify and Pushover.

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::http::{Outcome, is_json, unknown};
use super::markup::markdown;
use super::{Kind, NTFY_TOPIC, NTFY_USER, PUSHOVER_USER, Shown, World};
use crate::drive::http::{Reply, Request};

/// `POST /` with JSON.
pub(super) fn ntfy(world: &mut World, request: &Request, body: &[u8]) -> Outcome {
    let error = |status: u16, code: u32, words: &str| {
        Reply::json(status, &json!({ "code": code, "http": status, "error": words }))
    };
    let basic = BASE64.encode(format!("{}:{}", NTFY_USER.0, NTFY_USER.1).as_bytes());
    let logins = [
        format!("Bearer {}", Kind::Ntfy.secret()),
        format!("Basic {basic}"),
    ];
    match request.header("authorization") {
        Some(login) if !world.revoked && logins.iter().any(|good| good == login) => {}
        Some(_) => return Err(error(401, 40101, "unauthorized")),
        None => return Err(error(403, 40301, "forbidden")),
    }
    if request.path != "/" || request.method != "POST" {
        return Err(error(404, 40401, "page not found"));
    }
    if body.len() > 2 * 4096 {
        return Err(error(413, 41303, "JSON body too large"));
    }
    let Ok(told) = serde_json::from_slice::<Value>(body) else {
        return Err(error(
            400,
            40017,
            "invalid request: request body must be message JSON",
        ));
    };
    let known = [
        "topic",
        "title",
        "message",
        "priority",
        "tags",
        "sequence_id",
        "click",
    ];
    if let Some(field) = unknown(&told, &known) {
        return Err(error(400, 40017, &format!("unknown field {field}")));
    }
    if told["topic"] != NTFY_TOPIC {
        return Err(error(403, 40301, "forbidden"));
    }
    if told["priority"]
        .as_u64()
        .is_some_and(|priority| !(1..=5).contains(&priority))
    {
        return Err(error(400, 40007, "invalid priority parameter"));
    }
    let message = told["message"].as_str().unwrap_or_default();
    if message.len() > 4096 {
        return Err(error(400, 40014, "invalid request: attachments not allowed"));
    }
    let shown = Shown {
        title: told["title"].as_str().unwrap_or_default().to_owned(),
        text: message.to_owned(),
        ..Shown::default()
    };
    let answer = json!({ "id": "sPs71M8A2T", "time": 1, "event": "message", "topic": NTFY_TOPIC });
    Ok((shown, Reply::json(200, &answer)))
}

/// `POST /message`.
pub(super) fn gotify(world: &mut World, request: &Request, body: &[u8]) -> Outcome {
    let error = |status: u16, error: &str, words: &str| {
        Reply::json(
            status,
            &json!({ "error": error, "errorCode": status, "errorDescription": words }),
        )
    };
    if world.revoked || request.header("x-gotify-key") != Some(Kind::Gotify.secret()) {
        return Err(error(
            401,
            "Unauthorized",
            "you need to provide a valid access token or user credentials to access this api",
        ));
    }
    if request.path != "/message" || request.method != "POST" {
        return Err(error(404, "Not Found", "page not found"));
    }
    let told = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let message = told["message"].as_str().unwrap_or_default();
    if !is_json(request) || message.is_empty() {
        return Err(error(400, "Bad Request", "Field 'message' is required"));
    }
    if let Some(field) = unknown(&told, &["title", "message", "priority", "extras"]) {
        return Err(error(400, "Bad Request", &format!("unknown field {field}")));
    }
    if !told["priority"].is_i64() || told["extras"]["client::display"]["contentType"] != "text/markdown" {
        return Err(error(400, "Bad Request", "priority, extras"));
    }
    let read = markdown(message, true).map_err(|why| error(400, "Bad Request", &why))?;
    let shown = Shown {
        title: told["title"].as_str().unwrap_or_default().to_owned(),
        // Two spaces before a line break are the break.
        text: read.text.replace("  \n", "\n"),
        code: read.code,
        formatted: read.formatted,
        ..Shown::default()
    };
    Ok((
        shown,
        Reply::json(200, &json!({ "id": 25, "appid": 5, "message": message })),
    ))
}

/// `POST /1/messages.json`.
pub(super) fn pushover(world: &mut World, request: &Request, body: &[u8]) -> Outcome {
    let error = |field: &str, words: &str| {
        Reply::json(
            400,
            &json!({ "status": 0, "request": "647d2300", field: "invalid", "errors": [words] }),
        )
    };
    if request.path != "/1/messages.json" || request.method != "POST" {
        return Err(Reply::json(404, &json!({ "status": 0, "errors": ["not found"] })));
    }
    if request.header("content-type") != Some("application/x-www-form-urlencoded") {
        return Err(error("message", "message cannot be blank"));
    }
    let form: Vec<(String, String)> = url::form_urlencoded::parse(body).into_owned().collect();
    let field = |name: &str| {
        form.iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value.as_str())
    };
    let known = [
        "token",
        "user",
        "title",
        "message",
        "priority",
        "timestamp",
        "device",
    ];
    if let Some((key, _)) = form.iter().find(|(key, _)| !known.contains(&key.as_str())) {
        return Err(error("message", &format!("unknown parameter {key}")));
    }
    if world.revoked || field("token") != Kind::Pushover.secret() {
        return Err(error("token", "application token is invalid"));
    }
    if field("user") != PUSHOVER_USER {
        return Err(error(
            "user",
            "user identifier is not a valid user, group, or subscribed user key",
        ));
    }
    if field("message").is_empty() || field("message").chars().count() > 1024 {
        return Err(error("message", "message is blank or too long"));
    }
    if field("title").chars().count() > 250 {
        return Err(error("title", "title is too long"));
    }
    // The highest, 2, would need retry and expire.
    if !["-2", "-1", "0", "1"].contains(&field("priority")) || field("timestamp").parse::<i64>().is_err() {
        return Err(error("priority", "priority or timestamp is invalid"));
    }
    let shown = Shown {
        title: field("title").to_owned(),
        text: field("message").to_owned(),
        ..Shown::default()
    };
    Ok((
        shown,
        Reply::json(200, &json!({ "status": 1, "request": "647d2300" })),
    ))
}
