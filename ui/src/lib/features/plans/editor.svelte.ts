/** A plan whose words are being chosen: what was typed, what of it makes sense, and when it would run. */
import {
  call,
  toFailure,
  type DestinationView,
  type Failure,
  type Plan,
  type PlanDraft,
  type PlanProposal,
  type Schedule,
  type Scope,
  type Selection,
  type Weekday,
} from '$lib/ipc';
import { t } from '$lib/messages';
import { destinationName } from '../destinations/words';
import { ConditionsForm } from './conditions.svelte';
import { DrillForm } from './drill.svelte';
import { EncryptionForm } from './encryption.svelte';
import { RetentionForm } from './retention.svelte';
import { WEEKDAYS, type Often } from './sentence';
import { formatTableName, parseTableNames } from './table-name';
import { formatTimeOfDay, parseTimeOfDay } from './time-of-day';

export const EVERYTHING: Selection = {
  schemas: [],
  exclude_schemas: [],
  tables: [],
  exclude_tables: [],
  exclude_data: [],
  keep_extensions: false,
  keep_large_objects: false,
};

/** All databases, among the choices of one; a database that is called so is `db:all`. */
export const ALL = 'all';
const one = (name: string) => `db:${name}`;

export class PlanEditor {
  often = $state<Often>('daily');
  minute = $state('00');
  time = $state('04:00');
  days = $state<Weekday[]>(['sunday']);
  day = $state('1');
  cron = $state('0 4 * * *');
  zone = $state('UTC');
  /** The destinations chosen among those that are known, by their ids. */
  places = $state<string[]>([]);
  /** Whether a folder is typed besides. */
  withFolder = $state(false);
  folder = $state('');
  /** `all`, or `db:` and a name. */
  scope = $state(ALL);
  globals = $state(true);
  enabled = $state(true);

  schemas = $state<string[]>([]);
  /** The same as a text, one a line, for where nobody knows the schemas that there are. */
  get schemasText(): string {
    return this.schemas.join('\n');
  }
  set schemasText(text: string) {
    this.schemas = text.split('\n').filter((name) => name.trim() !== '');
  }

  excludeTables = $state('');
  excludeData = $state('');
  keepExtensions = $state(true);
  keepLargeObjects = $state(true);

  /** The next five due times of what is chosen. */
  nextRuns = $state.raw<string[]>([]);
  /** Why there are none. */
  scheduleFailure = $state.raw<Failure>();

  readonly encryption: EncryptionForm;
  readonly retention: RetentionForm;
  readonly drill: DrillForm;
  readonly conditions: ConditionsForm;

  readonly id: string | null;
  #except: string[] = [];
  /** Parts of a selection that this editor does not show, and keeps. */
  #kept: Selection = EVERYTHING;
  #asked = 0;

  /** `known` are the destinations that there are: a proposed folder that is one of them is chosen as that. */
  constructor(from: PlanProposal | { plan: Plan }, known: readonly DestinationView[] = []) {
    const plan = 'plan' in from ? from.plan : undefined;
    const { schedule, time_zone, scope } = plan ?? (from as PlanProposal);
    this.encryption = new EncryptionForm(plan?.encryption);
    this.retention = new RetentionForm(plan?.retention);
    this.drill = new DrillForm(plan?.drill);
    this.conditions = new ConditionsForm(plan?.conditions);
    this.id = plan?.id ?? null;
    this.zone = time_zone;
    if ('plan' in from) {
      this.places = [...from.plan.destinations];
    } else {
      const there = known.find(
        (each) => each.kind === 'folder' && [destinationName(each), each.location].includes(from.folder),
      );
      if (there) this.places = [there.id];
      else this.withFolder = true;
      this.folder = from.folder;
    }
    this.scope = scope.type === 'database' ? one(scope.name) : ALL;
    if (scope.type === 'all_databases') this.#except = scope.except;
    if (plan) {
      this.globals = plan.globals;
      this.enabled = plan.enabled;
      this.#kept = plan.selection;
      this.schemas = plan.selection.schemas;
      this.excludeTables = plan.selection.exclude_tables.map(formatTableName).join('\n');
      this.excludeData = plan.selection.exclude_data.map(formatTableName).join('\n');
      if (plan.selection.schemas.length > 0 || plan.selection.tables.length > 0) {
        this.keepExtensions = plan.selection.keep_extensions;
        this.keepLargeObjects = plan.selection.keep_large_objects;
      }
    }
    this.#take(schedule);
  }

  #take(schedule: Schedule): void {
    this.often = schedule.type;
    if ('at' in schedule) this.time = formatTimeOfDay(schedule.at);
    if (schedule.type === 'hourly') this.minute = String(schedule.minute).padStart(2, '0');
    if (schedule.type === 'weekly') this.days = schedule.days;
    if (schedule.type === 'monthly') this.day = String(schedule.day);
    if (schedule.type === 'cron') this.cron = schedule.expression;
  }

  readonly at = $derived(parseTimeOfDay(this.time));
  readonly minuteNumber = $derived(whole(this.minute, 0, 59));
  readonly dayNumber = $derived(whole(this.day, 1, 31));
  readonly #tablesOut = $derived(parseTableNames(this.excludeTables));
  readonly #dataOut = $derived(parseTableNames(this.excludeData));
  /** Lines that are no names of tables. */
  readonly wrongTables = $derived([...this.#tablesOut.wrong, ...this.#dataOut.wrong]);

  readonly schedule = $derived.by((): Schedule | undefined => {
    const at = this.at;
    switch (this.often) {
      case 'hourly':
        return this.minuteNumber === undefined ? undefined : { type: 'hourly', minute: this.minuteNumber };
      case 'daily':
        return at && { type: 'daily', at };
      case 'weekly':
        return at && this.days.length > 0
          ? { type: 'weekly', days: WEEKDAYS.filter((day) => this.days.includes(day)), at }
          : undefined;
      case 'monthly':
        return at && this.dayNumber !== undefined ? { type: 'monthly', day: this.dayNumber, at } : undefined;
      case 'cron':
        return this.cron.trim() ? { type: 'cron', expression: this.cron.trim() } : undefined;
      case 'manual':
        return { type: 'manual' };
    }
  });

  readonly chosenScope = $derived.by((): Scope =>
    this.scope === ALL
      ? { type: 'all_databases', except: this.#except }
      : { type: 'database', name: this.scope.slice(one('').length) },
  );

  readonly partial = $derived.by(() => this.schemas.length > 0 || this.#kept.tables.length > 0);

  readonly selection = $derived.by((): Selection => ({
    ...this.#kept,
    schemas: $state.snapshot(this.schemas),
    exclude_tables: this.#tablesOut.names,
    exclude_data: this.#dataOut.names,
    keep_extensions: this.partial && this.keepExtensions,
    keep_large_objects: this.partial && this.keepLargeObjects,
  }));

  /** What keeps the plan from being saved, as a sentence. */
  readonly problem = $derived.by((): string | undefined => {
    if (this.often === 'weekly' && this.days.length === 0) return t('plan.problem_days');
    if (this.often === 'hourly' && this.minuteNumber === undefined) return t('plan.problem_minute');
    if (this.often === 'monthly' && this.dayNumber === undefined) return t('plan.problem_day');
    if (['daily', 'weekly', 'monthly'].includes(this.often) && !this.at) return t('plan.problem_time');
    if (this.often === 'cron' && !this.schedule) return t('plan.problem_cron');
    if (this.scheduleFailure) return this.scheduleFailure.message;
    if (this.withFolder && !this.folder.trim()) return t('plan.problem_folder');
    if (!this.withFolder && this.places.length === 0) return t('plan.problem_places');
    const wrong = this.wrongTables[0];
    if (wrong !== undefined) return t('plan.problem_table', { name: wrong });
    return this.encryption.problem ?? this.retention.problem ?? this.drill.problem ?? this.conditions.problem;
  });

  /** Whether all that a draft needs is there: this machine's key may still be on its way. */
  readonly ready = $derived.by(() => this.problem === undefined && this.encryption.chosen !== undefined);

  /** The databases to choose from: `all` first. */
  options(databases: readonly string[]): { value: string; label: string }[] {
    const named = new Set(databases);
    if (this.chosenScope.type === 'database') named.add(this.chosenScope.name);
    return [
      ...[...named].map((name) => ({ value: one(name), label: name })),
      { value: ALL, label: t('plan.all_databases') },
    ];
  }

  /** Puts a known destination in or takes it out; what is left keeps its order. */
  choosePlace(id: string, chosen: boolean): void {
    const others = this.places.filter((place) => place !== id);
    this.places = chosen ? [...others, id] : others;
  }

  draft(serverId: string): PlanDraft | undefined {
    const { schedule } = this;
    const encryption = this.encryption.chosen;
    const retention = this.retention.rule;
    if (!schedule || !encryption || !retention || this.problem) return undefined;
    return {
      id: this.id,
      server_id: serverId,
      scope: $state.snapshot(this.chosenScope),
      selection: this.selection,
      globals: this.globals,
      schedule: $state.snapshot(schedule),
      time_zone: this.zone,
      folder: this.withFolder ? this.folder.trim() : null,
      destinations: $state.snapshot(this.places),
      encryption,
      retention,
      drill: this.drill.rule,
      conditions: this.conditions.conditions ?? null,
      enabled: this.enabled,
    };
  }

  /** Asks when the chosen schedule is due; only the last question's answer counts. */
  async askNextRuns(schedule: Schedule | undefined, zone: string): Promise<void> {
    const number = ++this.#asked;
    if (!schedule || schedule.type === 'manual') {
      this.nextRuns = [];
      this.scheduleFailure = undefined;
      return;
    }
    try {
      const next = await call('next_runs', { question: { schedule, time_zone: zone } });
      if (number !== this.#asked) return;
      this.nextRuns = next;
      this.scheduleFailure = undefined;
    } catch (thrown) {
      if (number !== this.#asked) return;
      this.nextRuns = [];
      this.scheduleFailure = toFailure(thrown);
    }
  }
}

function whole(text: string, least: number, most: number): number | undefined {
  if (!/^\s*\d{1,2}\s*$/.test(text)) return undefined;
  const value = Number(text);
  return value >= least && value <= most ? value : undefined;
}
