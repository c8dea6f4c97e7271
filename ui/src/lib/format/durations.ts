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

/** A running clock: `00:13`, `1:02:09`. */
export function formatClock(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const rest = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return seconds < 3600 ? rest : `${Math.floor(seconds / 3600)}:${rest}`;
}
