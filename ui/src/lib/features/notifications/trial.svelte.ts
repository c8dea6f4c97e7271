/** A test of a channel: a message that is sent right now. */
import { call, toFailure, type ChannelInput, type ChannelReport, type Failure } from '$lib/ipc';

export class Trial {
  running = $state(false);
  report = $state.raw<ChannelReport>();
  /** Why there is no report. */
  #refused = $state.raw<Failure>();
  #asked = 0;

  readonly failure = $derived.by(() => this.report?.failure ?? this.#refused);
  readonly delivered = $derived.by(() => this.report !== undefined && this.report.failure === null);
  readonly told = $derived.by(() => this.running || this.report !== undefined || this.#refused !== undefined);

  async start(input: ChannelInput): Promise<void> {
    const number = ++this.#asked;
    this.report = undefined;
    this.#refused = undefined;
    this.running = true;
    try {
      const report = await call('test_channel', { input });
      if (number === this.#asked) this.report = report;
    } catch (thrown) {
      if (number === this.#asked) this.#refused = toFailure(thrown);
    } finally {
      if (number === this.#asked) this.running = false;
    }
  }

  /** Forgets what was found, and an answer that is still to come. */
  forget(): void {
    this.#asked += 1;
    this.running = false;
    this.report = undefined;
    this.#refused = undefined;
  }
}
