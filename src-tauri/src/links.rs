//! The pages that the window may have opened in the browser: how to get a token or a URL, and nothing else.

/// Each in full.
pub(crate) const ALLOWED: &[&str] = &[
    "https://core.telegram.org/bots/tutorial#obtain-your-bot-token",
    "https://support.discord.com/hc/en-us/articles/228383668-Intro-to-Webhooks",
    "https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/",
    "https://docs.slack.dev/reference/methods/chat.postMessage/",
    "https://support.microsoft.com/en-us/office/create-incoming-webhooks-with-workflows-for-microsoft-teams-8ae491c7-0394-4861-ba59-055e33f75498",
    "https://developers.mattermost.com/integrate/webhooks/incoming/",
    "https://docs.ntfy.sh/publish/",
    "https://gotify.net/docs/pushmsg",
    "https://pushover.net/api",
    "https://healthchecks.io/docs/http_api/",
    "https://support.google.com/accounts/answer/185833",
    "https://support.microsoft.com/en-us/office/pop-imap-and-smtp-settings-for-outlook-com-d088b986-291d-42b8-9564-9c414e2aa040",
    "https://support.apple.com/en-us/102654",
    "https://www.fastmail.help/hc/en-us/articles/360058752854-App-passwords",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_names_the_same_pages() {
        let list = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../ui/src/lib/features/notifications/links.ts"
        );
        let text = std::fs::read_to_string(list).unwrap();
        let mut named: Vec<&str> = text
            .split('\'')
            .filter(|part| part.starts_with("https://"))
            .collect();
        let mut allowed = ALLOWED.to_vec();
        named.sort_unstable();
        allowed.sort_unstable();
        assert_eq!(named, allowed);
    }
}
