/** Several things in one sentence, in the user's locale. */
import { perLocale } from './locale';

const conjunction = perLocale(({ dates }) => new Intl.ListFormat(dates, { type: 'conjunction' }));

/** `Mon, Wed and Fri`. */
export function formatList(items: readonly string[]): string {
  return conjunction().format(items);
}
