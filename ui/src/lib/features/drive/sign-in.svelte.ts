/**
 * A sign-in to Google, which happens in the browser: begun here, waited for, given up. What it gives stays in the
 * engine; the window knows its id and whose it is.
 */
import {
  call,
  toFailure,
  type DriveSignedIn,
  type DriveSignInPage,
  type DriveSignInRequest,
  type Failure,
} from '$lib/ipc';

export class DriveSignIn {
  /** Whether the page is being asked for. */
  beginning = $state(false);
  /** The page that is open in the browser. */
  page = $state.raw<DriveSignInPage>();
  signed = $state.raw<DriveSignedIn>();
  /** Why the last one came to nothing. */
  failure = $state.raw<Failure>();
  #asked = 0;

  /** Opens the browser and waits for the person. The answer is `undefined` where it failed or was given up. */
  async start(request: DriveSignInRequest): Promise<DriveSignedIn | undefined> {
    this.cancel();
    const number = this.#asked;
    this.failure = undefined;
    this.beginning = true;
    try {
      const page = await call('begin_drive_sign_in', { request });
      if (number !== this.#asked) {
        giveUp(page.id);
        return undefined;
      }
      this.beginning = false;
      this.page = page;
      const signed = await call('finish_drive_sign_in', { id: page.id });
      if (number !== this.#asked) return undefined;
      if (this.signed) giveUp(this.signed.id);
      this.signed = signed;
      return signed;
    } catch (thrown) {
      if (number === this.#asked) this.failure = toFailure(thrown);
      return undefined;
    } finally {
      if (number === this.#asked) {
        this.beginning = false;
        this.page = undefined;
      }
    }
  }

  /** Gives up the one that is under way. */
  cancel(): void {
    this.#asked += 1;
    if (this.page) giveUp(this.page.id);
    this.beginning = false;
    this.page = undefined;
  }

  /** Gives up also what it gave: nobody takes it any more. */
  leave(): void {
    this.cancel();
    if (this.signed) giveUp(this.signed.id);
    this.signed = undefined;
    this.failure = undefined;
  }
}

function giveUp(id: string): void {
  call('cancel_drive_sign_in', { id }).catch(() => undefined);
}
