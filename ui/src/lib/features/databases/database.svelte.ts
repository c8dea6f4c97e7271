/** One database's page, alive, and what can be done with it. */
import { call, onEvent, type DatabasePage, type Event, type Plan } from '$lib/ipc';
import { Action } from '$lib/state/action.svelte';
import { Gentle } from '$lib/state/gentle';
import { Resource } from '$lib/state/resource.svelte';
import { withProgress, withRun } from '../runs/live';

export class DatabaseDetail {
  readonly page: Resource<DatabasePage>;
  readonly backingUp = new Action();
  readonly changing = new Action();

  readonly #gentle = new Gentle(() => void this.page.load());

  constructor(readonly id: string) {
    this.page = new Resource(() => call('database_page', { id }));
  }

  start(): () => void {
    const stop = onEvent((event) => this.hear(event));
    void this.page.load();
    return () => {
      stop();
      this.#gentle.stop();
    };
  }

  hear(event: Event): void {
    switch (event.type) {
      case 'progress':
        if (!this.page.data?.runs.some((run) => run.id === event.run_id)) return;
        this.page.patch((page) => ({
          ...page,
          runs: page.runs.map((run) => withProgress(run, event)),
          database: page.database.active_run
            ? { ...page.database, active_run: withProgress(page.database.active_run, event) }
            : page.database,
        }));
        break;
      case 'run':
        if (event.run.database_id !== this.id) return;
        this.page.patch((page) => ({ ...page, runs: withRun(page.runs, event.run) }));
        void this.page.load();
        break;
      case 'backups':
        if (event.database_id === this.id) void this.page.load();
        break;
      case 'health':
        if (event.database_ids.includes(this.id)) this.#gentle.ask();
        break;
      case 'databases':
      case 'missed':
        void this.page.load();
        break;
    }
  }

  /** Answers the ids of the runs that began. */
  backUpNow(): Promise<string[] | undefined> {
    return this.backingUp.run(() => call('back_up_now', { database_id: this.id }));
  }

  /** Lets the schedule start the plan, or not. */
  setEnabled(plan: Plan, enabled: boolean): Promise<unknown> {
    return this.changing.run(() =>
      call('save_plan', {
        plan: {
          id: plan.id,
          server_id: plan.server_id,
          scope: plan.scope,
          selection: plan.selection,
          globals: plan.globals,
          schedule: plan.schedule,
          time_zone: plan.time_zone,
          folder: null,
          destinations: plan.destinations,
          encryption: null,
          retention: null,
          drill: null,
          conditions: null,
          enabled,
        },
      }),
    );
  }
}
