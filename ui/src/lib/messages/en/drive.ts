/** Google Drive: its folder, the client that reaches it, and signing in. */
import type { Messages } from '../entry';

export const drive = {
  'drive.folder': 'Folder',
  'drive.folder_hint': 'Its path from My Drive on. Howdah makes it, and sees nothing else of your Drive.',
  'drive.client': 'OAuth client',
  'drive.client_id': 'Client id',
  'drive.client_secret': 'Client secret',
  'drive.own_only': 'This build of Howdah signs in with an OAuth client of yours.',
  'drive.how': 'How to get a client',
  'drive.how_project': 'In the Google Cloud console, make a project, and switch on its Google Drive API.',
  'drive.how_consent':
    'Under the consent screen, ask for the scope drive.file, and publish the app: “In production”. While it is in testing, Google ends each sign-in after seven days.',
  'drive.how_client': 'Make an OAuth client of the type Desktop app. Enter its id and secret here.',
  'drive.account': 'In the Drive of {account}.',
  'drive.sign_in': 'Sign in with Google',
  'drive.again': 'Sign in again',
  'drive.cancel': 'Cancel the sign-in',
  'drive.waiting': 'Waiting for the browser…',
  'drive.no_browser': 'If no browser opened, open this address in one on this machine:',
  'drive.copy_address': 'Copy the address',
  'drive.signed_in': 'Signed in',
  'drive.signed_in_as': 'Signed in as {account}',

  'drive_client.built_in': 'Howdah’s own',
  'drive_client.own': 'My own client',

  'drive_client_hint.built_in': 'Nothing to set up.',
  'drive_client_hint.own':
    'An OAuth client of a Google Cloud project of yours. It cannot be changed later: only what was made with a client is seen by it.',

  'drive_problem.folder': 'Say which folder.',
  'drive_problem.sign_in': 'Sign in with Google first.',
} as const satisfies Messages;
