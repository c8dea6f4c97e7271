/** Mailboxes and the server that takes their mail, in a form. */
import type { EmailAddress, MailMechanism, MailSecurity } from '$lib/ipc';
import { t } from '$lib/messages';
import { parsePort } from '../ssh/port';

export type Provider = 'gmail' | 'outlook' | 'icloud' | 'fastmail' | 'own';

interface Preset {
  host: string;
  security: MailSecurity;
  mechanism: MailMechanism;
}

/** What the large providers say of their servers. */
export const PRESETS: Record<Exclude<Provider, 'own'>, Preset> = {
  gmail: { host: 'smtp.gmail.com', security: 'start_tls', mechanism: 'password' },
  outlook: { host: 'smtp-mail.outlook.com', security: 'start_tls', mechanism: 'xoauth2' },
  icloud: { host: 'smtp.mail.me.com', security: 'start_tls', mechanism: 'password' },
  fastmail: { host: 'smtp.fastmail.com', security: 'tls', mechanism: 'password' },
};

export const PROVIDERS: readonly Provider[] = ['gmail', 'outlook', 'icloud', 'fastmail', 'own'];
export const SECURITIES: readonly MailSecurity[] = ['start_tls', 'tls', 'none'];
export const MECHANISMS: readonly MailMechanism[] = ['password', 'plain', 'login', 'xoauth2'];
export const USUAL_PORT: Record<MailSecurity, number> = { start_tls: 587, tls: 465, none: 25 };

/** The provider whose server an address names, where nothing of it was changed by hand. */
function providerOf({ host, port, security }: EmailAddress): Provider {
  const usual = port === 0 || port === USUAL_PORT[security];
  const found = PROVIDERS.find(
    (each) => each !== 'own' && usual && PRESETS[each].host === host && PRESETS[each].security === security,
  );
  return found ?? 'own';
}

const MAILBOX = /^[^\s@<>]+@[^\s@<>]+$/;

/** `ada@example.com`, or `Ada <ada@example.com>`. */
function isSender(text: string): boolean {
  const within = /^[^<>]*<([^<>]*)>$/.exec(text);
  return MAILBOX.test(within?.[1]?.trim() ?? text);
}

export class EmailForm {
  provider = $state<Provider>('gmail');
  host = $state('');
  port = $state('');
  security = $state<MailSecurity>('start_tls');
  mechanism = $state<MailMechanism>('password');
  user = $state('');
  from = $state('');
  /** One mailbox to a line; commas do too. */
  to = $state('');
  #trusted = $state.raw<{ host: string; fingerprint: string }>();

  constructor(from?: EmailAddress) {
    if (!from) return;
    this.provider = providerOf(from);
    if (this.provider === 'own') {
      this.host = from.host;
      this.port = from.port === 0 ? '' : String(from.port);
      this.security = from.security;
    }
    this.mechanism = from.mechanism;
    this.user = from.user ?? '';
    // A sender that is the user needs no line of its own.
    this.from = from.from === from.user ? '' : from.from;
    this.to = from.to.join('\n');
    if (from.trusted_certificate) {
      this.#trusted = { host: from.host, fingerprint: from.trusted_certificate };
    }
  }

  choose(provider: Provider): void {
    this.provider = provider;
    this.mechanism = provider === 'own' ? 'password' : PRESETS[provider].mechanism;
  }

  readonly #portNumber = $derived.by(() => parsePort(this.port));
  readonly wrongPort = $derived.by(() => this.provider === 'own' && this.#portNumber === undefined);

  readonly server = $derived.by(() => {
    if (this.provider !== 'own') return { ...PRESETS[this.provider], port: 0 };
    return { host: this.host.trim(), security: this.security, port: this.#portNumber ?? 0 };
  });

  readonly usualPort = $derived.by(() => USUAL_PORT[this.server.security]);
  /** Trust is in one server's certificate: another host has to earn it anew. */
  readonly trusted = $derived.by(() =>
    this.#trusted?.host === this.server.host ? this.#trusted.fingerprint : null,
  );

  trust(fingerprint: string | undefined): void {
    this.#trusted = fingerprint === undefined ? undefined : { host: this.server.host, fingerprint };
  }

  readonly recipients = $derived.by(() =>
    this.to
      .split(/[\n,;]/)
      .map((each) => each.trim())
      .filter((each) => each !== ''),
  );

  /** What is missing, as a sentence. */
  readonly problem = $derived.by((): string | undefined => {
    if (!this.server.host) return t('channel_problem.mail_host');
    if (this.wrongPort) return t('channel_problem.port');
    if (this.provider !== 'own' && !MAILBOX.test(this.user.trim())) return t('channel_problem.mail_user');
    if (!isSender(this.address.from)) return t('channel_problem.mail_from');
    if (this.recipients.length === 0) return t('channel_problem.mail_to');
    const wrong = this.recipients.find((each) => !MAILBOX.test(each));
    return wrong === undefined ? undefined : t('channel_problem.mailbox', { text: wrong });
  });

  readonly address = $derived.by((): EmailAddress => {
    const user = this.user.trim();
    return {
      host: this.server.host,
      port: this.server.port,
      security: this.server.security,
      user: user || null,
      mechanism: this.mechanism,
      from: this.from.trim() || user,
      to: this.recipients,
      trusted_certificate: this.trusted,
    };
  });
}
