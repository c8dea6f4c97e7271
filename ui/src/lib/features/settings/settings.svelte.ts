/** The settings and what stands beside them: time zones, destinations, programs. One for the window. */
import { call, onEvent, type Event, type Settings, type Theme } from '$lib/ipc';
import { Action } from '$lib/state/action.svelte';
import { Resource } from '$lib/state/resource.svelte';
import { createContext } from 'svelte';
import { destinationName } from '../destinations/words';
import { applyTheme } from './theme';

export class SettingsState {
  readonly page = new Resource(async () => {
    const page = await call('settings_page');
    applyTheme(page.settings.theme);
    return page;
  });
  readonly saving = new Action();
  readonly destinations = $derived.by(() => this.page.data?.destinations ?? []);
  /** What each destination is called, by its id. */
  readonly destinationNames = $derived.by(
    () =>
      new Map(
        this.destinations.map((destination) => [destination.id as string, destinationName(destination)]),
      ),
  );

  start(): () => void {
    const stop = onEvent((event) => this.hear(event));
    void this.page.load();
    return stop;
  }

  hear(event: Event): void {
    if (['settings', 'databases', 'destinations', 'backups', 'missed'].includes(event.type)) {
      void this.page.load();
    }
  }

  /** Takes a change at once, and takes it back where it cannot be saved. */
  async change(change: Partial<Settings>): Promise<void> {
    const before = this.page.data?.settings;
    if (!before) return;
    const settings = { ...before, ...change };
    this.#show(settings);
    await this.saving.run(() => call('save_settings', { settings }));
    if (this.saving.failure) this.#show(before);
  }

  #show(settings: Settings): void {
    this.page.patch((page) => ({ ...page, settings }));
    applyTheme(settings.theme);
  }

  setTheme(theme: Theme): Promise<void> {
    return this.change({ theme });
  }
}

export const [useSettings, provideSettings] = createContext<SettingsState>();
