/** One run on the page: its state, its progress, its log, and what can be done with it. */
import { call, onEvent, type Event, type LogLine, type RunPage } from '$lib/ipc';
import { Action } from '$lib/state/action.svelte';
import { Resource } from '$lib/state/resource.svelte';
import { isActive } from './words';

/** Lines kept in the window; the engine sends as many. */
export const MOST_LINES = 2000;

const key = (line: LogLine) => `${line.at} ${line.level} ${line.text}`;

export class RunDetail {
  readonly page: Resource<RunPage>;
  readonly cancelling = new Action();
  readonly retrying = new Action();
  /** The log as asked for and as it grew since. */
  log = $state.raw<LogLine[]>([]);
  /** Whether older lines are not shown. */
  shortened = $state(false);
  readonly run = $derived.by(() => this.page.data?.run);
  readonly active = $derived.by(() => (this.run ? isActive(this.run.state) : false));

  constructor(readonly id: string) {
    this.page = new Resource(async () => {
      const page = await call('run_page', { id });
      this.#merge(page);
      return page;
    });
  }

  start(): () => void {
    const stop = onEvent((event) => this.hear(event));
    void this.page.load();
    return stop;
  }

  hear(event: Event): void {
    if (event.type === 'run' && event.run.id === this.id) {
      this.page.patch((page) => ({ ...page, run: event.run }));
      // Its end brings the backup and the comparison.
      if (!isActive(event.run.state)) void this.page.load();
    } else if (event.type === 'progress' && event.run_id === this.id) {
      this.page.patch((page) => ({
        ...page,
        run: { ...page.run, state: event.state, progress: event.progress },
      }));
    } else if (event.type === 'log' && event.run_id === this.id) {
      this.#append(event.lines);
    } else if (event.type === 'missed') {
      void this.page.load();
    }
  }

  cancel(): Promise<unknown> {
    return this.cancelling.run(() => call('cancel_run', { id: this.id }));
  }

  /** Does the same again. Answers the new run's id. */
  retry(): Promise<string | undefined> {
    return this.retrying.run(async () => {
      const run = this.run;
      if (run?.kind === 'verify' && run.backup_id) return call('verify_backup', { id: run.backup_id });
      if (!run?.database_id) return undefined;
      const [id] = await call('back_up_now', { database_id: run.database_id });
      return id;
    });
  }

  /** Lines may arrive by event while the page is on its way: those that it has already are not shown twice. */
  #merge(page: RunPage): void {
    const known = new Set(page.log.map(key));
    const last = Date.parse(page.log.at(-1)?.at ?? '');
    const newer = this.log.filter((line) => !(Date.parse(line.at) < last) && !known.has(key(line)));
    this.shortened = page.log_shortened;
    this.log = page.log;
    this.#append(newer);
  }

  #append(lines: LogLine[]): void {
    if (lines.length === 0) return;
    const all = [...this.log, ...lines];
    if (all.length > MOST_LINES) this.shortened = true;
    this.log = all.slice(-MOST_LINES);
  }
}
