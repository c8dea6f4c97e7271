//! Escapes a text for the markups of services, so that a name shows as what it is: `*bold*` stays four letters between two stars, and
//! `@everyone` calls nobody.
//!
//! Beside each escape stands its cost: what a character may become at most, counted in what the service's limit counts. Where a
//! service has no escape, a zero-width space breaks what would be read as markup.

/// Breaks what it stands in.
const BREAK: char = '\u{200b}';

/// Which Markdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavor {
    /// CommonMark (Gotify's clients).
    CommonMark,
    /// Discord's: <https://support.discord.com/hc/en-us/articles/210298617>.
    Discord,
    /// Mattermost's: <https://docs.mattermost.com/end-user-guide/collaborate/format-messages.html>.
    Mattermost,
}

/// Prose as Markdown. Lines stay lines.
pub(crate) fn markdown(text: &str, flavor: Flavor) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for (number, line) in text.lines().enumerate() {
        if number > 0 {
            // In CommonMark a line break counts with two spaces before it.
            out.push_str(if flavor == Flavor::CommonMark {
                "  \n"
            } else {
                "\n"
            });
        }
        markdown_line(line.trim_start(), flavor, &mut out);
    }
    out
}

fn markdown_line(line: &str, flavor: Flavor, out: &mut String) {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let mut before = None;
    for (at, c) in line.char_indices() {
        let rest = &line[at + c.len_utf8()..];
        match c {
            // What begins a list, a rule or a heading.
            '-' | '+' if at == 0 => out.push('\\'),
            '.' | ')' if at == digits && digits > 0 => out.push('\\'),
            '=' if at == 0 => out.push(BREAK),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '#' | '~' | '|' => out.push('\\'),
            '>' | '<' if flavor == Flavor::Discord => out.push('\\'),
            _ => {}
        }
        match c {
            '<' if flavor != Flavor::Discord => out.push_str("&lt;"),
            '>' if flavor != Flavor::Discord => out.push_str("&gt;"),
            '&' if flavor != Flavor::Discord => out.push_str("&amp;"),
            c => out.push(c),
        }
        if is_mention(before, c, rest) || (flavor == Flavor::Mattermost && is_shortcode(c, rest)) {
            out.push(BREAK);
        }
        before = Some(c);
    }
}

/// What a character of prose costs as Markdown.
pub(crate) fn markdown_cost(flavor: Flavor, unit: fn(char) -> usize) -> impl Fn(char) -> usize {
    move |c| match c {
        '<' | '>' if flavor != Flavor::Discord => unit('&') + 3,
        '&' if flavor != Flavor::Discord => unit('&') + 4,
        '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '#' | '~' | '|' | '-' | '+' | '.'
        | '>' | '<' => unit('\\') + unit(c),
        '@' | ':' | '=' => unit(c) + unit(BREAK),
        '\n' => unit(c) + 2,
        c => unit(c),
    }
}

/// A block of code in Markdown, which nothing within can end.
pub(crate) fn code_block(text: &str, flavor: Flavor) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    out.push_str("```\n");
    let mut before = None;
    for (at, c) in text.char_indices() {
        if c == '`' && before == Some('`') {
            out.push(BREAK);
        }
        out.push(c);
        // Mattermost takes Slack's `<!here>` and `<@user>` for its own, even in code.
        if flavor == Flavor::Mattermost && c == '<' && text[at + 1..].starts_with(['!', '@']) {
            out.push(BREAK);
        }
        before = Some(c);
    }
    out.push_str("\n```");
    out
}

/// What the fences of a block of code cost, with the empty line before it.
pub(crate) const CODE_BLOCK: &str = "\n\n```\n\n```";

/// What a character of code costs.
pub(crate) fn code_cost(unit: fn(char) -> usize) -> impl Fn(char) -> usize {
    move |c| match c {
        '`' | '<' => unit(c) + unit(BREAK),
        c => unit(c),
    }
}

/// Prose as Telegram's HTML: <https://core.telegram.org/bots/api#html-style>. Mentions are broken, since `@name` would call a member
/// of the group.
pub(crate) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let mut before = None;
    for (at, c) in text.char_indices() {
        push_html(c, &mut out);
        if is_mention(before, c, &text[at + c.len_utf8()..]) {
            out.push(BREAK);
        }
        before = Some(c);
    }
    out
}

/// Code as Telegram's HTML, in which nothing is a mention.
pub(crate) fn html_code(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    text.chars().for_each(|c| push_html(c, &mut out));
    out
}

fn push_html(c: char, out: &mut String) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        c => out.push(c),
    }
}

/// What a character costs in UTF-16 units after Telegram has parsed the markup: an escape counts as what it stands for.
pub(crate) fn html_cost(c: char) -> usize {
    match c {
        '@' => 2,
        c => c.len_utf16(),
    }
}

/// A block of code in Slack's mrkdwn: <https://docs.slack.dev/messaging/formatting-message-text#escaping>. `<!here>` becomes text.
pub(crate) fn slack_code(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    out.push_str("```\n");
    let mut before = None;
    for c in text.chars() {
        if c == '`' && before == Some('`') {
            out.push(BREAK);
        }
        push_html(c, &mut out);
        before = Some(c);
    }
    out.push_str("\n```");
    out
}

/// Prose in a field that Slack reads as mrkdwn but shows as text: a notification.
pub(crate) fn slack(text: &str) -> String {
    html_code(text)
}

/// What a character of code costs in Slack's mrkdwn.
pub(crate) fn slack_cost(c: char) -> usize {
    match c {
        '&' => 5,
        '<' | '>' => 4,
        '`' => 2,
        c => c.len_utf16(),
    }
}

/// Whether an `@` begins a mention: `@everyone`, and not that of `ada@example.com`.
fn is_mention(before: Option<char>, c: char, rest: &str) -> bool {
    c == '@'
        && !before.is_some_and(char::is_alphanumeric)
        && rest
            .chars()
            .next()
            .is_some_and(|next| next.is_alphanumeric() || next == '_')
}

/// Whether a `:` begins a name of an emoji, `:smile:`; times and ports do not.
fn is_shortcode(c: char, rest: &str) -> bool {
    if c != ':' || !rest.starts_with(|next: char| next.is_ascii_alphabetic() || "_+-".contains(next)) {
        return false;
    }
    let name = rest
        .bytes()
        .take(64)
        .take_while(|byte| byte.is_ascii_alphanumeric() || b"_+-".contains(byte))
        .count();
    rest[name..].starts_with(':')
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::shorten::total;

    #[rstest]
    #[case("a *b* _c_ `d`", r"a \*b\* \_c\_ \`d\`")]
    #[case("- a\n  1. b\n=== \n# c", "\\- a\n1\\. b\n\u{200b}=== \n\\# c")]
    #[case(
        "<@1> @everyone ada@example.com",
        "\\<@\u{200b}1\\> @\u{200b}everyone ada@example.com"
    )]
    fn markdown_shows_as_it_is_written(#[case] text: &str, #[case] escaped: &str) {
        assert_eq!(markdown(text, Flavor::Discord), escaped);
    }

    #[test]
    fn mattermost_takes_neither_slacks_mentions_nor_the_names_of_emoji() {
        assert_eq!(
            markdown("<!here> :tada: at 12:30:05", Flavor::Mattermost),
            "&lt;!here&gt; :\u{200b}tada: at 12:30:05"
        );
        assert_eq!(
            code_block("<!here> a<b", Flavor::Mattermost),
            "```\n<\u{200b}!here> a<b\n```"
        );
    }

    #[test]
    fn a_block_of_code_cannot_be_left() {
        let block = code_block("a\n```\n**b**", Flavor::Discord);
        assert_eq!(block.matches("```").count(), 2, "{block}");
        assert_eq!(slack_code("``` <!here>").matches("```").count(), 2);
    }

    #[test]
    fn telegram_gets_html_without_tags_and_mentions_of_others() {
        assert_eq!(html("<b>&amp; @ada"), "&lt;b&gt;&amp;amp; @\u{200b}ada");
        assert_eq!(html_code("@ada </pre>"), "@ada &lt;/pre&gt;");
    }

    #[rstest]
    fn a_cost_is_never_less_than_what_becomes_of_a_text(
        #[values(Flavor::CommonMark, Flavor::Discord, Flavor::Mattermost)] flavor: Flavor,
        #[values("@a :b: <!c> &d\n", "1. *_`~\n- \\#>|\n=()[]{}\n", "🐘 ``` ```` @_ .\n\n")] text: &str,
    ) {
        let chars = |_| 1;
        assert!(markdown(text, flavor).chars().count() <= total(text, markdown_cost(flavor, chars)));
        let code = code_block(text, flavor).chars().count();
        assert!(code <= total(text, code_cost(chars)) + CODE_BLOCK.len() - 2);
        assert!(slack_code(text).encode_utf16().count() <= total(text, slack_cost) + CODE_BLOCK.len() - 2);
    }
}
