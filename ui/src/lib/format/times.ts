/** Moments: relative to now where people think so, exact where they look closer. */
import { t } from '$lib/messages';
import { perLocale } from './locale';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

type Moment = string | number | Date;

function at(moment: Moment): number {
  return typeof moment === 'number' ? moment : new Date(moment).getTime();
}

const clock = perLocale(
  ({ dates, hour12 }) => new Intl.DateTimeFormat(dates, { hour: '2-digit', minute: '2-digit', hour12 }),
);
const clockSeconds = new Intl.DateTimeFormat('en-GB', {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hour12: false,
});
const weekday = perLocale(({ dates }) => new Intl.DateTimeFormat(dates, { weekday: 'short' }));
const day = perLocale(({ dates }) => new Intl.DateTimeFormat(dates, { day: 'numeric', month: 'short' }));
const dayYear = perLocale(
  ({ dates }) => new Intl.DateTimeFormat(dates, { day: 'numeric', month: 'short', year: 'numeric' }),
);
const exact = perLocale(
  ({ dates, hour12 }) =>
    new Intl.DateTimeFormat(dates, {
      weekday: 'short',
      day: 'numeric',
      month: 'short',
      year: 'numeric',
      hour: '2-digit',
      minute: '2-digit',
      second: '2-digit',
      hour12,
      timeZoneName: 'short',
    }),
);

/** `04:00`. */
export function formatTime(moment: Moment): string {
  return clock().format(at(moment));
}

/** `04:00:13`, for a log: the same width in every locale. */
export function formatTimeSeconds(moment: Moment): string {
  return clockSeconds.format(at(moment));
}

/** `Sun, 22 Nov 2026, 04:00:13 CET`, for whoever looks closer. */
export function formatExact(moment: Moment): string {
  return exact().format(at(moment));
}

/** `22 Nov 2026 04:00`, for a headline. */
export function formatDateTime(moment: Moment): string {
  return `${dayYear().format(at(moment))} ${formatTime(moment)}`;
}

/** `22 Nov`, with the year where it is not this one. */
export function formatDate(moment: Moment, now: number): string {
  const sameYear = new Date(at(moment)).getFullYear() === new Date(now).getFullYear();
  return (sameYear ? day() : dayYear()).format(at(moment));
}

const month = perLocale(({ dates }) => new Intl.DateTimeFormat(dates, { month: 'short' }));

/** `22 Nov`, whatever the year: for the axis of a chart. */
export function formatShortDay(moment: Moment): string {
  return day().format(at(moment));
}

/** `Nov`; `2027` where a year begins. */
export function formatMonth(moment: Moment): string {
  const date = new Date(at(moment));
  return date.getMonth() === 0 ? String(date.getFullYear()) : month().format(date);
}

/** `14:00 – 14:30`, with the day where it is not today, and both where the stretch ends on another one. */
export function formatStretch(from: Moment, to: Moment, now: number): string {
  const [first, last] = [new Date(at(from)), new Date(at(to))];
  const begin = formatDay(first, now);
  const midnight = last.getHours() === 0 && last.getMinutes() === 0;
  if (startOfDay(first.getTime()) === startOfDay(last.getTime() - (midnight ? 1 : 0))) {
    return `${begin} – ${formatTime(last)}`;
  }
  return `${begin} – ${formatDay(last, now)}`;
}

/** `just now`, `4 min ago`, `3 h ago`, `2 d ago`, `in 5 min`; a date from three weeks on. */
export function formatRelative(moment: Moment, now: number): string {
  const distance = at(moment) - now;
  const size = Math.abs(distance);
  const ahead = distance > 0;
  if (size < 45_000) return ahead ? t('time.soon') : t('time.just_now');
  if (size < HOUR - MINUTE / 2) {
    const n = Math.max(1, Math.round(size / MINUTE));
    return ahead ? t('time.in_minutes', { n }) : t('time.minutes_ago', { n });
  }
  if (size < DAY - HOUR / 2) {
    const n = Math.round(size / HOUR);
    return ahead ? t('time.in_hours', { n }) : t('time.hours_ago', { n });
  }
  if (size < 21 * DAY) {
    if (ahead) return t('time.in_days', { n: Math.round(size / DAY) });
    // Whole days that have passed: rounded, last night but one would follow last night as "2 d ago", as if a night were missing.
    return t('time.days_ago', { n: Math.max(1, Math.floor(size / DAY)) });
  }
  return formatDate(moment, now);
}

function startOfDay(moment: number): number {
  const date = new Date(moment);
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}

/** When something is due, in short: `04:00` where that can only be the next one, else as `formatDay` has it. */
export function formatDue(moment: Moment, now: number): string {
  const distance = at(moment) - now;
  return distance >= 0 && distance < DAY - HOUR ? formatTime(moment) : formatDay(moment, now);
}

/** A moment by its day: `04:00` today, `tomorrow 04:00`, `Sun 04:00` within a week, `22 Nov 04:00` beyond. */
export function formatDay(moment: Moment, now: number): string {
  const time = formatTime(moment);
  const days = Math.round((startOfDay(at(moment)) - startOfDay(now)) / DAY);
  if (days === 0) return time;
  if (days === 1) return t('time.tomorrow', { time });
  if (days === -1) return t('time.yesterday', { time });
  if (days > 1 && days < 7) return `${weekday().format(at(moment))} ${time}`;
  return `${formatDate(moment, now)} ${time}`;
}

/** Names of the week's days, Monday first: `Mon` and `Monday`. */
export function weekdayNames(): { short: string; long: string }[] {
  // 5 January 1970 was a Monday.
  return Array.from({ length: 7 }, (_, index) => {
    const date = Date.UTC(1970, 0, 5 + index);
    return { short: weekdayUtc().short.format(date), long: weekdayUtc().long.format(date) };
  });
}

const weekdayUtc = perLocale(({ dates }) => ({
  short: new Intl.DateTimeFormat(dates, { weekday: 'short', timeZone: 'UTC' }),
  long: new Intl.DateTimeFormat(dates, { weekday: 'long', timeZone: 'UTC' }),
}));
