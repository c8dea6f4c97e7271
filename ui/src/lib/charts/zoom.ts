/** Stretches of time on a chart: a closer look, a wider one, a step aside. Milliseconds. */
export interface Range {
  from: number;
  to: number;
}

/** No closer than this: checks are at least ten seconds apart. */
export const CLOSEST = 2 * 60_000;

/** A range within others' bounds, as long as it was where there is room. */
export function within({ from, to }: Range, bounds: Range): Range {
  const length = Math.min(to - from, bounds.to - bounds.from);
  const begin = Math.min(Math.max(from, bounds.from), bounds.to - length);
  return { from: begin, to: begin + length };
}

/** The part between two shares of a range, in either order; `undefined` where that is too close to be meant. */
export function part(range: Range, a: number, b: number): Range | undefined {
  const length = range.to - range.from;
  const [first, last] = [Math.max(0, Math.min(a, b)), Math.min(1, Math.max(a, b))];
  const picked = { from: range.from + first * length, to: range.from + last * length };
  const short = CLOSEST - (picked.to - picked.from);
  if (last <= first || length <= CLOSEST) return undefined;
  if (short <= 0) return picked;
  return within({ from: picked.from - short / 2, to: picked.to + short / 2 }, range);
}

/** Closer or wider by a factor, around a moment that stays where it is. */
export function scaled(range: Range, factor: number, around: number, bounds: Range): Range {
  const length = Math.max(CLOSEST, (range.to - range.from) * factor);
  const share = (around - range.from) / (range.to - range.from);
  const from = around - share * length;
  return within({ from, to: from + length }, bounds);
}

/** Aside by a share of its length. */
export function moved(range: Range, share: number, bounds: Range): Range {
  const by = (range.to - range.from) * share;
  return within({ from: range.from + by, to: range.to + by }, bounds);
}

export function same(a: Range, b: Range): boolean {
  return Math.abs(a.from - b.from) < 1000 && Math.abs(a.to - b.to) < 1000;
}
