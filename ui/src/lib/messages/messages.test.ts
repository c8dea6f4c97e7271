import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parts, t } from '.';
import { en } from './en';

const sources = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .filter(
    (file) => /\.(svelte|ts)$/.test(file) && !file.endsWith('.test.ts') && !file.includes('messages/en/'),
  )
  .map((file) => readFileSync(join('src', file), 'utf8'));

/** `t('a.b')` and `message="a.b"` name one key; ``t(`a.${x}`)`` names a family of keys. */
function used() {
  const exact = new Set<string>();
  const families: RegExp[] = [];
  for (const source of sources) {
    for (const [, key] of source.matchAll(/\bt\(\s*'([^']+)'/g)) if (key) exact.add(key);
    for (const [, key, choice] of source.matchAll(/\bmessage=(?:"([^"]+)"|\{([^}]*)\})/g)) {
      if (key) exact.add(key);
      for (const [, one] of (choice ?? '').matchAll(/'([a-z_]+\.[^']+)'/g)) if (one) exact.add(one);
    }
    for (const [, key] of source.matchAll(/(?:\bt\(\s*|return )`([a-z_]+\.[^`]*)`/g)) {
      if (!key) continue;
      const pattern = key
        .split(/\$\{[^}]*\}/)
        .map((piece) => piece.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
        .join('[a-z0-9_-]+');
      families.push(new RegExp(`^${pattern}$`));
    }
  }
  return { exact, families };
}

describe('the catalogue', () => {
  test('has each area in one file, so that no file overwrites a word of another', () => {
    const files = readdirSync('src/lib/messages/en').filter((file) => file !== 'index.ts');
    const homes = new Map<string, Set<string>>();
    let keys = 0;
    for (const file of files) {
      const text = readFileSync(join('src/lib/messages/en', file), 'utf8');
      for (const [, area = ''] of text.matchAll(/^ {2}'([a-z_]+)\.[a-z0-9_-]+':/gm)) {
        homes.set(area, (homes.get(area) ?? new Set()).add(file));
        keys += 1;
      }
    }
    expect(keys).toBe(Object.keys(en).length);
    expect([...homes].filter(([, at]) => at.size > 1)).toEqual([]);
  });

  test('has every key that is asked for', () => {
    const { exact, families } = used();
    expect(exact.size).toBeGreaterThan(200);
    expect([...exact].filter((key) => !(key in en))).toEqual([]);
    for (const family of families) {
      expect(
        Object.keys(en).some((key) => family.test(key)),
        String(family),
      ).toBe(true);
    }
  });

  test('has no key that nobody asks for', () => {
    const { exact, families } = used();
    const unused = Object.keys(en).filter(
      (key) => !exact.has(key) && !families.some((family) => family.test(key)),
    );
    expect(unused).toEqual([]);
  });

  test('has a word for every failure code', () => {
    const codes = readFileSync('src/lib/ipc/generated/FailureCode.ts', 'utf8').matchAll(/"([a-z_]+)"/g);
    const missing = [...codes].map(([, code]) => `failure.${code ?? ''}`).filter((key) => !(key in en));
    expect(missing).toEqual([]);
  });

  test('has no exclamation marks and no straight apostrophes', () => {
    const texts = Object.values(en).flatMap((entry) =>
      typeof entry === 'string' ? [entry] : [entry.one, entry.other],
    );
    expect(texts.filter((text) => /[!']/.test(text))).toEqual([]);
  });
});

describe('a message', () => {
  test('is filled in, with numbers in the user’s locale', () => {
    expect(t('log.lines', { n: 2000 })).toBe('2,000 lines');
  });

  test('has a form for one and a form for the others', () => {
    expect(t('count.tables', { n: 1 })).toBe('1 table');
    expect(t('count.tables', { n: 0 })).toBe('0 tables');
    expect(t('count.tables', { n: 214 })).toBe('214 tables');
  });

  test('is not filled twice where a value looks like a placeholder', () => {
    expect(t('run.title_backup', { name: '{name}' })).toBe('Backup of {name}');
  });

  test('can be cut at its placeholders', () => {
    expect(parts('plan.sentence_daily').map((part) => ('slot' in part ? part.slot : part.text))).toEqual([
      'often',
      ' at ',
      'time',
      ' (',
      'zone',
      '), back up ',
      'what',
      ' into ',
      'where',
      '.',
    ]);
  });
});
