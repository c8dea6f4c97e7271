/** What a plan's scheduled backups wait for, and what becomes of missed ones: as typed, and the rule that it makes. */
import type { Conditions } from '$lib/ipc';
import { t } from '$lib/messages';
import { formatTimeOfDay, parseTimeOfDay } from './time-of-day';

export const MISSED = ['late', 'skip', 'if_older'] as const;
export const BATTERY = ['at_least', 'always', 'never'] as const;
export const METERED = ['wait', 'go'] as const;
export const HOURS = ['any', 'between'] as const;

export const USUAL: Conditions = {
  missed: { is: 'late' },
  battery: { is: 'at_least', percent: 20 },
  metered: false,
  hours: null,
};

export class ConditionsForm {
  missed = $state<(typeof MISSED)[number]>('late');
  older = $state('24');
  battery = $state<(typeof BATTERY)[number]>('at_least');
  percent = $state('20');
  metered = $state<(typeof METERED)[number]>('wait');
  hours = $state<(typeof HOURS)[number]>('any');
  from = $state('22:00');
  to = $state('06:00');

  constructor({ missed, battery, metered, hours }: Conditions = USUAL) {
    this.missed = missed.is;
    if (missed.is === 'if_older') this.older = String(missed.hours);
    this.battery = battery.is;
    if (battery.is === 'at_least') this.percent = String(battery.percent);
    this.metered = metered ? 'go' : 'wait';
    if (hours) {
      this.hours = 'between';
      this.from = formatTimeOfDay(hours.from);
      this.to = formatTimeOfDay(hours.to);
    }
  }

  readonly olderNumber = $derived(whole(this.older, 1, 24 * 366));
  readonly percentNumber = $derived(whole(this.percent, 0, 100));
  readonly fromTime = $derived(parseTimeOfDay(this.from));
  readonly toTime = $derived(parseTimeOfDay(this.to));

  /** What keeps them from being saved, as a sentence. */
  readonly problem = $derived.by((): string | undefined => {
    if (this.missed === 'if_older' && this.olderNumber === undefined) return t('conditions.problem_older');
    if (this.battery === 'at_least' && this.percentNumber === undefined)
      return t('conditions.problem_percent');
    if (this.hours === 'between' && !(this.fromTime && this.toTime)) return t('plan.problem_time');
    return undefined;
  });

  /** None while something is wrong. */
  get conditions(): Conditions | undefined {
    const { olderNumber, percentNumber, fromTime, toTime } = this;
    if (this.problem) return undefined;
    return {
      missed: this.missed === 'if_older' ? { is: 'if_older', hours: olderNumber ?? 24 } : { is: this.missed },
      battery:
        this.battery === 'at_least' ? { is: 'at_least', percent: percentNumber ?? 20 } : { is: this.battery },
      metered: this.metered === 'go',
      hours: this.hours === 'between' && fromTime && toTime ? { from: fromTime, to: toTime } : null,
    };
  }
}

function whole(text: string, least: number, most: number): number | undefined {
  if (!/^\s*\d{1,5}\s*$/.test(text)) return undefined;
  const value = Number(text);
  return value >= least && value <= most ? value : undefined;
}
