/** An SSH server in a form, for tunnels and for SFTP: each field as typed, what they make, and what is missing. */
import type { SshLogin, SshTarget } from '$lib/ipc';
import { t } from '$lib/messages';
import { parsePort } from './port';

export const LOGINS: readonly SshLogin['with'][] = ['auto', 'agent', 'key', 'password'];

/** What the secret of each way to log in is; `undefined` where it needs none. */
const SECRETS = {
  auto: 'password_or_passphrase',
  agent: undefined,
  key: 'passphrase',
  password: 'password',
} as const satisfies Record<SshLogin['with'], string | undefined>;

export class SshForm {
  /** A name, an address, or an alias of `~/.ssh/config`. */
  host = $state('');
  port = $state('');
  user = $state('');
  login = $state<SshLogin['with']>('auto');
  keyFile = $state('');

  take(from: SshTarget | undefined): void {
    this.host = from?.host ?? '';
    this.port = String(from?.port ?? '');
    this.user = from?.user ?? '';
    this.login = from?.login.with ?? 'auto';
    this.keyFile = from?.login.with === 'key' ? from.login.file : '';
  }

  readonly #port = $derived.by(() => parsePort(this.port));
  readonly wrongPort = $derived.by(() => this.#port === undefined);

  /** What is missing, as a sentence. */
  readonly problem = $derived.by((): string | undefined => {
    if (this.host.trim() === '') return t('ssh_problem.host');
    if (this.wrongPort) return t('ssh_problem.port');
    return this.login === 'key' && this.keyFile.trim() === '' ? t('ssh_problem.key_file') : undefined;
  });

  /** The server; `undefined` while something it needs is missing. */
  readonly target = $derived.by((): SshTarget | undefined => {
    if (this.problem) return undefined;
    return {
      host: this.host.trim(),
      port: this.#port ?? null,
      user: this.user.trim() || null,
      login: this.login === 'key' ? { with: 'key', file: this.keyFile.trim() } : { with: this.login },
    };
  });

  /** What its secret is called; `undefined` where it needs none. */
  readonly secret = $derived.by(() => SECRETS[this.login]);
}
