/** How a destination is called and how it is, in words. */
import type { DestinationView, PlaceKind } from '$lib/ipc';
import type { Tone } from '$components';
import { t } from '$lib/messages';

/** In the order in which they are offered. */
export const KINDS: readonly PlaceKind[] = [
  'folder',
  's3',
  'sftp',
  'webdav',
  'ftp',
  'azblob',
  'gcs',
  'drive',
];

/** A folder as people write it, below the home directory with a tilde; anything else by its name. */
export function destinationName({
  name,
  kind,
  location,
}: Pick<DestinationView, 'name' | 'kind' | 'location'>): string {
  return kind === 'folder' && !name.startsWith('~/') ? location : name;
}

/** The failures that have a word of their own beside a destination; the sentence stands below it. */
const WORDED = [
  'destination_unreachable',
  'destination_denied',
  'destination_missing',
  'destination_read_only',
  'sign_in_needed',
  'keyring_locked',
] as const;

export function destinationLook({ failure }: Pick<DestinationView, 'failure'>): { tone: Tone; word: string } {
  if (!failure) return { tone: 'ok', word: t('destination.good') };
  const worded = WORDED.find((code) => code === failure.code) ?? 'other';
  return { tone: 'bad', word: t(`destination_state.${worded}`) };
}
