//! Somebody's own web hook, and Healthchecks.

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use serde_json::Value;

use super::http::{Outcome, is_hook, is_json, words};
use super::{HEADER_SECRET, Kind, SIGNING_KEY, Shown, World};
use crate::drive::http::Request;

/// Any method, with JSON, a header that lets in and, where there is one, a signature that must be right.
pub(super) fn webhook(world: &mut World, request: &Request, body: &[u8]) -> Outcome {
    let bearer = format!("Bearer {HEADER_SECRET}");
    if world.revoked || !is_hook(Kind::Webhook, request) || request.header("authorization") != Some(&bearer) {
        return Err(words(401, "who are you?"));
    }
    let Ok(told) = serde_json::from_slice::<Value>(body) else {
        return Err(words(400, "no JSON"));
    };
    if !is_json(request) || !["POST", "PUT", "PATCH"].contains(&request.method.as_str()) {
        return Err(words(400, "no JSON"));
    }
    if let Some(signature) = request.header("x-howdah-signature") {
        let at = request.header("x-howdah-timestamp").unwrap_or_default();
        let signed = [at.as_bytes(), b".", body].concat();
        let key = hmac::Key::new(hmac::HMAC_SHA256, SIGNING_KEY.as_bytes());
        let tag = signature
            .strip_prefix("sha256=")
            .and_then(|hex| HEXLOWER.decode(hex.as_bytes()).ok())
            .unwrap_or_default();
        if hmac::verify(&key, &signed, &tag).is_err() || at.parse::<i64>().is_err() {
            return Err(words(401, "the signature is wrong"));
        }
    }
    let part = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    let shown = Shown {
        title: part("title"),
        text: format!("{}\n{}", part("body"), part("details")),
        code: told["details"].as_str().map(str::to_owned),
        ..Shown::default()
    };
    Ok((shown, words(200, "thanks")))
}

/// `POST /<uuid>`, `/start`, `/fail`. The first line of a body is taken as the title.
pub(super) fn ping(world: &mut World, request: &Request, body: &[u8]) -> Outcome {
    let Some(signal) = request.path.strip_prefix(Kind::Ping.secret()) else {
        return Err(words(404, "not found"));
    };
    if world.revoked {
        return Err(if world.polite {
            words(200, "OK (not found)")
        } else {
            words(404, "not found")
        });
    }
    if !["", "/start", "/fail", "/log"].contains(&signal) {
        return Err(words(400, "invalid url format"));
    }
    let kept = String::from_utf8_lossy(&body[..body.len().min(world.body_limit)]).into_owned();
    let (title, text) = kept.split_once('\n').unwrap_or((&kept, ""));
    let shown = Shown {
        title: title.to_owned(),
        text: text.to_owned(),
        ..Shown::default()
    };
    let reply = words(200, "OK").header("Ping-Body-Limit", world.body_limit.to_string());
    Ok((shown, reply))
}
