/** The marks on the strip of a day: runs that ended, runs at work, runs that are due. */
import { formatTime } from '$lib/format';
import type { Overview, RunView } from '$lib/ipc';
import { t } from '$lib/messages';
import { isActive, lookOf } from '../runs/words';

export interface Mark {
  key: string;
  at: number;
  end?: number;
  tone: 'ok' | 'bad' | 'other' | 'running' | 'due';
  words: string;
}

export function marks(
  overview: Pick<Overview, 'databases' | 'recent_runs' | 'active_runs'>,
  from: number,
  to: number,
): Mark[] {
  const runs = new Map<string, RunView>();
  for (const { last_run } of overview.databases) if (last_run) runs.set(last_run.id, last_run);
  for (const run of [...overview.recent_runs, ...overview.active_runs]) runs.set(run.id, run);

  const list: Mark[] = [];
  for (const run of runs.values()) {
    if (!run.started_at) continue;
    const at = Date.parse(run.started_at);
    const end = run.finished_at ? Date.parse(run.finished_at) : undefined;
    if (at < from || at > to) continue;
    const look = lookOf(run);
    list.push({
      key: run.id,
      at,
      ...(end === undefined ? {} : { end }),
      tone: isActive(run.state) ? 'running' : look.tone === 'ok' || look.tone === 'bad' ? look.tone : 'other',
      words: t('today.run', { name: run.database_name, time: formatTime(at), state: look.word }),
    });
  }
  for (const database of overview.databases) {
    if (!database.next_run) continue;
    const at = Date.parse(database.next_run);
    if (at < from || at > to) continue;
    list.push({
      key: `due ${database.id}`,
      at,
      tone: 'due',
      words: t('today.due', { name: database.name, time: formatTime(at) }),
    });
  }
  return list;
}
