//! Mailboxes as people type them: `ada@example.com`, `Ada Lovelace <ada@example.com>`.

use lettre::Address;
use lettre::message::Mailbox;

use crate::Error;

/// Reads one mailbox; `whose` says which one in an error: `the sender`.
pub(super) fn parse(text: &str, whose: &str) -> Result<Mailbox, Error> {
    read(text.trim()).ok_or_else(|| Error::Misconfigured {
        message: if text.trim().is_empty() {
            format!("{whose} has no e-mail address.")
        } else {
            format!("{whose}, {text:?}, is not an e-mail address.")
        },
        hint: "Write one address in each place, like ada@example.com or Ada <ada@example.com>.".to_owned(),
    })
}

/// lettre reads addresses. The name before one is read here, since people leave out the quotes that RFC 5322 asks for around
/// dots, brackets and commas.
fn read(text: &str) -> Option<Mailbox> {
    if text.chars().any(char::is_control) {
        return None;
    }
    let (name, address) = match text.strip_suffix('>') {
        Some(text) => text.rsplit_once('<')?,
        None => ("", text),
    };
    let name = name.trim();
    let name = match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(quoted) => unquote(quoted),
        None => name.to_owned(),
    };
    // Several addresses in one place would look like one with a long name.
    if name.contains(['@', '<', '>']) {
        return None;
    }
    let (user, domain) = address.trim().rsplit_once('@')?;
    let domain = if domain.is_ascii() {
        domain.to_owned()
    } else {
        // What crosses the wire is the ASCII spelling (RFC 5891), which every server understands.
        idna(domain)?
    };
    let address = Address::new(user, domain).ok()?;
    Some(Mailbox::new((!name.is_empty()).then_some(name), address))
}

/// What stands between quotes, where a backslash takes the next character as it is.
fn unquote(text: &str) -> String {
    let mut chars = text.chars();
    let mut plain = String::with_capacity(text.len());
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain.trim().to_owned()
}

/// A host's name in ASCII.
pub(super) fn idna(domain: &str) -> Option<String> {
    match url::Host::parse(domain).ok()? {
        url::Host::Domain(domain) => Some(domain),
        url::Host::Ipv4(_) | url::Host::Ipv6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::bare("ada@example.com", None, "ada@example.com")]
    #[case::with_spaces("  ada@example.com ", None, "ada@example.com")]
    #[case::in_brackets("<ada@example.com>", None, "ada@example.com")]
    #[case::with_a_name("Ada Lovelace <ada@example.com>", Some("Ada Lovelace"), "ada@example.com")]
    #[case::with_a_quoted_name(
        "\"Lovelace, Ada\" <ada@example.com>",
        Some("Lovelace, Ada"),
        "ada@example.com"
    )]
    #[case::with_quotes_in_quotes(
        r#""a \"b\" \\ c" <ada@example.com>"#,
        Some(r#"a "b" \ c"#),
        "ada@example.com"
    )]
    #[case::with_a_name_that_needs_quotes(
        "Ops (night), Dr. X <o@example.com>",
        Some("Ops (night), Dr. X"),
        "o@example.com"
    )]
    #[case::with_letters_of_other_scripts("Zoë 🐘 <zoë@example.com>", Some("Zoë 🐘"), "zoë@example.com")]
    #[case::with_a_domain_of_other_letters("a@bücher.example", None, "a@xn--bcher-kva.example")]
    #[case::on_this_machine("root@localhost", None, "root@localhost")]
    #[case::with_a_tag("ada+howdah@example.com", None, "ada+howdah@example.com")]
    fn a_mailbox_is_read_as_people_type_it(
        #[case] text: &str,
        #[case] name: Option<&str>,
        #[case] address: &str,
    ) {
        let mailbox = parse(text, "The sender").unwrap();
        assert_eq!(mailbox.name.as_deref(), name);
        assert_eq!(mailbox.email.to_string(), address);
    }

    #[rstest]
    #[case::empty("")]
    #[case::blank("  ")]
    #[case::no_at("ada")]
    #[case::no_user("@example.com")]
    #[case::no_domain("ada@")]
    #[case::two("ada@example.com, bob@example.com")]
    #[case::two_with_names("Ada <ada@example.com>, Bob <bob@example.com>")]
    #[case::no_end("Ada <ada@example.com")]
    #[case::a_header_in_the_name("Ada\r\nBcc: eve@example.com <ada@example.com>")]
    #[case::a_header_in_the_address("ada@example.com\r\nBcc: eve@example.com")]
    #[case::a_command("ada@example.com> NOTIFY=NEVER")]
    fn what_is_no_mailbox_is_named(#[case] text: &str) {
        let error = parse(text, "The sender").unwrap_err();
        let Error::Misconfigured { message, .. } = &error else {
            panic!("{error:?}");
        };
        assert!(message.starts_with("The sender"), "{message}");
        assert!(!message.contains('\n'), "{message}");
        assert!(!error.is_retryable());
    }
}
