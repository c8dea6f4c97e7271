/** Buckets of time as columns of pixels. What a bucket's time was spent in stands for itself; what is missing in it stays empty. */

/** Shares of a bucket's time, together at most 1. */
export interface Parts {
  ok: number;
  warn: number;
  bad: number;
  /** Known to be of no account. */
  quiet: number;
  /** Nobody knows. */
  none: number;
}

export type Layer = keyof Parts;

export interface Slice {
  layer: Layer;
  /** From the top, in pixels. */
  y: number;
  height: number;
}

export const LAYERS: readonly Layer[] = ['ok', 'quiet', 'none', 'warn', 'bad'];

/** A trouble shorter than a pixel of its bucket must be seen all the same. */
const LEAST = 2;

/** A column from its foot upwards, trouble on top of the rest. */
export function columnOf(parts: Parts, height: number): Slice[] {
  const seen = (share: number) => (share > 0 ? Math.max(LEAST, Math.round(share * height)) : 0);
  const bad = Math.min(height, seen(parts.bad));
  const warn = Math.min(height - bad, seen(parts.warn));
  const room = height - bad - warn;
  const calm = 1 - parts.bad - parts.warn;
  const pixels: Record<Layer, number> = { bad, warn, ok: 0, quiet: 0, none: 0 };
  let share = 0;
  let filled = 0;
  if (calm > 0) {
    for (const layer of ['ok', 'quiet', 'none'] as const) {
      share += parts[layer];
      const upTo = Math.round((share / calm) * room);
      pixels[layer] = Math.max(0, Math.min(room, upTo) - filled);
      filled = Math.max(filled, Math.min(room, upTo));
    }
  }
  let foot = height;
  return LAYERS.flatMap((layer) => {
    const tall = pixels[layer];
    if (tall <= 0) return [];
    foot -= tall;
    return [{ layer, y: foot, height: tall }];
  });
}

/** Where a bucket begins, in whole pixels; `count` may have a fraction, where the last bucket is shorter. */
export function edge(index: number, count: number, width: number): number {
  return count > 0 ? Math.min(width, Math.round((index / count) * width)) : 0;
}

/** The bucket under a pixel. */
export function bucketAt(x: number, count: number, width: number): number | undefined {
  if (x < 0 || x >= width || count <= 0) return undefined;
  return Math.min(Math.ceil(count) - 1, Math.floor((x / width) * count));
}

/** One path for each layer, so that a year of checks is five nodes. Columns that look the same become one. */
export function pathsOf(
  buckets: readonly Parts[],
  count: number,
  width: number,
  height: number,
): Record<Layer, string> {
  const paths: Record<Layer, string> = { ok: '', warn: '', bad: '', quiet: '', none: '' };
  const open = new Map<string, { slice: Slice; from: number; to: number }>();
  const close = ({ slice, from, to }: { slice: Slice; from: number; to: number }) => {
    paths[slice.layer] += `M${from} ${slice.y}H${to}V${slice.y + slice.height}H${from}Z`;
  };
  buckets.forEach((parts, index) => {
    const from = edge(index, count, width);
    const to = edge(index + 1, count, width);
    if (to <= from) return;
    const slices = new Map(
      columnOf(parts, height).map((slice) => [`${slice.layer} ${slice.y} ${slice.height}`, slice]),
    );
    for (const [key, run] of open) {
      if (slices.has(key)) continue;
      close(run);
      open.delete(key);
    }
    for (const [key, slice] of slices) {
      const run = open.get(key);
      if (run) run.to = to;
      else open.set(key, { slice, from, to });
    }
  });
  for (const run of open.values()) close(run);
  return paths;
}
