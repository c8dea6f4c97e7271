/** A test of a destination: five steps, each good, failed or not reached. */
import {
  call,
  toFailure,
  type DestinationInput,
  type DestinationReport,
  type DestinationStepId,
  type Failure,
} from '$lib/ipc';

export const STEPS: readonly DestinationStepId[] = ['reach', 'write', 'read', 'list', 'delete'];

export interface Line {
  id: DestinationStepId;
  state: 'pending' | 'running' | 'passed' | 'failed' | 'skipped';
  failure: Failure | null;
}

export class Probe {
  running = $state(false);
  report = $state.raw<DestinationReport>();
  /** Why there is no report. */
  failure = $state.raw<Failure>();
  #asked = 0;

  readonly started = $derived.by(() => this.running || this.report !== undefined);
  readonly good = $derived.by(() => this.report?.steps.every((step) => step.passed) ?? false);

  readonly lines = $derived.by((): Line[] =>
    STEPS.map((id, index) => {
      const step = this.report?.steps.find((each) => each.id === id);
      // The engine tells of all steps at once: until then the first is as good a name for what it does as any.
      if (!step) return { id, state: this.running && index === 0 ? 'running' : 'pending', failure: null };
      return {
        id,
        state: step.passed ? 'passed' : step.failure ? 'failed' : 'skipped',
        failure: step.failure,
      };
    }),
  );

  async start(input: DestinationInput): Promise<void> {
    const number = ++this.#asked;
    this.report = undefined;
    this.failure = undefined;
    this.running = true;
    try {
      const report = await call('test_destination', { input });
      if (number === this.#asked) this.report = report;
    } catch (thrown) {
      if (number === this.#asked) this.failure = toFailure(thrown);
    } finally {
      if (number === this.#asked) this.running = false;
    }
  }

  /** Forgets what was found, and an answer that is still to come. */
  forget(): void {
    this.#asked += 1;
    this.running = false;
    this.report = undefined;
    this.failure = undefined;
  }
}
