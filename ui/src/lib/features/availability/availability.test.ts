import { describe, expect, test } from 'vitest';
import type { DatabaseSummary, HealthView, TimeIn } from '$lib/ipc';
import { useTransport } from '$lib/ipc';
import { Fixture } from '$lib/ipc/fixture';
import { databaseLook } from '../databases/words';
import { OverviewState } from '../overview/overview.svelte';
import { CheckForm } from './check-form.svelte';
import { MaintenanceForm } from './maintenance-form.svelte';
import { answerWords, partsOf, timeWords, unwatched } from './parts';
import { serverFacts } from './server';
import { Watch } from './watch.svelte';
import { FOREVER, healthLook, maintenanceWords, mutedWords } from './words';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const NOW = new Date('2026-11-28T12:00:00').getTime();
const plain = (text: string) => text.replace(/[\u00a0\u202f]/g, ' ');
const settle = () => new Promise((resolve) => setTimeout(resolve, 5));

const NOTHING: TimeIn = {
  up: 0,
  slow: 0,
  failing: 0,
  down: 0,
  maintenance: 0,
  asleep: 0,
  offline: 0,
  paused: 0,
  locked: 0,
};
const time = (change: Partial<TimeIn>): TimeIn => ({ ...NOTHING, ...change });

function health(state: HealthView['state'], change: Partial<HealthView> = {}): HealthView {
  return {
    state,
    since: new Date(NOW - 14 * MINUTE).toISOString(),
    checked_at: new Date(NOW - 20_000).toISOString(),
    connect_ms: null,
    answer_ms: null,
    failure: null,
    muted_until: null,
    ...change,
  };
}

const REFUSED = {
  code: 'connection_refused',
  message: 'Nothing answers.',
  hint: null,
  details: null,
} as const;

describe('a state', () => {
  test.each([
    [health({ is: 'up' }, { connect_ms: 9.6, answer_ms: 2.4 }), 'up', 'Up, 12 ms'],
    [health({ is: 'up' }), 'up', 'Up'],
    [health({ is: 'slow' }, { connect_ms: 700, answer_ms: 140 }), 'warn', 'Slow, 840 ms'],
    [health({ is: 'failing', times: 2, of: 3 }), 'half', 'Failing, 2 of 3'],
    [health({ is: 'down' }, { failure: REFUSED }), 'bad', 'Down for 14 min: connection refused'],
    [health({ is: 'down' }), 'bad', 'Down for 14 min'],
    [health({ is: 'maintenance' }), 'work', 'In maintenance'],
    [health({ is: 'no_data', why: 'asleep' }), 'none', 'No data: asleep'],
    [health({ is: 'no_data', why: 'keyring_locked' }), 'none', 'No data: keyring locked'],
    [health({ is: 'off' }), 'waiting', 'Not checked'],
    [health({ is: 'no_data', why: 'not_running' }, { checked_at: null }), 'waiting', 'Not checked yet'],
  ] as const)('is an icon and words: %#', (view, tone, word) => {
    const look = healthLook(view, NOW);
    expect([look.tone, plain(look.word)]).toEqual([tone, word]);
  });

  test('says nothing of how long in a list', () => {
    expect(healthLook(health({ is: 'down' }, { failure: REFUSED })).word).toBe('Down: connection refused');
  });

  test('is muted until a time, or until somebody says otherwise', () => {
    expect(mutedWords(new Date(NOW + HOUR).toISOString(), NOW)).toBe('Muted until 13:00');
    expect(mutedWords(FOREVER, NOW)).toBe('Muted');
  });
});

describe('a database in a list', () => {
  const [like] = new Fixture({ scenario: 'calm' }).world.databases;
  if (!like) throw new Error('the fixture has databases');
  const of = (change: Partial<DatabaseSummary>): string =>
    databaseLook({ ...like, active_run: null, ...change }).word;

  test('is down before it is anything else', () => {
    const down = health({ is: 'down' }, { failure: REFUSED });
    expect(of({ health: down })).toBe('Down: connection refused');
    expect(of({ health: down, status: 'failed', last_run: null })).toBe('Down: connection refused');
  });

  test('is slow or failing where its backups are well, and not where they are in trouble', () => {
    const slow = health({ is: 'slow' });
    expect(of({ health: slow })).toBe('Slow');
    expect(of({ health: slow, status: 'overdue' })).toBe('Overdue');
  });

  test('is as its backups are where nothing can be told', () => {
    expect(of({ health: health({ is: 'no_data', why: 'asleep' }) })).toBe('Backed up');
    expect(of({ health: null })).toBe('Backed up');
  });
});

describe('time in words', () => {
  test('is what it was spent in', () => {
    expect(plain(timeWords(time({ up: HOUR }), HOUR))).toBe('100% up');
    expect(plain(timeWords(time({ up: 48 * MINUTE, down: 12 * MINUTE }), HOUR))).toBe(
      '80.00% up · down 12 min',
    );
    expect(plain(timeWords(time({ asleep: 7.2 * HOUR }), 7.2 * HOUR))).toBe('no data: asleep 7 h 12 min');
    expect(
      plain(
        timeWords(
          time({ up: HOUR, slow: HOUR, asleep: HOUR, offline: 2 * HOUR, maintenance: HOUR }),
          DAY / 4,
        ),
      ),
    ).toBe('100% up · slow 1 h · maintenance 1 h · no data: asleep 1 h and offline 2 h');
  });

  test('tells what was not watched from what was down', () => {
    expect(timeWords(NOTHING, HOUR)).toBe('not watched');
    expect(plain(timeWords(time({ up: HOUR }), 3 * HOUR))).toBe('100% up · not watched 2 h');
    expect(unwatched(time({ up: HOUR }), HOUR + 100)).toBe(0);
  });

  test('never rounds a short outage away', () => {
    expect(plain(timeWords(time({ up: 365 * DAY - 1000, down: 1000 }), 365 * DAY))).toBe(
      '99.99% up · down 1 s',
    );
  });

  test('becomes shares of a bucket', () => {
    const parts = partsOf(time({ up: HOUR / 2, slow: HOUR / 8, failing: HOUR / 8, asleep: HOUR / 4 }), HOUR);
    expect(parts).toEqual({ ok: 0.5, warn: 0.25, bad: 0, quiet: 0, none: 0.25 });
  });

  test('has its answers beside it', () => {
    expect(plain(answerWords({ median_ms: 0.4, p95_ms: 1240 }))).toBe('median 400 µs, 95th percentile 1.2 s');
    expect(answerWords({ median_ms: null, p95_ms: null })).toBe('no answer');
  });
});

describe('what a server says of itself', () => {
  const facts = {
    at: new Date(NOW).toISOString(),
    connections: 41,
    max_connections: 97,
    transactions_left: 1_874_000_000,
    certificate_expires: new Date(NOW + 61 * DAY).toISOString(),
  };

  test('is quiet where nothing runs out', () => {
    const said = serverFacts(facts, NOW);
    expect(said.map(({ words }) => plain(words))).toEqual([
      '41 of 97 connections in use',
      '1.9 bn transaction ids left',
      'certificate expires in 61 days',
    ]);
    expect(said.some(({ warn }) => warn)).toBe(false);
  });

  test('is marked where something does', () => {
    const said = serverFacts(
      {
        ...facts,
        connections: 91,
        transactions_left: 140_000_000,
        certificate_expires: new Date(NOW + 20 * DAY).toISOString(),
      },
      NOW,
    );
    expect(said.every(({ warn }) => warn)).toBe(true);
    expect(said[2]?.words).toBe('certificate expires in 20 days');
    const gone = serverFacts({ ...facts, certificate_expires: new Date(NOW - 1).toISOString() }, NOW);
    expect(gone[2]).toMatchObject({ words: 'certificate has expired', warn: true });
  });

  test('leaves out what there is not', () => {
    expect(serverFacts({ ...facts, transactions_left: null, certificate_expires: null }, NOW)).toHaveLength(
      1,
    );
  });
});

describe('the form of a check', () => {
  const rule = {
    enabled: true,
    interval_seconds: 60,
    timeout_seconds: 10,
    failures: 3,
    sql: null,
    expected: null,
    slow_after_ms: null,
  };

  test('gives back what it was given', () => {
    expect(new CheckForm(rule).rule).toEqual(rule);
    const odd = { ...rule, interval_seconds: 45, sql: 'SELECT 2', expected: '2', slow_after_ms: 300 };
    expect(new CheckForm(odd).rule).toEqual(odd);
    expect(new CheckForm(odd).interval).toBe('own');
  });

  test.each([
    ['timeout', '0'],
    ['timeout', 'ten'],
    ['failures', ''],
    ['slow', '-1'],
  ] as const)('has no rule where %s is “%s”', (field, text) => {
    const form = new CheckForm(rule);
    form[field] = text;
    expect(form.rule).toBeUndefined();
  });

  test('takes an interval of one’s own within ten seconds and a day', () => {
    const form = new CheckForm(rule);
    form.interval = 'own';
    form.own = '9';
    expect(form.rule).toBeUndefined();
    form.own = '86400';
    expect(form.rule?.interval_seconds).toBe(86_400);
  });
});

describe('the form of a maintenance window', () => {
  test('begins at the next full hour, for the one database', () => {
    const form = new MaintenanceForm('db', undefined, 'Europe/Berlin', NOW + 20 * MINUTE);
    expect(form.window).toEqual({
      id: null,
      databases: ['db'],
      when: {
        repeats: 'never',
        from: new Date('2026-11-28T13:00:00').toISOString(),
        to: new Date('2026-11-28T14:00:00').toISOString(),
      },
      note: '',
    });
  });

  test('gives back a weekly one as it was, with its several databases', () => {
    const window = {
      id: 'w',
      databases: ['a', 'b'],
      when: {
        repeats: 'weekly' as const,
        days: ['sunday' as const],
        at: { hour: 21, minute: 0 },
        minutes: 45,
        time_zone: 'America/New_York',
      },
      note: 'VACUUM',
    };
    const form = new MaintenanceForm('a', window, 'Europe/Berlin', NOW);
    expect(form.length).toBe('own');
    expect(form.window).toEqual(window);
    form.scope = 'all';
    expect(form.window?.databases).toEqual([]);
  });

  test('takes no day that there is not, and no time that is none', () => {
    const form = new MaintenanceForm('db', undefined, 'Europe/Berlin', NOW);
    form.day = '2026-02-30';
    expect(form.window).toBeUndefined();
    form.day = '2026-02-28';
    expect(form.window).toBeDefined();
    form.time = '25:00';
    expect(form.window).toBeUndefined();
  });

  test('is said in a line', () => {
    expect(
      plain(
        maintenanceWords(
          {
            repeats: 'weekly',
            days: ['sunday'],
            at: { hour: 21, minute: 0 },
            minutes: 45,
            time_zone: 'Europe/Berlin',
          },
          NOW,
        ),
      ),
    ).toBe('Sun 21:00, for 45 min (Europe/Berlin)');
    expect(
      plain(
        maintenanceWords(
          { repeats: 'weekly', days: [], at: { hour: 3, minute: 5 }, minutes: 60, time_zone: 'UTC' },
          NOW,
        ),
      ),
    ).toBe('Every day 03:05, for 1 h (UTC)');
    const from = new Date(NOW + DAY).toISOString();
    const to = new Date(NOW + DAY + 2 * HOUR).toISOString();
    expect(plain(maintenanceWords({ repeats: 'never', from, to }, NOW))).toBe('tomorrow 12:00, for 2 h');
  });
});

describe('a watch', () => {
  const begin = () => {
    const fixture = new Fixture({ scenario: 'watch' });
    useTransport(fixture);
    const id = fixture.world.databases[0]?.id ?? '';
    const watch = new Watch(id);
    const asked = (command: string) => fixture.calls.filter((call) => call.command === command);
    return { fixture, id, watch, asked };
  };

  test('asks for as many buckets as there are pixels, and again only for another width', async () => {
    const { watch, asked } = begin();
    const stop = watch.start();
    watch.measure(900);
    await settle();
    watch.measure(910);
    await settle();
    expect(asked('availability')).toHaveLength(1);
    expect(watch.stretch.data?.buckets.length).toBeLessThanOrEqual(900);
    watch.measure(500);
    await settle();
    expect(asked('availability')).toHaveLength(2);
    expect(watch.stretch.data?.buckets.length).toBeLessThanOrEqual(500);
    stop();
  });

  test('looks closer, wider, aside, and at all of it again', async () => {
    const { watch } = begin();
    watch.measure(900);
    await settle();
    const whole = watch.shown;
    watch.zoomTo(0.25, 0.5);
    await settle();
    expect(watch.shown.to - watch.shown.from).toBeCloseTo(6 * HOUR, -4);
    expect(watch.shown.from - whole.from).toBeCloseTo(6 * HOUR, -4);
    watch.move(-0.5);
    await settle();
    expect(watch.shown.from - whole.from).toBeCloseTo(3 * HOUR, -4);
    watch.scale(0.5, 0.5);
    await settle();
    expect(watch.shown.to - watch.shown.from).toBeCloseTo(3 * HOUR, -4);
    watch.scale(100, 0.5);
    await settle();
    expect(watch.zoom).toBeUndefined();
    expect(watch.shown.to - watch.shown.from).toBeCloseTo(DAY, -4);
  });

  test('asks again once a second at most, and only of its own database', async () => {
    const { fixture, id, watch, asked } = begin();
    const stop = watch.start();
    await settle();
    for (let index = 0; index < 40; index += 1) fixture.emit({ type: 'health', database_ids: [id] });
    await settle();
    expect(asked('watch_page')).toHaveLength(2);
    fixture.emit({ type: 'health', database_ids: ['another'] });
    await new Promise((resolve) => setTimeout(resolve, 1100));
    expect(asked('watch_page')).toHaveLength(3);
    stop();
  });

  test('is what the overview asks again for too, once a second at most', async () => {
    const { fixture, asked } = begin();
    const overview = new OverviewState();
    const stop = overview.start();
    await settle();
    for (let index = 0; index < 40; index += 1) fixture.emit({ type: 'health', database_ids: ['any'] });
    await settle();
    expect(asked('overview')).toHaveLength(2);
    stop();
  });
});

describe('made-up checks', () => {
  test('fill every bucket, come out the same twice, and agree with themselves', async () => {
    const now = NOW;
    const answers = [1, 2].map(async () => {
      const fixture = new Fixture({ scenario: 'watch', now });
      return fixture.invoke('availability', {
        request: {
          database_id: fixture.world.databases[0]?.id,
          from: new Date(now - 30 * DAY).toISOString(),
          to: new Date(now).toISOString(),
          points: 800,
        },
      });
    });
    const [first, second] = await Promise.all(answers);
    expect(first).toEqual(second);
    const { total, incidents } = first as { total: TimeIn; incidents: unknown[] };
    expect(total.down).toBeGreaterThan(30 * MINUTE);
    expect(total.asleep).toBeGreaterThan(5 * DAY);
    expect(total.offline).toBeGreaterThan(0);
    expect(total.maintenance).toBeGreaterThan(0);
    expect(Object.values(total).reduce((sum, each) => sum + each, 0)).toBeLessThanOrEqual(30 * DAY + 1000);
    expect(incidents.length).toBeGreaterThan(1);
  });
});
