/**
 * Whose conventions apply. Numbers follow the user's locale. Dates contain words, and words are the
 * catalogue's: English, in the user's kind of English where theirs is one, with their 12 or 24 hours.
 */

interface Locale {
  numbers: string;
  dates: string;
  hour12: boolean;
}

function known(tag: string | undefined): string {
  try {
    return Intl.getCanonicalLocales(tag ?? 'en-GB')[0] ?? 'en-GB';
  } catch {
    return 'en-GB';
  }
}

function of(tag: string | undefined): Locale {
  const numbers = known(tag);
  const dates = numbers.startsWith('en') ? numbers : 'en-GB';
  const { hourCycle } = new Intl.DateTimeFormat(numbers, { hour: 'numeric' }).resolvedOptions();
  return { numbers, dates, hour12: hourCycle === 'h12' || hourCycle === 'h11' };
}

let current = of(globalThis.navigator?.language);
/** Goes up when the locale changes, so that remembered formatters are made anew. */
let generation = 0;

export function locale(): Locale {
  return current;
}

export function setLocale(tag: string): void {
  current = of(tag);
  generation += 1;
}

/** Makes something once for each locale. */
export function perLocale<Made>(make: (locale: Locale) => Made): () => Made {
  let made: { for: number; what: Made } | undefined;
  return () => {
    if (made?.for !== generation) made = { for: generation, what: make(current) };
    return made.what;
  };
}
