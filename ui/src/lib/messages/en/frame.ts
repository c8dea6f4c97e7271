/** The frame around every page: its title, the sidebar, the scheduler at its foot, and pages that are not there. */
import type { Messages } from '../entry';

export const frame = {
  'app.window_title': '{page} – Howdah',
  'app.loading': 'Loading',

  'page.missing': 'Not found',
  'page.missing_title': 'There is no such page',
  'page.missing_text': 'What you were looking for may have been removed.',
  'page.broken': 'Not shown',
  'page.broken_title': 'This page could not be shown',
  'page.to_overview': 'Go to the overview',

  'nav.label': 'Howdah',
  'nav.skip': 'Skip to the page',
  'nav.overview': 'Overview',
  'nav.databases': 'Databases',
  'nav.add': 'Add a database',
  'nav.backups': 'Backups',
  'nav.destinations': 'Destinations',
  'nav.notifications': 'Notifications',
  'nav.instances': 'Local instances',
  'nav.activity': 'Activity',
  'nav.settings': 'Settings',

  'scheduler.label': 'Scheduler: {state}',
  'scheduler.on': 'On',
  'scheduler.next': 'On · next {time}',
  'scheduler.next_of': 'Next: {name}, {time}',
  'scheduler.paused': 'Paused until {time}',
  'scheduler.elsewhere': 'Another Howdah runs it',
  'scheduler.pause_hour': 'Pause for an hour',
  'scheduler.pause_four': 'Pause for four hours',
  'scheduler.pause_tomorrow': 'Pause until tomorrow morning',
  'scheduler.resume': 'Resume now',
} as const satisfies Messages;
