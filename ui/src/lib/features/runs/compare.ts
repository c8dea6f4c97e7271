/** How a backup compares with the last good ones of its database. */
import { formatBytes, formatDuration, formatPercent } from '$lib/format';
import type { BackupView } from '$lib/ipc';
import { t } from '$lib/messages';

export function durationOf(backup: BackupView): number {
  return Math.max(0, Date.parse(backup.finished_at) - Date.parse(backup.started_at));
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2;
}

/** `undefined` where there is nothing to compare with. Half a percent is no difference. */
export function compare(
  backup: BackupView,
  earlier: BackupView[],
): { size: string; duration: string } | undefined {
  if (earlier.length === 0) return undefined;
  const usual = median(earlier.map((each) => each.stored_bytes));
  const difference = backup.stored_bytes - usual;
  const duration = formatDuration(median(earlier.map(durationOf)));
  if (usual === 0 || Math.abs(difference) / usual < 0.005) return { size: t('compare.same'), duration };
  const words = {
    size: formatBytes(Math.abs(difference)),
    share: formatPercent(Math.abs(difference) / usual),
  };
  return { size: difference > 0 ? t('compare.more', words) : t('compare.less', words), duration };
}
