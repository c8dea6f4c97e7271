/** Something a person started by a button: whether it is under way, and why it failed. */
import { toFailure, type Failure } from '$lib/ipc';

export class Action {
  busy = $state(false);
  failure = $state.raw<Failure>();

  /** Does it, unless it is under way. The answer is `undefined` when it failed. */
  async run<Answer>(what: () => Promise<Answer>): Promise<Answer | undefined> {
    if (this.busy) return undefined;
    this.busy = true;
    this.failure = undefined;
    try {
      return await what();
    } catch (thrown) {
      this.failure = toFailure(thrown);
      return undefined;
    } finally {
      this.busy = false;
    }
  }

  forget(): void {
    this.failure = undefined;
  }
}
