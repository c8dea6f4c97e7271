/**
 * The one way to a string that people read. A translation is a second folder beside `en` with the same keys.
 * Placeholders are `{name}`; numbers put in are written in the user's locale; an entry with plural forms is
 * chosen by its `n`.
 */
import { formatNumber } from '$lib/format/numbers';
import { en } from './en';

type Catalogue = typeof en;
export type MessageKey = keyof Catalogue;

type InText<Text> = Text extends `${string}{${infer Name}}${infer Rest}` ? Name | InText<Rest> : never;
type InEntry<Entry> = Entry extends string
  ? InText<Entry>
  : Entry extends { one: infer One; other: infer Other }
    ? 'n' | InText<One> | InText<Other>
    : never;

/** The names of an entry's placeholders. */
export type Placeholder<Key extends MessageKey> = Key extends MessageKey ? InEntry<Catalogue[Key]> : never;

type Values<Key extends MessageKey> = [Placeholder<Key>] extends [never]
  ? []
  : [values: Record<Placeholder<Key>, string | number>];

const plural = new Intl.PluralRules('en');

function form(key: MessageKey, n: string | number | undefined): string {
  const entry = en[key];
  if (typeof entry === 'string') return entry;
  const category = plural.select(typeof n === 'number' ? n : Number(n ?? 0));
  return category === 'one' ? entry.one : entry.other;
}

function written(value: string | number | undefined): string {
  return typeof value === 'number' ? formatNumber(value) : (value ?? '');
}

/** The message of a key, filled in. */
export function t<Key extends MessageKey>(key: Key, ...[values]: Values<Key>): string {
  const given = values as Record<string, string | number> | undefined;
  return form(key, given?.n).replace(/\{(\w+)\}/g, (_, name: string) => written(given?.[name]));
}

/** A piece of a message: text, or a place for something that is more than text. */
export type Part = { text: string } | { slot: string };

/** A message cut at its placeholders, for sentences with links or fields in them. */
export function parts(key: MessageKey, n?: number): Part[] {
  return form(key, n)
    .split(/(\{\w+\})/)
    .filter((piece) => piece !== '')
    .map((piece) => (/^\{\w+\}$/.test(piece) ? { slot: piece.slice(1, -1) } : { text: piece }));
}
