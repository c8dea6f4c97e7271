//! What every channel that speaks HTTP promises, tried on each against an emulator of its service that is as strict as the service's
//! reference; and what is particular to one of them.

#![allow(clippy::unwrap_used)]

#[path = "conformance/particular.rs"]
mod particular;
#[path = "conformance/rig.rs"]
mod rig;

use std::time::{Duration, Instant};

use howdah_domain::AlertKind;
use howdah_notify::Error;
use howdah_testkit::hooks::{Fault, Kind};
use rig::{Rig, failed, message};
use rstest::rstest;
use tokio_util::sync::CancellationToken;

/// What names and errors may hold.
const RAW: &str = "*b* _i_ `c` ~s~ ||x|| <b>&amp; <!here> <@U1> @everyone @channel :smile: [a](http://x) #t {{title}} \\ \"q\" 🐘\u{202e}x";
/// The same as people see it.
const SEEN: &str = "*b* _i_ `c` ~s~ ||x|| <b>&amp; <!here> <@U1> @everyone @channel :smile: [a](http://x) #t {{title}} \\ \"q\" 🐘[U+202E]x";

/// A test of every kind.
macro_rules! every_kind {
    ($name:ident, $test:expr) => {
        #[rstest]
        #[case::telegram(Kind::Telegram)]
        #[case::discord(Kind::Discord)]
        #[case::slack_hook(Kind::SlackHook)]
        #[case::slack_bot(Kind::SlackBot)]
        #[case::teams(Kind::Teams)]
        #[case::mattermost(Kind::Mattermost)]
        #[case::ntfy(Kind::Ntfy)]
        #[case::gotify(Kind::Gotify)]
        #[case::pushover(Kind::Pushover)]
        #[case::webhook(Kind::Webhook)]
        #[case::ping(Kind::Ping)]
        #[tokio::test]
        async fn $name(#[case] kind: Kind) {
            let test = $test;
            test(Rig::start(kind).await).await;
        }
    };
}

every_kind!(a_message_arrives_as_it_was_written, async |rig: Rig| {
    let mut message = message(
        "shop was not backed up",
        "Nothing listens there.\nStart the server.",
    );
    message.details = Some("connection refused (os error 111)".to_owned());
    rig.send(&message).await.unwrap();
    let shown = rig.only();
    assert!(shown.title.contains("shop was not backed up"), "{shown:?}");
    assert!(shown.text.contains("Nothing listens there."), "{shown:?}");
    assert!(shown.text.contains("Start the server."), "{shown:?}");
    assert!(
        shown
            .text
            .trim_end()
            .ends_with("connection refused (os error 111)"),
        "{shown:?}"
    );
    if rig.shows_code() {
        assert_eq!(shown.code.as_deref(), Some("connection refused (os error 111)"));
    }
    assert_eq!(rig.emulator.requests(), 1);
});

every_kind!(a_title_alone_is_enough, async |rig: Rig| {
    rig.send(&message("t", "")).await.unwrap();
    assert!(rig.only().title.contains('t'));
});

every_kind!(
    a_long_error_is_shortened_and_keeps_its_last_lines,
    async |rig: Rig| {
        let last = "pg_dump: error: ERROR:  permission denied for table <secrets> & \"more\"";
        let units = [
            "pg_dump: detail: constraint number 1 of `x`\n",
            "🐘 <šé> & \"*_@all:a:\\\n",
            "\"\"\"\"&&&&<<<<@@@@````",
        ];
        for (number, unit) in units.iter().enumerate() {
            let long = format!("{}\n{last}", unit.repeat(100_000 / unit.len()));
            let title = "🐘<&\"*".repeat(200);
            let mut in_details = message(&title, "It failed.");
            in_details.details = Some(long.clone());
            rig.send(&in_details).await.unwrap();
            let mut in_both = message(&title, &long);
            in_both.details = Some(long.clone());
            rig.send(&in_both).await.unwrap();
            rig.send(&message(&title, &long)).await.unwrap();
            let delivered = rig.emulator.delivered();
            assert_eq!(delivered.len(), 3 * (number + 1));
            for shown in &delivered[3 * number..] {
                assert!(shown.text.trim_end().ends_with(last), "{}", shown.text);
                assert!(
                    shown.text.contains('…') || rig.kind == Kind::Ping,
                    "{}",
                    shown.text
                );
                assert!(!shown.calls && !shown.formatted, "{}", shown.body);
            }
        }
    }
);

every_kind!(names_show_as_they_are_and_call_nobody, async |rig: Rig| {
    let lists = "- list\n1. one\n+ plus\n# head\n> quote\n===";
    let mut message = message(RAW, &format!("{RAW} 🐘\n{lists}\n{RAW}"));
    message.details = Some(format!("```\n</pre>\n``{RAW}\n{lists}"));
    rig.send(&message).await.unwrap();
    let shown = rig.only();
    // A program reads the text itself.
    let seen = if rig.kind == Kind::Webhook { RAW } else { SEEN };
    assert!(shown.title.contains(seen), "{}", shown.title);
    assert!(
        shown.text.contains(&format!("{seen} 🐘\n{lists}\n{seen}")),
        "{}",
        shown.text
    );
    assert!(
        shown.text.contains(&format!("```\n</pre>\n``{seen}\n{lists}")),
        "{}",
        shown.text
    );
    assert!(!shown.calls, "somebody is called: {}", shown.body);
    assert!(!shown.formatted, "something is taken for markup: {}", shown.body);
});

every_kind!(control_characters_do_no_harm, async |rig: Rig| {
    let all: String = (0..0xa0_u32).filter_map(char::from_u32).collect();
    let mut message = message("t", &format!("a{all}z"));
    message.details = Some(all);
    rig.send(&message).await.unwrap();
    assert!(!rig.only().formatted);
});

every_kind!(
    too_many_requests_are_waited_for_as_long_as_the_service_says,
    async |rig: Rig| {
        for (fault, after) in [
            (Fault::Limited(Some(7)), Some(Duration::from_secs(7))),
            (Fault::Limited(None), None),
            (
                Fault::Headers(
                    503,
                    vec![
                        ("Retry-After", "Wed, 21 Oct 2015 07:29:00 GMT".to_owned()),
                        ("Date", "Wed, 21 Oct 2015 07:28:00 GMT".to_owned()),
                    ],
                ),
                Some(Duration::from_secs(60)),
            ),
        ] {
            rig.emulator.fail(fault);
            let error = rig.failure().await;
            assert!(matches!(error, Error::Later { .. }), "{error:?}");
            assert!(error.is_retryable());
            assert_eq!(error.retry_after(), after, "{error:?}");
        }
        assert!(rig.emulator.delivered().is_empty());
        rig.send(&failed()).await.unwrap();
    }
);

every_kind!(a_fault_of_the_service_is_tried_again, async |rig: Rig| {
    for status in [500, 502, 503, 504] {
        rig.emulator.fail(Fault::Status(status));
        let error = rig.failure().await;
        assert!(matches!(error, Error::Later { after: None, .. }), "{error:?}");
    }
});

every_kind!(
    what_was_revoked_is_told_with_what_to_do_and_not_tried_again,
    async |rig: Rig| {
        rig.emulator.revoke();
        let error = rig.failure().await;
        let Error::Denied { hint, .. } = &error else {
            panic!("{error:?}");
        };
        assert!(hint.len() > 40 && hint.ends_with('.'), "{hint}");
        assert!(!error.is_retryable());
    }
);

every_kind!(another_refusal_is_not_tried_again, async |rig: Rig| {
    rig.emulator.fail(Fault::Status(422));
    let error = rig.failure().await;
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    assert!(!error.is_retryable());
});

every_kind!(a_service_that_falls_silent_is_given_up, async |rig: Rig| {
    let rig = rig.impatient();
    for fault in [Fault::Silence, Fault::HalfAnswer] {
        rig.emulator.fail(fault);
        let begun = Instant::now();
        let error = rig.failure().await;
        assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
        assert!(error.is_retryable());
        assert!(begun.elapsed() < Duration::from_secs(8));
    }
});

every_kind!(a_cancelled_message_ends_at_once, async |rig: Rig| {
    let cancel = CancellationToken::new();
    cancel.cancel();
    let error = rig.channel.send(&failed(), &cancel).await.unwrap_err();
    assert!(error.is_cancelled());
    assert_eq!(
        rig.emulator.requests(),
        0,
        "nothing is sent that was cancelled before"
    );
    rig.emulator.fail(Fault::Silence);
    let cancel = CancellationToken::new();
    let later = cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        later.cancel();
    });
    let begun = Instant::now();
    let error = rig.channel.send(&failed(), &cancel).await.unwrap_err();
    assert!(error.is_cancelled());
    assert!(begun.elapsed() < Duration::from_secs(5));
});

every_kind!(a_connection_that_breaks_is_tried_again, async |rig: Rig| {
    rig.emulator.fail(Fault::HangUp);
    let error = rig.failure().await;
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.is_retryable());
});

every_kind!(a_service_that_is_not_there_is_unreachable, async |rig: Rig| {
    let rig = rig.without_server();
    let error = rig.failure().await;
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.is_retryable());
});

every_kind!(an_answer_without_an_end_is_not_read_to_it, async |rig: Rig| {
    rig.emulator.fail(Fault::Endless);
    let begun = Instant::now();
    if let Err(error) = rig.send(&failed()).await {
        assert!(error.is_retryable(), "{error:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(10));
});

every_kind!(the_login_page_of_a_network_is_no_delivery, async |rig: Rig| {
    // Whoever has a web hook of their own may answer what they like.
    if rig.kind == Kind::Webhook {
        return;
    }
    rig.emulator.fail(Fault::LoginPage);
    let error = rig.failure().await;
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.is_retryable());
});

every_kind!(
    a_redirect_is_followed_only_within_the_same_place_and_with_the_message,
    async |rig: Rig| {
        let other = Rig::start(rig.kind).await;
        for (status, to) in [
            (307, other.emulator.url()),
            (308, "https://elsewhere.example/x".to_owned()),
            (301, rig.emulator.url()),
            (302, rig.emulator.url()),
            (303, rig.emulator.url()),
        ] {
            rig.emulator.fail(Fault::Redirect(status, to));
            let before = rig.emulator.requests();
            let error = rig.failure().await;
            assert!(
                matches!(error, Error::Misconfigured { .. }),
                "{status}: {error:?}"
            );
            assert_eq!(rig.emulator.requests(), before + 1, "{status} was followed");
        }
        assert_eq!(other.emulator.requests(), 0);
        // To where it was sent in the first place.
        rig.send(&failed()).await.unwrap();
        let path = rig.only().path.clone();
        let path = if rig.has_hook() && rig.kind != Kind::Ping {
            rig.emulator.hook_url()
        } else {
            format!("{}{path}", rig.emulator.url())
        };
        rig.emulator.fail(Fault::Redirect(308, path));
        // Discord's answer to a request without `wait` is none.
        if rig.kind != Kind::Discord {
            rig.send(&failed()).await.unwrap();
            assert!(rig.emulator.requests() > 7);
        }
    }
);

every_kind!(no_error_holds_a_secret, async |rig: Rig| {
    let rig = rig.impatient();
    let mut told = vec![format!("{:?}", rig.channel)];
    let faults = [400, 401, 403, 404, 410, 413, 422, 429, 500, 200]
        .into_iter()
        .map(Fault::Echo)
        .chain([
            Fault::Silence,
            Fault::HangUp,
            Fault::Limited(None),
            Fault::LoginPage,
            Fault::Redirect(302, rig.emulator.hook_url()),
            Fault::Redirect(302, "https://elsewhere.example/".to_owned() + rig.kind.secret()),
        ]);
    for fault in faults {
        rig.emulator.fail(fault);
        if let Err(error) = rig.send(&failed()).await {
            told.extend(rig::texts(&error));
        }
    }
    rig.emulator.revoke();
    told.extend(rig::texts(&rig.failure().await));
    let rig = rig.without_server();
    told.extend(rig::texts(&rig.failure().await));
    for text in &told {
        for secret in rig.confidential() {
            assert!(!text.contains(&secret), "{secret} shows in {text}");
        }
    }
    assert!(told.len() > 40, "{}", told.len());
});

every_kind!(a_message_whose_answer_was_lost_is_sent_again, async |rig: Rig| {
    let mut message = failed();
    message.id = "01JDMESSAGE".to_owned();
    rig.emulator.fail(Fault::LoseAnswer);
    let error = rig
        .channel
        .send(&message, &CancellationToken::new())
        .await
        .unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    rig.send(&message).await.unwrap();
    // ntfy alone can tell that it is the same.
    let twins = if rig.kind == Kind::Ntfy { 1 } else { 2 };
    assert_eq!(rig.emulator.delivered().len(), twins);
});

every_kind!(a_channel_without_its_secret_is_told_apart, async |rig: Rig| {
    let opened = rig.open_without_secrets();
    // A topic of ntfy may be open to everybody.
    if rig.kind == Kind::Ntfy {
        assert!(opened.is_ok());
        return;
    }
    let error = opened.unwrap_err();
    assert!(matches!(error, Error::Misconfigured { .. }), "{error:?}");
});

#[rstest]
#[tokio::test]
async fn good_news_and_bad_are_told_apart(
    #[values(
        Kind::Telegram,
        Kind::Discord,
        Kind::SlackHook,
        Kind::Teams,
        Kind::Mattermost,
        Kind::Ntfy,
        Kind::Gotify,
        Kind::Pushover
    )]
    kind: Kind,
) {
    let rig = Rig::start(kind).await;
    for kind in [
        AlertKind::BackupFailed,
        AlertKind::DiskLow,
        AlertKind::BackupSucceeded,
    ] {
        rig.send(&howdah_notify::Message::new(kind, rig::AT, "t", "b"))
            .await
            .unwrap();
    }
    let mut bodies: Vec<String> = rig
        .emulator
        .delivered()
        .into_iter()
        .map(|shown| shown.body)
        .collect();
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), 3, "{bodies:?}");
}
