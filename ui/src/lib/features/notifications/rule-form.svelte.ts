/** What a channel is told, in a form: each field as typed, the rule they make, and what is missing. */
import type { AlertKind, ChannelRule, Databases, Environment, Severity, TimeOfDay, Weekday } from '$lib/ipc';
import { t } from '$lib/messages';
import { formatTimeOfDay, parseTimeOfDay } from '../plans/time-of-day';
import { CHOICE } from './alert-kinds';

/** How one kind is treated: as its severity says, or as an exception. */
export type Treatment = 'severity' | 'always' | 'never';
export type Which = Databases['which'];
export type Summary = 'none' | 'daily' | 'weekly';

export const DEFAULT_RULE: ChannelRule = {
  least: 'warning',
  also: [],
  never: [],
  databases: { which: 'all' },
  quiet: null,
  again_minutes: null,
  summary: null,
};

const time = (at: TimeOfDay | undefined, otherwise: string) => (at ? formatTimeOfDay(at) : otherwise);

export class RuleForm {
  least = $state<Severity>('warning');
  which = $state<Which>('all');
  environments = $state<Environment[]>([]);
  ids = $state<string[]>([]);
  quiet = $state(false);
  quietFrom = $state('22:00');
  quietTo = $state('07:00');
  again = $state(false);
  againMinutes = $state('30');
  summary = $state<Summary>('none');
  summaryDay = $state<Weekday>('monday');
  summaryAt = $state('08:00');
  #treatments = $state<Partial<Record<AlertKind, Treatment>>>({});

  constructor(from: ChannelRule = DEFAULT_RULE) {
    this.least = from.least;
    for (const kind of from.also) this.#treatments[kind] = 'always';
    // Where a rule says both, never wins, as in the engine.
    for (const kind of from.never) this.#treatments[kind] = 'never';
    this.which = from.databases.which;
    if (from.databases.which === 'environments') this.environments = [...from.databases.environments];
    if (from.databases.which === 'these') this.ids = [...from.databases.ids];
    this.quiet = from.quiet !== null;
    this.quietFrom = time(from.quiet?.from, this.quietFrom);
    this.quietTo = time(from.quiet?.to, this.quietTo);
    this.again = from.again_minutes !== null;
    if (from.again_minutes !== null) this.againMinutes = String(from.again_minutes);
    if (from.summary) {
      this.summary = from.summary.day === null ? 'daily' : 'weekly';
      this.summaryDay = from.summary.day ?? this.summaryDay;
      this.summaryAt = time(from.summary.at, this.summaryAt);
    }
  }

  treatment(kind: AlertKind): Treatment {
    return this.#treatments[kind] ?? 'severity';
  }

  treat(kind: AlertKind, as: Treatment): void {
    this.#treatments[kind] = as;
  }

  choose(environment: Environment, wanted: boolean): void {
    const others = this.environments.filter((each) => each !== environment);
    this.environments = wanted ? [...others, environment] : others;
  }

  chooseDatabase(id: string, wanted: boolean): void {
    const others = this.ids.filter((each) => each !== id);
    this.ids = wanted ? [...others, id] : others;
  }

  #kinds(as: Treatment): AlertKind[] {
    return CHOICE.filter((kind) => this.treatment(kind) === as);
  }

  readonly exceptions = $derived.by(() => this.#kinds('always').length + this.#kinds('never').length);

  readonly #from = $derived.by(() => parseTimeOfDay(this.quietFrom));
  readonly #to = $derived.by(() => parseTimeOfDay(this.quietTo));
  readonly #at = $derived.by(() => parseTimeOfDay(this.summaryAt));
  readonly #minutes = $derived.by(() => {
    const text = this.againMinutes.trim();
    const minutes = /^\d{1,4}$/.test(text) ? Number(text) : 0;
    return minutes >= 1 && minutes <= 1440 ? minutes : undefined;
  });

  readonly wrongFrom = $derived.by(() => this.quiet && !this.#from);
  readonly wrongTo = $derived.by(() => this.quiet && !this.#to);
  readonly wrongMinutes = $derived.by(() => this.again && this.#minutes === undefined);
  readonly wrongAt = $derived.by(() => this.summary !== 'none' && !this.#at);

  /** What is missing, as a sentence. */
  readonly problem = $derived.by((): string | undefined => {
    if (this.which === 'environments' && this.environments.length === 0) {
      return t('rule_problem.environments');
    }
    if (this.which === 'these' && this.ids.length === 0) return t('rule_problem.these');
    if (this.wrongFrom || this.wrongTo) return t('rule_problem.quiet');
    if (this.wrongMinutes) return t('rule_problem.again');
    if (this.wrongAt) return t('rule_problem.summary');
    return undefined;
  });

  readonly #databases = $derived.by((): Databases => {
    switch (this.which) {
      case 'all':
        return { which: 'all' };
      case 'environments':
        return { which: 'environments', environments: [...this.environments] };
      case 'these':
        return { which: 'these', ids: [...this.ids] };
    }
  });

  /** The rule; what is typed wrongly is left out of it. */
  readonly rule = $derived.by((): ChannelRule => ({
    least: this.least,
    also: this.#kinds('always'),
    never: this.#kinds('never'),
    databases: this.#databases,
    quiet: this.quiet && this.#from && this.#to ? { from: this.#from, to: this.#to } : null,
    again_minutes: this.again ? (this.#minutes ?? null) : null,
    summary:
      this.summary !== 'none' && this.#at
        ? { day: this.summary === 'weekly' ? this.summaryDay : null, at: this.#at }
        : null,
  }));
}
