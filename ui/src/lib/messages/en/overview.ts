/** The overview: the one sentence, what needs somebody, the day, and the first run. */
import type { Messages } from '../entry';

export const overview = {
  'verdict.all': { one: 'Your database is backed up.', other: 'All {n} databases are backed up.' },
  'verdict.one': '{name} is backed up.',
  'verdict.needs': { one: '{n} thing needs you.', other: '{n} things need you.' },
  'verdict.rest': {
    one: '{n} of {total} databases is backed up.',
    other: '{n} of {total} databases are backed up.',
  },
  'verdict.rest_none': 'No database is backed up yet.',
  'verdict.rest_all': { one: 'The database is backed up.', other: 'All {n} databases are backed up.' },
  'verdict.first': {
    one: '{n} of {total} databases is being backed up for the first time.',
    other: '{n} of {total} databases are being backed up for the first time.',
  },
  'verdict.first_only': 'The first backup is on its way.',
  'verdict.paused': {
    one: '{n} of {total} databases is paused; all have a backup.',
    other: '{n} of {total} databases are paused; all have a backup.',
  },
  'verdict.paused_only': '{name} is paused. Its backups are kept.',

  'overview.last': 'Last backup {time} ({name})',
  'overview.next': 'next {time} ({name})',
  'overview.kept': '{size} in {places}',
  'overview.active': 'At work',
  'overview.more_active': { one: '{n} more in line', other: '{n} more in line' },
  'overview.recent': 'Recent runs',
  'overview.all_runs': 'All activity',
  'overview.no_runs': 'Nothing has run yet',
  'overview.storage': 'Storage',
  'overview.storage_words': '{backups} in {places}',

  'today.title': 'Today',
  'today.words': '{done} done, {failed} failed, {due} due in the twelve hours before and after now',
  'today.run': '{name}, {time}: {state}',
  'today.due': '{name}, due {time}',

  'need.label': 'What needs you',
  'need.since': 'since',
  'need.backup_failed': 'The last backup of {name} failed',
  'need.overdue': '{name} has had no good backup for longer than its plan allows',
  'need.never_backed_up': '{name} has a plan and no backup yet',
  'need.keyring': 'Howdah cannot read the passwords',
  'need.keyring_detail': 'The system’s keyring is locked or absent. Backups wait until it is open.',
  'need.database_vanished': '{name} is no longer on its server',
  'need.database_vanished_detail': 'Its backups are kept.',
  'need.no_plan': '{name} has no plan, so nothing backs it up',
  'need.show': 'Show it',
  'need.show_run': 'Show the run',
  'need.show_fix': 'Show the fix',
  'need.edit_connection': 'Edit the connection',
  'need.edit_plan': 'Edit the plan',
  'need.make_plan': 'Make a plan',
  'need.open_settings': 'Open settings',

  'first.title': 'Nothing is being backed up yet',
  'first.lead':
    'Howdah backs up PostgreSQL databases on a schedule, checks each dump to its last byte, and tells you when something needs you.',
  'first.paste_title': 'Paste a connection',
  'first.paste_text': 'A URL, a psql command or a DATABASE_URL line, as you have it at hand.',
  'first.test_title': 'See it tested',
  'first.test_text': 'Everything the backup will read is checked now, not tonight.',
  'first.plan_title': 'Accept the plan',
  'first.plan_text': 'Every day at a quiet hour, into a folder of yours. Each word can be changed.',
  'first.promise':
    'Howdah only reads your databases. Passwords stay in the system’s keyring. Close the window, and it goes on in the tray.',
} as const satisfies Messages;
