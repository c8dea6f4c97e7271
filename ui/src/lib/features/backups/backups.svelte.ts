/** Lists of backups, and one backup. */
import { call, onEvent, type BackupPage, type Event } from '$lib/ipc';
import { Action } from '$lib/state/action.svelte';
import { Resource } from '$lib/state/resource.svelte';

export class Backups {
  /** Of which database; none means all. */
  database = $state<string | null>(null);
  readonly list = new Resource(() => call('list_backups', { database_id: this.database }));

  start(): () => void {
    const stop = onEvent((event) => this.hear(event));
    void this.list.load();
    return stop;
  }

  hear(event: Event): void {
    const mine = event.type === 'backups' && (this.database === null || event.database_id === this.database);
    if (mine || event.type === 'missed') {
      void this.list.load();
    }
  }

  show(database: string | null): void {
    if (database === this.database) return;
    this.database = database;
    void this.list.load();
  }
}

export class BackupDetail {
  readonly page: Resource<BackupPage>;
  readonly verifying = new Action();
  readonly pinning = new Action();
  readonly drilling = new Action();

  constructor(readonly id: string) {
    this.page = new Resource(() => call('backup_page', { id }));
  }

  start(): () => void {
    const stop = onEvent((event) => this.hear(event));
    void this.page.load();
    return stop;
  }

  hear(event: Event): void {
    const database = this.page.data?.backup.database_id;
    if (event.type === 'missed') void this.page.load();
    if (event.type === 'backups' && event.database_id === database) void this.page.load();
    if (event.type === 'run' && event.run.backup_id === this.id && event.run.finished_at) {
      void this.page.load();
    }
  }

  /** Reads it back. Answers the run's id. */
  verify(): Promise<string | undefined> {
    return this.verifying.run(() => call('verify_backup', { id: this.id }));
  }

  /** Proves it. Answers the run's id. */
  drill(): Promise<string | undefined> {
    return this.drilling.run(() => call('drill_backup', { id: this.id }));
  }

  /** Keeps it from every rule, or no longer. */
  pin(pinned: boolean): Promise<unknown> {
    return this.pinning.run(() => call('pin_backup', { id: this.id, pinned }));
  }
}
