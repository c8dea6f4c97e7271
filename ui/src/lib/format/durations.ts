/** How long something took or takes. Milliseconds in. */
import { t } from '$lib/messages';

const two = (value: number) => String(value).padStart(2, '0');

/** `0.4 s`, `13 s`, `2 min 05 s`, `1 h 04 min`. */
export function formatDuration(milliseconds: number): string {
  const ms = Math.max(0, milliseconds);
  if (ms < 9_950) return t('duration.seconds', { n: Math.round(ms / 100) / 10 });
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return t('duration.seconds', { n: seconds });
  if (seconds < 3600) {
    return t('duration.minutes', { minutes: Math.floor(seconds / 60), seconds: two(seconds % 60) });
  }
  const minutes = Math.round(seconds / 60);
  return t('duration.hours', { hours: Math.floor(minutes / 60), minutes: two(minutes % 60) });
}

/** How long something lasted, in the two units that matter: `40 s`, `12 min`, `7 h 12 min`, `3 d 4 h`. */
export function formatLength(milliseconds: number): string {
  const seconds = Math.round(Math.max(0, milliseconds) / 1000);
  if (seconds < 60) return t('duration.seconds', { n: seconds });
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return t('duration.whole_minutes', { n: minutes });
  if (minutes < 24 * 60) return inTwo('hours', Math.floor(minutes / 60), 'minutes', minutes % 60);
  const hours = Math.round(minutes / 60);
  return inTwo('days', Math.floor(hours / 24), 'hours', hours % 24);
}

function inTwo(large: 'days' | 'hours', n: number, small: 'hours' | 'minutes', rest: number): string {
  const first = t(`duration.whole_${large}`, { n });
  return rest === 0 ? first : `${first}\u00a0${t(`duration.whole_${small}`, { n: rest })}`;
}

/** How long an answer took, in three digits at most: `400 µs`, `12 ms`, `1.2 s`. */
export function formatLatency(milliseconds: number): string {
  const ms = Math.max(0, milliseconds);
  if (ms === 0) return t('duration.milliseconds', { n: 0 });
  if (ms < 0.9995) return t('duration.microseconds', { n: Math.round(ms * 1000) });
  if (ms < 9.95) return t('duration.milliseconds', { n: Math.round(ms * 10) / 10 });
  if (ms < 999.5) return t('duration.milliseconds', { n: Math.round(ms) });
  return t('duration.seconds', { n: ms < 99_500 ? Math.round(ms / 100) / 10 : Math.round(ms / 1000) });
}

/** A running clock: `00:13`, `1:02:09`. */
export function formatClock(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const rest = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return seconds < 3600 ? rest : `${Math.floor(seconds / 3600)}:${rest}`;
}
