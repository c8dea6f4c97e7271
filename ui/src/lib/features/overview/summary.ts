/** The line under the verdict: the last backup, the next one, how much is kept. */
import { formatBytes, formatDue } from '$lib/format';
import type { Overview } from '$lib/ipc';
import { t } from '$lib/messages';

/** The line has room for names of some length; the whole name stands in the table. */
const LONGEST = 32;

function short(name: string): string {
  const letters = [...name];
  return letters.length <= LONGEST ? name : `${letters.slice(0, LONGEST - 1).join('')}…`;
}

export function summary(overview: Overview, now: number): string {
  const last = overview.databases
    .map((database) => database.last_backup)
    .filter((backup) => backup !== null)
    .sort((a, b) => Date.parse(b.finished_at) - Date.parse(a.finished_at))[0];
  const { next } = overview.scheduler;
  return [
    last && t('overview.last', { time: formatDue(last.finished_at, now), name: short(last.database_name) }),
    next && t('overview.next', { time: formatDue(next.at, now), name: short(next.name) }),
    overview.storage.backups > 0 &&
      t('overview.kept', {
        size: formatBytes(overview.storage.bytes),
        places: t('count.places', { n: overview.storage.destinations }),
      }),
  ]
    .filter(Boolean)
    .join(' · ');
}
