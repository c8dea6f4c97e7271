import { describe, expect, test } from 'vitest';
import {
  formatBytes,
  formatClock,
  formatCount,
  formatDateTime,
  formatDay,
  formatDue,
  formatDuration,
  formatExact,
  formatLatency,
  formatLength,
  formatMonth,
  formatNumber,
  formatPercent,
  formatRate,
  formatRelative,
  formatShortDay,
  formatStretch,
  formatTime,
  formatUptime,
  weekdayNames,
} from '.';
import { setLocale } from './locale';

/** With plain spaces, to read. */
const plain = (text: string) => text.replace(/[\u00a0\u202f]/g, ' ');

describe('sizes', () => {
  test.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1 kB'],
    [46_200_000, '46.2 MB'],
    [99_960_000, '100 MB'],
    [812_400_000, '812 MB'],
    [999_600_000, '1 GB'],
    [1_240_000_000, '1.2 GB'],
    [12_400_000_000, '12.4 GB'],
    [7e15, '7 PB'],
  ])('%d bytes are %s', (bytes, text) => {
    expect(plain(formatBytes(bytes))).toBe(text);
  });

  test('a number and its unit never part', () => {
    expect(formatBytes(1e9)).not.toContain(' ');
    expect(formatRate(61e6)).not.toContain(' ');
    expect(formatBytes(12)).not.toContain(' ');
  });

  test('a rate is never in single bytes', () => {
    expect(plain(formatRate(61_000_000))).toBe('61 MB/s');
    expect(plain(formatRate(500))).toBe('0.5 kB/s');
  });

  test('follow the locale', () => {
    setLocale('de-DE');
    expect(plain(formatBytes(12_400_000_000))).toBe('12,4 GB');
    expect(formatNumber(12345)).toBe('12.345');
    expect(plain(formatPercent(0.62))).toBe('62 %');
  });
});

describe('counts', () => {
  test.each([
    [0, '0'],
    [12_345, '12,345'],
    [999_999, '999,999'],
    [4_100_000, '4.1 M'],
    [41_249_999, '41.2 M'],
    [999_949_999, '999.9 M'],
    [1_000_000_000, '1 bn'],
  ])('%d is %s', (count, text) => {
    expect(plain(formatCount(count))).toBe(text);
  });
});

describe('durations', () => {
  test.each([
    [-5, '0 s'],
    [420, '0.4 s'],
    [9_949, '9.9 s'],
    [13_000, '13 s'],
    [59_600, '1 min 00 s'],
    [125_000, '2 min 05 s'],
    [3_599_400, '59 min 59 s'],
    [3_840_000, '1 h 04 min'],
    [90_000_000, '25 h 00 min'],
  ])('%d ms are %s', (milliseconds, text) => {
    expect(plain(formatDuration(milliseconds))).toBe(text);
  });

  test.each([
    [0, '00:00'],
    [13_999, '00:13'],
    [3_729_000, '1:02:09'],
  ])('a clock at %d ms shows %s', (milliseconds, text) => {
    expect(formatClock(milliseconds)).toBe(text);
  });
});

describe('times', () => {
  const now = new Date('2026-11-22T15:00:00+01:00').getTime();
  const after = (milliseconds: number) => new Date(now + milliseconds).toISOString();
  const MINUTE = 60_000;
  const HOUR = 60 * MINUTE;
  const DAY = 24 * HOUR;

  test.each([
    [0, 'just now'],
    [-44_000, 'just now'],
    [-46_000, '1 min ago'],
    [-59 * MINUTE, '59 min ago'],
    [-60 * MINUTE, '1 h ago'],
    [-23 * HOUR, '23 h ago'],
    [-24 * HOUR, '1 d ago'],
    [-41 * HOUR, '1 d ago'],
    [-65 * HOUR, '2 d ago'],
    [-20 * DAY, '20 d ago'],
    [-30 * DAY, '23 Oct'],
    [-400 * DAY, '18 Oct 2025'],
    [30_000, 'in a moment'],
    [5 * MINUTE, 'in 5 min'],
    [3 * HOUR, 'in 3 h'],
    [2 * DAY, 'in 2 d'],
  ])('%d ms from now is %s', (distance, text) => {
    expect(plain(formatRelative(after(distance), now))).toBe(text);
  });

  test('what is due before the same hour tomorrow is named by its time alone', () => {
    expect(formatDue('2026-11-23T04:00:00+01:00', now)).toBe('04:00');
    expect(formatDue('2026-11-23T14:30:00+01:00', now)).toBe('tomorrow 14:30');
    expect(formatDue('2026-11-25T04:00:00+01:00', now)).toBe('Wed 04:00');
    expect(formatDue('2026-12-25T04:00:00+01:00', now)).toBe('25 Dec 04:00');
  });

  test('a day is said as people say it', () => {
    expect(formatDay('2026-11-22T04:00:00+01:00', now)).toBe('04:00');
    expect(formatDay('2026-11-23T04:00:00+01:00', now)).toBe('tomorrow 04:00');
    expect(formatDay('2026-11-21T23:59:00+01:00', now)).toBe('yesterday 23:59');
    expect(formatDay('2026-11-19T04:00:00+01:00', now)).toBe('19 Nov 04:00');
  });

  test('the day before a change of the clocks is yesterday', () => {
    const sunday = new Date('2026-10-25T12:00:00+01:00').getTime();
    expect(formatDay('2026-10-24T00:30:00+02:00', sunday)).toBe('yesterday 00:30');
  });

  test('the exact time has its zone', () => {
    expect(formatExact('2026-11-22T03:00:13Z')).toContain('04:00:13');
    expect(formatExact('2026-11-22T03:00:13Z')).toMatch(/CET|GMT\+1/);
    expect(formatDateTime('2026-11-22T03:00:13Z')).toBe('22 Nov 2026 04:00');
  });

  test('the clock has the hours of the user’s locale, the words those of the catalogue', () => {
    setLocale('en-US');
    expect(plain(formatTime('2026-11-22T15:30:00+01:00'))).toBe('03:30 PM');
    setLocale('de-DE');
    expect(formatDue('2026-11-25T16:00:00+01:00', now)).toBe('Wed 16:00');
  });

  test('the week begins on Monday', () => {
    expect(weekdayNames().map((day) => day.short)).toEqual(['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun']);
    expect(weekdayNames()[6]?.long).toBe('Sunday');
  });

  test('a locale that nobody knows is none', () => {
    setLocale('C.UTF-8');
    expect(formatNumber(1234.5)).toBe('1,234.5');
  });
});

describe('availability', () => {
  test.each([
    [1, '100%'],
    [0.999999, '99.99%'],
    [0.9987, '99.87%'],
    [0.5, '50.00%'],
    [0, '0.00%'],
    [null, '–'],
  ])('of %s is %s', (share, text) => {
    expect(plain(formatUptime(share))).toBe(text);
  });

  test.each([
    [0, '0 ms'],
    [0.4, '400 µs'],
    [1, '1 ms'],
    [9.94, '9.9 ms'],
    [12.4, '12 ms'],
    [840, '840 ms'],
    [999.9, '1 s'],
    [1240, '1.2 s'],
    [10_000, '10 s'],
  ])('an answer after %d ms took %s', (ms, text) => {
    expect(plain(formatLatency(ms))).toBe(text);
  });

  test.each([
    [400, '0 s'],
    [40_000, '40 s'],
    [12 * 60_000, '12 min'],
    [7.2 * 3_600_000, '7 h 12 min'],
    [2 * 3_600_000, '2 h'],
    [76 * 3_600_000, '3 d 4 h'],
    [86_400_000, '1 d'],
  ])('%d ms last %s', (ms, text) => {
    expect(plain(formatLength(ms))).toBe(text);
  });

  test('a stretch names its days where it has to', () => {
    const now = new Date('2026-11-28T15:00:00').getTime();
    expect(formatStretch('2026-11-28T14:00:00', '2026-11-28T14:30:00', now)).toBe('14:00 – 14:30');
    expect(formatStretch('2026-11-27T23:30:00', '2026-11-28T00:00:00', now)).toBe('yesterday 23:30 – 00:00');
    expect(formatStretch('2026-11-23T14:00:00', '2026-11-25T14:00:00', now)).toBe(
      '23 Nov 14:00 – 25 Nov 14:00',
    );
  });

  test('axes have days and months, and a year where one begins', () => {
    expect(formatShortDay('2025-11-22T00:00:00')).toBe('22 Nov');
    expect(formatMonth('2026-11-01T00:00:00')).toBe('Nov');
    expect(formatMonth('2027-01-01T00:00:00')).toBe('2027');
  });
});
