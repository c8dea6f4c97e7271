/** Milliseconds in each state, as a bar shows them and as words say them. */
import type { Parts } from '$lib/charts/bar';
import { formatLatency, formatLength, formatList, formatUptime } from '$lib/format';
import type { Bucket, TimeIn } from '$lib/ipc';
import { t } from '$lib/messages';

/** Less is an artefact of rounding. */
const SAID = 500;

/** Why nothing is known, in the order in which it is said. */
export const BLIND = ['asleep', 'offline', 'paused', 'locked'] as const satisfies (keyof TimeIn)[];

export function partsOf(time: TimeIn, length: number): Parts {
  const share = (milliseconds: number) => (length > 0 ? Math.min(1, milliseconds / length) : 0);
  return {
    ok: share(time.up),
    warn: share(time.slow + time.failing),
    bad: share(time.down),
    quiet: share(time.maintenance),
    none: share(time.asleep + time.offline + time.paused + time.locked),
  };
}

function sum(time: TimeIn): number {
  return Object.values(time).reduce((all, each) => all + each, 0);
}

/** What of a stretch nobody watched. */
export function unwatched(time: TimeIn, length: number): number {
  const rest = length - sum(time);
  return rest > SAID ? rest : 0;
}

/** The share of the known time in which it was not down; `null` where nothing is known. */
export function uptimeOf({ up, slow, failing, down }: TimeIn): number | null {
  const known = up + slow + failing + down;
  return known > 0 ? (known - down) / known : null;
}

/** Why nothing is known of some of it: `asleep 7 h 12 min, offline 2 h`; empty where all is. */
export function blindWords(time: TimeIn): string {
  const list = BLIND.filter((why) => time[why] > SAID).map((why) =>
    t(`blind_for.${why}`, { length: formatLength(time[why]) }),
  );
  return formatList(list);
}

/** What a stretch was spent in: `99.10% up · down 12 min · no data: asleep 3 h`. */
export function timeWords(time: TimeIn, length: number): string {
  const uptime = uptimeOf(time);
  const blind = blindWords(time);
  const gone = unwatched(time, length);
  if (gone >= length - SAID) return t('availability.not_watched');
  const said = (state: 'down' | 'slow' | 'failing' | 'maintenance') =>
    time[state] > SAID && t(`availability.time_${state}`, { length: formatLength(time[state]) });
  return [
    uptime !== null && t('availability.up', { share: formatUptime(uptime) }),
    said('down'),
    said('failing'),
    said('slow'),
    said('maintenance'),
    blind && t('availability.blind', { why: blind }),
    gone > 0 && t('availability.time_unwatched', { length: formatLength(gone) }),
  ]
    .filter(Boolean)
    .join(' · ');
}

/** How fast it answered in a bucket. */
export function answerWords({ median_ms, p95_ms }: Pick<Bucket, 'median_ms' | 'p95_ms'>): string {
  if (median_ms === null) return t('availability.no_answer');
  return t('availability.answers', {
    median: formatLatency(median_ms),
    high: formatLatency(p95_ms ?? median_ms),
  });
}
