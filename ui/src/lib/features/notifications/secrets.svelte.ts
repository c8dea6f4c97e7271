/** What opens a channel, as it is typed. What the keyring keeps stays unless something else is typed, or it is removed. */
import type { Address, ChannelSecret } from '$lib/ipc';

/** The secrets that an address may have, and whether it cannot do without: as `Address::secrets` in `crates/domain` says. */
export function secretsOf(address: Address): { secret: ChannelSecret; needed: boolean }[] {
  switch (address.kind) {
    case 'desktop':
      return [];
    case 'email':
      return [{ secret: 'password', needed: address.user !== null }];
    case 'telegram':
    case 'gotify':
    case 'pushover':
      return [{ secret: 'token', needed: true }];
    case 'discord':
    case 'teams':
    case 'mattermost':
    case 'ping':
      return [{ secret: 'url', needed: true }];
    case 'slack':
      return [{ secret: address.channel === null ? 'url' : 'token', needed: true }];
    case 'ntfy':
      return address.user === null
        ? [{ secret: 'token', needed: false }]
        : [{ secret: 'password', needed: true }];
    case 'webhook':
      return [
        { secret: 'url', needed: true },
        { secret: 'headers', needed: false },
        { secret: 'signing_key', needed: false },
      ];
  }
}

const NAMES: readonly ChannelSecret[] = ['password', 'token', 'url', 'signing_key', 'headers'];

export class Secrets {
  /** What the keyring holds. */
  readonly kept: readonly ChannelSecret[];
  password = $state('');
  token = $state('');
  url = $state('');
  signing_key = $state('');
  headers = $state('');
  #removed = $state<ChannelSecret[]>([]);

  constructor(kept: readonly ChannelSecret[] = []) {
    this.kept = kept;
  }

  keeps(secret: ChannelSecret): boolean {
    return this.kept.includes(secret) && !this.#removed.includes(secret);
  }

  /** Takes what is kept out of the keyring once the form is saved; or lets it stay after all. */
  remove(secret: ChannelSecret, removed = true): void {
    this.#removed = removed ? [...this.#removed, secret] : this.#removed.filter((each) => each !== secret);
  }

  has(secret: ChannelSecret): boolean {
    return this[secret].trim() !== '' || this.keeps(secret);
  }

  /** What is missing of what the address cannot do without. */
  missing(address: Address): ChannelSecret | undefined {
    return secretsOf(address).find(({ secret, needed }) => needed && !this.has(secret))?.secret;
  }

  /** What goes to the engine: what was typed for this address, and an empty text for what is kept in vain. */
  given(address: Address): Partial<Record<ChannelSecret, string>> {
    const wanted = secretsOf(address).map(({ secret }) => secret);
    const given: Partial<Record<ChannelSecret, string>> = {};
    for (const secret of NAMES) {
      const typed = wanted.includes(secret) ? this[secret].trim() : '';
      if (typed !== '') given[secret] = typed;
      else if (this.kept.includes(secret) && !(wanted.includes(secret) && this.keeps(secret))) {
        given[secret] = '';
      }
    }
    return given;
  }

  /** Whether something was typed: what is shown of a channel is then no longer what is kept. */
  readonly typed = $derived.by(() => NAMES.map((name) => this[name]).join('\n'));

  forget(): void {
    for (const name of NAMES) this[name] = '';
    this.#removed = [];
  }
}
