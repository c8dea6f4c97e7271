/**
 * The pages of services that say how to get a token or a URL: the only addresses that `open_link` opens. The shell
 * holds the same list.
 */
export const LINKS = {
  telegram: 'https://core.telegram.org/bots/tutorial#obtain-your-bot-token',
  discord: 'https://support.discord.com/hc/en-us/articles/228383668-Intro-to-Webhooks',
  slack_hook: 'https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/',
  slack_bot: 'https://docs.slack.dev/reference/methods/chat.postMessage/',
  teams:
    'https://support.microsoft.com/en-us/office/create-incoming-webhooks-with-workflows-for-microsoft-teams-8ae491c7-0394-4861-ba59-055e33f75498',
  mattermost: 'https://developers.mattermost.com/integrate/webhooks/incoming/',
  ntfy: 'https://docs.ntfy.sh/publish/',
  gotify: 'https://gotify.net/docs/pushmsg',
  pushover: 'https://pushover.net/api',
  ping: 'https://healthchecks.io/docs/http_api/',
  gmail: 'https://support.google.com/accounts/answer/185833',
  outlook:
    'https://support.microsoft.com/en-us/office/pop-imap-and-smtp-settings-for-outlook-com-d088b986-291d-42b8-9564-9c414e2aa040',
  icloud: 'https://support.apple.com/en-us/102654',
  fastmail: 'https://www.fastmail.help/hc/en-us/articles/360058752854-App-passwords',
} as const;

export type Link = keyof typeof LINKS;
