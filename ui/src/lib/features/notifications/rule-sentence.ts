/** A channel's rule in words: "Critical and warnings, of production, quiet 22:00–07:00". */
import { formatList, formatSeries, weekdayNames } from '$lib/format';
import type { AlertKind, ChannelKind, ChannelRule, Databases, NamedDatabase } from '$lib/ipc';
import { t } from '$lib/messages';
import { WEEKDAYS } from '../plans/sentence';
import { formatTimeOfDay } from '../plans/time-of-day';

/** More names than these make a sentence that nobody reads. */
const NAMED = 2;

function kinds(which: 'also' | 'without', of: readonly AlertKind[]): string | undefined {
  if (of.length === 0) return undefined;
  if (of.length > NAMED) return t(`rule_many.${which}`, { n: of.length });
  const names = of.map((kind) => t('rule.kind', { kind: t(`alert_kind.${kind}`) }));
  return t(`rule_some.${which}`, { kinds: formatList(names) });
}

function ofWhich(databases: Databases, known: readonly NamedDatabase[]): string | undefined {
  switch (databases.which) {
    case 'all':
      return undefined;
    case 'environments': {
      const names = databases.environments.map((each) => t(`rule_environment.${each}`));
      return names.length === 0 ? t('rule.of_none') : t('rule.of', { what: formatList(names) });
    }
    case 'these': {
      const { ids } = databases;
      if (ids.length === 0) return t('rule.of_none');
      const names = ids.map((id) => known.find((database) => database.id === id)?.name ?? t('rule.gone'));
      return ids.length > NAMED
        ? t('rule.of_many', { n: ids.length })
        : t('rule.of', { what: formatList(names) });
    }
  }
}

export function ruleSentence(
  rule: ChannelRule,
  known: readonly NamedDatabase[] = [],
  channel?: ChannelKind,
): string {
  // A dead man's switch hears of backups and of nothing else, whatever its rule says.
  if (channel === 'ping') {
    const of = ofWhich(rule.databases, known);
    return formatSeries([t('rule.ping'), ...(of ? [of] : [])]);
  }
  const { also, never, quiet, again_minutes, summary } = rule;
  const parts = [
    t(`rule_least.${rule.least}`),
    kinds('also', also),
    kinds('without', never),
    ofWhich(rule.databases, known),
    quiet && t('rule.quiet', { from: formatTimeOfDay(quiet.from), to: formatTimeOfDay(quiet.to) }),
    again_minutes !== null && t('rule.again', { n: again_minutes }),
    summary &&
      (summary.day === null
        ? t('rule.summary_daily', { at: formatTimeOfDay(summary.at) })
        : t('rule.summary_weekly', {
            day: weekdayNames()[WEEKDAYS.indexOf(summary.day)]?.long ?? '',
            at: formatTimeOfDay(summary.at),
          })),
  ];
  return formatSeries(parts.filter((part): part is string => Boolean(part)));
}

/** A line of the rule's form, as a sentence with fields in it. */
export function ruleWords(line: 'quiet' | 'again' | 'daily' | 'weekly') {
  return `rule_words.${line}` as const;
}
