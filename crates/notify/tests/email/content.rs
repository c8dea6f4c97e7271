//! What arrives.

use howdah_domain::{Environment, Severity};
use howdah_notify::{Message, Subject};
use howdah_testkit::MailServer;
use howdah_testkit::mail::Mail;
use mail_parser::{MessageParser, MimeHeaders as _};
use rstest::rstest;

use super::{address, message, send};

/// The text and the HTML of a mail of exactly these two parts, which any old server can carry.
fn parts(mail: &Mail) -> (String, String) {
    assert!(mail.raw.is_ascii(), "{}", String::from_utf8_lossy(&mail.raw));
    for line in mail.raw.split(|byte| *byte == b'\n') {
        assert!(line.len() <= 999, "a line of {} octets", line.len());
        assert!(!line.contains(&0));
    }
    let parsed = MessageParser::default().parse(&mail.raw).unwrap();
    let kind = parsed.content_type().unwrap();
    assert_eq!(
        (kind.ctype(), kind.subtype()),
        ("multipart", Some("alternative")),
        "{kind:?}"
    );
    assert_eq!(parsed.parts.len(), 3);
    assert_eq!((parsed.text_body.len(), parsed.html_body.len()), (1, 1));
    assert!(parsed.text_body < parsed.html_body, "the plain one comes first");
    let text = parsed.body_text(0).unwrap().replace("\r\n", "\n");
    let html = parsed.body_html(0).unwrap().replace("\r\n", "\n");
    (text, html)
}

fn header(mail: &Mail, name: &str) -> Option<String> {
    let parsed = MessageParser::default().parse(&mail.raw).unwrap();
    parsed.header_raw(name).map(|value| value.trim().to_owned())
}

fn subject(mail: &Mail) -> String {
    let parsed = MessageParser::default().parse(&mail.raw).unwrap();
    parsed.subject().unwrap_or_default().to_owned()
}

/// Sends it to a server that takes everything.
async fn arrived(message: &Message) -> Mail {
    let server = MailServer::builder().start().unwrap();
    let delivered = send(&address(&server), message).await.unwrap();
    assert_eq!(delivered.remark, None);
    let mut mails = server.mails().unwrap();
    assert_eq!(mails.len(), 1);
    mails.remove(0)
}

#[tokio::test]
async fn a_mail_says_what_happened_as_text_and_as_html() {
    let server = MailServer::builder().start().unwrap();
    let mut address = address(&server);
    address.to.push("Bob <bob@example.org>".to_owned());
    let mut told = message();
    told.databases = vec![Subject {
        database: "shop".to_owned(),
        server: "main".to_owned(),
        environment: Environment::Production,
    }];
    send(&address, &told).await.unwrap();

    let mails = server.mails().unwrap();
    let [mail] = mails.as_slice() else {
        panic!("{mails:?}")
    };
    assert_eq!(mail.from, "howdah@example.com");
    assert_eq!(mail.to, ["ada@example.com", "bob@example.org"]);
    assert_eq!(
        mail.hello, "[127.0.0.1]",
        "the machine's name is nobody's business"
    );
    assert_eq!(header(mail, "From").unwrap(), "Howdah <howdah@example.com>");
    assert_eq!(
        header(mail, "To").unwrap(),
        "ada@example.com, Bob <bob@example.org>"
    );
    assert_eq!(header(mail, "Bcc"), None);
    assert_eq!(
        header(mail, "Subject").unwrap(),
        "[Critical] shop was not backed up"
    );
    assert_eq!(header(mail, "Date").unwrap(), "Wed, 04 Mar 2026 05:06:07 +0000");
    assert_eq!(header(mail, "Message-ID").unwrap(), "<howdah.m-1@example.com>");
    assert_eq!(header(mail, "Auto-Submitted").unwrap(), "auto-generated");
    assert_eq!(header(mail, "X-Priority").unwrap(), "1 (Highest)");
    assert_eq!(header(mail, "MIME-Version").unwrap(), "1.0");

    let (text, html) = parts(mail);
    assert_eq!(
        text.trim_end(),
        "shop was not backed up\n\nThe server is shutting down.\nWait until it is there again.\n\n\
         Database: shop on main (production)\nTime: 2026-03-04 05:06:07 UTC\n\nDetails:\n\n\
         pg_dump: error: connection to server failed\nFATAL: the database system is down\n\n-- \nHowdah"
    );
    for part in [
        "<h1 style=",
        ">shop was not backed up</h1>",
        "The server is shutting down.<br>\nWait until it is there again.",
        "shop on main (production)",
        "2026-03-04 05:06:07 UTC",
        "pg_dump: error: connection to server failed\nFATAL: the database system is down</pre>",
        "<meta name=\"color-scheme\" content=\"light dark\">",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
    // Whatever is loaded from elsewhere tells elsewhere that the mail was read.
    for part in [
        "http:",
        "https:",
        "src=",
        "url(",
        "<script",
        "<link",
        "background",
    ] {
        assert!(!html.contains(part), "{part}: {html}");
    }
}

#[tokio::test]
async fn what_can_wait_is_not_marked_as_urgent() {
    let mut told = message();
    told.severity = Severity::Info;
    let mail = arrived(&told).await;
    assert_eq!(header(&mail, "X-Priority"), None);
    assert_eq!(subject(&mail), "shop was not backed up");
}

#[rstest]
#[case::emoji("🐘 größer 日本語", "🐘 größer 日本語")]
#[case::markup("<script>alert('x')</script> & \"y\"", "<script>alert('x')</script> & \"y\"")]
#[case::a_header("a\r\nBcc: eve@example.com\r\n\r\nbody", "a Bcc: eve@example.com body")]
#[case::control_characters("a\u{0}b\u{7}c\u{1b}[31md\u{85}e", "a b c [31md e")]
#[case::an_encoded_word("=?utf-8?q?=3Cb=3E?=", "=?utf-8?q?=3Cb=3E?=")]
#[case::a_long_name("ünï".repeat(60), "ünï".repeat(60))]
#[tokio::test]
async fn names_arrive_as_they_are_wherever_they_stand(#[case] name: String, #[case] shown: String) {
    let mut told = message();
    told.severity = Severity::Warning;
    told.title.clone_from(&name);
    told.body = format!("It is about {shown}.");
    told.details = Some(format!("relation {shown}"));
    let mail = arrived(&told).await;
    assert_eq!(mail.to, ["ada@example.com"]);
    assert_eq!(header(&mail, "Bcc"), None);
    if !shown.starts_with("=?") {
        assert_eq!(subject(&mail), shown);
    }
    let (text, html) = parts(&mail);
    assert!(text.starts_with(&shown), "{text}");
    assert!(text.contains(&format!("It is about {shown}.")), "{text}");
    assert!(text.contains(&format!("relation {shown}")), "{text}");
    let escaped = shown
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;");
    assert_eq!(html.matches(&escaped).count(), 4, "{html}");
    assert!(!html.contains("<script"), "{html}");
}

#[rstest]
#[case::dots_alone("first\n.\n..\n.x\nlast".to_owned())]
#[case::no_line_end("last".to_owned())]
#[case::a_line_of_3000_octets(format!("{}\nlast", "x".repeat(3000)))]
#[case::a_line_of_3000_wide_characters(format!("{}\nlast", "日".repeat(3000)))]
#[case::spaces_at_the_end("first  \nsecond\t\nlast".to_owned())]
#[case::from_at_the_beginning("From here\nFrom there\nlast".to_owned())]
#[case::equals_signs("a=3D\n=\nlast=".to_owned())]
#[case::a_boundary("--abc\n--abc--\nContent-Type: text/html\n\nlast".to_owned())]
#[tokio::test]
async fn details_arrive_as_they_are(#[case] details: String) {
    let mut told = message();
    told.details = Some(details.clone());
    let mail = arrived(&told).await;
    let (text, html) = parts(&mail);
    assert!(
        text.contains(&format!("Details:\n\n{details}\n\n-- \n")),
        "{text}"
    );
    assert!(html.contains(&format!(">\n{details}</pre>")), "{html}");
}

#[tokio::test]
async fn of_long_details_the_beginning_and_the_last_lines_arrive() {
    let mut told = message();
    told.details = Some(format!(
        "the first line\n{}FATAL: the <last> line é",
        "a line of noise\r\n".repeat(50_000)
    ));
    let mail = arrived(&told).await;
    assert!(mail.raw.len() < 400_000, "{}", mail.raw.len());
    let (text, html) = parts(&mail);
    assert!(text.contains("the first line\n"));
    assert!(text.contains("\n…\n"));
    assert!(text.contains("FATAL: the <last> line é\n"));
    assert!(html.contains("FATAL: the &lt;last&gt; line é</pre>"));
    assert!((90_000..101_000).contains(&text.len()), "{}", text.len());
}

#[tokio::test]
async fn all_attempts_at_a_message_have_one_id() {
    let server = MailServer::builder().start().unwrap();
    let mut other = message();
    other.id = "m-2".to_owned();
    for message in [&message(), &message(), &other] {
        send(&address(&server), message).await.unwrap();
    }
    let ids: Vec<_> = server
        .mails()
        .unwrap()
        .iter()
        .map(|mail| header(mail, "Message-ID").unwrap())
        .collect();
    assert_eq!(
        ids,
        [
            "<howdah.m-1@example.com>",
            "<howdah.m-1@example.com>",
            "<howdah.m-2@example.com>"
        ]
    );
}

#[rstest]
#[case::plain("Howdah <h@example.com>", "Howdah")]
#[case::with_a_comma("Müller, \"Zoë\" 🐘 <h@example.com>", "Müller, \"Zoë\" 🐘")]
#[case::with_a_backslash(r"back\slash <h@example.com>", r"back\slash")]
#[case::long(format!("{} <h@example.com>", "ünï ".repeat(40)), "ünï ".repeat(40).trim_end().to_owned())]
#[tokio::test]
async fn the_senders_name_arrives_as_it_is(#[case] from: String, #[case] name: String) {
    let server = MailServer::builder().start().unwrap();
    let mut address = address(&server);
    address.from = from;
    send(&address, &message()).await.unwrap();
    let mails = server.mails().unwrap();
    parts(&mails[0]);
    let parsed = MessageParser::default().parse(&mails[0].raw).unwrap();
    let sender = parsed.from().unwrap().first().unwrap();
    assert_eq!(sender.name(), Some(name.as_str()));
    assert_eq!(sender.address(), Some("h@example.com"));
    assert_eq!(mails[0].from, "h@example.com");
}

#[tokio::test]
async fn an_address_of_other_letters_goes_to_a_server_that_takes_it_and_is_told_of_otherwise() {
    let able = MailServer::builder().start().unwrap();
    let mut to = address(&able);
    to.to.push("zoë@bücher.example".to_owned());
    let delivered = send(&to, &message()).await.unwrap();
    assert_eq!(delivered.remark, None);
    let mails = able.mails().unwrap();
    assert_eq!(mails[0].to.len(), 2, "{:?}", mails[0].to);
    assert!(mails[0].to[1].starts_with("zoë@"), "{:?}", mails[0].to);

    let unable = MailServer::builder().without_utf8().start().unwrap();
    to.port = unable.port();
    let remark = send(&to, &message()).await.unwrap().remark.unwrap();
    assert!(
        remark.starts_with("zoë@xn--bcher-kva.example was refused"),
        "{remark}"
    );
    let mails = unable.mails().unwrap();
    assert_eq!(mails[0].to, ["ada@example.com"]);
    assert_eq!(header(&mails[0], "To").unwrap(), "ada@example.com");
    parts(&mails[0]);
}
