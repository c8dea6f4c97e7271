import { describe, expect, test } from 'vitest';
import type { Address, ChannelSecret, ChannelView } from '$lib/ipc';
import { ChannelForm } from './channel-form.svelte';
import { PRESETS } from './email-form.svelte';
import { DEFAULT_RULE } from './rule-form.svelte';
import { secretsOf } from './secrets.svelte';
import { randomTopic } from './topic';

const MAIL: Address = {
  kind: 'email',
  host: 'mail.example.com',
  port: 2525,
  security: 'tls',
  user: 'ada',
  mechanism: 'login',
  from: 'Howdah <howdah@example.com>',
  to: ['ada@example.com', 'grace@example.com'],
  trusted_certificate: 'ab'.repeat(32),
};

const ADDRESSES: Address[] = [
  { kind: 'desktop' },
  MAIL,
  {
    kind: 'telegram',
    chat: '-1001',
    topic: 42,
    proxy: 'socks5://127.0.0.1:1080',
    server: 'https://b.example.com',
  },
  { kind: 'discord' },
  { kind: 'slack', channel: null },
  { kind: 'slack', channel: '#ops' },
  { kind: 'teams' },
  { kind: 'mattermost', channel: 'alerts' },
  { kind: 'ntfy', server: '', topic: 'howdah-x', user: null },
  { kind: 'ntfy', server: 'https://ntfy.example.com', topic: 'howdah_x', user: 'ada' },
  { kind: 'gotify', server: 'https://push.example.com' },
  { kind: 'pushover', user: 'uQi', device: 'phone' },
  { kind: 'webhook', method: 'PUT', template: '{ "text": "{{title}}" }' },
  { kind: 'ping' },
];

function view(address: Address, secrets = secretsOf(address).map(({ secret }) => secret)): ChannelView {
  return {
    id: 'channel-1',
    name: 'One',
    kind: address.kind,
    address,
    summary: '',
    secrets,
    rule: DEFAULT_RULE,
    enabled: true,
    delivered_at: null,
    failure: null,
    waiting: 0,
    next_attempt_at: null,
  };
}

const edit = (address: Address, secrets?: ChannelSecret[]) =>
  new ChannelForm(address.kind, view(address, secrets));

describe('a channel in its form', () => {
  test.each(ADDRESSES.map((address) => [address.kind, address] as const))(
    'comes out as it went in: %s',
    (_, address) => {
      const form = edit(address);
      expect(form.problem).toBeUndefined();
      expect(form.input(DEFAULT_RULE)).toEqual({
        id: 'channel-1',
        name: 'One',
        address,
        secrets: {},
        rule: DEFAULT_RULE,
        enabled: true,
      });
    },
  );

  test.each(
    ADDRESSES.filter((address) => secretsOf(address).some(({ needed }) => needed)).map(
      (each) => [each.kind, each] as const,
    ),
  )('demands what nothing works without: %s', (_, address) => {
    expect(edit(address, []).problem).toMatch(/^(Paste the|Type the)/);
  });

  test.each<[ChannelForm['kind'], (form: ChannelForm) => void, string | undefined]>([
    ['discord', (form) => (form.secrets.url = 'discord.com/api'), 'Paste the URL: it begins with https://.'],
    ['discord', (form) => (form.secrets.url = ' https://discord.com/api/webhooks/1/x '), undefined],
    ['telegram', (form) => (form.secrets.token = '1:a'), 'Find the chat, or type its id.'],
    ['telegram', (form) => Object.assign(form, { chat: '@a', topic: 'x' }), 'Paste the token.'],
    ['gotify', (form) => (form.secrets.token = 'A1'), 'Write the server as https://push.example.com.'],
    ['pushover', (form) => (form.secrets.token = 'a'), 'Paste your user key.'],
    ['ntfy', () => undefined, 'A topic has letters, digits, - and _, at most 64.'],
    ['ntfy', (form) => (form.ntfyTopic = 'ops'), undefined],
    ['ntfy', (form) => Object.assign(form, { ntfyTopic: 'ops', ntfyAccess: 'token' }), 'Paste the token.'],
    ['ntfy', (form) => Object.assign(form, { ntfyTopic: 'ops', ntfyAccess: 'password' }), 'Say which user.'],
    ['ping', () => undefined, 'Paste the URL: it begins with https://.'],
  ])('says of a new %s what is missing', (kind, fill, problem) => {
    const form = new ChannelForm(kind);
    fill(form);
    expect(form.problem).toBe(problem);
  });

  test('refuses a topic that is no number, and a proxy that is none', () => {
    const form = new ChannelForm('telegram');
    form.secrets.token = '1:a';
    form.chat = '-1';
    form.topic = 'general';
    expect(form.problem).toBe('A topic’s id is a number.');
    form.topic = '7';
    form.proxy = 'localhost:1080';
    expect(form.problem).toBe('Write the proxy as http://… or socks5://….');
    form.proxy = 'socks5://localhost:1080';
    expect(form.problem).toBeUndefined();
    expect(form.address).toMatchObject({ topic: 7, proxy: 'socks5://localhost:1080', server: null });
  });

  test('makes a topic that nobody guesses', () => {
    expect(randomTopic()).toMatch(/^howdah-[a-z2-7]{20}$/);
    expect(randomTopic()).not.toBe(randomTopic());
    const form = new ChannelForm('ntfy');
    form.ntfyTopic = randomTopic();
    expect(form.problem).toBeUndefined();
  });
});

describe('what opens a channel', () => {
  const secrets = (form: ChannelForm) => form.input(DEFAULT_RULE).secrets;

  test('is sent when typed, and otherwise stays as it is', () => {
    const form = edit({ kind: 'telegram', chat: '-1', topic: null, proxy: null, server: null });
    expect(secrets(form)).toEqual({});
    form.secrets.token = ' 1:new ';
    expect(secrets(form)).toEqual({ token: '1:new' });
  });

  test('leaves the keyring where the address needs it no more', () => {
    const slack = edit({ kind: 'slack', channel: null });
    slack.slackWith = 'bot';
    slack.slackChannel = '#ops';
    expect(slack.problem).toBe('Paste the token.');
    slack.secrets.token = 'xoxb-1';
    expect(secrets(slack)).toEqual({ url: '', token: 'xoxb-1' });
    const ntfy = edit({ kind: 'ntfy', server: '', topic: 'x', user: null }, ['token']);
    expect(ntfy.ntfyAccess).toBe('token');
    expect(secrets(ntfy)).toEqual({});
    ntfy.ntfyAccess = 'open';
    expect(secrets(ntfy)).toEqual({ token: '' });
    ntfy.ntfyAccess = 'password';
    ntfy.ntfyUser = 'ada';
    ntfy.secrets.password = 'pw';
    expect(secrets(ntfy)).toEqual({ token: '', password: 'pw' });
  });

  test('is removed on purpose where the channel works without it', () => {
    const form = edit({ kind: 'webhook', method: 'POST', template: null }, ['url', 'headers', 'signing_key']);
    form.secrets.remove('headers');
    expect(form.problem).toBeUndefined();
    expect(secrets(form)).toEqual({ headers: '' });
    form.secrets.remove('headers', false);
    expect(secrets(form)).toEqual({});
  });

  test('is never sent with another kind of address', () => {
    const form = new ChannelForm('slack');
    form.secrets.url = 'https://hooks.slack.com/services/1';
    form.slackWith = 'bot';
    form.slackChannel = '#ops';
    form.secrets.token = 'xoxb-1';
    expect(secrets(form)).toEqual({ token: 'xoxb-1' });
  });
});

describe('e-mail', () => {
  const fresh = () => new ChannelForm('email');

  test.each(['gmail', 'outlook', 'icloud', 'fastmail'] as const)('knows the server of %s', (provider) => {
    const form = fresh();
    form.email.choose(provider);
    form.email.user = 'ada@example.com';
    form.email.to = 'ada@example.com';
    form.secrets.password = 'pw';
    expect(form.problem).toBeUndefined();
    expect(form.address).toEqual({
      kind: 'email',
      ...PRESETS[provider],
      port: 0,
      user: 'ada@example.com',
      from: 'ada@example.com',
      to: ['ada@example.com'],
      trusted_certificate: null,
    });
    const again = edit(form.address);
    expect(again.email.provider).toBe(provider);
    expect(again.email.from).toBe('');
    expect(again.address).toEqual(form.address);
  });

  test('uses the port that goes with the security, unless one is typed', () => {
    const { email } = fresh();
    email.choose('own');
    email.host = 'mail.example.com';
    expect([email.usualPort, email.address.port]).toEqual([587, 0]);
    email.security = 'tls';
    expect(email.usualPort).toBe(465);
    email.security = 'none';
    expect(email.usualPort).toBe(25);
    email.port = '2525';
    expect(email.address.port).toBe(2525);
    email.port = '70000';
    expect(email.problem).toBe('A port is a number from 1 to 65535.');
  });

  test('says which mailbox is none', () => {
    const { email } = fresh();
    email.choose('own');
    expect(email.problem).toBe('Say which mail server.');
    email.host = 'mail.example.com';
    expect(email.problem).toMatch(/^Write the sender/);
    email.from = 'Howdah <howdah@example.com>';
    expect(email.problem).toBe('Say who is to get it.');
    email.to = 'ada@example.com, grace\n';
    expect(email.problem).toBe('“grace” is no mailbox: write it as ada@example.com.');
    email.to = 'ada@example.com, grace@example.com\n ops@example.com ';
    expect(email.problem).toBeUndefined();
    expect(email.address.to).toEqual(['ada@example.com', 'grace@example.com', 'ops@example.com']);
  });

  test('wants a password only of a user', () => {
    const form = fresh();
    form.email.choose('own');
    Object.assign(form.email, { host: 'localhost', from: 'howdah@localhost', to: 'ada@localhost' });
    expect(form.problem).toBeUndefined();
    form.email.user = 'ada';
    expect(form.problem).toBe('Type the password.');
  });

  test('trusts a certificate of the one server that showed it', () => {
    const form = edit(MAIL);
    expect(form.email.trusted).toBe('ab'.repeat(32));
    form.email.host = 'other.example.com';
    expect(form.email.trusted).toBeNull();
    form.email.trust('cd'.repeat(32));
    expect(form.email.address.trusted_certificate).toBe('cd'.repeat(32));
    form.email.trust(undefined);
    expect(form.email.address.trusted_certificate).toBeNull();
  });
});
