/** A database's state, in an icon's tone and a few words. */
import type { Tone } from '$components';
import type { DatabaseSummary } from '$lib/ipc';
import { t } from '$lib/messages';
import { graver } from '../availability/words';
import { lookOf, type Look } from '../runs/words';

/** The graver of how it is backed up and how it answers. */
export function databaseLook(database: DatabaseSummary): Look {
  return graver(backupLook(database), database.health);
}

function backupLook(database: DatabaseSummary): Look {
  const { status, active_run, last_run } = database;
  if (active_run && (status === 'running' || status === 'waiting')) return lookOf(active_run);
  switch (status) {
    case 'failed':
      return last_run?.failure
        ? { tone: 'bad', word: t('run.failed_why', { why: t(`failure.${last_run.failure.code}`) }) }
        : { tone: 'bad', word: t('run.failed') };
    default:
      return { tone: TONES[status], word: t(`status.${status}`) };
  }
}

const TONES: Record<DatabaseSummary['status'], Tone> = {
  good: 'ok',
  running: 'running',
  waiting: 'waiting',
  failed: 'bad',
  overdue: 'warn',
  never: 'none',
  paused: 'off',
  vanished: 'warn',
};
