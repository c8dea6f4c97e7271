/** How events change lists of runs that are on a page already. */
import type { Event, RunView } from '$lib/ipc';

type ProgressEvent = Extract<Event, { type: 'progress' }>;

export function withProgress(run: RunView, event: ProgressEvent): RunView {
  return run.id === event.run_id ? { ...run, state: event.state, progress: event.progress } : run;
}

/** The list with a run's news: in its place, or in front where it is new. */
export function withRun(runs: RunView[], run: RunView): RunView[] {
  const known = runs.some((other) => other.id === run.id);
  return known ? runs.map((other) => (other.id === run.id ? run : other)) : [run, ...runs];
}
