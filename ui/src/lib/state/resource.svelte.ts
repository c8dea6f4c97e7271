/**
 * Something asked of the engine that stays on the page: its first arrival, its failure, and its renewal when
 * events say that it changed. Knows nothing of what it holds.
 */
import { toFailure, type Failure } from '$lib/ipc';

export class Resource<Data> {
  /** What came last. It stays while newer data is on its way. */
  data = $state.raw<Data>();
  /** Why the last attempt failed. */
  failure = $state.raw<Failure>();
  /** Whether nothing has come yet, neither data nor failure. */
  loading = $derived(this.data === undefined && this.failure === undefined);

  #ask: () => Promise<Data>;
  #underWay: Promise<void> | undefined;
  #again = false;

  constructor(ask: () => Promise<Data>) {
    this.#ask = ask;
  }

  /** Asks now. While an answer is on its way, asks once more after it, however often this is called. */
  load(): Promise<void> {
    if (this.#underWay) {
      this.#again = true;
      return this.#underWay;
    }
    this.#underWay = this.#loop().finally(() => {
      this.#underWay = undefined;
    });
    return this.#underWay;
  }

  /** Changes what is there, for an event that carries the news itself. */
  patch(change: (data: Data) => Data): void {
    if (this.data !== undefined) this.data = change(this.data);
  }

  async #loop(): Promise<void> {
    do {
      this.#again = false;
      try {
        this.data = await this.#ask();
        this.failure = undefined;
      } catch (thrown) {
        this.failure = toFailure(thrown);
      }
    } while (this.#again);
  }
}
