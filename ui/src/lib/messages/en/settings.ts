/** Settings, and what this installation consists of. */
import type { Messages } from '../entry';

export const settings = {
  'settings.window': 'Window and notifications',
  'settings.theme': 'Colours',
  'settings.metrics': 'Figures for Prometheus',
  'settings.metrics_hint': 'At http://127.0.0.1:PORT/metrics, for this machine alone.',
  'settings.metrics_port': 'Port',
  'settings.backups': 'Backups',
  'settings.parallel': 'Backups at once',
  'settings.parallel_hint': 'The others wait in line. Never two of one database.',
  'settings.stall': 'End a backup that stands still',
  'settings.stall_hint': 'After this long without a byte from pg_dump. The run says what it waited for.',
  'settings.lock_wait': 'Wait for a locked table',
  'settings.lock_wait_hint': 'Then pg_dump gives up, and the backup is tried again later.',
  'settings.checks': 'Checks',
  'settings.verify_days': 'Check copies again after',
  'settings.verify_days_hint':
    'A copy that rots or vanishes is found, and made anew from another one where there is one.',
  'settings.verify_never': 'Never: copies are only checked when you ask for it.',
  'settings.verify_which': 'Which copies',
  'settings.verify_by_reading': 'Read every copy back in full',
  'settings.verify_by_reading_hint':
    'Off: where a destination keeps checksums of its own, these are compared, and nothing is downloaded. Everything else is read back.',
  'settings.moving': 'Move to another machine',
  'settings.export_secrets': 'Passwords go to destinations too',
  'settings.export_secrets_hint':
    'The copy of these settings at encrypted destinations holds passwords, tokens and keys too.',
  'settings.days': 'd',
  'settings.minutes': 'min',
  'settings.seconds': 's',
  'settings.between': 'From {least} to {most}',
  'settings.new_plans': 'New plans',
  'settings.default_folder': 'Folder',
  'settings.default_folder_hint': 'Plans made so far keep theirs.',
  'settings.default_time': 'Time of day',
  'settings.servers': 'Servers',
  'settings.no_servers': 'No servers yet',
  'settings.no_servers_text': 'A server appears here with the first of its databases that you add.',
  'settings.keys': 'Keys',
  'settings.programs': 'PostgreSQL programs',
  'settings.client': 'pg_dump',
  'settings.server_programs': 'Server',
  'settings.path': 'Where',
  'settings.not_there': 'not there',
  'settings.installation': 'This installation',
  'settings.version': 'Version',
  'settings.keyring': 'Keyring',
  'settings.data_dir': 'Data directory',
  'settings.time_zone': 'Time zone',

  'verify_which.sample': 'A sample',
  'verify_which.all': 'All',

  'verify_which_hint.sample':
    'Of each database, at each destination: the newest copies, and the one that was not checked for longest.',
  'verify_which_hint.all': 'Each of them, however old. It takes longer, and may cost traffic.',

  'key.own': 'This machine’s key: encrypted plans write to it',
  'key.other': 'Brought in',
  'key.copy': 'Copy the public key',
  'key.none':
    'No key yet. One is made when a plan is first encrypted to it; a kit from another machine can be opened here.',

  'kit.save': 'Save the recovery kit',
  'kit.test': 'Test a kit',
  'kit.open': 'Open a kit',
  'kit.saved': 'Recovery kit saved',
  'kit.never_saved':
    'The recovery kit was never saved: without it, encrypted backups are lost with this machine',
  'kit.tested': 'tested',
  'kit.saved_at':
    'Saved as {path}, with a page to print beside it. Whoever has one of them can read your backups: keep them where this machine is not.',
  'kit.right': 'This kit is right: it opens what this machine encrypts.',
  'kit.other': 'This kit holds another key, {key}. It does not open what this machine encrypts.',
  'kit.opened': 'What is encrypted to {key} can be read here from now on.',
  'kit.places': 'The kit says that backups are here:',

  'theme.system': 'System',
  'theme.light': 'Light',
  'theme.dark': 'Dark',

  'keyring.open': 'Open: passwords can be kept and read',
  'keyring.locked': 'Locked',
  'keyring.locked_hint': 'Backups that need a password wait until it is open.',
  'keyring.unlock': 'Unlock the keyring',
  'keyring.left_locked': 'It is still locked.',
  'keyring.absent': 'Absent',
  'keyring.absent_hint':
    'Install and start a keyring such as GNOME Keyring or KWallet. Passwords are kept nowhere else.',
} as const satisfies Messages;
