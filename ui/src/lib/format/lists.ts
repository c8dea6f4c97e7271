/** Several things in one sentence, in the user's locale. */
import { perLocale } from './locale';

const series = perLocale(({ dates }) => new Intl.ListFormat(dates, { type: 'unit', style: 'short' }));
const conjunction = perLocale(({ dates }) => new Intl.ListFormat(dates, { type: 'conjunction' }));

/** `Mon, Wed and Fri`. */
export function formatList(items: readonly string[]): string {
  return conjunction().format(items);
}

/** `Mon, Wed, Fri`: parts of a sentence, one after the other. */
export function formatSeries(items: readonly string[]): string {
  return series().format(items);
}
