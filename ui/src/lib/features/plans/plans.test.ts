import { beforeEach, describe, expect, test } from 'vitest';
import { useTransport, type Plan, type Schedule } from '$lib/ipc';
import { Fixture } from '$lib/ipc/fixture';
import { PlanEditor } from './editor.svelte';
import { EncryptionForm } from './encryption.svelte';
import { KEEP_EVERYTHING, parseSize, RetentionForm, retentionSentence, writeSize } from './retention.svelte';
import { planSentence } from './sentence';
import { formatTableName, parseTableName, parseTableNames } from './table-name';
import { formatTimeOfDay, parseTimeOfDay } from './time-of-day';

const proposal = {
  schedule: { type: 'daily', at: { hour: 4, minute: 0 } } satisfies Schedule,
  time_zone: 'Europe/Berlin',
  folder: '/home/ada/Howdah',
  scope: { type: 'database', name: 'shop' } as const,
};

const saved: Plan = {
  id: 'plan',
  server_id: 'server',
  scope: { type: 'all_databases', except: ['scratch'] },
  selection: {
    schemas: ['public'],
    exclude_schemas: ['old'],
    tables: [],
    exclude_tables: [{ schema: 'public', name: 'My table' }],
    exclude_data: [],
    keep_extensions: false,
    keep_large_objects: true,
  },
  globals: false,
  schedule: { type: 'weekly', days: ['sunday', 'monday'], at: { hour: 3, minute: 30 } },
  time_zone: 'Europe/Berlin',
  destinations: ['dest', 'bucket'],
  encryption: { with: 'none' },
  retention: KEEP_EVERYTHING,
  drill: { when: 'weekly', assertions: [] },
  conditions: {
    missed: { is: 'if_older', hours: 36 },
    battery: { is: 'never' },
    metered: true,
    hours: { from: { hour: 22, minute: 0 }, to: { hour: 6, minute: 30 } },
  },
  level: 3,
  enabled: false,
  created_at: '2026-11-22T03:00:00Z',
};

describe('a time of day', () => {
  test.each([
    ['4', '04:00'],
    ['04:00', '04:00'],
    ['4.30', '04:30'],
    ['0430', '04:30'],
    ['16h15', '16:15'],
    [' 4 pm ', '16:00'],
    ['12am', '00:00'],
    ['12:05 p.m.', '12:05'],
    ['23:59', '23:59'],
  ])('%s is %s', (typed, shown) => {
    const at = parseTimeOfDay(typed);
    expect(at && formatTimeOfDay(at)).toBe(shown);
  });

  test.each(['', '24:00', '4:60', '13 pm', '0 am', 'noon', '4:3', '4:000'])('%j is none', (typed) => {
    expect(parseTimeOfDay(typed)).toBeUndefined();
  });
});

describe('a table’s name', () => {
  test.each([
    ['public.orders', { schema: 'public', name: 'orders' }],
    ['"My schema"."My ""table"""', { schema: 'My schema', name: 'My "table"' }],
    ['public."a.b"', { schema: 'public', name: 'a.b' }],
    ['  größe.maße ', { schema: 'größe', name: 'maße' }],
  ])('%s is read', (text, name) => {
    expect(parseTableName(text)).toEqual(name);
  });

  test.each(['orders', 'a.b.c', '.b', 'a.', 'a b.c', '"a.b'])('%s is none', (text) => {
    expect(parseTableName(text)).toBeUndefined();
  });

  test('is written so that it is read the same', () => {
    for (const name of [
      { schema: 'public', name: 'orders' },
      { schema: 'My schema', name: 'a "b" c' },
      { schema: 'A', name: 'x.y' },
    ]) {
      expect(parseTableName(formatTableName(name))).toEqual(name);
    }
  });

  test('stands alone on its line', () => {
    expect(parseTableNames('public.a\n\n nonsense \npublic.b')).toEqual({
      names: [
        { schema: 'public', name: 'a' },
        { schema: 'public', name: 'b' },
      ],
      wrong: ['nonsense'],
    });
  });
});

describe('a plan’s sentence', () => {
  const at = { hour: 4, minute: 5 };
  test.each<[Schedule, string]>([
    [{ type: 'hourly', minute: 5 }, 'Every hour at minute 05 (Europe/Berlin), back up shop into ~/Howdah.'],
    [{ type: 'daily', at }, 'Every day at 04:05 (Europe/Berlin), back up shop into ~/Howdah.'],
    [
      { type: 'weekly', days: ['sunday', 'monday', 'friday'], at },
      'Every week on Mon, Fri and Sun at 04:05 (Europe/Berlin), back up shop into ~/Howdah.',
    ],
    [
      { type: 'monthly', day: 31, at },
      'Every month on day 31 at 04:05 (Europe/Berlin), back up shop into ~/Howdah.',
    ],
    [
      { type: 'cron', expression: '0 4 * * 1-5' },
      'By cron 0 4 * * 1-5 (Europe/Berlin), back up shop into ~/Howdah.',
    ],
    [{ type: 'manual' }, 'Only when asked, back up shop into ~/Howdah.'],
  ])('%o is said', (schedule, sentence) => {
    expect(planSentence({ ...proposal, schedule, places: ['~/Howdah'] })).toBe(sentence);
  });

  test('names what all databases leave out', () => {
    expect(planSentence({ ...saved, places: [] })).toContain(
      'back up all databases of this server except scratch into its destinations.',
    );
  });
});

describe('the editor', () => {
  let fixture: Fixture;
  beforeEach(() => {
    fixture = new Fixture({ now: new Date('2026-11-22T15:00:00+01:00').getTime() });
    useTransport(fixture);
  });

  test('drafts what is proposed', () => {
    expect(new PlanEditor(proposal).draft('server')).toEqual({
      id: null,
      server_id: 'server',
      scope: { type: 'database', name: 'shop' },
      selection: {
        schemas: [],
        exclude_schemas: [],
        tables: [],
        exclude_tables: [],
        exclude_data: [],
        keep_extensions: false,
        keep_large_objects: false,
      },
      globals: true,
      schedule: proposal.schedule,
      time_zone: 'Europe/Berlin',
      folder: '/home/ada/Howdah',
      destinations: [],
      encryption: { with: 'none' },
      retention: KEEP_EVERYTHING,
      drill: { when: 'weekly', assertions: [] },
      conditions: {
        missed: { is: 'late' },
        battery: { is: 'at_least', percent: 20 },
        metered: false,
        hours: null,
      },
      enabled: true,
    });
  });

  test('gives a saved plan back unchanged', () => {
    const draft = new PlanEditor({ plan: saved }).draft('server');
    expect(draft).toMatchObject({
      id: 'plan',
      scope: saved.scope,
      selection: saved.selection,
      conditions: saved.conditions,
      globals: false,
      schedule: { type: 'weekly', days: ['monday', 'sunday'], at: { hour: 3, minute: 30 } },
      enabled: false,
      folder: null,
      destinations: ['dest', 'bucket'],
      encryption: { with: 'none' },
      retention: KEEP_EVERYTHING,
    });
  });

  test('tells a database that is called all from all databases', () => {
    const editor = new PlanEditor({ ...proposal, scope: { type: 'database', name: 'all' } });
    expect(editor.chosenScope).toEqual({ type: 'database', name: 'all' });
    editor.scope = 'all';
    expect(editor.chosenScope).toEqual({ type: 'all_databases', except: [] });
  });

  test('offers the databases that a test found, and all of them last', () => {
    const labels = new PlanEditor(proposal).options(['billing', 'shop']).map((option) => option.label);
    expect(labels).toEqual(['billing', 'shop', 'all databases of this server']);
  });

  test.each<[string, (editor: PlanEditor) => void, RegExp]>([
    ['no time', (editor) => (editor.time = 'late'), /04:00/],
    [
      'no minute',
      (editor) => {
        editor.often = 'hourly';
        editor.minute = '61';
      },
      /0 to 59/,
    ],
    [
      'no day of the week',
      (editor) => {
        editor.often = 'weekly';
        editor.days = [];
      },
      /at least one day/,
    ],
    [
      'no day of the month',
      (editor) => {
        editor.often = 'monthly';
        editor.day = '32';
      },
      /1 to 31/,
    ],
    ['no folder', (editor) => (editor.folder = ' '), /which folder/],
    ['no table', (editor) => (editor.excludeData = 'sessions'), /“sessions”/],
  ])('drafts nothing with %s, and says why', (_, spoil, why) => {
    const editor = new PlanEditor(proposal);
    spoil(editor);
    expect(editor.problem).toMatch(why);
    expect(editor.draft('server')).toBeUndefined();
  });

  test('shows the next five due times of what is chosen', async () => {
    const editor = new PlanEditor(proposal);
    await editor.askNextRuns(editor.schedule, editor.zone);
    expect(editor.nextRuns).toHaveLength(5);
    expect(editor.nextRuns[0]).toBe('2026-11-23T03:00:00.000Z');
  });

  test('says what is wrong with a cron expression, and drafts nothing until it is right', async () => {
    const editor = new PlanEditor(proposal);
    editor.often = 'cron';
    editor.cron = '0 4 * *';
    await editor.askNextRuns(editor.schedule, editor.zone);
    expect(editor.problem).toMatch(/five fields/);
    expect(editor.draft('server')).toBeUndefined();
    editor.cron = '0 4 * * *';
    await editor.askNextRuns(editor.schedule, editor.zone);
    expect(editor.problem).toBeUndefined();
  });

  test('forgets the answer to a question that was overtaken', async () => {
    const editor = new PlanEditor(proposal);
    let release: (times: string[]) => void = () => undefined;
    fixture.overrides.set('next_runs', () => new Promise((resolve) => (release = resolve)));
    const slow = editor.askNextRuns({ type: 'hourly', minute: 0 }, 'UTC');
    await Promise.resolve();
    await new Promise((resolve) => setTimeout(resolve));
    fixture.overrides.delete('next_runs');
    await editor.askNextRuns(editor.schedule, editor.zone);
    const shown = editor.nextRuns;
    release(['2000-01-01T00:00:00Z']);
    await slow;
    expect(editor.nextRuns).toBe(shown);
  });

  test('keeps extensions along only where a part was chosen', () => {
    const editor = new PlanEditor(proposal);
    expect(editor.selection.keep_extensions).toBe(false);
    editor.schemas = ['public'];
    expect(editor.selection).toMatchObject({ schemas: ['public'], keep_extensions: true });
  });
});

describe('a rule', () => {
  test.each([
    [KEEP_EVERYTHING, 'Keep everything.'],
    [{ ...KEEP_EVERYTHING, keep_last: 7 }, 'Keep the last 7; always at least 3 good ones.'],
    [
      { ...KEEP_EVERYTHING, daily: 7, weekly: 4, yearly: 1, min_good: 1 },
      'Keep one for each of 7 days, one for each of 4 weeks and one of the last year; always at least 1 good one.',
    ],
    [
      { ...KEEP_EVERYTHING, max_total_bytes: 50e9 },
      'Keep all; at most 50\u00a0GB together; always at least 3 good ones.',
    ],
  ])('%o is said', (rule, sentence) => {
    expect(retentionSentence(rule)).toBe(sentence);
  });

  test('is given back by the form as it was', () => {
    for (const rule of [
      KEEP_EVERYTHING,
      { ...KEEP_EVERYTHING, hourly: 24, daily: 7, max_total_bytes: 1_234_567_891, min_good: 5 },
      { ...KEEP_EVERYTHING, keep_last: 3, keep_within_days: 30, monthly: 12, yearly: 2 },
    ]) {
      expect(new RetentionForm(rule).rule).toEqual(rule);
    }
  });

  test('is none while a word makes no sense, and says which', () => {
    const form = new RetentionForm({ ...KEEP_EVERYTHING, keep_last: 3 });
    form.numbers.keep_last = '0';
    expect(form.problem).toMatch(/from 1 on/);
    form.numbers.keep_last = '3';
    form.total = 'a lot';
    expect(form.problem).toMatch(/50 GB/);
    form.total = '';
    form.good = '';
    expect(form.problem).toMatch(/At least one good/);
    expect(form.rule).toBeUndefined();
  });

  test.each([
    ['50 GB', 50e9],
    ['1.5tb', 1.5e12],
    ['1,5 T', 1.5e12],
    ['20', 20e9],
    ['512 MiB', 2 ** 29],
  ])('limits the total to %s', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
    expect(parseSize(writeSize(bytes))).toBe(bytes);
  });

  test.each(['', 'much', '5 parsecs', '-1 GB'])('knows that %j is no size', (text) => {
    expect(parseSize(text)).toBeUndefined();
  });
});

describe('encryption', () => {
  const OTHER = `age1${'q'.repeat(58)}`;
  let fixture: Fixture;
  beforeEach(() => {
    fixture = new Fixture({ scenario: 'empty' });
    useTransport(fixture);
  });

  test('asks for this machine’s key only where keys are wanted, and waits for it', async () => {
    const form = new EncryptionForm();
    expect(form.chosen).toEqual({ with: 'none' });
    form.mode = 'keys';
    expect(form.chosen).toBeUndefined();
    await form.askOwnKey();
    form.further = `\n ${OTHER} \n`;
    expect(form.chosen).toEqual({ with: 'keys', recipients: [fixture.world.keys[0]?.recipient, OTHER] });
  });

  test('keeps a plan’s recipients whether or not this machine’s key is among them', async () => {
    const form = new EncryptionForm({ with: 'keys', recipients: [OTHER] });
    expect(form.chosen).toEqual({ with: 'keys', recipients: [OTHER] });
    await form.askOwnKey();
    expect(form.own).toBe(false);
    expect(form.chosen).toEqual({ with: 'keys', recipients: [OTHER] });
  });

  test('keeps a passphrase that is there, and offers none', () => {
    expect(new EncryptionForm({ with: 'passphrase' }).chosen).toEqual({ with: 'passphrase' });
    expect(new EncryptionForm().hasPassphrase).toBe(false);
  });

  test('refuses a line that is no public key, and encryption to nobody', () => {
    const form = new EncryptionForm({ with: 'keys', recipients: ['AGE-SECRET-KEY-1QQ'] });
    expect(form.problem).toMatch(/no public key/);
    form.further = '';
    expect(form.problem).toMatch(/nobody could read/);
  });
});
