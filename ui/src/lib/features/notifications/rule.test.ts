import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { AlertKind, ChannelRule } from '$lib/ipc';
import { CHOICE, severityOf, toldBySeverity } from './alert-kinds';
import { DEFAULT_RULE, RuleForm } from './rule-form.svelte';
import { ruleSentence } from './rule-sentence';

const at = (hour: number, minute = 0) => ({ hour, minute });
const DATABASES = [
  { id: 'a', name: 'shop', server_name: 'vps' },
  { id: 'b', name: 'billing', server_name: 'vps' },
];

const FULL: ChannelRule = {
  least: 'critical',
  also: ['backup_succeeded', 'database_slow'],
  never: ['database_down'],
  databases: { which: 'environments', environments: ['production', 'none'] },
  quiet: { from: at(22), to: at(7, 30) },
  again_minutes: 45,
  summary: { day: 'friday', at: at(17) },
};

describe('the kinds of what happens', () => {
  test('are all offered but those that nobody chooses', () => {
    const all = readFileSync('src/lib/ipc/generated/AlertKind.ts', 'utf8').matchAll(/"([a-z_]+)"/g);
    const offered = [...all].map(([, kind]) => kind).filter((kind) => kind !== 'summary' && kind !== 'test');
    expect([...CHOICE].sort()).toEqual(offered.sort());
  });

  test('are told by default where somebody is needed, and so is the end of that', () => {
    for (const kind of CHOICE) {
      const told = severityOf(kind) !== 'info' || kind === 'database_recovered';
      expect(toldBySeverity(kind, DEFAULT_RULE), kind).toBe(told);
    }
  });

  test('end for those who heard of the beginning', () => {
    const told = (rule: Partial<ChannelRule>) =>
      toldBySeverity('database_recovered', { ...DEFAULT_RULE, least: 'critical', ...rule });
    expect(told({})).toBe(true);
    expect(told({ never: ['database_down'] })).toBe(false);
    expect(toldBySeverity('backup_started', { ...DEFAULT_RULE, least: 'info' })).toBe(false);
  });
});

describe('a rule in its form', () => {
  test.each<[string, ChannelRule]>([
    ['nothing but the default', DEFAULT_RULE],
    ['everything', FULL],
    ['these databases', { ...DEFAULT_RULE, databases: { which: 'these', ids: ['b', 'gone'] } }],
    ['a daily summary', { ...DEFAULT_RULE, summary: { day: null, at: at(0, 5) } }],
  ])('comes out as it went in: %s', (_, rule) => {
    const form = new RuleForm(rule);
    expect(form.problem).toBeUndefined();
    expect(form.rule).toEqual(rule);
  });

  test('makes an exception of a kind, and takes it back', () => {
    const form = new RuleForm();
    form.treat('backup_succeeded', 'always');
    form.treat('disk_low', 'never');
    expect(form.exceptions).toBe(2);
    expect(form.rule).toMatchObject({ also: ['backup_succeeded'], never: ['disk_low'] });
    form.treat('disk_low', 'severity');
    expect(form.rule.never).toEqual([]);
    expect(form.exceptions).toBe(1);
  });

  test('lets never win where a rule says both', () => {
    const both: AlertKind[] = ['disk_low'];
    expect(new RuleForm({ ...DEFAULT_RULE, also: both, never: both }).rule).toMatchObject({
      also: [],
      never: both,
    });
  });

  test('says what is missing, and leaves it out of the rule meanwhile', () => {
    const form = new RuleForm();
    form.which = 'environments';
    expect(form.problem).toBe('Choose at least one environment.');
    form.choose('staging', true);
    expect(form.problem).toBeUndefined();
    form.which = 'these';
    expect(form.problem).toBe('Choose at least one database.');
    form.which = 'all';
    form.quiet = true;
    form.quietFrom = '25:00';
    expect(form.wrongFrom).toBe(true);
    expect(form.problem).toBe('Write quiet hours as 22:00 and 07:00.');
    expect(form.rule.quiet).toBeNull();
    form.quietFrom = '10 pm';
    expect(form.rule.quiet).toEqual({ from: at(22), to: at(7) });
    form.again = true;
    for (const wrong of ['', '0', '1441', 'often']) {
      form.againMinutes = wrong;
      expect(form.problem).toBe('Between 1 and 1440 minutes.');
    }
    form.againMinutes = ' 5 ';
    form.summary = 'weekly';
    form.summaryAt = 'noon';
    expect(form.problem).toBe('Write the time of the summary as 08:00.');
    form.summaryAt = '12';
    expect(form.rule).toMatchObject({ again_minutes: 5, summary: { day: 'monday', at: at(12) } });
  });

  test('keeps what was typed where it is turned off and on again', () => {
    const form = new RuleForm(FULL);
    form.quiet = false;
    form.summary = 'none';
    expect(form.rule).toMatchObject({ quiet: null, summary: null });
    form.quiet = true;
    form.summary = 'weekly';
    expect(form.rule).toEqual(FULL);
  });
});

describe('a rule in words', () => {
  test.each<[string, Partial<ChannelRule>]>([
    ['Critical and warnings', {}],
    ['Only critical', { least: 'critical' }],
    ['Everything, never “Database slow”', { least: 'info', never: ['database_slow'] }],
    [
      'Critical and warnings, of production, quiet 22:00–07:00',
      {
        databases: { which: 'environments', environments: ['production'] },
        quiet: { from: at(22), to: at(7) },
      },
    ],
    ['Critical and warnings, of shop and billing', { databases: { which: 'these', ids: ['a', 'b'] } }],
    [
      'Critical and warnings, of shop and a database that is gone',
      { databases: { which: 'these', ids: ['a', 'x'] } },
    ],
    ['Critical and warnings, of 3 databases', { databases: { which: 'these', ids: ['a', 'b', 'x'] } }],
    ['Critical and warnings, of no database', { databases: { which: 'these', ids: [] } }],
    [
      'Critical and warnings, also 3 kinds more',
      { also: ['backup_started', 'backup_succeeded', 'restore_succeeded'] },
    ],
  ])('%s', (words, rule) => {
    const sentence = ruleSentence({ ...DEFAULT_RULE, ...rule }, DATABASES);
    expect(sentence).toBe(words);
  });

  test('says everything of a rule that says everything', () => {
    expect(ruleSentence(FULL)).toBe(
      'Only critical, also “Backup succeeded” and “Database slow”, never “Database down”, of production and untagged databases, quiet 22:00–07:30, again every 45\u00a0min while down, a summary on Friday at 17:00',
    );
  });

  test('says of a dead man’s switch what it hears, whatever its rule says', () => {
    expect(ruleSentence(FULL, [], 'ping')).toBe(
      'Start, success and failure of backups, of production and untagged databases',
    );
    expect(ruleSentence(DEFAULT_RULE, [], 'ping')).toBe('Start, success and failure of backups');
  });
});
