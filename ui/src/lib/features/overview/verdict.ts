/** The overview's first sentence: reassurance where it is true, and nothing that is not. */
import type { Tone } from '$components';
import type { Overview } from '$lib/ipc';
import { t } from '$lib/messages';
import { concerned, isGrave } from './needs';

export interface Verdict {
  tone: Tone;
  text: string;
}

export function verdict(overview: Pick<Overview, 'databases' | 'needs'>): Verdict {
  const { databases, needs } = overview;
  const total = databases.length;
  const good = databases.filter((database) => database.last_backup && database.status !== 'vanished').length;
  const unwell = new Set(needs.map(concerned));
  const calm = databases.filter((database) => database.last_backup && !unwell.has(database.id)).length;

  if (needs.length > 0) {
    const grave = needs.some(isGrave);
    const first = t('verdict.needs', { n: needs.length });
    return { tone: grave ? 'bad' : 'warn', text: calm === 0 ? first : `${first} ${rest(calm, total)}` };
  }
  if (good < total) {
    const first = databases.filter((database) => !database.last_backup && database.active_run).length;
    if (first === 0) return { tone: 'none', text: rest(good, total) };
    if (total === 1) return { tone: 'running', text: t('verdict.first_only') };
    return { tone: 'running', text: t('verdict.first', { n: total - good, total }) };
  }
  const [only] = databases;
  const paused = databases.filter((database) => database.status === 'paused').length;
  if (paused > 0) {
    const text =
      total === 1
        ? t('verdict.paused_only', { name: only?.name ?? '' })
        : t('verdict.paused', { n: paused, total });
    return { tone: 'off', text };
  }
  if (total === 1) return { tone: 'ok', text: t('verdict.one', { name: only?.name ?? '' }) };
  return { tone: 'ok', text: t('verdict.all', { n: total }) };
}

/** How many are backed up, of how many. */
function rest(n: number, total: number): string {
  if (n === 0) return t('verdict.rest_none');
  return n === total ? t('verdict.rest_all', { n }) : t('verdict.rest', { n, total });
}
