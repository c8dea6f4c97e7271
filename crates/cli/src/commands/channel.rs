//! `howdah channel`: who is told.

use std::collections::BTreeMap;

use howdah_domain::channel::{
    EmailAddress, GotifyAddress, MattermostAddress, NtfyAddress, PushoverAddress, SlackAddress,
    TelegramAddress, WebhookAddress,
};
use howdah_domain::routing::ChannelRule;
use howdah_domain::units::counted;
use howdah_domain::{Address, ChannelSecret, Failure, FailureCode, Secret};
use howdah_engine::Engine;
use howdah_engine::api::{ChannelInput, ChannelReport, ChannelView};
use serde_json::json;

use crate::arguments::channel::{Channel, Common, Kind};
use crate::output::{Done, End, Output};

pub(crate) async fn run(engine: &Engine, command: Channel, output: Output) -> Result<Done, Failure> {
    match command {
        Channel::Add { kind } => add(engine, kind, output).await,
        Channel::List => {
            let channels = engine.list_channels().await?;
            let text = channels.iter().map(line).collect::<Vec<_>>().join("\n");
            Ok(Done::good(json!({ "channels": channels }), text))
        }
        Channel::Test { channel } => {
            let channel = engine.find_channel(&channel).await?;
            let name = channel.name.clone();
            let report = engine.test_channel(as_it_is(channel)).await?;
            Ok(tell(&name, &report))
        }
        Channel::Retry { channel } => {
            let channel = engine.find_channel(&channel).await?;
            engine.retry_deliveries(&channel.id).await?;
            let text = format!("{}: its messages are tried again now.", channel.name);
            Ok(Done::good(json!({ "channel": channel }), text))
        }
        Channel::Off { channel } => switch(engine, &channel, false).await,
        Channel::On { channel } => switch(engine, &channel, true).await,
        Channel::Remove { channel } => {
            let channel = engine.find_channel(&channel).await?;
            engine.remove_channel(&channel.id).await?;
            let text = format!("{} is removed.", channel.name);
            Ok(Done::good(json!({ "channel": channel }), text))
        }
    }
}

async fn add(engine: &Engine, kind: Kind, output: Output) -> Result<Done, Failure> {
    let (address, common) = address(kind)?;
    let secrets = secrets(&address);
    let input = |secrets: BTreeMap<ChannelSecret, Secret>| ChannelInput {
        id: None,
        name: common.name.clone().unwrap_or_default(),
        address: address.clone(),
        secrets,
        rule: ChannelRule {
            least: common.least.into(),
            ..ChannelRule::default()
        },
        enabled: true,
    };
    if !common.no_test {
        output.note("Sending a test message …");
        let report = engine.test_channel(input(secrets.clone())).await?;
        if let Some(failure) = report.failure {
            let hint = match &report.certificate {
                Some(certificate) => {
                    format!(
                        "If the certificate is the one you expect, add --trust-certificate {certificate}."
                    )
                }
                None => "Nothing was added. With --no-test it is added all the same.".to_owned(),
            };
            return Err(failure.and_hint(hint));
        }
        if let Some(remark) = report.remark {
            output.note(&remark);
        }
    }
    let added = engine.save_channel(input(secrets)).await?;
    let text = format!("{} is added: {}", added.name, added.summary);
    Ok(Done::good(json!({ "channel": added }), text))
}

async fn switch(engine: &Engine, channel: &str, on: bool) -> Result<Done, Failure> {
    let channel = engine.find_channel(channel).await?;
    let changed = ChannelInput {
        enabled: on,
        ..as_it_is(channel)
    };
    let channel = engine.save_channel(changed).await?;
    let text = format!("{} is {}.", channel.name, if on { "on" } else { "off" });
    Ok(Done::good(json!({ "channel": channel }), text))
}

fn as_it_is(channel: ChannelView) -> ChannelInput {
    ChannelInput {
        id: Some(channel.id),
        name: channel.name,
        address: channel.address,
        secrets: BTreeMap::new(),
        rule: channel.rule,
        enabled: channel.enabled,
    }
}

/// What opens it, from the environment: other users see arguments.
fn secrets(address: &Address) -> BTreeMap<ChannelSecret, Secret> {
    let mut secrets = BTreeMap::new();
    for (secret, _) in address.secrets() {
        let variable = format!("HOWDAH_CHANNEL_{}", secret.as_str().to_uppercase());
        if let Ok(value) = std::env::var(variable) {
            secrets.insert(secret, Secret::new(value));
        }
    }
    secrets
}

fn address(kind: Kind) -> Result<(Address, Common), Failure> {
    Ok(match kind {
        Kind::Email {
            server,
            security,
            user,
            mechanism,
            from,
            to,
            trust_certificate,
            common,
        } => {
            let (host, port) = host_and_port(&server)?;
            let email = EmailAddress {
                host,
                port,
                security: security.into(),
                user,
                mechanism: mechanism.into(),
                from,
                to,
                trusted_certificate: trust_certificate.map(|hex| hex.to_lowercase().replace(':', "")),
            };
            (Address::Email(email), common)
        }
        Kind::Telegram {
            chat,
            topic,
            proxy,
            server,
            common,
        } => {
            let telegram = TelegramAddress {
                chat,
                topic,
                proxy,
                server,
            };
            (Address::Telegram(telegram), common)
        }
        Kind::Discord { common } => (Address::Discord, common),
        Kind::Slack { channel, common } => (Address::Slack(SlackAddress { channel }), common),
        Kind::Teams { common } => (Address::Teams, common),
        Kind::Mattermost { channel, common } => (Address::Mattermost(MattermostAddress { channel }), common),
        Kind::Ntfy {
            topic,
            server,
            user,
            common,
        } => (Address::Ntfy(NtfyAddress { server, topic, user }), common),
        Kind::Gotify { server, common } => (Address::Gotify(GotifyAddress { server }), common),
        Kind::Pushover { user, device, common } => {
            (Address::Pushover(PushoverAddress { user, device }), common)
        }
        Kind::Webhook {
            method,
            template,
            common,
        } => {
            let method = method.into();
            (Address::Webhook(WebhookAddress { method, template }), common)
        }
        Kind::Ping { common } => (Address::Ping, common),
    })
}

/// `host`, `host:port`, `[::1]:port`; a port of 0 is the usual one.
fn host_and_port(text: &str) -> Result<(String, u16), Failure> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, _)) if host.contains(':') && !host.ends_with(']') => (text, None),
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let Some(port) = port else { return Ok((host, 0)) };
    port.parse().map(|port| (host, port)).map_err(|_| {
        Failure::new(
            FailureCode::InvalidInput,
            format!("“{text}” is no mail server: its port is no number."),
        )
        .hint("Write it as mail.example.com or mail.example.com:587.")
    })
}

fn tell(name: &str, report: &ChannelReport) -> Done {
    let text = match (&report.failure, &report.remark) {
        (Some(_), _) => format!("{name}: the message did not go out."),
        (None, Some(remark)) => format!("{name}: delivered. {remark}"),
        (None, None) => format!("{name}: delivered."),
    };
    Done {
        json: json!({ "test": report }),
        text,
        end: match &report.failure {
            Some(failure) => End::Bad(failure.clone()),
            None => End::Good,
        },
    }
}

fn line(channel: &ChannelView) -> String {
    let state = match (&channel.failure, channel.enabled) {
        (_, false) => "off".to_owned(),
        (Some(failure), true) => format!("fails: {}", failure.message),
        (None, true) => match channel.delivered_at {
            Some(at) => format!("delivered {at}"),
            None => "nothing told yet".to_owned(),
        },
    };
    let waiting = match channel.waiting {
        0 => String::new(),
        waiting => format!(", {} waiting", counted(u64::from(waiting), "message", "messages")),
    };
    format!("{:<20} {:<32} {state}{waiting}", channel.name, channel.summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_server_is_named_with_or_without_a_port() {
        let read = |text: &str| host_and_port(text).unwrap();
        assert_eq!(read("mail.example.com"), ("mail.example.com".to_owned(), 0));
        assert_eq!(read("mail.example.com:587"), ("mail.example.com".to_owned(), 587));
        assert_eq!(read("[::1]:25"), ("::1".to_owned(), 25));
        assert_eq!(read("::1"), ("::1".to_owned(), 0));
        assert!(host_and_port("mail:smtp").is_err());
    }
}
