/** How a channel and what became of a message are, in words. */
import type { Tone } from '$components';
import { formatDay, formatRelative } from '$lib/format';
import type { ChannelKind, ChannelView, Failure } from '$lib/ipc';
import { t } from '$lib/messages';

/** Those that can be added, in the order in which they are offered. The desktop is always there. */
export const KINDS: readonly Exclude<ChannelKind, 'desktop'>[] = [
  'email',
  'telegram',
  'discord',
  'slack',
  'teams',
  'mattermost',
  'ntfy',
  'gotify',
  'pushover',
  'webhook',
  'ping',
];

/** A sentence in the middle of another line. */
export function clause({ message }: Pick<Failure, 'message'>): string {
  return (message || t('error.internal')).replace(/\.$/, '');
}

export interface Look {
  tone: Tone;
  word: string;
}

export function channelLook(channel: ChannelView, now: number): Look {
  const { enabled, failure, waiting: n, delivered_at, next_attempt_at: next, rule } = channel;
  if (!enabled) return { tone: 'waiting', word: t('channel.off') };
  if (failure && n > 0) {
    return {
      tone: 'warn',
      word: next
        ? t('channel.waiting_until', { n, next: formatRelative(next, now) })
        : t('channel.waiting', { n }),
    };
  }
  if (failure) return { tone: 'bad', word: t('channel.failed', { why: clause(failure) }) };
  if (n > 0) {
    const held = rule.quiet !== null && next !== null && Date.parse(next) > now;
    return held
      ? { tone: 'waiting', word: t('channel.held', { n, until: formatDay(next, now) }) }
      : { tone: 'running', word: t('channel.sending', { n }) };
  }
  return delivered_at
    ? { tone: 'ok', word: t('channel.delivered', { when: formatRelative(delivered_at, now) }) }
    : { tone: 'none', word: t('channel.nothing_yet') };
}

/** Where an alert leads, in a word; routes are the window's own. */
export function placeWord(route: string): string {
  const room = /^\/(databases|runs|backups|destinations|instances|settings)\b/.exec(route)?.[1] ?? 'other';
  return t(`alert_place.${room as 'databases' | 'other'}`);
}

/** How telling goes, in a sentence or two. */
export function leadWords(channels: readonly ChannelView[]): string {
  const told = channels.filter((channel) => channel.enabled);
  const failing = told.filter((channel) => channel.failure && channel.waiting === 0).length;
  const waiting = told.filter((channel) => channel.failure && channel.waiting > 0).length;
  const sentences = [
    told.length === 0 ? t('channel.lead_none') : t('channel.lead_told', { n: told.length }),
    ...(failing > 0 ? [t('channel.lead_failing', { n: failing })] : []),
    ...(waiting > 0 ? [t('channel.lead_waiting', { n: waiting })] : []),
  ];
  return sentences.join(' ');
}
