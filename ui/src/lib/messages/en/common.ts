/** What any page may say: buttons that are the same everywhere, questions, errors, paths. */
import type { Messages } from '../entry';

export const common = {
  'action.back_up_now': 'Back up now',
  'action.cancel': 'Cancel',
  'action.cancel_run': 'Cancel',
  'action.close': 'Close',
  'action.copy': 'Copy',
  'action.copied': 'Copied',
  'action.not_copied': 'Could not copy',
  'action.go_on': 'Let it run',
  'action.keep': 'Keep it',
  'action.leave': 'Leave as it is',
  'action.try_again': 'Try again',

  'confirm.type_name': 'Type {name} to confirm',

  'error.details': 'Details',
  'error.copy': 'Copy all of it',
  'error.internal': 'Howdah could not do that, and does not know why.',
  'error.internal_hint':
    'This is a fault in Howdah. The details say what is known; please report it with them.',

  'secret.kept': 'unchanged, in your keyring',
  'secret.hint': 'Kept in your keyring, and nowhere else.',

  'path.choose_folder': 'Choose a folder',
  'path.choose_ca': 'Choose the authority’s certificate',
  'path.choose_certificate': 'Choose the client’s certificate',
  'path.choose_private_key': 'Choose the private key',
  'path.choose_key': 'Choose the client’s key',
} as const satisfies Messages;
