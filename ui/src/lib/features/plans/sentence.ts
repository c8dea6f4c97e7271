/** A plan as a sentence. The same messages carry the sentence that is read and the one whose words are chosen. */
import { formatList, weekdayNames } from '$lib/format';
import type { Plan, Schedule, Scope, Weekday } from '$lib/ipc';
import { t, type MessageKey } from '$lib/messages';
import { formatTimeOfDay } from './time-of-day';

export const WEEKDAYS: readonly Weekday[] = [
  'monday',
  'tuesday',
  'wednesday',
  'thursday',
  'friday',
  'saturday',
  'sunday',
];

export type Often = Schedule['type'];

export const OFTEN: readonly Often[] = ['hourly', 'daily', 'weekly', 'monthly', 'cron', 'manual'];

/** The sentence for a schedule of this kind, with a place for each word. */
export function sentenceKey(often: Often): MessageKey & `plan.sentence_${Often}` {
  return `plan.sentence_${often}`;
}

/** `Mon, Wed and Fri`. */
export function formatWeekdays(days: readonly Weekday[]): string {
  const names = weekdayNames();
  const chosen = WEEKDAYS.flatMap((day, index) => (days.includes(day) ? [names[index]?.short ?? day] : []));
  return formatList(chosen);
}

export function formatScope(scope: Scope): string {
  if (scope.type === 'database') return scope.name;
  return scope.except.length === 0
    ? t('plan.all_databases')
    : t('plan.all_databases_except', { names: scope.except.join(', ') });
}

/** The whole sentence, to read. */
export function planSentence(
  plan: Pick<Plan, 'schedule' | 'time_zone' | 'scope'> & { places: readonly string[] },
): string {
  const { schedule } = plan;
  const common = {
    often: t(`often.${schedule.type}`),
    zone: plan.time_zone,
    what: formatScope(plan.scope),
    where: plan.places.length > 0 ? formatList(plan.places) : t('plan.its_places'),
  };
  switch (schedule.type) {
    case 'hourly':
      return t('plan.sentence_hourly', { ...common, minute: String(schedule.minute).padStart(2, '0') });
    case 'daily':
      return t('plan.sentence_daily', { ...common, time: formatTimeOfDay(schedule.at) });
    case 'weekly':
      return t('plan.sentence_weekly', {
        ...common,
        days: formatWeekdays(schedule.days),
        time: formatTimeOfDay(schedule.at),
      });
    case 'monthly':
      return t('plan.sentence_monthly', {
        ...common,
        day: String(schedule.day),
        time: formatTimeOfDay(schedule.at),
      });
    case 'cron':
      return t('plan.sentence_cron', { ...common, cron: schedule.expression });
    case 'manual':
      return t('plan.sentence_manual', common);
  }
}
