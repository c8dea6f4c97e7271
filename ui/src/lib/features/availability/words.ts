/** How a database stands by its checks, in an icon's tone and a few words. */
import type { Tone } from '$components';
import { formatDay, formatLatency, formatLength } from '$lib/format';
import type { HealthView, IncidentView, MaintenanceTime } from '$lib/ipc';
import { t } from '$lib/messages';
import type { Look } from '../runs/words';
import { formatWeekdays } from '../plans/sentence';
import { formatTimeOfDay } from '../plans/time-of-day';

/** Milliseconds from the first step of connecting to the answer. */
export function answeredIn({ connect_ms, answer_ms }: HealthView): number | undefined {
  return connect_ms === null && answer_ms === null ? undefined : (connect_ms ?? 0) + (answer_ms ?? 0);
}

/** Whether it was ever asked. */
export function isNew({ state, checked_at }: HealthView): boolean {
  return checked_at === null && state.is !== 'off';
}

/** With `now` it says for how long; lists leave that out. */
export function healthLook(health: HealthView, now?: number): Look {
  const { state } = health;
  const took = answeredIn(health);
  const timed = (is: 'up' | 'slow') =>
    took === undefined ? t(`health.${is}`) : t(`health.${is}_in`, { time: formatLatency(took) });
  switch (state.is) {
    case 'up':
      return { tone: 'up', word: timed('up') };
    case 'slow':
      return { tone: 'warn', word: timed('slow') };
    case 'failing':
      return { tone: 'half', word: t('health.failing', { times: state.times, of: state.of }) };
    case 'down':
      return { tone: 'bad', word: downWords(health, now) };
    case 'maintenance':
      return { tone: 'work', word: t('health.maintenance') };
    case 'no_data':
      return isNew(health)
        ? { tone: 'waiting', word: t('health.new') }
        : { tone: 'none', word: t('health.no_data', { why: t(`blind.${state.why}`) }) };
    case 'off':
      return { tone: 'waiting', word: t('health.off') };
  }
}

function downWords({ since, failure }: HealthView, now?: number): string {
  const why = failure && t(`failure.${failure.code}`);
  if (now === undefined) return why ? t('health.down_why', { why }) : t('health.down');
  const length = formatLength(Math.max(1000, now - Date.parse(since)));
  return why ? t('health.down_for_why', { length, why }) : t('health.down_for', { length });
}

const RANK: Partial<Record<Tone, number>> = { bad: 3, warn: 2, half: 2, running: 2, waiting: 2 };

/** The graver of how the backups stand and how it answers: down comes before everything. */
export function graver(backups: Look, health: HealthView | null): Look {
  if (!health) return backups;
  if (health.state.is === 'down') return healthLook(health);
  if (health.state.is !== 'failing' && health.state.is !== 'slow') return backups;
  return (RANK[backups.tone] ?? 0) < 2 ? healthLook(health) : backups;
}

/** A mute so far ahead means: until somebody says otherwise. */
export const FOREVER = '9999-01-01T00:00:00Z';

export function mutedWords(until: string, now: number): string {
  return Date.parse(until) > Date.parse('9000-01-01T00:00:00Z')
    ? t('mute.forever')
    : t('mute.until', { time: formatDay(until, now) });
}

/** How long an incident lasted, or lasts. */
export function lastedFor({ began_at, ended_at }: IncidentView, now: number): number {
  return Math.max(1000, (ended_at === null ? now : Date.parse(ended_at)) - Date.parse(began_at));
}

/** `Sun 21:00 for 45 min (Europe/Berlin)`, `tomorrow 05:00 – 07:00`. */
export function maintenanceWords(when: MaintenanceTime, now: number): string {
  if (when.repeats === 'never') {
    const length = Date.parse(when.to) - Date.parse(when.from);
    return t('maintenance.once', { from: formatDay(when.from, now), length: formatLength(length) });
  }
  const values = {
    time: formatTimeOfDay(when.at),
    length: formatLength(when.minutes * 60_000),
    zone: when.time_zone.replaceAll('_', ' '),
  };
  return when.days.length === 0 || when.days.length === 7
    ? t('maintenance.daily', values)
    : t('maintenance.weekly', { days: formatWeekdays(when.days), ...values });
}
