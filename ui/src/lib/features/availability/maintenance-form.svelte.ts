/** A maintenance window while it is being written, and the window once all of it makes sense. */
import { formatLength } from '$lib/format';
import { call, type MaintenanceView, type Weekday } from '$lib/ipc';
import { Action } from '$lib/state/action.svelte';
import { formatTimeOfDay, parseTimeOfDay } from '../plans/time-of-day';

/** Minutes; what else is wanted is typed. */
const USUAL = [15, 30, 60, 120, 240, 480, 1440];
export const MOST_MINUTES = 1440;

const two = (value: number) => String(value).padStart(2, '0');

/** `2026-11-28`, by the clock of this machine. */
function dayOf(date: Date): string {
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

export class MaintenanceForm {
  readonly id: string | null;
  repeats = $state<'never' | 'weekly'>('never');
  day = $state('');
  days = $state.raw<readonly Weekday[]>(['sunday']);
  time = $state('');
  length = $state('60');
  own = $state('');
  zone = $state('');
  scope = $state<'this' | 'all' | 'kept'>('this');
  note = $state('');
  readonly saving = new Action();
  /** The databases of a window that is about several, which stay as they are. */
  readonly kept: readonly string[];

  constructor(
    private readonly database: string,
    window: MaintenanceView | undefined,
    zone: string,
    now: number,
  ) {
    this.id = window?.id ?? null;
    this.zone = zone;
    const databases = window?.databases ?? [database];
    this.kept = databases;
    this.scope =
      databases.length === 0 ? 'all' : databases.length === 1 && databases[0] === database ? 'this' : 'kept';
    this.note = window?.note ?? '';
    const when = window?.when;
    let minutes = 60;
    if (when?.repeats === 'weekly') {
      this.repeats = 'weekly';
      this.days = when.days;
      this.time = formatTimeOfDay(when.at);
      this.zone = when.time_zone;
      minutes = when.minutes;
    }
    const from = new Date(when?.repeats === 'never' ? when.from : now);
    if (when?.repeats === 'never') {
      minutes = Math.round((Date.parse(when.to) - from.getTime()) / 60_000);
    } else {
      // The next full hour.
      from.setHours(from.getHours() + 1, 0, 0, 0);
    }
    this.day = dayOf(from);
    if (when?.repeats !== 'weekly') {
      this.time = formatTimeOfDay({ hour: from.getHours(), minute: from.getMinutes() });
    }
    const usual = USUAL.includes(minutes);
    this.length = usual ? String(minutes) : 'own';
    this.own = usual ? '' : String(minutes);
  }

  readonly lengths = USUAL.map((minutes) => ({
    value: String(minutes),
    label: formatLength(minutes * 60_000),
  }));

  readonly at = $derived(parseTimeOfDay(this.time));
  readonly minutes = $derived.by(() => {
    if (this.length !== 'own') return Number(this.length);
    const number = /^\s*\d+\s*$/.test(this.own) ? Number(this.own) : NaN;
    const most = this.repeats === 'weekly' ? MOST_MINUTES : 30 * MOST_MINUTES;
    return number >= 1 && number <= most ? number : undefined;
  });
  /** When a single one begins. */
  readonly from = $derived.by(() => {
    const match = /^\s*(\d{4})-(\d{1,2})-(\d{1,2})\s*$/.exec(this.day);
    if (!match || !this.at) return undefined;
    const [, year, month, day] = match.map(Number);
    const date = new Date(year ?? 0, (month ?? 1) - 1, day, this.at.hour, this.at.minute);
    return date.getMonth() === (month ?? 1) - 1 ? date : undefined;
  });

  toggle(day: Weekday): void {
    this.days = this.days.includes(day) ? this.days.filter((each) => each !== day) : [...this.days, day];
  }

  readonly window: MaintenanceView | undefined = $derived.by(() => {
    const { minutes, at, from } = this;
    if (minutes === undefined || !at) return undefined;
    const databases = { this: [this.database], all: [], kept: [...this.kept] }[this.scope];
    const rest = { id: this.id, databases, note: this.note.trim() };
    if (this.repeats === 'weekly') {
      if (minutes > MOST_MINUTES) return undefined;
      return {
        ...rest,
        when: { repeats: 'weekly', days: [...this.days], at, minutes, time_zone: this.zone },
      };
    }
    if (!from) return undefined;
    const to = new Date(from.getTime() + minutes * 60_000);
    return { ...rest, when: { repeats: 'never', from: from.toISOString(), to: to.toISOString() } };
  });

  /** Whether it was saved. */
  async save(): Promise<boolean> {
    const { window } = this;
    if (!window) return false;
    await this.saving.run(() => call('save_maintenance', { window }));
    return this.saving.failure === undefined;
  }
}
