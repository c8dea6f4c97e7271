/** A test of a connection: a checklist that fills in while the engine works. */
import {
  call,
  onEvent,
  toFailure,
  type ConnectionInput,
  type Event,
  type Failure,
  type Selection,
  type TestReport,
  type TestState,
  type TestStep,
  type TestStepId,
} from '$lib/ipc';

export const STEPS: readonly TestStepId[] = [
  'tunnel',
  'reach',
  'tls',
  'login',
  'version',
  'size',
  'rights',
  'selection',
  'globals',
];

export interface Line {
  id: TestStepId;
  state: TestState | 'pending';
  step: TestStep | undefined;
}

let count = 0;

export class ConnectionTest {
  running = $state(false);
  report = $state.raw<TestReport>();
  /** Why there is no report. */
  failure = $state.raw<Failure>();
  #steps = $state.raw<TestStep[]>([]);
  #id: string | undefined;
  #stop: (() => void) | undefined;
  #last = $state.raw<{ input: ConnectionInput; selection: Selection }>();

  readonly started = $derived.by(
    () => this.running || this.report !== undefined || this.failure !== undefined,
  );

  /** The checklist. What the engine never names (a selection of everything) is left out at the end. */
  readonly lines = $derived.by((): Line[] =>
    STEPS.map((id): Line => {
      const step = this.#steps.find((known) => known.id === id);
      return { id, state: step?.state ?? 'pending', step };
    }).filter((line) => line.step !== undefined || (this.running && this.#awaits(line.id))),
  );

  /** Whether a line may still be told. The way through a tunnel is only where there is one, as far as the window knows. */
  #awaits(id: TestStepId): boolean {
    const input = this.#last?.input;
    if (id !== 'tunnel') return true;
    if (input?.type === 'text') return input.tunnel !== undefined;
    return input?.type === 'form' && input.connection.tunnel !== undefined;
  }

  async start(input: ConnectionInput, selection: Selection): Promise<TestReport | undefined> {
    this.cancel();
    this.#last = { input, selection };
    const id = `test-${++count}-${Date.now().toString(36)}`;
    this.#id = id;
    this.#steps = [];
    this.report = undefined;
    this.failure = undefined;
    this.running = true;
    const stop = onEvent((event) => this.hear(event));
    this.#stop = stop;
    try {
      const report = await call('test_connection', { request: { test_id: id, input, selection } });
      if (this.#id !== id) return undefined;
      this.#steps = report.steps;
      this.report = report;
      return report;
    } catch (thrown) {
      if (this.#id === id) this.failure = toFailure(thrown);
      return undefined;
    } finally {
      stop();
      if (this.#id === id) this.running = false;
    }
  }

  /** The same test once more. */
  async again(): Promise<void> {
    if (this.#last) await this.start(this.#last.input, this.#last.selection);
  }

  hear(event: Event): void {
    if (event.type !== 'test_step' || event.test_id !== this.#id) return;
    const { step } = event;
    this.#steps = [...this.#steps.filter((known) => known.id !== step.id), step];
  }

  /** Ends a running test and forgets what was found. */
  cancel(): void {
    if (this.running && this.#id) {
      call('cancel_test', { test_id: this.#id }).catch(() => undefined);
    }
    this.#stop?.();
    this.#id = undefined;
    this.running = false;
    this.report = undefined;
    this.failure = undefined;
    this.#steps = [];
  }
}
