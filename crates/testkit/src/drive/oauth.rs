//! The sign-in page and the token endpoint.

use std::time::{Duration, Instant};

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::{Url, form_urlencoded};

use super::http::{Content, Reply, Request};
use super::world::{Code, Token, World};

/// The scope that all here is about.
const SCOPE: &str = "https://www.googleapis.com/auth/drive.file";

/// What the user does on the sign-in page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// Presses *Allow*.
    Allow,
    /// Presses *Cancel*.
    Refuse,
    /// Presses *Allow* without ticking the box for Drive.
    WithoutDrive,
}

/// The sign-in page: the user decides at once, and the browser is sent back.
pub(super) fn page(world: &mut World, request: &Request) -> Reply {
    let page = |text: &str| Reply {
        status: 400,
        headers: vec![("Content-Type", "text/plain".to_owned())],
        body: Content::Bytes(text.as_bytes().to_vec()),
    };
    let value = |name: &str| request.parameter(name).unwrap_or_default();
    if world.secret_of(value("client_id")).is_none() {
        return page("invalid_client");
    }
    let Ok(mut redirect) = Url::parse(value("redirect_uri")) else {
        return page("redirect_uri_mismatch");
    };
    // A desktop client may come back to any port of the loopback address, and nowhere else.
    if redirect.scheme() != "http" || redirect.host_str() != Some("127.0.0.1") {
        return page("redirect_uri_mismatch");
    }
    if value("response_type") != "code" || !value("scope").split(' ').any(|scope| scope == SCOPE) {
        return page("invalid_request");
    }
    if value("code_challenge_method") != "S256" || value("code_challenge").len() != 43 {
        return page("invalid_request: code_challenge");
    }
    let mut answer = vec![("state", value("state").to_owned())];
    match world.consent {
        Consent::Refuse => answer.push(("error", "access_denied".to_owned())),
        Consent::Allow | Consent::WithoutDrive => {
            let code = world.random("4/");
            world.codes.insert(
                code.clone(),
                Code {
                    client: value("client_id").to_owned(),
                    challenge: value("code_challenge").to_owned(),
                    redirect_uri: value("redirect_uri").to_owned(),
                    scope: if world.consent == Consent::Allow {
                        SCOPE
                    } else {
                        "openid"
                    },
                    offline: value("access_type") == "offline" && value("prompt") == "consent",
                },
            );
            answer.push(("code", code));
        }
    }
    redirect.query_pairs_mut().extend_pairs(answer);
    Reply::empty(302).header("Location", redirect)
}

/// The token endpoint.
pub(super) fn token(world: &mut World, body: &[u8]) -> Reply {
    let form: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
    let value = |name: &str| {
        let found = form.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.as_str())
    };
    let refuse = |status, error: &str, description: &str| {
        Reply::json(
            status,
            &json!({ "error": error, "error_description": description }),
        )
    };
    let client = value("client_id").to_owned();
    if world.secret_of(&client) != Some(value("client_secret")) {
        return refuse(401, "invalid_client", "The provided client secret is invalid.");
    }
    match value("grant_type") {
        "authorization_code" => {
            // A code is good for one attempt.
            let Some(code) = world.codes.remove(value("code")) else {
                return refuse(400, "invalid_grant", "Malformed auth code.");
            };
            let verifier = Sha256::digest(value("code_verifier").as_bytes());
            if BASE64URL_NOPAD.encode(&verifier) != code.challenge {
                return refuse(400, "invalid_grant", "Invalid code verifier.");
            }
            if code.client != client || code.redirect_uri != value("redirect_uri") {
                return refuse(400, "redirect_uri_mismatch", "Bad Request");
            }
            let refresh = code.offline.then(|| world.grant(&client));
            access(world, &client, code.scope, refresh)
        }
        "refresh_token" => match world.grants.get(value("refresh_token")) {
            Some(owner) if *owner == client => access(world, &client, SCOPE, None),
            _ => refuse(400, "invalid_grant", "Token has been expired or revoked."),
        },
        _ => refuse(400, "unsupported_grant_type", "Invalid grant_type"),
    }
}

fn access(world: &mut World, client: &str, scope: &str, refresh: Option<String>) -> Reply {
    let token = world.random("ya29.");
    let lifetime = world.token_lifetime;
    world.tokens.insert(
        token.clone(),
        Token {
            client: client.to_owned(),
            until: Instant::now() + Duration::from_secs(lifetime),
            may_use_drive: scope == SCOPE,
        },
    );
    let mut answer = json!({
        "access_token": token,
        "expires_in": lifetime,
        "scope": scope,
        "token_type": "Bearer",
    });
    if let Some(refresh) = refresh {
        answer["refresh_token"] = Value::from(refresh);
    }
    Reply::json(200, &answer)
}

/// Who asks, by the access token; or the answer where it is not valid.
pub(super) fn client_of(world: &World, request: &Request) -> Result<String, Reply> {
    let token = request
        .header("authorization")
        .and_then(|header| header.strip_prefix("Bearer "))
        .and_then(|token| world.tokens.get(token))
        .filter(|token| token.until > Instant::now());
    match token {
        None => Err(Reply::error(401, "authError", "Invalid Credentials")),
        Some(token) if !token.may_use_drive => Err(Reply::error(
            403,
            "insufficientPermissions",
            "Request had insufficient authentication scopes.",
        )),
        Some(token) => Ok(token.client.clone()),
    }
}
