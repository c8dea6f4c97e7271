/** The list of runs, newest first, alive. */
import { call, onEvent, type Event } from '$lib/ipc';
import { Resource } from '$lib/state/resource.svelte';
import { withProgress, withRun } from './live';

const STEP = 100;

export class Runs {
  limit = $state(STEP);
  readonly list = new Resource(() => call('list_runs', { limit: this.limit }));
  /** Whether there may be more than are shown. */
  readonly more = $derived.by(() => (this.list.data?.length ?? 0) >= this.limit);

  start(): () => void {
    const stop = onEvent((event) => this.hear(event));
    void this.list.load();
    return stop;
  }

  hear(event: Event): void {
    if (event.type === 'run') {
      this.list.patch((runs) => withRun(runs, event.run));
    } else if (event.type === 'progress') {
      this.list.patch((runs) => runs.map((run) => withProgress(run, event)));
    } else if (event.type === 'missed') {
      void this.list.load();
    }
  }

  showMore(): void {
    this.limit += STEP;
    void this.list.load();
  }
}
