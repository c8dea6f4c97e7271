/** The overview's first sentence: reassurance where it is true, and nothing that is not. */
import type { Tone } from '$components';
import type { DatabaseSummary, Overview } from '$lib/ipc';
import { t } from '$lib/messages';
import { concerned, isGrave } from './needs';

export interface Verdict {
  tone: Tone;
  text: string;
}

/** Whether it answered when it was asked last. Of one that nobody could ask, nothing is said. */
function answers({ health }: DatabaseSummary): boolean {
  return health?.state.is === 'up' || health?.state.is === 'slow';
}

export function verdict(overview: Pick<Overview, 'databases' | 'needs'>): Verdict {
  const { databases, needs } = overview;
  const total = databases.length;
  const well = databases.filter((database) => database.last_backup && database.status !== 'vanished');
  const good = well.length;
  const unwell = new Set(needs.map(concerned));
  const calm = databases.filter((database) => database.last_backup && !unwell.has(database.id));

  if (needs.length > 0) {
    const grave = needs.some(isGrave);
    const first = t('verdict.needs', { n: needs.length });
    return {
      tone: grave ? 'bad' : 'warn',
      text: calm.length === 0 ? first : `${first} ${rest(calm, total)}`,
    };
  }
  if (good < total) {
    const first = databases.filter((database) => !database.last_backup && database.active_run).length;
    if (first === 0) return { tone: 'none', text: rest(well, total) };
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
  const reachable = databases.every(answers);
  if (total === 1) {
    const name = only?.name ?? '';
    return {
      tone: 'ok',
      text: reachable ? t('verdict.one_reachable', { name }) : t('verdict.one', { name }),
    };
  }
  return {
    tone: 'ok',
    text: reachable ? t('verdict.all_reachable', { n: total }) : t('verdict.all', { n: total }),
  };
}

/** How many are backed up, of how many; and reachable, where all of these are. */
function rest(these: readonly DatabaseSummary[], total: number): string {
  const n = these.length;
  if (n === 0) return t('verdict.rest_none');
  if (these.every(answers)) {
    return n === total ? t('verdict.rest_all_reachable', { n }) : t('verdict.rest_reachable', { n, total });
  }
  return n === total ? t('verdict.rest_all', { n }) : t('verdict.rest', { n, total });
}
