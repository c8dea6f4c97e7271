/** Where a backup is restored to, chosen word by word; and what keeps it from being restored. */
import {
  call,
  toFailure,
  type BackupPage,
  type Failure,
  type InstanceView,
  type Preflight,
  type RestoreWish,
  type ServerView,
} from '$lib/ipc';
import { t } from '$lib/messages';
import { Action } from '$lib/state/action.svelte';
import { parseTableNames } from '../plans/table-name';

export type Where = 'instance' | 'existing' | 'server';

export class RestoreForm {
  where = $state<Where>('instance');
  name = $state('');
  instance = $state('');
  server = $state('');
  database = $state('');
  some = $state(false);
  tables = $state('');
  owners = $state(true);
  roles = $state(false);
  /** Whether the database that is there is replaced. */
  replace = $state(false);
  /** The name of the database that is replaced, typed to confirm it. */
  confirmed = $state('');
  /** What the last look found; none while one is on its way. */
  preflight = $state.raw<Preflight>();
  preflightFailure = $state.raw<Failure>();
  #looked = 0;
  readonly restoring = new Action();

  constructor(
    readonly page: BackupPage,
    readonly servers: readonly ServerView[],
    readonly instances: readonly InstanceView[],
  ) {
    const { backup } = page;
    this.name = t('backup.title', {
      name: backup.database_name,
      when: backup.started_at.slice(0, 16).replace('T', ' '),
    }).slice(0, 60);
    this.database = `${backup.database_name}_restored`.slice(0, 63);
    this.server = (servers.find((each) => each.name === backup.server_name) ?? servers[0])?.id ?? '';
    this.instance = this.running[0]?.id ?? '';
  }

  get running(): InstanceView[] {
    return this.instances.filter((each) => each.state === 'running');
  }

  get replaces(): boolean {
    return this.where === 'server' && this.replace;
  }

  /** Whether the look found something that keeps it from being restored. */
  readonly stopped = $derived.by(
    () => this.preflight?.lines.some((line) => line.verdict === 'stops') ?? false,
  );

  readonly major = $derived.by(() => this.page.backup.server_version.split('.')[0] ?? '');
  readonly chosenServer = $derived.by(() => this.servers.find((each) => each.id === this.server));
  readonly #named = $derived(parseTableNames(this.tables));
  readonly count = $derived.by(() =>
    this.some ? this.#named.names.length : Number(this.page.backup.tables),
  );

  readonly problem = $derived.by((): string | undefined => {
    const name = this.where === 'instance' ? this.name : this.database;
    if (!name.trim()) return t('restore.problem_name');
    if (this.where === 'existing' && !this.instance) return t('restore.no_instance');
    if (this.replaces && this.confirmed !== this.database) {
      return t('confirm.type_name', { name: this.database });
    }
    if (!this.some) return undefined;
    const wrong = this.#named.wrong[0];
    if (wrong !== undefined) return t('restore.problem_table', { name: wrong });
    return this.#named.names.length === 0 ? t('restore.problem_tables') : undefined;
  });

  readonly act = $derived.by(() =>
    this.replaces
      ? t('restore.act_replace', { database: this.database })
      : this.where === 'instance'
        ? t('restore.act_instance', { n: this.count, major: this.major })
        : t('restore.act_database', { n: this.count, database: this.database }),
  );

  get wish(): RestoreWish {
    const options = {
      tables: this.some ? this.#named.names : [],
      owners: this.where === 'instance' || this.owners,
      roles: this.where === 'server' && this.owners && this.roles,
    };
    const backup_id = this.page.backup.id;
    switch (this.where) {
      case 'instance':
        return { backup_id, to: { kind: 'new_instance', name: this.name.trim() }, options };
      case 'existing':
        return {
          backup_id,
          to: { kind: 'instance', instance_id: this.instance, database: this.database.trim() },
          options,
        };
      case 'server':
        return {
          backup_id,
          to: {
            kind: 'server',
            server_id: this.server,
            database: this.database.trim(),
            replace: this.replace,
          },
          options,
        };
    }
  }

  /** A new database beside what is there, or in the place of the one that was backed up. */
  choose(replace: boolean): void {
    const { database_name: name } = this.page.backup;
    this.replace = replace;
    this.confirmed = '';
    this.database = (replace ? name : `${name}_restored`).slice(0, 63);
  }

  /** Looks whether it would work; only the last question's answer counts. */
  async look(wish: RestoreWish): Promise<void> {
    const number = (this.#looked += 1);
    this.preflight = undefined;
    this.preflightFailure = undefined;
    try {
      const found = await call('preflight', { wish });
      if (number === this.#looked) this.preflight = found;
    } catch (thrown) {
      if (number === this.#looked) this.preflightFailure = toFailure(thrown);
    }
  }

  /** Begins it. Answers the run. */
  restore(): Promise<string | undefined> {
    return this.restoring.run(() => call('restore_backup', { wish: this.wish }));
  }
}
