/** For whom a plan's backups are encrypted: this machine's key, further recipients. Public keys only come this way. */
import { call, toFailure, type Encryption, type Failure } from '$lib/ipc';
import { t } from '$lib/messages';

/** As far as a look at it tells: the engine reads it whole. */
const RECIPIENT = /^age1[02-9ac-hj-np-z]{50,}$/;

export class EncryptionForm {
  mode = $state<Encryption['with']>('none');
  /** Whether this machine's own key is among the recipients. */
  own = $state(true);
  /** Further ones, one a line. */
  further = $state('');
  /** This machine's public key, once it was asked for. */
  ownKey = $state.raw<string>();
  failure = $state.raw<Failure>();
  /** A passphrase is only kept where there is one: the window has no way to set it. */
  readonly hasPassphrase: boolean;
  #asking = false;

  constructor(from: Encryption = { with: 'none' }) {
    this.mode = from.with;
    this.hasPassphrase = from.with === 'passphrase';
    if (from.with === 'keys') {
      this.own = false;
      this.further = from.recipients.join('\n');
    }
  }

  readonly #lines = $derived.by(() =>
    this.further
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== ''),
  );
  /** A line that is no recipient. */
  readonly wrong = $derived.by(() => this.#lines.find((line) => !RECIPIENT.test(line)));

  readonly problem = $derived.by((): string | undefined => {
    if (this.mode !== 'keys') return undefined;
    if (this.failure) return this.failure.message;
    if (this.wrong !== undefined) return t('encryption.problem_recipient', { text: shortened(this.wrong) });
    if (!this.own && this.#lines.length === 0) return t('encryption.problem_nobody');
    return undefined;
  });

  /** `undefined` while it is not known or makes no sense. */
  readonly chosen = $derived.by((): Encryption | undefined => {
    if (this.problem) return undefined;
    if (this.mode !== 'keys') return { with: this.mode };
    if (this.own && this.ownKey === undefined) return undefined;
    const recipients = [...(this.own && this.ownKey !== undefined ? [this.ownKey] : []), ...this.#lines];
    return { with: 'keys', recipients: [...new Set(recipients)] };
  });

  /** Asks for this machine's key, which is made at its first use: so only where keys are wanted. */
  async askOwnKey(): Promise<void> {
    if (this.ownKey !== undefined || this.#asking) return;
    this.#asking = true;
    try {
      const { recipient } = await call('own_key');
      this.failure = undefined;
      this.ownKey = recipient;
      if (this.#lines.includes(recipient)) {
        this.own = true;
        this.further = this.#lines.filter((line) => line !== recipient).join('\n');
      }
    } catch (thrown) {
      this.failure = toFailure(thrown);
    } finally {
      this.#asking = false;
    }
  }
}

/** A public key so that it can be told from another. */
export function shortened(recipient: string): string {
  return recipient.length > 24 ? `${recipient.slice(0, 12)}…${recipient.slice(-6)}` : recipient;
}
