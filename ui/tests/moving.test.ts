import { fireEvent, within } from '@testing-library/svelte';
import { describe, expect, test } from 'vitest';
import { contents, taken } from '$features/moving/words';
import Destinations from '../src/routes/destinations/+page.svelte';
import SettingsPage from '../src/routes/settings/+page.svelte';
import { called, press, screen, settle, show, small } from './frame';

const dialog = () => within(screen.getByRole('dialog'));

async function type(name: string, value: string) {
  await fireEvent.input(dialog().getByLabelText(name), { target: { value } });
  await settle();
}

/** By the button at the foot, not by the cross. */
async function close() {
  await fireEvent.click(dialog().getAllByRole('button', { name: 'Close' }).at(-1) as HTMLElement);
  await settle();
}

const settings = () => show(SettingsPage, {}, { fixture: small(), path: '/settings' });

describe('the settings as a file', () => {
  test('are encrypted with a passphrase that is typed twice', async () => {
    const { fixture } = await settings();
    await press('Export…');
    await press('Save the file');
    expect(screen.getByText('Type a passphrase.')).toBeTruthy();
    await type('Passphrase', 'correct horse');
    await type('Passphrase again', 'correct hose');
    await press('Save the file');
    expect(screen.getByText('The two are not the same.')).toBeTruthy();
    expect(called(fixture, 'export_settings')).toEqual([]);
    await type('Passphrase again', 'correct horse');
    await press('Save the file');
    expect(called(fixture, 'export_settings')).toEqual([
      {
        title: 'Where to save the settings',
        request: { with_secrets: true, passphrase: 'correct horse' },
      },
    ]);
    expect(screen.getByText(/^Saved as \/home\/ada\/howdah-settings-/)).toBeTruthy();
    expect(dialog().queryByRole('button', { name: 'Save the file' })).toBeNull();
    await close();
    await press('Export…');
    expect(dialog().getByLabelText<HTMLInputElement>('Passphrase').value).toBe('');
  });

  test('are encrypted to this machine’s key, and leave secrets out', async () => {
    const { fixture } = await settings();
    await press('Export…');
    await fireEvent.click(dialog().getByRole('checkbox', { name: /With passwords/ }));
    await fireEvent.click(dialog().getByRole('radio', { name: 'This machine’s key' }));
    await settle();
    expect(dialog().queryByLabelText('Passphrase')).toBeNull();
    await press('Save the file');
    expect(called(fixture, 'export_settings')).toMatchObject([
      { request: { with_secrets: false, passphrase: null } },
    ]);
  });

  test('keep what was typed where no file was chosen', async () => {
    const { fixture } = await settings();
    fixture.overrides.set('export_settings', () => null);
    await press('Export…');
    await type('Passphrase', 'p');
    await type('Passphrase again', 'p');
    await press('Save the file');
    expect(screen.queryByText(/^Saved as/)).toBeNull();
    expect(dialog().getByLabelText<HTMLInputElement>('Passphrase').value).toBe('p');
  });

  test('of another machine are shown before they are taken over, and what is left to do after', async () => {
    const { fixture } = await settings();
    await press('Import…');
    await press('Choose the file…');
    expect(called(fixture, 'read_export')).toEqual([
      { title: 'Choose the file of settings', passphrase: null },
    ]);
    expect(dialog().getByText('laptop')).toBeTruthy();
    expect(dialog().getByText('3, of which 2 new here')).toBeTruthy();
    expect(called(fixture, 'import_settings')).toEqual([]);
    await press('Take over');
    expect(called(fixture, 'import_settings')).toEqual([{ id: 'export-laptop' }]);
    expect(
      dialog().getByText('Taken over: 2 servers, 1 destination, 4 plans, 2 channels and 5 secrets.'),
    ).toBeTruthy();
    expect(dialog().getByText('Office: enter its password on its page.')).toBeTruthy();
    expect(dialog().queryByRole('button', { name: 'Take over' })).toBeNull();
    await close();
    expect(screen.queryByRole('dialog')).toBeNull();
  });

  test('say that the passphrase is wrong, and are read with another', async () => {
    const { fixture } = await settings();
    await press('Import…');
    await type('Passphrase', 'wrong');
    await press('Choose the file…');
    expect(screen.getByRole('alert').textContent).toContain('does not open');
    await type('Passphrase', 'right');
    await press('Choose the file…');
    expect(called(fixture, 'read_export').at(-1)).toMatchObject({ passphrase: 'right' });
    expect(screen.queryByRole('alert')).toBeNull();
    expect(dialog().getByText('laptop')).toBeTruthy();
  });

  test('are taken over once the keyring that was in the way is open', async () => {
    const { fixture } = await settings();
    fixture.overrides.set('import_settings', () => {
      throw { code: 'keyring_locked', message: 'The keyring is locked.', hint: null, details: null };
    });
    fixture.overrides.set('unlock_keyring', () => {
      fixture.overrides.delete('import_settings');
      return 'open';
    });
    await press('Import…');
    await press('Choose the file…');
    await press('Take over');
    expect(screen.getByRole('alert').textContent).toContain('The keyring is locked.');
    await press('Unlock the keyring');
    expect(dialog().getByText(/^Taken over:/)).toBeTruthy();
  });

  test('are not read where no file was chosen', async () => {
    const { fixture } = await settings();
    fixture.overrides.set('read_export', () => null);
    await press('Import…');
    await press('Choose the file…');
    expect(dialog().getByRole('button', { name: 'Choose the file…' })).toBeTruthy();
    expect(dialog().queryByRole('button', { name: 'Take over' })).toBeNull();
  });
});

describe('the settings of other machines at a destination', () => {
  async function open(fixture = small()) {
    await show(Destinations, {}, { fixture, path: '/destinations' });
    await press('More for Backup bucket');
    await fireEvent.click(screen.getByRole('menuitem', { name: 'Settings of other machines…' }));
    await settle();
    return fixture;
  }

  test('are listed by machine, and one is shown and taken over', async () => {
    const fixture = await open();
    expect(called(fixture, 'stored_exports')).toEqual([{ id: 'dest-bucket' }]);
    await press('Show the settings of workstation');
    expect(called(fixture, 'read_stored_export')).toEqual([
      { id: 'dest-bucket', path: 'howdah-settings/workstation/20261122T040000Z.json.age' },
    ]);
    expect(document.activeElement?.textContent).toContain('workstation');
    await press('Take over');
    expect(called(fixture, 'import_settings')).toEqual([{ id: 'export-workstation' }]);
    expect(document.activeElement?.textContent).toContain('Taken over');
    expect(dialog().getByText(/^Taken over:/)).toBeTruthy();
  });

  test('are said to be none where there are none', async () => {
    const fixture = small();
    fixture.overrides.set('stored_exports', () => []);
    await open(fixture);
    expect(dialog().getByText(/^No machine has left its settings here/)).toBeTruthy();
  });

  test('can be asked for again where they could not be listed', async () => {
    const fixture = small();
    fixture.overrides.set('stored_exports', () => {
      throw { code: 'destination_unreachable', message: 'It is away.', hint: null, details: null };
    });
    await open(fixture);
    expect(screen.getByRole('alert').textContent).toContain('It is away.');
    fixture.overrides.delete('stored_exports');
    await press('Try again');
    expect(dialog().getByText('workstation')).toBeTruthy();
  });

  test('that cannot be opened say why, and the list stays', async () => {
    const fixture = small();
    fixture.overrides.set('read_stored_export', () => {
      throw { code: 'key_missing', message: 'No key opens it.', hint: null, details: null };
    });
    await open(fixture);
    await press('Show the settings of laptop');
    expect(screen.getByRole('alert').textContent).toContain('No key opens it.');
    expect(dialog().getByText('workstation')).toBeTruthy();
  });
});

test('what an export holds is counted in words', () => {
  const words = contents({
    id: 'e',
    machine: 'm',
    exported_at: '2026-11-22T04:00:00Z',
    servers: { there: 0, new: 0 },
    destinations: { there: 1, new: 0 },
    plans: { there: 1, new: 1 },
    channels: { there: 0, new: 0 },
    secrets: 0,
  }).map(({ label, words }) => `${label}: ${words}`);
  expect(words).toEqual([
    'Servers: none',
    'Destinations: 1, known here',
    'Plans: 1, new here',
    'Channels: none',
    'Secrets: not in it: each has to be entered again',
  ]);
  expect(taken({ servers: 0, destinations: 0, plans: 0, channels: 0, secrets: 0, remarks: [] })).toBe(
    'Everything in it was known here already.',
  );
});

describe('the settings of checks', () => {
  test('are changed each by its own control', async () => {
    const { fixture } = await settings();
    const days = screen.getByRole('textbox', { name: 'Check copies again after' });
    await fireEvent.input(days, { target: { value: '0' } });
    await fireEvent.blur(days);
    await settle();
    expect(fixture.world.settings.verify_days).toBe(0);
    expect(screen.getByText(/^Never: copies are only checked/)).toBeTruthy();
    await fireEvent.click(screen.getByRole('radio', { name: 'All' }));
    await settle();
    await fireEvent.click(screen.getByRole('switch', { name: 'Read every copy back in full' }));
    await settle();
    expect(fixture.world.settings).toMatchObject({ verify_all: true, verify_by_reading: true });
  });

  test('let passwords go to destinations by a switch', async () => {
    const { fixture } = await settings();
    await fireEvent.click(screen.getByRole('switch', { name: 'Passwords go to destinations too' }));
    await settle();
    expect(fixture.world.settings.export_secrets).toBe(true);
  });
});
