/** All settings as one encrypted file: out of this machine, and into it. */
import type { Messages } from '../entry';

export const moving = {
  'export.row': 'Take the settings along',
  'export.row_hint':
    'Servers, destinations, plans, channels and keys as one encrypted file. Backups are not in it.',
  'export.open': 'Export…',
  'export.title': 'Export the settings',
  'export.text':
    'Servers, destinations, plans, channels and keys go into one encrypted file. Backups stay where they are.',
  'export.file': 'Where to save the settings',
  'export.with_secrets': 'With passwords, tokens and private keys',
  'export.with_secrets_hint': 'The other machine can go on at once. Guard the file as you guard them.',
  'export.without_secrets_hint': 'On the other machine each of them has to be entered again.',
  'export.by': 'Opens with',
  'export.passphrase': 'Passphrase',
  'export.repeated': 'Passphrase again',
  'export.act': 'Save the file',
  'export.saved': 'Saved as {path}.',

  'export_by.passphrase': 'A passphrase',
  'export_by.key': 'This machine’s key',

  'export_by_hint.passphrase': 'Howdah keeps it nowhere: without it the file cannot be read.',
  'export_by_hint.key': 'The other machine needs the recovery kit of this one first, under Keys.',

  'export_problem.none': 'Type a passphrase.',
  'export_problem.different': 'The two are not the same.',

  'import.row': 'Take over another machine’s settings',
  'import.row_hint': 'Adds what is not known here. What is known stays as it is.',
  'import.open': 'Import…',
  'import.title': 'Import settings',
  'import.text':
    'Choose the file that was exported on the other machine. What it holds is shown before anything is changed.',
  'import.file': 'Choose the file of settings',
  'import.passphrase': 'Passphrase',
  'import.passphrase_hint': 'Empty, where the file opens with a key that this machine has.',
  'import.choose': 'Choose the file…',
  'import.another': 'Another file',
  'import.machine': 'Machine',
  'import.made': 'Made',
  'import.none': 'none',
  'import.known': { one: '{n}, known here', other: '{n}, all known here' },
  'import.all_new': { one: '{n}, new here', other: '{n}, all new here' },
  'import.some_new': '{there}, of which {unknown} new here',
  'import.secrets': { one: '{n} password, token or key', other: '{n} passwords, tokens and keys' },
  'import.no_secrets': 'not in it: each has to be entered again',
  'import.what_happens':
    'What is not known here is added; what is known stays as it is. Plans come switched off, so that two machines do not make the same backups.',
  'import.take_over': 'Take over',
  'import.taken': 'Taken over: {things}.',
  'import.nothing': 'Everything in it was known here already.',
  'import.servers_added': { one: '{n} server', other: '{n} servers' },
  'import.destinations_added': { one: '{n} destination', other: '{n} destinations' },
  'import.plans_added': { one: '{n} plan', other: '{n} plans' },
  'import.channels_added': { one: '{n} channel', other: '{n} channels' },
  'import.secrets_added': { one: '{n} secret', other: '{n} secrets' },
  'import.remarks': 'What is left to do:',

  'import_kind.servers': 'Servers',
  'import_kind.destinations': 'Destinations',
  'import_kind.plans': 'Plans',
  'import_kind.channels': 'Channels',
  'import_kind.secrets': 'Secrets',

  'stored.title': 'Settings on {name}',
  'stored.text':
    'Howdah leaves a copy of its settings at each destination of encrypted backups. These machines did:',
  'stored.none':
    'No machine has left its settings here. Howdah does so at each destination of encrypted backups.',
  'stored.show': 'Show',
  'stored.show_of': 'Show the settings of {machine}',
  'stored.another': 'Another machine',
} as const satisfies Messages;
