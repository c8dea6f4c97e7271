/** Numbers, sizes and rates, in the user's locale. A number and its unit never part at a line's end. */
import { perLocale } from './locale';

const NO_BREAK = '\u00a0';

const plain = perLocale(({ numbers }) => new Intl.NumberFormat(numbers, { maximumFractionDigits: 1 }));

/** `12,345`. */
export function formatNumber(value: number): string {
  return plain().format(value);
}

const UNITS = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte', 'petabyte'] as const;

const units = perLocale(({ numbers }) => {
  const made = new Map<string, Intl.NumberFormat>();
  return (unit: string, digits: number) => {
    const key = `${unit} ${digits}`;
    let format = made.get(key);
    if (!format) {
      format = new Intl.NumberFormat(numbers, {
        style: 'unit',
        unit,
        unitDisplay: unit.startsWith('byte') ? 'narrow' : 'short',
        maximumFractionDigits: digits,
      });
      made.set(key, format);
    }
    return format;
  };
});

/** Decimal units, as disks and object stores count: three digits at most, `812 MB`, `12.4 GB`. */
function scaled(bytes: number): { value: number; unit: number } {
  let value = bytes;
  let unit = 0;
  // 999.6 would be written as 1,000 of the smaller unit.
  while (Math.round(value) >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return { value, unit };
}

function digitsFor(value: number): number {
  return value < 99.95 ? 1 : 0;
}

/** `1.2 GB`. */
export function formatBytes(bytes: number): string {
  const { value, unit } = scaled(bytes);
  return units()(UNITS[unit] ?? 'byte', unit === 0 ? 0 : digitsFor(value))
    .format(value)
    .replace(/ /g, NO_BREAK)
    .replace(/(\d)B$/, `$1${NO_BREAK}B`);
}

/** `61 MB/s`. */
export function formatRate(bytesPerSecond: number): string {
  const { value, unit } = scaled(bytesPerSecond);
  const from = Math.max(unit, 1);
  const amount = unit === 0 ? value / 1000 : value;
  return units()(`${UNITS[from]}-per-second`, digitsFor(amount)).format(amount).replace(/ /g, NO_BREAK);
}

const percent = perLocale(
  ({ numbers }) => new Intl.NumberFormat(numbers, { style: 'percent', maximumFractionDigits: 0 }),
);

/** `62 %` where the locale says so, `62%` elsewhere; from 0 to 1. */
export function formatPercent(share: number): string {
  return percent()
    .format(share)
    .replace(/[ \u202f]/g, NO_BREAK);
}

const precise = perLocale(
  ({ numbers }) => new Intl.NumberFormat(numbers, { style: 'percent', minimumFractionDigits: 2 }),
);

/**
 * `99.87 %`, with two decimals, from 0 to 1; `–` where nothing is known. 100 is said only where it is all of it: the
 * rest is rounded down.
 */
export function formatUptime(share: number | null): string {
  if (share === null) return '–';
  if (share >= 1) return formatPercent(1);
  // Doubles have their own idea of 0.9987 × 10,000.
  return precise()
    .format(Math.min(0.9999, Math.floor(share * 10_000 + 1e-6) / 10_000))
    .replace(/[ \u202f]/g, NO_BREAK);
}
