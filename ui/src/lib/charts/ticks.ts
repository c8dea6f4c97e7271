/** Where the lines of a chart's axes stand, and what is written at them. */
import { formatMonth, formatShortDay, formatTime } from '$lib/format';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export interface Tick {
  at: number;
  text: string;
}

/** Steps that people count in, by their unit of the local calendar. */
const STEPS: readonly { length: number; unit: 'minute' | 'day' | 'month'; by: number }[] = [
  ...[1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720].map((by) => ({
    length: by * MINUTE,
    unit: 'minute' as const,
    by,
  })),
  ...[1, 2, 7, 14].map((by) => ({ length: by * DAY, unit: 'day' as const, by })),
  ...[1, 2, 3, 6].map((by) => ({ length: by * 30.4 * DAY, unit: 'month' as const, by })),
];

/** Ticks of local time, so far apart that their words have room. */
export function timeTicks(from: number, to: number, width: number, room = 84): Tick[] {
  if (to <= from || width <= 0) return [];
  const least = ((to - from) / width) * room;
  const step = STEPS.find(({ length }) => length >= least) ?? STEPS[STEPS.length - 1];
  if (!step) return [];
  const date = new Date(from);
  if (step.unit === 'month') {
    date.setMonth(date.getMonth() - (date.getMonth() % step.by), 1);
    date.setHours(0, 0, 0, 0);
  } else {
    date.setHours(0, 0, 0, 0);
    // Weeks begin on Monday.
    if (step.by >= 7 && step.unit === 'day') date.setDate(date.getDate() - ((date.getDay() + 6) % 7));
  }
  const ticks: Tick[] = [];
  let minutes = 0;
  for (let count = 0; date.getTime() <= to && count < 2000; count += 1) {
    const at = date.getTime();
    if (at >= from) ticks.push({ at, text: words(at, step.unit) });
    if (step.unit === 'month') date.setMonth(date.getMonth() + step.by);
    else if (step.unit === 'day') date.setDate(date.getDate() + step.by);
    else {
      // By the wall clock of each day, whatever is done to it in spring and autumn.
      minutes += step.by;
      const day = new Date(date);
      day.setHours(0, 0, 0, 0);
      if (minutes >= 24 * 60) {
        minutes = 0;
        day.setDate(day.getDate() + 1);
      } else day.setHours(0, minutes, 0, 0);
      if (day.getTime() <= at) day.setTime(at + step.length);
      date.setTime(day.getTime());
    }
  }
  return ticks;
}

function words(at: number, unit: 'minute' | 'day' | 'month'): string {
  if (unit === 'month') return formatMonth(at);
  const date = new Date(at);
  const midnight = date.getHours() === 0 && date.getMinutes() === 0;
  return unit === 'day' || midnight ? formatShortDay(at) : formatTime(at);
}

export interface Scale {
  /** Where a value stands, 0 at the foot and 1 at the top. */
  place: (value: number) => number;
  ticks: number[];
  logarithmic: boolean;
}

/** From so many times the usual value on, a plain scale would press all that is usual onto the foot. */
const FAR = 20;

/** A scale for values above nothing: plain, or by powers of ten where some are far beyond what is usual. */
export function scaleOf(values: readonly number[], usual: number): Scale {
  const most = Math.max(0, ...values);
  if (most <= 0) return { place: () => 0, ticks: [], logarithmic: false };
  if (usual > 0 && most / usual > FAR) {
    const low = Math.floor(Math.log10(Math.max(Number.MIN_VALUE, Math.min(...values, usual))));
    const high = Math.ceil(Math.log10(most) - 1e-9);
    const span = Math.max(1, high - low);
    return {
      place: (value) => Math.min(1, Math.max(0, (Math.log10(Math.max(value, 10 ** low)) - low) / span)),
      ticks: Array.from({ length: span + 1 }, (_, index) => 10 ** (low + index)),
      logarithmic: true,
    };
  }
  const raw = most / 3;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = ([1, 2, 5, 10].find((each) => each * power >= raw) ?? 10) * power;
  const count = Math.ceil(most / step - 1e-9);
  const top = step * count;
  return {
    place: (value) => Math.min(1, Math.max(0, value / top)),
    ticks: Array.from({ length: count + 1 }, (_, index) => index * step),
    logarithmic: false,
  };
}
