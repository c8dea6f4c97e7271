/** Failures that are mended where they are shown, by a press. */
import type { Failure } from '$lib/ipc';

export type Remedy = { by: 'unlock' } | { by: 'accept'; line: string };

export function remedyOf({ code, details }: Failure): Remedy | undefined {
  if (code === 'keyring_locked') return { by: 'unlock' };
  // A key that changed may be somebody else's: that one is not to be accepted with a press.
  if (code === 'host_key_unknown' && details) return { by: 'accept', line: details };
  return undefined;
}
