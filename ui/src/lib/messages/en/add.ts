/** Adding a database. */
import type { Messages } from '../entry';

export const add = {
  'add.connect': 'Connect',
  'add.paste_label': 'Connection',
  'add.paste_hint': 'A URL, a keyword string, a psql command or a DATABASE_URL line.',
  'add.password_found': 'found in the text; goes to the system’s keyring, and nowhere else',
  'add.password_missing': 'not in the text',
  'add.use_form': 'Fill in a form instead',
  'add.use_paste': 'Paste a connection instead',
  'add.test': 'Test',
  'add.test_ok': 'A backup of this database would work.',
  'add.test_bad': 'A backup would fail. What is marked above needs to be mended first.',
  'add.role_sql': 'A role that may do just this',
  'add.role_sql_text':
    'SQL for a role with the least rights that a backup needs. Howdah never runs it, and it touches nobody else’s rights.',
  'add.anyway': 'Set up the plan anyway',
  'add.choice_untested': 'The test covered the whole database, not this choice.',
  'add.test_choice': 'Test this choice',
  'add.plan': 'Plan',
  'add.name_hint': 'As you want to see it in lists.',
  'add.keyring_locked': 'The keyring is locked, so the password cannot be kept yet.',
  'add.keyring_absent':
    'There is no keyring on this machine, so the password cannot be kept. Install and start one such as GNOME Keyring or KWallet.',
  'add.start': 'Start, and back up now',
} as const satisfies Messages;
