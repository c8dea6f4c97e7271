/** Times, durations and numbers of things. */
import type { Messages } from '../entry';

export const quantities = {
  'time.just_now': 'just now',
  'time.soon': 'in a moment',
  'time.minutes_ago': '{n}\u00a0min ago',
  'time.hours_ago': '{n}\u00a0h ago',
  'time.days_ago': '{n}\u00a0d ago',
  'time.in_minutes': 'in {n}\u00a0min',
  'time.in_hours': 'in {n}\u00a0h',
  'time.in_days': 'in {n}\u00a0d',
  'time.tomorrow': 'tomorrow {time}',
  'time.yesterday': 'yesterday {time}',

  'duration.microseconds': '{n}\u00a0µs',
  'duration.milliseconds': '{n}\u00a0ms',
  'duration.seconds': '{n}\u00a0s',
  'duration.minutes': '{minutes}\u00a0min {seconds}\u00a0s',
  'duration.hours': '{hours}\u00a0h {minutes}\u00a0min',

  'duration.whole_minutes': '{n}\u00a0min',
  'duration.whole_hours': '{n}\u00a0h',
  'duration.whole_days': '{n}\u00a0d',

  'count.millions': '{n}\u00a0M',
  'count.billions': '{n}\u00a0bn',
  'count.tables': { one: '{n} table', other: '{n} tables' },
  'count.backups': { one: '{n} backup', other: '{n} backups' },
  'count.copies': { one: '{n} copy', other: '{n} copies' },
  'count.places': { one: '{n} place', other: '{n} places' },
} as const satisfies Messages;
