import { describe, expect, test, vi } from 'vitest';
import type { AlertView, ChannelView } from '$lib/ipc';
import { atMostEvery } from '$lib/state/pace';
import { Fixture } from '$lib/ipc/fixture';
import { alertText, awaitsAcknowledgement, filterAlerts, spanWords } from './alerts';
import { channelLook, leadWords } from './words';

const NOW = Date.parse('2026-11-28T12:00:00Z');
const { world } = new Fixture({ now: NOW });
const channel = (id: string) => world.channels.find((each) => each.id === `channel-${id}`) as ChannelView;
const alert = (change: Partial<AlertView>) => ({ ...(world.alerts[0] as AlertView), ...change });
const look = (change: Partial<ChannelView>) => channelLook({ ...channel('mail'), ...change }, NOW);

describe('how a channel is', () => {
  test.each([
    ['desktop', 'ok', 'Delivered 38\u00a0min ago'],
    ['mail', 'ok', 'Delivered 5\u00a0min ago'],
    ['telegram', 'warn', 'Waiting: 3 messages, next try in 4\u00a0min'],
    ['slack', 'bad', 'Failed: Slack does not let Howdah in'],
    ['phone', 'waiting', 'Off'],
  ])('%s', (id, tone, word) => {
    expect(channelLook(channel(id), NOW)).toEqual({ tone, word });
  });

  test('is said without a time where none is known', () => {
    expect(look({ failure: channel('telegram').failure, waiting: 1 }).word).toBe('Waiting: 1 message');
  });

  test('tells quiet hours and work under way from trouble', () => {
    expect(look({ waiting: 2, next_attempt_at: '2026-11-29T06:00:00Z' })).toEqual({
      tone: 'waiting',
      word: 'Quiet: 2 messages wait for tomorrow 07:00',
    });
    expect(look({ waiting: 2 })).toEqual({ tone: 'running', word: 'Sending 2 messages' });
    expect(look({ delivered_at: null })).toEqual({ tone: 'none', word: 'Nothing sent yet' });
  });

  test('is summed up', () => {
    expect(leadWords(world.channels)).toBe('5 channels are told. 1 of them fails. 1 of them waits.');
    expect(leadWords([{ ...channel('mail'), enabled: false }])).toBe('Nobody is told anything.');
  });
});

describe('what happened', () => {
  test('is found by severity and by every word of what is said of it', () => {
    const titles = (...asked: [Parameters<typeof filterAlerts>[1], string]) =>
      filterAlerts(world.alerts, ...asked).map(({ title }) => title);
    expect(titles('all', '')).toHaveLength(world.alerts.length);
    expect(titles('critical', '').length).toBe(4);
    expect(titles('all', 'LOCK audit')).toEqual(['Backups of analytics fail']);
    expect(titles('all', 'healthchecks began')).toEqual(['A backup of shop began']);
    expect(titles('info', 'LOCK audit')).toEqual([]);
  });

  test('says how long it lasts or lasted', () => {
    const at = '2026-11-28T10:00:00Z';
    const ended = (ended_at: string | null) => spanWords(alert({ at, ended_at, lasts: true }), NOW);
    expect(ended(null)).toBe('since 11:00 · lasts');
    expect(ended('2026-11-28T10:14:10Z')).toBe('over after 14\u00a0min');
    expect(ended('2026-11-28T10:00:20Z')).toBe('over after 20\u00a0s');
    expect(ended('2026-11-28T13:00:00Z')).toBe('over after 3\u00a0h');
    expect(ended('2026-11-29T12:05:00Z')).toBe('over after 26\u00a0h 5\u00a0min');
    expect(ended('2026-12-02T10:00:00Z')).toBe('over after 4\u00a0d');
    expect(spanWords(alert({ lasts: false }), NOW)).toBeUndefined();
  });

  test('asks somebody to acknowledge only what lasts and is critical', () => {
    const open = { lasts: true, ended_at: null, acknowledged_at: null, severity: 'critical' } as const;
    expect(awaitsAcknowledgement(alert(open))).toBe(true);
    expect(awaitsAcknowledgement(alert({ ...open, severity: 'warning' }))).toBe(false);
    expect(awaitsAcknowledgement(alert({ ...open, ended_at: '2026-11-28T10:00:00Z' }))).toBe(false);
    expect(awaitsAcknowledgement(alert({ ...open, acknowledged_at: '2026-11-28T10:00:00Z' }))).toBe(false);
    expect(awaitsAcknowledgement(alert({ ...open, lasts: false }))).toBe(false);
  });

  test('is copied whole', () => {
    expect(alertText(alert({ title: 'T', at: 'A', body: 'B', details: 'D' }))).toBe('T\nA\n\nB\n\nD');
  });
});

describe('what is asked for often', () => {
  test('is done at once, and then once in a while', () => {
    vi.useFakeTimers();
    const act = vi.fn();
    const paced = atMostEvery(1000, act);
    paced();
    paced();
    paced();
    expect(act).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(1000);
    expect(act).toHaveBeenCalledTimes(2);
    vi.advanceTimersByTime(5000);
    expect(act).toHaveBeenCalledTimes(2);
    paced();
    paced();
    paced.stop();
    vi.advanceTimersByTime(5000);
    expect(act).toHaveBeenCalledTimes(3);
    vi.useRealTimers();
  });
});
