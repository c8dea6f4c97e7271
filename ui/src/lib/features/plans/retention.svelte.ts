/** A rule for how long backups are kept: its words as typed, the rule that they make, and the sentence that says it. */
import { formatBytes, formatList } from '$lib/format';
import type { RetentionRule } from '$lib/ipc';
import { t } from '$lib/messages';

export const KEEP_EVERYTHING: RetentionRule = {
  keep_last: null,
  keep_within_days: null,
  hourly: null,
  daily: null,
  weekly: null,
  monthly: null,
  yearly: null,
  max_total_bytes: null,
  min_good: 3,
};

const NUMBERS = ['keep_last', 'keep_within_days', 'hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const;
type NumberName = (typeof NUMBERS)[number];

/** The numbers that stand in the sentence in any case; the hours only where a rule has them. */
export const WORDS = NUMBERS.filter((name) => name !== 'hourly');

export function keepsEverything(rule: RetentionRule): boolean {
  return NUMBERS.every((name) => rule[name] === null) && rule.max_total_bytes === null;
}

/** `Keep the last 7 and one for each of 4 weeks; always at least 3 good ones.` */
export function retentionSentence(rule: RetentionRule): string {
  if (keepsEverything(rule)) return t('retention.says_everything');
  const kept = NUMBERS.flatMap((name) => {
    const n = rule[name];
    return n === null ? [] : [t(`retention.says_${name}`, { n })];
  });
  const clauses = [
    t('retention.says_keep', { what: kept.length > 0 ? formatList(kept) : t('retention.says_all') }),
    ...(rule.max_total_bytes === null
      ? []
      : [t('retention.says_total', { size: formatBytes(rule.max_total_bytes) })]),
    t('retention.says_good', { n: rule.min_good }),
  ];
  return `${clauses.join('; ')}.`;
}

const UNITS: Record<string, number> = {
  '': 1e9,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
};

/** Reads `50 GB`, `1.5 TB`, `500M`; a bare number means gigabytes. `undefined` where it is no size. */
export function parseSize(text: string): number | undefined {
  const match = /^\s*(\d+(?:[.,]\d+)?)\s*([a-z]*)\s*$/i.exec(text);
  if (!match?.[1]) return undefined;
  const word = (match[2] ?? '').toUpperCase();
  const unit = UNITS[word] ?? UNITS[`${word}B`];
  return unit === undefined ? undefined : Math.round(Number(match[1].replace(',', '.')) * unit);
}

/** A size so that `parseSize` reads the same number of bytes. */
export function writeSize(bytes: number): string {
  const [unit, size] = (['TB', 'GB', 'MB', 'KB', 'B'] as const)
    .map((name) => [name, UNITS[name] ?? 1] as const)
    .find(([, each]) => bytes >= each && Number.isInteger((bytes / each) * 1000)) ?? ['B', 1];
  return `${bytes / size} ${unit}`;
}

/** The sentence whose words are chosen, with a place for each. */
export function retentionKey({ mode, hours }: Pick<RetentionForm, 'mode' | 'hours'>) {
  const which = mode === 'everything' ? mode : hours ? 'hours' : mode;
  return `retention.sentence_${which}` as const;
}

export class RetentionForm {
  mode = $state<'everything' | 'rule'>('everything');
  numbers = $state<Record<NumberName, string>>({
    keep_last: '',
    keep_within_days: '',
    hourly: '',
    daily: '',
    weekly: '',
    monthly: '',
    yearly: '',
  });
  total = $state('');
  good = $state('3');
  /** Whether the rule that is being changed has a word for hours. */
  readonly hours: boolean;

  constructor(from: RetentionRule = KEEP_EVERYTHING) {
    this.hours = from.hourly !== null;
    this.mode = keepsEverything(from) ? 'everything' : 'rule';
    for (const name of NUMBERS) {
      const value = from[name];
      if (value !== null) this.numbers[name] = String(value);
    }
    if (this.mode === 'everything') {
      // What a rule begins with, once one is wanted.
      Object.assign(this.numbers, { daily: '7', weekly: '4', monthly: '12' });
    }
    if (from.max_total_bytes !== null) this.total = writeSize(from.max_total_bytes);
    this.good = String(from.min_good);
  }

  wrong(name: NumberName): boolean {
    return count(this.numbers[name]) === undefined;
  }

  readonly totalBytes = $derived.by(() => (this.total.trim() === '' ? null : parseSize(this.total)));
  readonly wrongTotal = $derived.by(() => this.totalBytes === undefined || this.totalBytes === 0);
  readonly goodNumber = $derived.by(() => count(this.good) ?? undefined);

  /** What keeps the rule from being used, as a sentence. */
  readonly problem = $derived.by((): string | undefined => {
    if (this.mode === 'everything') return undefined;
    if (NUMBERS.some((name) => this.wrong(name))) return t('retention.problem_number');
    if (this.wrongTotal) return t('retention.problem_total');
    if (this.goodNumber === undefined) return t('retention.problem_good');
    return undefined;
  });

  /** The rule; `undefined` while a word of it makes no sense. */
  readonly rule = $derived.by((): RetentionRule | undefined => {
    if (this.problem) return undefined;
    if (this.mode === 'everything') return { ...KEEP_EVERYTHING, min_good: this.goodNumber ?? 3 };
    const numbers = Object.fromEntries(NUMBERS.map((name) => [name, count(this.numbers[name]) ?? null]));
    return {
      ...(numbers as Record<NumberName, number | null>),
      max_total_bytes: this.totalBytes ?? null,
      min_good: this.goodNumber ?? 3,
    };
  });
}

/** A number from 1 on; `null` where nothing was typed, `undefined` where it is none. */
function count(text: string): number | null | undefined {
  if (text.trim() === '') return null;
  const value = /^\s*\d{1,6}\s*$/.test(text) ? Number(text) : 0;
  return value >= 1 ? value : undefined;
}
