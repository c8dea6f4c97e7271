/** A channel in a form: each field as typed, the address they make, and what is missing. */
import type { Address, ChannelInput, ChannelKind, ChannelRule, ChannelView, WebhookMethod } from '$lib/ipc';
import { t } from '$lib/messages';
import { EmailForm } from './email-form.svelte';
import { Secrets } from './secrets.svelte';

export type NtfyAccess = 'open' | 'token' | 'password';

const given = (text: string) => text.trim() || null;
const isUrl = (text: string) => /^https?:\/\/[^\s/]+\S*$/.test(text.trim());

export class ChannelForm {
  readonly id: string | null;
  readonly enabled: boolean;
  readonly secrets: Secrets;
  readonly email: EmailForm;
  kind = $state<ChannelKind>('email');
  name = $state('');
  chat = $state('');
  topic = $state('');
  proxy = $state('');
  botServer = $state('');
  slackWith = $state<'hook' | 'bot'>('hook');
  slackChannel = $state('');
  mattermostChannel = $state('');
  ntfyServer = $state('');
  ntfyTopic = $state('');
  ntfyAccess = $state<NtfyAccess>('open');
  ntfyUser = $state('');
  gotifyServer = $state('');
  pushoverUser = $state('');
  pushoverDevice = $state('');
  method = $state<WebhookMethod>('POST');
  template = $state('');

  constructor(kind: ChannelKind, from?: ChannelView) {
    this.id = from?.id ?? null;
    this.enabled = from?.enabled ?? true;
    this.kind = kind;
    this.name = from?.name ?? '';
    this.secrets = new Secrets(from?.secrets);
    this.email = new EmailForm(from?.address.kind === 'email' ? from.address : undefined);
    if (from) this.#take(from);
  }

  #take({ address, secrets }: ChannelView): void {
    switch (address.kind) {
      case 'telegram':
        this.chat = address.chat;
        this.topic = address.topic === null ? '' : String(address.topic);
        this.proxy = address.proxy ?? '';
        this.botServer = address.server ?? '';
        return;
      case 'slack':
        this.slackWith = address.channel === null ? 'hook' : 'bot';
        this.slackChannel = address.channel ?? '';
        return;
      case 'mattermost':
        this.mattermostChannel = address.channel ?? '';
        return;
      case 'ntfy':
        this.ntfyServer = address.server;
        this.ntfyTopic = address.topic;
        this.ntfyUser = address.user ?? '';
        this.ntfyAccess = address.user !== null ? 'password' : secrets.includes('token') ? 'token' : 'open';
        return;
      case 'gotify':
        this.gotifyServer = address.server;
        return;
      case 'pushover':
        this.pushoverUser = address.user;
        this.pushoverDevice = address.device ?? '';
        return;
      case 'webhook':
        this.method = address.method;
        this.template = address.template ?? '';
    }
  }

  /** What is known of the address so far; whole where there is no problem. */
  readonly address = $derived.by((): Address => {
    switch (this.kind) {
      case 'desktop':
      case 'discord':
      case 'teams':
      case 'ping':
        return { kind: this.kind };
      case 'email':
        return { kind: 'email', ...this.email.address };
      case 'telegram':
        return {
          kind: 'telegram',
          chat: this.chat.trim(),
          topic: /^\d+$/.test(this.topic.trim()) ? Number(this.topic) : null,
          proxy: given(this.proxy),
          server: given(this.botServer),
        };
      case 'slack':
        return { kind: 'slack', channel: this.slackWith === 'bot' ? this.slackChannel.trim() : null };
      case 'mattermost':
        return { kind: 'mattermost', channel: given(this.mattermostChannel) };
      case 'ntfy':
        return {
          kind: 'ntfy',
          server: this.ntfyServer.trim(),
          topic: this.ntfyTopic.trim(),
          user: this.ntfyAccess === 'password' ? this.ntfyUser.trim() : null,
        };
      case 'gotify':
        return { kind: 'gotify', server: this.gotifyServer.trim() };
      case 'pushover':
        return { kind: 'pushover', user: this.pushoverUser.trim(), device: given(this.pushoverDevice) };
      case 'webhook':
        return { kind: 'webhook', method: this.method, template: given(this.template) };
    }
  });

  /** What is missing of the address, as a sentence. */
  readonly #incomplete = $derived.by((): string | undefined => {
    switch (this.kind) {
      case 'email':
        return this.email.problem;
      case 'telegram':
        if (this.wrongTopic) return t('channel_problem.topic_number');
        if (this.proxy.trim() && !/^(https?|socks5h?):\/\/\S+$/.test(this.proxy.trim())) {
          return t('channel_problem.proxy');
        }
        return this.botServer.trim() && !isUrl(this.botServer) ? t('channel_problem.server') : undefined;
      case 'slack':
        return this.slackWith === 'bot' && !this.slackChannel.trim()
          ? t('channel_problem.slack_channel')
          : undefined;
      case 'ntfy':
        if (this.ntfyServer.trim() && !isUrl(this.ntfyServer)) return t('channel_problem.server');
        if (!/^[\w-]{1,64}$/.test(this.ntfyTopic.trim())) return t('channel_problem.ntfy_topic');
        return this.ntfyAccess === 'password' && !this.ntfyUser.trim()
          ? t('channel_problem.ntfy_user')
          : undefined;
      case 'gotify':
        return isUrl(this.gotifyServer) ? undefined : t('channel_problem.server');
      case 'pushover':
        return this.pushoverUser.trim() ? undefined : t('channel_problem.pushover_user');
      default:
        return undefined;
    }
  });

  readonly wrongTopic = $derived.by(() => !/^\d*$/.test(this.topic.trim()));

  /** What is missing for the channel to work, as a sentence. */
  readonly problem = $derived.by((): string | undefined => {
    const missing = this.secrets.missing(this.address);
    const url = this.secrets.url.trim();
    if (missing === 'url') return t('channel_problem.url');
    if (missing === 'token') return t('channel_problem.token');
    if (url && !isUrl(url) && 'url' in this.secrets.given(this.address)) return t('channel_problem.url');
    if (this.#incomplete) return this.#incomplete;
    if (missing === 'password') return t('channel_problem.password');
    // A token by itself reads as complete to the engine, which would then go without one.
    if (this.kind === 'ntfy' && this.ntfyAccess === 'token' && !this.secrets.has('token')) {
      return t('channel_problem.token');
    }
    if (this.kind === 'telegram' && !this.chat.trim()) return t('channel_problem.chat');
    return undefined;
  });

  input(rule: ChannelRule): ChannelInput {
    const secrets = this.secrets.given(this.address);
    // An open topic goes without the token that was kept for it.
    if (this.kind === 'ntfy' && this.ntfyAccess === 'open') {
      delete secrets.token;
      if (this.secrets.kept.includes('token')) secrets.token = '';
    }
    return {
      id: this.id,
      name: this.name.trim(),
      address: this.address,
      secrets,
      rule,
      enabled: this.enabled,
    };
  }
}
