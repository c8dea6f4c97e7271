/**
 * The state of everything, alive: what the overview, the list of databases and the sidebar show. There is one
 * for the window, made by the frame.
 */
import { call, onEvent, type DatabaseSummary, type Event } from '$lib/ipc';
import { Gentle } from '$lib/state/gentle';
import { Resource } from '$lib/state/resource.svelte';
import { withProgress, withRun } from '../runs/live';
import { isActive } from '../runs/words';
import { createContext } from 'svelte';

export class OverviewState {
  readonly page = new Resource(() => call('overview'));
  readonly databases = $derived.by(() => this.page.data?.databases ?? []);
  readonly scheduler = $derived.by(() => this.page.data?.scheduler);

  /** Checks come in at any rate; what they change is asked for now and then. */
  readonly #gentle = new Gentle(() => void this.page.load());

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
        this.page.patch((page) => ({
          ...page,
          active_runs: page.active_runs.map((run) => withProgress(run, event)),
          databases: page.databases.map((database) =>
            database.active_run
              ? { ...database, active_run: withProgress(database.active_run, event) }
              : database,
          ),
        }));
        break;
      case 'run':
        this.page.patch((page) => {
          const others = page.active_runs.filter((run) => run.id !== event.run.id);
          return {
            ...page,
            active_runs: isActive(event.run.state) ? withRun(page.active_runs, event.run) : others,
          };
        });
        // A run's state changes a database's state, the needs and the totals: the engine says how.
        void this.page.load();
        break;
      case 'scheduler':
        this.page.patch((page) => ({ ...page, scheduler: event.scheduler }));
        break;
      case 'health':
        this.#gentle.ask();
        break;
      case 'databases':
      case 'destinations':
      case 'backups':
      case 'settings':
      case 'missed':
        // Settings too: where the recovery kit was saved or the keyring opened, less is needed.
        void this.page.load();
        break;
    }
  }

  database(id: string): DatabaseSummary | undefined {
    return this.databases.find((database) => database.id === id);
  }
}

export const [useOverview, provideOverview] = createContext<OverviewState>();
