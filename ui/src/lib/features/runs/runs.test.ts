import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { useTransport, type LogLine, type Progress, type RunState, type RunView } from '$lib/ipc';
import { Fixture } from '$lib/ipc/fixture';
import { Announcer } from './announcer.svelte';
import { compare } from './compare';
import { MOST_LINES, RunDetail } from './run.svelte';
import { Runs } from './runs.svelte';
import { lookOf, remaining, share } from './words';

const progress: Progress = {
  table: null,
  tables_done: 0,
  tables_total: null,
  rows: 0,
  raw_bytes: 0,
  raw_bytes_expected: null,
  stored_bytes: 0,
  bytes_per_second: 0,
  elapsed_ms: 0,
};
const dumping: RunState = { state: 'running', phase: 'dumping' };
const line = (at: number, text: string): LogLine => ({ at: new Date(at).toISOString(), level: 'info', text });
const settle = () => new Promise((resolve) => setTimeout(resolve));

describe('how far a run is', () => {
  test('goes by the expected bytes, and never says all before the end', () => {
    expect(share(dumping, { ...progress, raw_bytes: 62, raw_bytes_expected: 100 })).toBeCloseTo(0.62);
    expect(share(dumping, { ...progress, raw_bytes: 130, raw_bytes_expected: 100 })).toBe(0.99);
  });

  test('goes by the tables where no bytes are expected', () => {
    expect(share(dumping, { ...progress, tables_done: 9, tables_total: 32 })).toBe(0.25);
    expect(share(dumping, { ...progress, tables_done: 0, tables_total: 32 })).toBe(0);
  });

  test('is not said where nobody knows', () => {
    expect(share(dumping, progress)).toBeUndefined();
    expect(
      share({ state: 'running', phase: 'connecting' }, { ...progress, raw_bytes_expected: 9 }),
    ).toBeUndefined();
    expect(share({ state: 'queued' }, progress)).toBeUndefined();
  });

  test('tells what is left by the rate', () => {
    const at = { ...progress, raw_bytes: 40, raw_bytes_expected: 100, bytes_per_second: 30 };
    expect(remaining(dumping, at)).toBe(2000);
    expect(remaining(dumping, { ...at, bytes_per_second: 0 })).toBeUndefined();
  });
});

describe('a run’s state', () => {
  const look = (state: RunState, failure: RunView['failure'] = null) =>
    lookOf({ state, failure, progress: { ...progress, raw_bytes: 62, raw_bytes_expected: 100 } });

  test.each<[RunState, string, string]>([
    [{ state: 'queued' }, 'waiting', 'In line'],
    [{ state: 'waiting', reason: 'keyring' }, 'waiting', 'Waiting for the keyring'],
    [dumping, 'running', 'Running 62%'],
    [{ state: 'running', phase: 'finishing' }, 'running', 'Finishing'],
    [{ state: 'succeeded' }, 'ok', 'Done'],
    [{ state: 'failed' }, 'bad', 'Failed'],
    [{ state: 'cancelled' }, 'off', 'Cancelled'],
    [{ state: 'interrupted' }, 'warn', 'Interrupted'],
    [{ state: 'skipped', reason: 'still_running' }, 'none', 'Skipped: the last one was at work'],
    [{ state: 'skipped', reason: 'other_machine' }, 'none', 'Left to another machine'],
  ])('%o is %s: %s', (state, tone, word) => {
    expect(look(state)).toEqual({ tone, word });
  });

  test('names why it failed', () => {
    const failure = { code: 'authentication_failed', message: '', hint: null, details: null } as const;
    expect(look({ state: 'failed' }, failure).word).toBe('Failed: password rejected');
  });
});

describe('a backup beside the last ones', () => {
  const backup = (stored: number, seconds: number) => ({
    ...new Fixture().world.backups[0]!, // eslint-disable-line @typescript-eslint/no-non-null-assertion
    stored_bytes: stored,
    started_at: '2026-11-22T03:00:00Z',
    finished_at: new Date(Date.parse('2026-11-22T03:00:00Z') + seconds * 1000).toISOString(),
  });

  test('has nothing to be compared with when it is the first', () => {
    expect(compare(backup(100, 1), [])).toBeUndefined();
  });

  test('is measured by the median, so that one odd one does not count', () => {
    const earlier = [backup(100e6, 10), backup(100e6, 11), backup(900e6, 90)];
    expect(compare(backup(100.2e6, 12), earlier)).toEqual({ size: 'As big as usual', duration: '11\u00a0s' });
    expect(compare(backup(104e6, 12), earlier)?.size).toBe('4\u00a0MB (4%) bigger than usual');
    expect(compare(backup(50e6, 12), earlier)?.size).toBe('50\u00a0MB (50%) smaller than usual');
  });
});

describe('a run’s page', () => {
  let fixture: Fixture;
  let running: RunView;
  let detail: RunDetail;
  let stop: () => void;

  beforeEach(async () => {
    fixture = new Fixture();
    useTransport(fixture);
    const run = fixture.world.runs.find((each) => each.state.state === 'running');
    if (!run) throw new Error('the fixture has a running run');
    running = run;
    detail = new RunDetail(run.id);
    stop = detail.start();
    await settle();
  });

  afterEach(() => stop());

  test('follows its progress', () => {
    fixture.emit({
      type: 'progress',
      run_id: running.id,
      state: { state: 'running', phase: 'finishing' },
      progress: { ...progress, rows: 7 },
    });
    expect(detail.run?.progress.rows).toBe(7);
    expect(detail.run?.state).toEqual({ state: 'running', phase: 'finishing' });
  });

  test('does not heed another run', () => {
    const before = detail.run;
    fixture.emit({ type: 'progress', run_id: 'other', state: dumping, progress });
    fixture.emit({ type: 'log', run_id: 'other', lines: [line(1, 'not mine')] });
    expect(detail.run).toBe(before);
    expect(detail.log.some((each) => each.text === 'not mine')).toBe(false);
  });

  test('adds new lines to its log', () => {
    const before = detail.log.length;
    fixture.emit({ type: 'log', run_id: running.id, lines: [line(Date.now(), 'one more')] });
    expect(detail.log).toHaveLength(before + 1);
    expect(detail.log.at(-1)?.text).toBe('one more');
  });

  test('shows a line once that came both by event and with the page', async () => {
    const both = line(Date.now(), 'came twice');
    const late = line(Date.now() + 1, 'came by event alone');
    fixture.overrides.set('run_page', async () => {
      fixture.emit({ type: 'log', run_id: running.id, lines: [both, late] });
      await settle();
      return {
        run: running,
        log: [line(1, 'first'), both],
        log_shortened: false,
        backup: null,
        earlier: [],
      };
    });
    await detail.page.load();
    expect(detail.log.map((each) => each.text)).toEqual(['first', 'came twice', 'came by event alone']);
  });

  test('keeps no more lines than a window can hold', () => {
    const many = Array.from({ length: MOST_LINES + 50 }, (_, index) =>
      line(Date.now() + index, `line ${index}`),
    );
    fixture.emit({ type: 'log', run_id: running.id, lines: many });
    expect(detail.log).toHaveLength(MOST_LINES);
    expect(detail.log.at(-1)?.text).toBe(`line ${MOST_LINES + 49}`);
    expect(detail.shortened).toBe(true);
  });

  test('asks for its outcome when it ends', async () => {
    const asked = () => fixture.calls.filter((each) => each.command === 'run_page').length;
    const before = asked();
    await detail.cancel();
    await settle();
    expect(detail.active).toBe(false);
    expect(detail.run?.state).toEqual({ state: 'cancelled' });
    expect(asked()).toBe(before + 1);
  });

  test('asks again for everything after events were missed', async () => {
    const before = fixture.calls.length;
    fixture.emit({ type: 'missed' });
    await settle();
    expect(fixture.calls.length).toBe(before + 1);
  });

  test('does the same again where it failed', async () => {
    await detail.cancel();
    await settle();
    const id = await detail.retry();
    expect(fixture.calls.at(-1)).toEqual({
      command: 'back_up_now',
      args: { database_id: running.database_id },
    });
    expect(id).toBe(fixture.world.runs.at(-1)?.id);
  });

  test('says why it could not be cancelled', async () => {
    fixture.overrides.set('cancel_run', () => {
      throw { code: 'busy', message: 'It is ending already.', hint: null, details: null };
    });
    await detail.cancel();
    expect(detail.cancelling.failure?.message).toBe('It is ending already.');
  });
});

test('the list of runs puts a new one in front and changes a known one in its place', async () => {
  const fixture = new Fixture();
  useTransport(fixture);
  const runs = new Runs();
  const stop = runs.start();
  await settle();
  const first = runs.list.data?.[0];
  if (!first) throw new Error('the fixture has runs');
  fixture.emit({ type: 'run', run: { ...first, id: 'new', state: { state: 'queued' } } });
  expect(runs.list.data?.[0]?.id).toBe('new');
  fixture.emit({ type: 'run', run: { ...first, state: { state: 'cancelled' } } });
  expect(runs.list.data?.[1]).toMatchObject({ id: first.id, state: { state: 'cancelled' } });
  stop();
});

test('a screen reader hears of progress at most once in ten seconds, and of the last of it', () => {
  vi.useFakeTimers();
  const announcer = new Announcer();
  announcer.say('10 %');
  announcer.say('11 %');
  announcer.say('12 %');
  expect(announcer.text).toBe('10 %');
  vi.advanceTimersByTime(9_999);
  expect(announcer.text).toBe('10 %');
  vi.advanceTimersByTime(1);
  expect(announcer.text).toBe('12 %');
  announcer.stop();
  vi.useRealTimers();
});
