/** What needs somebody, as a line with one button. */
import type { FailureCode, Need, NeedKind } from '$lib/ipc';
import { t } from '$lib/messages';

export type Remedy =
  | { act: 'back_up'; database: string }
  | { act: 'unlock' }
  | { act: 'sign_in'; destination: string }
  | { act: 'go'; to: string };

export interface NeedLine {
  text: string;
  detail: string | null;
  button: string;
  remedy: Remedy;
}

/** What means that data may be lost, or that nothing goes on until somebody does something. */
const GRAVE: readonly NeedKind[] = ['database_down', 'backup_failed', 'keyring', 'copy_lost', 'not_proved'];

/** What is about a copy, a place or a key: the databases named in it are backed up all the same. */
const BESIDE: readonly NeedKind[] = ['destination', 'channel', 'copy_lost', 'copy_owed', 'kit_unsaved'];

export function isGrave({ kind }: Pick<Need, 'kind'>): boolean {
  return GRAVE.includes(kind);
}

/** The database that is not well as long as there is this need. */
export function concerned({ kind, database_id }: Need): string | null {
  return BESIDE.includes(kind) ? null : database_id;
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
  'tunnel_failed',
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

/** A place that asks for something: it is signed in to here, or looked at on its own page. */
function place(need: Need, name: string): Omit<NeedLine, 'detail'> {
  const signIn = need.failure?.code === 'sign_in_needed';
  const text = signIn ? t('need.sign_in', { name }) : t('need.destination', { name });
  return signIn && need.destination_id
    ? { text, button: t('drive.again'), remedy: { act: 'sign_in', destination: need.destination_id } }
    : { text, button: t('need.show_destination'), remedy: { act: 'go', to: '/destinations' } };
}

/** A backup whose copy is in trouble. */
function backup(need: Need): Pick<NeedLine, 'button' | 'remedy'> {
  const to = need.backup_id ? `/backups/${need.backup_id}` : page(need);
  return { button: t('need.show_backup'), remedy: { act: 'go', to } };
}

export function needLine(need: Need): NeedLine {
  const name = need.database_name ?? '';
  const detail = need.failure?.message ?? null;
  const now: Pick<NeedLine, 'button' | 'remedy'> = need.database_id
    ? { button: t('action.back_up_now'), remedy: { act: 'back_up', database: need.database_id } }
    : { button: t('need.show'), remedy: { act: 'go', to: page(need) } };
  switch (need.kind) {
    case 'database_down':
      return {
        text: need.failure
          ? t('need.database_down_why', { name, why: t(`failure.${need.failure.code}`) })
          : t('need.database_down', { name }),
        detail,
        button: t('need.look'),
        remedy: { act: 'go', to: page(need, need.database_id ? '/availability' : '') },
      };
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
    case 'destination':
      return { ...place(need, need.destination_name ?? ''), detail };
    case 'channel':
      return {
        text: t('need.channel', { name: need.destination_name ?? '' }),
        detail,
        button: t('need.look'),
        remedy: { act: 'go', to: '/notifications' },
      };
    case 'copy_lost':
      return {
        text: t('need.copy_lost', { name, place: need.destination_name ?? '' }),
        detail,
        ...backup(need),
      };
    case 'copy_owed':
      return {
        text: t('need.copy_owed', { name, place: need.destination_name ?? '' }),
        detail,
        ...backup(need),
      };
    case 'not_proved':
      return {
        text: t('need.not_proved', { name }),
        detail,
        button: t('need.show_report'),
        remedy: { act: 'go', to: need.run_id ? `/runs/${need.run_id}` : `/backups/${need.backup_id}` },
      };
    case 'unproved':
      return {
        text: t('need.unproved', { name }),
        detail: t('need.unproved_detail'),
        ...backup(need),
      };
    case 'kit_unsaved':
      return {
        text: t('need.kit_unsaved'),
        detail: t('need.kit_unsaved_detail'),
        button: t('kit.save'),
        remedy: { act: 'go', to: '/settings#keys' },
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
