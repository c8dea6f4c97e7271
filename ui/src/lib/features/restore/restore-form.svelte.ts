/** Where a backup is restored to, chosen word by word; and what keeps it from being restored. */
import {
  call,
  toFailure,
  type BackupPage,
  type Failure,
  type InstanceView,
  type Preflight,
  type PreflightVerdict,
  type RestoreContent,
  type RestoreWish,
  type ServerView,
} from '$lib/ipc';
import { formatDateTime } from '$lib/format';
import { t } from '$lib/messages';
import { Action } from '$lib/state/action.svelte';
import { parseTableNames, takeSchemas } from '../plans/table-name';

export type Where = 'instance' | 'existing' | 'server';

export class RestoreForm {
  where = $state<Where>('instance');
  name = $state('');
  instance = $state('');
  #server = $state('');
  database = $state('');
  some = $state(false);
  tables = $state('');
  owners = $state(true);
  privileges = $state(true);
  #content = $state<RestoreContent>('all');
  /** Stop at the first error and keep nothing; else go on, and name each. */
  exitOnError = $state(false);
  extensions = $state(true);
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
      when: formatDateTime(backup.started_at),
    }).slice(0, 60);
    this.database = this.#proposed();
    // A server that has another name now is for the person to point out, not for us to guess.
    const source = servers.find((each) => each.name === backup.server_name);
    this.#server = (source ?? (servers.length === 1 ? servers[0] : undefined))?.id ?? '';
    this.instance = this.running[0]?.id ?? '';
  }

  get server(): string {
    return this.#server;
  }

  /** What was typed to confirm it was typed for the server that was chosen then. */
  set server(id: string) {
    this.#server = id;
    this.confirmed = '';
  }

  /** What takes a database's place is whole, and a new PostgreSQL has no tables that rows alone could come into. */
  get content(): RestoreContent {
    if (this.replaces) return 'all';
    return this.where === 'instance' && this.#content === 'rows' ? 'all' : this.#content;
  }

  set content(content: RestoreContent) {
    const before = this.content;
    this.#content = content;
    if ((content === 'rows') !== (before === 'rows')) this.database = this.#proposed();
  }

  /** Whether only rows are restored, into tables that are there. */
  get rowsAlone(): boolean {
    return this.content === 'rows';
  }

  get running(): InstanceView[] {
    return this.instances.filter((each) => each.state === 'running');
  }

  get replaces(): boolean {
    return this.where === 'server' && this.replace;
  }

  /** Whether roles that the server lacks would be missed. */
  get needsRoles(): boolean {
    return this.where === 'server' && !this.rowsAlone && (this.owners || this.privileges);
  }

  /** How many things the look found that keep it from being restored, and that are to be known. */
  readonly stops = $derived.by(() => this.#found('stops'));
  readonly warnings = $derived.by(() => this.#found('warns'));
  readonly stopped = $derived(this.stops > 0);

  readonly major = $derived.by(() => this.page.backup.server_version.split('.')[0] ?? '');
  readonly chosenServer = $derived.by(() => this.servers.find((each) => each.id === this.server));
  readonly #chosen = $derived(takeSchemas(this.tables));
  readonly #named = $derived(parseTableNames(this.#chosen.rest));
  /** How many tables; not known where a whole schema is wanted. */
  readonly count = $derived.by((): number | undefined => {
    if (!this.some || this.replaces) return Number(this.page.backup.tables);
    return this.#chosen.schemas.length > 0 ? undefined : this.#named.names.length;
  });

  readonly problem = $derived.by((): string | undefined => {
    const name = this.where === 'instance' ? this.name : this.database;
    if (!name.trim()) return t('restore.problem_name');
    if (this.where === 'existing' && !this.instance) return t('restore.no_instance');
    if (this.where === 'server' && !this.server) return t('restore.choose_server');
    if (!this.some || this.replaces) return undefined;
    const wrong = this.#named.wrong[0];
    if (wrong !== undefined) return t('restore.problem_table', { name: wrong });
    return this.count === 0 ? t('restore.problem_tables') : undefined;
  });

  /** Whether the name of the database that is replaced has yet to be typed. */
  readonly unconfirmed = $derived.by(() => this.replaces && this.confirmed !== this.database);

  readonly act = $derived.by(() => {
    const { count: n, major, database } = this;
    if (this.replaces) return t('restore.act_replace', { database });
    if (this.rowsAlone) return t('restore.act_rows', { database });
    if (this.where === 'instance') {
      return n === undefined
        ? t('restore.act_instance_part', { major })
        : t('restore.act_instance', { n, major });
    }
    return n === undefined
      ? t('restore.act_database_part', { database })
      : t('restore.act_database', { n, database });
  });

  #found(verdict: PreflightVerdict): number {
    return this.preflight?.lines.filter((line) => line.verdict === verdict).length ?? 0;
  }

  get wish(): RestoreWish {
    // What takes a database's place is whole.
    const some = this.some && !this.replaces;
    const options = {
      tables: some ? this.#named.names : [],
      schemas: some ? this.#chosen.schemas : [],
      extensions: this.where === 'instance' || this.replaces || this.extensions,
      owners: this.where === 'instance' || this.owners,
      privileges: this.where === 'instance' || this.privileges,
      content: this.content,
      exit_on_error: this.exitOnError && !this.replaces && !this.rowsAlone,
      roles: this.needsRoles && this.roles,
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
    this.replace = replace;
    this.confirmed = '';
    this.database = this.#proposed();
  }

  #proposed(): string {
    const { database_name: name } = this.page.backup;
    return (this.replace || this.rowsAlone ? name : `${name}_restored`).slice(0, 63);
  }

  /** Whether nobody knows yet if it would work. */
  readonly looking = $derived.by(() => !this.preflight && !this.preflightFailure);

  /** What was found is about other words than those that are chosen now. */
  forget(): void {
    this.#looked += 1;
    this.preflight = undefined;
    this.preflightFailure = undefined;
  }

  /** Looks whether it would work; only the last question's answer counts. */
  async look(wish: RestoreWish): Promise<void> {
    const number = (this.#looked += 1);
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
