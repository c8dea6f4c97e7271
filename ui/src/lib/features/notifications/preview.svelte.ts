/** A web hook's body as it would be sent, while its template is typed. */
import { call, toFailure, type WebhookAddress, type WebhookPreview } from '$lib/ipc';

export class BodyPreview {
  found = $state.raw<WebhookPreview>();
  #asked = 0;

  /** Only the last question's answer counts. */
  async ask(address: WebhookAddress): Promise<void> {
    const number = ++this.#asked;
    try {
      const found = await call('preview_webhook', { address });
      if (number === this.#asked) this.found = found;
    } catch (thrown) {
      if (number === this.#asked) this.found = { body: '', failure: toFailure(thrown) };
    }
  }
}
