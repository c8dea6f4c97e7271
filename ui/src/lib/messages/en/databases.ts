/** Databases, in lists and on their own page. */
import type { Messages } from '../entry';

export const databases = {
  'status.good': 'Backed up',
  'status.running': 'Running',
  'status.waiting': 'Waiting',
  'status.overdue': 'Overdue',
  'status.never': 'No backup yet',
  'status.paused': 'Paused',
  'status.vanished': 'Gone from its server',

  'environment.label': 'Used for',
  'environment.production': 'Production',
  'environment.staging': 'Staging',
  'environment.development': 'Development',
  'environment.none': 'Not tagged',

  'environment_short.production': 'prod',
  'environment_short.staging': 'staging',
  'environment_short.development': 'dev',

  'database.column_name': 'Database',
  'database.column_state': 'State',
  'database.column_day': '24 h',
  'database.column_last': 'Last backup',
  'database.column_proof': 'Proof',
  'database.column_sizes': 'Sizes',
  'database.column_next': 'Next',
  'database.column_action': 'Back up now',
  'database.no_backup': 'none',
  'database.sizes_label': {
    one: '{n} backup, {last}',
    other: '{n} backups, from {first} to {last}',
  },
  'database.back_up': 'Back up {name} now',
  'database.search': 'Search databases',
  'database.none_found': 'No database matches',
  'database.none_found_text': 'Neither a database nor a server has “{search}” in its name.',
  'database.none_title': 'No databases yet',
  'database.none_text': 'Every database that Howdah looks after will be listed here, under its server.',
  'database.unnamed': 'Database',
  'database.more': 'More for {name}',
  'database.vanished_text':
    'This database is no longer on {server}. Its backups are kept, and its plan takes it up again should it return.',
  'database.tabs': 'Backups, runs and connection of {name}',
  'database.tab_backups': 'Backups ({n})',
  'database.tab_runs': 'Runs',
  'database.tab_connection': 'Connection',
} as const satisfies Messages;
