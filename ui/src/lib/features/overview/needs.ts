/** What needs somebody, as a line with one button. */
import type { FailureCode, Need } from '$lib/ipc';
import { t } from '$lib/messages';

export type Remedy = { act: 'back_up'; database: string } | { act: 'unlock' } | { act: 'go'; to: string };

export interface NeedLine {
  text: string;
  detail: string | null;
  button: string;
  remedy: Remedy;
}

/** Failures that another password, role or address would heal. */
const CONNECTION: readonly FailureCode[] = [
  'invalid_connection',
  'password_required',
  'authentication_failed',
  'role_not_found',
  'database_not_found',
  'tls_unavailable',
  'tls_untrusted',
  'tls_required',
  'pooler_unsuitable',
];

/** Failures that another folder would heal. */
const DESTINATION: readonly FailureCode[] = [
  'destination_missing',
  'destination_read_only',
  'destination_failed',
  'disk_full',
];

/** Failures for which a run's page shows what would mend them. */
const RIGHTS: readonly FailureCode[] = ['permission_denied', 'row_security'];

function page(need: Need, part = ''): string {
  return need.database_id ? `/databases/${need.database_id}${part}` : '/';
}

function failed(need: Need): Pick<NeedLine, 'button' | 'remedy'> {
  const code = need.failure?.code;
  if (code && CONNECTION.includes(code)) {
    return { button: t('need.edit_connection'), remedy: { act: 'go', to: page(need, '?edit=connection') } };
  }
  if (code && DESTINATION.includes(code)) {
    return { button: t('need.edit_plan'), remedy: { act: 'go', to: page(need, '?edit=plan') } };
  }
  const to = need.run_id ? `/runs/${need.run_id}` : page(need);
  return code && RIGHTS.includes(code)
    ? { button: t('need.show_fix'), remedy: { act: 'go', to } }
    : { button: t('need.show_run'), remedy: { act: 'go', to } };
}

export function needLine(need: Need): NeedLine {
  const name = need.database_name ?? '';
  const detail = need.failure?.message ?? null;
  const now: Pick<NeedLine, 'button' | 'remedy'> = need.database_id
    ? { button: t('action.back_up_now'), remedy: { act: 'back_up', database: need.database_id } }
    : { button: t('need.show'), remedy: { act: 'go', to: page(need) } };
  switch (need.kind) {
    case 'backup_failed':
      return { text: t('need.backup_failed', { name }), detail, ...failed(need) };
    case 'overdue':
      return { text: t('need.overdue', { name }), detail, ...now };
    case 'never_backed_up':
      return { text: t('need.never_backed_up', { name }), detail, ...now };
    case 'keyring':
      return {
        text: t('need.keyring'),
        detail: detail ?? t('need.keyring_detail'),
        button: t('need.open_settings'),
        // What is locked can be unlocked; what is absent has to be installed, and the settings say so.
        remedy: need.failure?.code === 'keyring_locked' ? { act: 'unlock' } : { act: 'go', to: '/settings' },
      };
    case 'database_vanished':
      return {
        text: t('need.database_vanished', { name }),
        detail: detail ?? t('need.database_vanished_detail'),
        button: t('need.show'),
        remedy: { act: 'go', to: page(need) },
      };
    case 'no_plan':
      return {
        text: t('need.no_plan', { name }),
        detail,
        button: t('need.make_plan'),
        remedy: { act: 'go', to: page(need, '?edit=plan') },
      };
  }
}
