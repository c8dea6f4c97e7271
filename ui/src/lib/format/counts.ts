/** Large counts in short: rows of a table, rows of a database. */
import { t } from '$lib/messages';
import { formatNumber } from './numbers';

/** `41.2 M` from a million on, all digits below. */
export function formatCount(count: number): string {
  if (count >= 999_950_000) return t('count.billions', { n: Math.round(count / 1e8) / 10 });
  if (count >= 1_000_000) return t('count.millions', { n: Math.round(count / 1e5) / 10 });
  return formatNumber(count);
}
