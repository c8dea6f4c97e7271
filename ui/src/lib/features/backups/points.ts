/** Backups as the points of a chart. */
import type { Point } from '$lib/charts/History.svelte';
import { formatBytes, formatDateTime, formatDuration } from '$lib/format';
import type { BackupView } from '$lib/ipc';
import { t } from '$lib/messages';
import { durationOf } from '../runs/compare';

/** The newest at the right; at most so many that a bar is still a bar. */
const MOST = 120;

export function points(backups: BackupView[]): Point[] {
  return backups
    .slice(0, MOST)
    .reverse()
    .map((backup) => ({
      id: backup.id,
      upper: backup.stored_bytes,
      lower: durationOf(backup),
      words: t('chart.point', {
        when: formatDateTime(backup.finished_at),
        raw: formatBytes(backup.raw_bytes),
        stored: formatBytes(backup.stored_bytes),
        duration: formatDuration(durationOf(backup)),
      }),
    }));
}
