/** A folder in Google Drive in a form, the client that it is reached with, and the sign-in that opens it. */
import type { DestinationView, DrivePlace, DriveSignedIn, DriveSignInRequest } from '$lib/ipc';
import { t } from '$lib/messages';
import { DriveSignIn } from './sign-in.svelte';

/** What is proposed for a new one. */
const FOLDER = 'Howdah/Backups';

export class DriveForm {
  folder = $state(FOLDER);
  client = $state<'built_in' | 'own'>('built_in');
  clientId = $state('');
  clientSecret = $state('');
  readonly signIn = new DriveSignIn();
  /** One that is there keeps its client: what another client made cannot be seen with it. */
  readonly isNew: boolean;
  #account: string | null = null;
  /** The client that was signed in with. */
  #signedWith = $state<string>();

  constructor(from?: DrivePlace) {
    this.isNew = from === undefined;
    if (!from) return;
    this.folder = from.folder;
    this.client = from.client_id === null ? 'built_in' : 'own';
    this.clientId = from.client_id ?? '';
    this.#account = from.account;
  }

  readonly #client = $derived.by(() => (this.client === 'own' ? this.clientId.trim() : ''));

  /** The sign-in; one with another client than is chosen now is none. */
  readonly signed = $derived.by((): DriveSignedIn | undefined =>
    this.#signedWith === this.#client ? this.signIn.signed : undefined,
  );

  /** Whether signing in is the next thing to do. */
  wantsSignIn(destination: Pick<DestinationView, 'failure'> | undefined): boolean {
    return !this.signed && (this.isNew || destination?.failure?.code === 'sign_in_needed');
  }

  /** What to sign in with; `undefined` while something is missing. */
  request(destination: string | undefined): DriveSignInRequest | undefined {
    const client_secret = this.client === 'own' ? this.clientSecret.trim() || null : null;
    if (destination !== undefined) return { destination, client_id: null, client_secret };
    if (this.client === 'own' && (this.#client === '' || client_secret === null)) return undefined;
    return { destination: null, client_id: this.#client || null, client_secret };
  }

  async start(destination: string | undefined): Promise<void> {
    const request = this.request(destination);
    if (!request) return;
    const client = this.#client;
    if (await this.signIn.start(request)) this.#signedWith = client;
  }

  /** What is missing, as a sentence. */
  readonly problem = $derived.by((): string | undefined => {
    if (this.folder.trim() === '') return t('drive_problem.folder');
    return this.isNew && !this.signed ? t('drive_problem.sign_in') : undefined;
  });

  readonly place = $derived.by((): DrivePlace => ({
    folder: this.folder.trim(),
    client_id: this.#client || null,
    account: this.signed?.account ?? this.#account,
  }));

  /** The secrets and the sign-in have done their work here. */
  forget(): void {
    this.clientSecret = '';
    this.signIn.leave();
  }
}
