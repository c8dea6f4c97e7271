/** The SSH server that a connection goes through, in a form, and what opens it. */
import type { SshTarget } from '$lib/ipc';
import { SshForm } from '../ssh/ssh-form.svelte';

export class TunnelForm {
  on = $state(false);
  readonly ssh = new SshForm();
  /** A password or passphrase, as typed. */
  secret = $state('');

  take(from: SshTarget | undefined): void {
    this.on = from !== undefined;
    this.ssh.take(from);
    this.secret = '';
  }

  /** The server to go through; `null` where the way is straight, `undefined` while something is missing. */
  readonly target = $derived.by((): SshTarget | null | undefined => (this.on ? this.ssh.target : null));

  /** Whether something may be needed that opens it. */
  readonly needsSecret = $derived.by(() => this.on && this.ssh.secret !== undefined);

  /** The secret that goes along; `undefined` where none was typed, or none is needed. */
  readonly given = $derived.by(() => (this.needsSecret && this.secret !== '' ? this.secret : undefined));
}
