/** Settings of another machine: read, looked at, taken over. */
import { call, type ExportView, type ImportReport } from '$lib/ipc';
import { Action } from '$lib/state/action.svelte';

export class Taking {
  readonly reading = new Action();
  readonly importing = new Action();
  /** What was read, and is not taken over yet. */
  view = $state.raw<ExportView>();
  /** What was taken over. */
  report = $state.raw<ImportReport>();

  /** Reads an export; where nothing was chosen, what was read before stays. */
  async read(ask: () => Promise<ExportView | null>): Promise<void> {
    const view = await this.reading.run(ask);
    if (!view) return;
    this.view = view;
    this.report = undefined;
    this.importing.forget();
  }

  async takeOver(): Promise<void> {
    const { view } = this;
    if (!view) return;
    this.report = await this.importing.run(() => call('import_settings', { id: view.id }));
  }

  forget(): void {
    this.view = undefined;
    this.report = undefined;
    this.reading.forget();
    this.importing.forget();
  }
}
