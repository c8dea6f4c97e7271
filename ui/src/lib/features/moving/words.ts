/** What an export holds and what was taken over, in words. */
import { formatList } from '$lib/format';
import type { ExportView, ImportReport } from '$lib/ipc';
import { t } from '$lib/messages';

export interface Content {
  label: string;
  words: string;
}

/** Each kind of thing in an export: how many there are, and how many of them are new here. */
export function contents(view: ExportView): Content[] {
  const counted = (['servers', 'destinations', 'plans', 'channels'] as const).map((kind) => ({
    label: t(`import_kind.${kind}`),
    words: count(view[kind]),
  }));
  const secrets = view.secrets === 0 ? t('import.no_secrets') : t('import.secrets', { n: view.secrets });
  return [...counted, { label: t('import_kind.secrets'), words: secrets }];
}

function count({ there, new: unknown }: ExportView['servers']): string {
  if (there === 0) return t('import.none');
  if (unknown === 0) return t('import.known', { n: there });
  return unknown === there ? t('import.all_new', { n: there }) : t('import.some_new', { there, unknown });
}

/** What was taken over, as a sentence. */
export function taken({ servers, destinations, plans, channels, secrets }: ImportReport): string {
  const things = [
    ...(servers > 0 ? [t('import.servers_added', { n: servers })] : []),
    ...(destinations > 0 ? [t('import.destinations_added', { n: destinations })] : []),
    ...(plans > 0 ? [t('import.plans_added', { n: plans })] : []),
    ...(channels > 0 ? [t('import.channels_added', { n: channels })] : []),
    ...(secrets > 0 ? [t('import.secrets_added', { n: secrets })] : []),
  ];
  return things.length === 0 ? t('import.nothing') : t('import.taken', { things: formatList(things) });
}
