/** Local instances: PostgreSQLs on this machine that backups were restored into. */
import type { Messages } from '../entry';

export const instances = {
  'nav.instances': 'Local instances',

  'instance.lead': '{instances}, {size} on this machine',
  'instance.count': { one: '{n} local instance', other: '{n} local instances' },
  'instance.column_name': 'Name',
  'instance.column_state': 'State',
  'instance.column_holds': 'Holds',
  'instance.column_size': 'On the disk',
  'instance.column_acts': 'What can be done',
  'instance.state_making': 'Being restored',
  'instance.state_running': 'Running on port {port}',
  'instance.state_stopped': 'Stopped',
  'instance.state_lost': 'Its folder is gone',
  'instance.version': 'PostgreSQL {major}',
  'instance.backup': 'its backup',
  'instance.start': 'Start',
  'instance.stop': 'Stop',
  'instance.copy_url': 'Copy the URL',
  'instance.copy_url_hint': 'With its password',
  'instance.copy_psql': 'Copy the psql command',
  'instance.open': 'Open in a terminal',
  'instance.open_folder': 'Open the folder',
  'instance.rename': 'Rename',
  'instance.rename_title': 'What is {name} to be called?',
  'instance.name': 'Name',
  'instance.rename_act': 'Rename',
  'instance.delete': 'Delete',
  'instance.delete_title': 'Delete the local instance {name}?',
  'instance.delete_text':
    'Everything in it goes, also what was changed since it was restored. The backup it came from stays.',
  'instance.delete_act': 'Delete it',
  'instance.menu': 'More for {name}',
  'instance.copied': 'Copied, with the password.',
  'instance.none_title': 'No local instances',
  'instance.none_text':
    'Restore a backup with one click, and its PostgreSQL is listed here: running on this machine, reachable from this machine alone.',
  'instance.to_backups': 'Go to the backups',
} as const satisfies Messages;
