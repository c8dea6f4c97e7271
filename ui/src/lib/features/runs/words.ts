/** What a run is doing or did, in an icon's tone and a few words. */
import type { Tone } from '$components';
import { formatPercent } from '$lib/format';
import type { Phase, Progress, RunKind, RunState, RunView } from '$lib/ipc';
import { t } from '$lib/messages';

export interface Look {
  tone: Tone;
  word: string;
}

/** The phases of a kind of run, in order. */
export const PHASES: Record<RunKind, readonly Phase[]> = {
  backup: ['connecting', 'dumping', 'finishing'],
  restore: ['connecting', 'restoring', 'comparing', 'finishing'],
  verify: ['verifying'],
  drill: ['starting', 'restoring', 'comparing', 'asserting'],
  copy: ['copying'],
  prune: ['deleting'],
};

/** The place of a phase among those of its kind. A server is started, or a way to one is looked for: the first step is either. */
export function placeOf(phase: Phase, kind: RunKind): number {
  const first = phase === 'starting' || phase === 'connecting';
  return first ? 0 : PHASES[kind].indexOf(phase);
}

/** Phases in which nothing is counted. */
const UNMEASURED: readonly Phase[] = ['connecting', 'starting', 'asserting'];

export function isActive(state: RunState): boolean {
  return state.state === 'queued' || state.state === 'waiting' || state.state === 'running';
}

/** How far a run is, 0 to 1; `undefined` where nobody knows. It is never all of it before the end. */
export function share(state: RunState, progress: Progress): number | undefined {
  if (state.state !== 'running' || UNMEASURED.includes(state.phase)) return undefined;
  if (state.phase === 'finishing') return 0.99;
  const { raw_bytes, raw_bytes_expected, tables_done, tables_total } = progress;
  if (raw_bytes_expected) return Math.min(0.99, raw_bytes / raw_bytes_expected);
  // The table at work is counted as begun, so one less is done.
  if (tables_total) return Math.min(0.99, Math.max(0, tables_done - 1) / tables_total);
  return undefined;
}

/** Milliseconds that are left, where size and rate are known and there is something to tell. */
export function remaining(state: RunState, progress: Progress): number | undefined {
  if (state.state !== 'running' || state.phase === 'finishing') return undefined;
  const { raw_bytes, raw_bytes_expected, bytes_per_second } = progress;
  if (!raw_bytes_expected || bytes_per_second === 0 || raw_bytes >= raw_bytes_expected) return undefined;
  return ((raw_bytes_expected - raw_bytes) / bytes_per_second) * 1000;
}

/** A run's state for a list. */
export function lookOf(run: Pick<RunView, 'state' | 'progress' | 'failure'>): Look {
  const { state } = run;
  switch (state.state) {
    case 'queued':
      return { tone: 'waiting', word: t('run.queued') };
    case 'waiting':
      return { tone: 'waiting', word: t(`wait.${state.reason}`) };
    case 'running': {
      const done = share(state, run.progress);
      return done === undefined || state.phase === 'finishing'
        ? { tone: 'running', word: t(`phase.${state.phase}`) }
        : { tone: 'running', word: t('run.running', { share: formatPercent(done) }) };
    }
    case 'succeeded':
      return { tone: 'ok', word: t('run.succeeded') };
    case 'failed':
      return {
        tone: 'bad',
        word: run.failure ? t('run.failed_why', { why: t(`failure.${run.failure.code}`) }) : t('run.failed'),
      };
    case 'cancelled':
      return { tone: 'off', word: t('run.cancelled') };
    case 'interrupted':
      return { tone: 'warn', word: t('run.interrupted') };
    case 'skipped':
      return { tone: 'none', word: t(`skip.${state.reason}`) };
  }
}

/** Whether a run goes on as soon as the keyring is open. */
export function waitsForKeyring({ state }: Pick<RunView, 'state'>): boolean {
  return state.state === 'waiting' && state.reason === 'keyring';
}

/** Milliseconds a run worked; `undefined` where it never did. */
export function workedFor(run: RunView): number | undefined {
  if (!run.started_at || !run.finished_at) return undefined;
  return Date.parse(run.finished_at) - Date.parse(run.started_at);
}
