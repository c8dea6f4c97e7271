/** How a copy of a backup is, in an icon's tone and a few words. */
import type { Tone } from '$components';
import type { CopyState, CopyView } from '$lib/ipc';
import { t } from '$lib/messages';

const TONES: Record<CopyState, Tone> = {
  wanted: 'waiting',
  present: 'ok',
  missing: 'bad',
  damaged: 'bad',
  deleting: 'waiting',
};

/** Whether it is there, and can be read as far as anybody knows. */
export function isGood({ state }: Pick<CopyView, 'state'>): boolean {
  return state === 'present';
}

export function copyLook({ state }: Pick<CopyView, 'state'>): { tone: Tone; word: string } {
  return { tone: TONES[state], word: t(`copy_state.${state}`) };
}
