import { describe, expect, test, vi } from 'vitest';
import { bucketAt, columnOf, edge, pathsOf, type Parts } from './bar';
import { bandPath, linePath, runs } from './line';
import { Pointing } from './pointing.svelte';
import { scaleOf, timeTicks } from './ticks';
import { CLOSEST, moved, part, scaled, within } from './zoom';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

const parts = (change: Partial<Parts>): Parts => ({ ok: 0, warn: 0, bad: 0, quiet: 0, none: 0, ...change });

describe('a bucket as a column', () => {
  test('that was well throughout is one slice', () => {
    expect(columnOf(parts({ ok: 1 }), 36)).toEqual([{ layer: 'ok', y: 0, height: 36 }]);
  });

  test('shows a second of trouble in a day with two pixels', () => {
    const slices = columnOf(parts({ ok: 1 - 1 / 86_400, bad: 1 / 86_400 }), 36);
    expect(slices).toEqual([
      { layer: 'ok', y: 2, height: 34 },
      { layer: 'bad', y: 0, height: 2 },
    ]);
  });

  test('is divided as its time was, trouble on top', () => {
    const slices = columnOf(parts({ ok: 0.5, none: 0.25, bad: 0.25 }), 40);
    expect(slices.map(({ layer, height }) => [layer, height])).toEqual([
      ['ok', 20],
      ['none', 10],
      ['bad', 10],
    ]);
  });

  test('leaves empty what was not watched', () => {
    expect(columnOf(parts({}), 36)).toEqual([]);
    expect(columnOf(parts({ ok: 0.5 }), 36)).toEqual([{ layer: 'ok', y: 18, height: 18 }]);
  });

  test.each([
    parts({ warn: 0.001, bad: 1 - 0.001 }),
    parts({ ok: 0.3, quiet: 0.3, none: 0.3, warn: 0.05, bad: 0.05 }),
    parts({ bad: 1 }),
    parts({ ok: 1 / 3, none: 2 / 3 }),
  ])('never grows beyond its height, nor over another slice (%j)', (each) => {
    const slices = columnOf(each, 17);
    expect(slices.every(({ height }) => height > 0)).toBe(true);
    expect(slices.reduce((sum, { height }) => sum + height, 0)).toBeLessThanOrEqual(17);
    expect(slices.every(({ y }) => y >= 0)).toBe(true);
  });
});

describe('buckets across a width', () => {
  test('cover it without gaps, a shorter last one too', () => {
    const edges = Array.from({ length: 12 }, (_, index) => edge(index, 10.5, 100));
    expect(edges[0]).toBe(0);
    expect(edges.at(-1)).toBe(100);
    expect(edges.every((at, index) => index === 0 || at > (edges[index - 1] ?? 0))).toBe(true);
  });

  test('are found by a pixel', () => {
    expect(bucketAt(0, 48, 960)).toBe(0);
    expect(bucketAt(959, 48, 960)).toBe(47);
    expect(bucketAt(99, 10.5, 100)).toBe(10);
    expect(bucketAt(960, 48, 960)).toBeUndefined();
    expect(bucketAt(5, 0, 960)).toBeUndefined();
  });

  test('become one path for each layer, and one rectangle where they look the same', () => {
    const buckets = Array.from({ length: 1000 }, () => parts({ ok: 1 }));
    const paths = pathsOf(buckets, 1000, 500, 36);
    expect(paths.ok).toBe('M0 0H500V36H0Z');
    expect(paths.bad).toBe('');
  });

  test('keep a short outage among a year of good days', () => {
    const buckets = Array.from({ length: 365 }, (_, index) =>
      index === 200 ? parts({ ok: 0.9999, bad: 0.0001 }) : parts({ ok: 1 }),
    );
    expect(pathsOf(buckets, 365, 730, 36).bad).toBe('M400 0H402V2H400Z');
  });
});

describe('a closer look', () => {
  const day = { from: 0, to: DAY };

  test('is the part that was drawn, in either direction', () => {
    expect(part(day, 0.25, 0.5)).toEqual({ from: 6 * HOUR, to: 12 * HOUR });
    expect(part(day, 0.5, 0.25)).toEqual({ from: 6 * HOUR, to: 12 * HOUR });
    expect(part(day, -1, 0.5)).toEqual({ from: 0, to: 12 * HOUR });
  });

  test('is never closer than checks are apart', () => {
    const close = part(day, 0.5, 0.500001);
    expect((close?.to ?? 0) - (close?.from ?? 0)).toBeCloseTo(CLOSEST);
    expect(part({ from: 0, to: CLOSEST }, 0, 0.5)).toBeUndefined();
    expect(part(day, 0.5, 0.5)).toBeUndefined();
  });

  test('keeps the moment it is made around', () => {
    const close = scaled(day, 0.5, 6 * HOUR, day);
    expect(close).toEqual({ from: 3 * HOUR, to: 15 * HOUR });
    expect(scaled(close, 2, 6 * HOUR, day)).toEqual(day);
    expect(scaled(close, 8, 6 * HOUR, day)).toEqual(day);
  });

  test('moves aside as far as there is something', () => {
    const close = { from: 6 * HOUR, to: 12 * HOUR };
    expect(moved(close, 0.5, day)).toEqual({ from: 9 * HOUR, to: 15 * HOUR });
    expect(moved(close, -4, day)).toEqual({ from: 0, to: 6 * HOUR });
    expect(within({ from: 20 * HOUR, to: 30 * HOUR }, day)).toEqual({ from: 14 * HOUR, to: DAY });
  });
});

describe('the axis of time', () => {
  const at = (text: string) => new Date(text).getTime();

  test('has hours of the day, and the day at midnight', () => {
    const ticks = timeTicks(at('2026-11-27T14:20:00'), at('2026-11-28T14:20:00'), 800);
    expect(ticks.map(({ text }) => text)).toEqual([
      '15:00',
      '18:00',
      '21:00',
      '28 Nov',
      '03:00',
      '06:00',
      '09:00',
      '12:00',
    ]);
  });

  test('has days, weeks that begin on Monday, and months', () => {
    const texts = (days: number, width: number) =>
      timeTicks(at('2026-11-28T12:00:00') - days * DAY, at('2026-11-28T12:00:00'), width).map(
        ({ text }) => text,
      );
    expect(texts(7, 800)).toEqual(['22 Nov', '23 Nov', '24 Nov', '25 Nov', '26 Nov', '27 Nov', '28 Nov']);
    expect(texts(30, 800)).toEqual(['2 Nov', '9 Nov', '16 Nov', '23 Nov']);
    expect(texts(365, 600)).toEqual(['2026', 'Mar', 'May', 'Jul', 'Sept', 'Nov']);
  });

  test('follows the wall clock where it is put back and forward', () => {
    for (const day of ['2026-10-25', '2026-03-29']) {
      const ticks = timeTicks(at(`${day}T00:00:00`), at(`${day}T23:59:00`), 800);
      expect(ticks.map(({ text }) => text).slice(1)).toEqual([
        '03:00',
        '06:00',
        '09:00',
        '12:00',
        '15:00',
        '18:00',
        '21:00',
      ]);
    }
  });

  test('has room for its words, however long the stretch', () => {
    for (const minutes of [2, 7, 45, 300, 3000, 30_000, 525_600, 2_000_000]) {
      const to = at('2026-11-28T12:00:00');
      const from = to - minutes * 60_000;
      const ticks = timeTicks(from, to, 640);
      expect(ticks.length, String(minutes)).toBeLessThanOrEqual(9);
      expect(ticks.every((tick) => tick.at >= from && tick.at <= to)).toBe(true);
    }
    expect(timeTicks(5, 5, 640)).toEqual([]);
  });
});

describe('the axis of answers', () => {
  test('has round steps up to what is needed', () => {
    const scale = scaleOf([4, 12, 37], 12);
    expect(scale).toMatchObject({ ticks: [0, 20, 40], logarithmic: false });
    expect(scale.place(20)).toBe(0.5);
    expect(scale.place(0)).toBe(0);
    expect(scaleOf([0.2, 0.9], 0.5).ticks.map((tick) => Math.round(tick * 10) / 10)).toEqual([0, 0.5, 1]);
  });

  test('goes by powers of ten where some answers took far longer than usual', () => {
    const scale = scaleOf([8, 12, 900], 12);
    expect(scale.logarithmic).toBe(true);
    expect(scale.ticks).toEqual([1, 10, 100, 1000]);
    expect(scale.place(10)).toBeCloseTo(1 / 3);
    expect(scale.place(0)).toBe(0);
  });

  test('has nothing where nothing was answered', () => {
    expect(scaleOf([], 0).ticks).toEqual([]);
  });
});

describe('a line', () => {
  test('has a gap where there is no value, and shows a value that stands alone', () => {
    const points = [{ x: 0, y: 1 }, { x: 1, y: 2 }, undefined, { x: 3, y: 4 }, undefined];
    expect(linePath(points)).toBe('M0 1L1 2M2 4L4 4');
    expect(runs(points)).toHaveLength(2);
    expect(linePath([])).toBe('');
  });

  test('and one below it have a band between them', () => {
    const run = [
      { upper: { x: 0, y: 1 }, lower: { x: 0, y: 5 } },
      { upper: { x: 1, y: 2 }, lower: { x: 1, y: 6 } },
    ];
    expect(bandPath([run])).toBe('M0 1L1 2L1 6L0 5Z');
    expect(bandPath([])).toBe('');
  });
});

describe('pointing', () => {
  const made = () => {
    const wishes = { zoom: vi.fn(), scale: vi.fn(), move: vi.fn(), reset: vi.fn() };
    return { wishes, pointing: new Pointing(() => ({ count: 10, width: 100 }), wishes) };
  };
  const key = (name: string, more: KeyboardEventInit = {}) =>
    new KeyboardEvent('keydown', { key: name, ...more });
  const at = (x: number) => {
    const target = document.createElement('div');
    return { button: 0, clientX: x, pointerId: 1, currentTarget: target } as unknown as PointerEvent;
  };

  test('steps by keys from the newest, and stops at the ends', () => {
    const { pointing } = made();
    pointing.onkeydown(key('ArrowLeft'));
    expect([pointing.at, pointing.byKeys]).toEqual([8, true]);
    pointing.onkeydown(key('Home'));
    pointing.onkeydown(key('ArrowLeft'));
    expect(pointing.at).toBe(0);
    pointing.onkeydown(key('End'));
    pointing.onkeydown(key('ArrowRight'));
    expect(pointing.at).toBe(9);
  });

  test('looks closer and wider around where it is', () => {
    const { pointing, wishes } = made();
    pointing.onkeydown(key('Home'));
    pointing.onkeydown(key('+'));
    expect(wishes.scale).toHaveBeenLastCalledWith(0.5, 0.05);
    pointing.onkeydown(key('-'));
    expect(wishes.scale).toHaveBeenLastCalledWith(2, 0.05);
    pointing.onkeydown(key('ArrowLeft', { shiftKey: true }));
    expect(wishes.move).toHaveBeenLastCalledWith(-0.25);
    pointing.onkeydown(key('Escape'));
    expect(wishes.reset).toHaveBeenCalledTimes(1);
  });

  test('leaves the browser its own keys', () => {
    const { pointing, wishes } = made();
    pointing.onkeydown(key('+', { ctrlKey: true }));
    expect(wishes.scale).not.toHaveBeenCalled();
  });

  test('takes a stretch that was drawn, and no mere click', () => {
    const { pointing, wishes } = made();
    pointing.onpointerdown(at(20));
    pointing.onpointermove(at(60));
    expect(pointing.drawn).toEqual({ from: 20, to: 60 });
    pointing.onpointerup();
    expect(wishes.zoom).toHaveBeenCalledWith(0.2, 0.6);
    pointing.onpointerdown(at(20));
    pointing.onpointermove(at(22));
    pointing.onpointerup();
    expect(wishes.zoom).toHaveBeenCalledTimes(1);
    expect(pointing.at).toBe(2);
    pointing.onpointerleave();
    expect(pointing.at).toBeUndefined();
  });
});
