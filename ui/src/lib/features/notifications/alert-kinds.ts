/** What can be told, and how grave each is: as `crates/domain/src/alert.rs` has it. */
import type { AlertKind, ChannelRule, Severity } from '$lib/ipc';

/** Gravest last, as they compare. */
export const SEVERITIES: readonly Severity[] = ['info', 'warning', 'critical'];

/** Every kind that a rule may make an exception of, in the order in which they are offered. */
export const CHOICE: readonly AlertKind[] = [
  'backup_failed',
  'backup_overdue',
  'backup_shrunk',
  'backup_succeeded',
  'backup_started',
  'drill_failed',
  'unproved',
  'restore_failed',
  'restore_succeeded',
  'copy_lost',
  'copy_owed',
  'destination_unreachable',
  'destination_full',
  'sign_in_expiring',
  'database_down',
  'database_recovered',
  'database_slow',
  'database_vanished',
  'database_joined',
  'connections_high',
  'transaction_ids_low',
  'certificate_expiring',
  'disk_low',
];

const CRITICAL: readonly AlertKind[] = [
  'backup_failed',
  'backup_overdue',
  'copy_lost',
  'database_down',
  'drill_failed',
  'transaction_ids_low',
];

const INFO: readonly AlertKind[] = [
  'backup_started',
  'backup_succeeded',
  'restore_succeeded',
  'database_recovered',
  'database_joined',
  'summary',
  'test',
];

export function severityOf(kind: AlertKind): Severity {
  if (CRITICAL.includes(kind)) return 'critical';
  return INFO.includes(kind) ? 'info' : 'warning';
}

/** Whether one is as grave as the other, or graver. */
export function reaches(severity: Severity, least: Severity): boolean {
  return SEVERITIES.indexOf(severity) >= SEVERITIES.indexOf(least);
}

/** Whether a kind is told where a rule makes no exception of that kind itself. */
export function toldBySeverity(
  kind: AlertKind,
  rule: Pick<ChannelRule, 'least' | 'also' | 'never'>,
): boolean {
  // The beginning of a backup is for a dead man's switch, and told to nobody else unless asked for.
  if (kind === 'backup_started') return false;
  if (kind === 'database_recovered') {
    const down =
      !rule.never.includes('database_down') &&
      (rule.also.includes('database_down') || toldBySeverity('database_down', rule));
    return down || rule.least === 'info';
  }
  return reaches(severityOf(kind), rule.least);
}
