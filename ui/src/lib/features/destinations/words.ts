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

export function destinationLook({ failure }: Pick<DestinationView, 'failure'>): { tone: Tone; word: string } {
  return failure
    ? { tone: 'bad', word: t(`failure.${failure.code}`) }
    : { tone: 'ok', word: t('destination.good') };
}
