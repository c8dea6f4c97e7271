/** What a rule would delete, asked before it is saved. */
import { call, toFailure, type Failure, type PrunePreview, type RetentionQuestion } from '$lib/ipc';

export class RetentionPreview {
  asking = $state(false);
  found = $state.raw<PrunePreview>();
  failure = $state.raw<Failure>();
  #asked = 0;

  /** Only the last question's answer counts. Without a question there is nothing to show. */
  async ask(question: RetentionQuestion | undefined): Promise<void> {
    const number = ++this.#asked;
    this.failure = undefined;
    if (!question) {
      this.asking = false;
      this.found = undefined;
      return;
    }
    this.asking = true;
    try {
      const found = await call('preview_retention', { question });
      if (number === this.#asked) this.found = found;
    } catch (thrown) {
      if (number !== this.#asked) return;
      this.found = undefined;
      this.failure = toFailure(thrown);
    } finally {
      if (number === this.#asked) this.asking = false;
    }
  }
}
