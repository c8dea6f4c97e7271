import { describe, expect, test } from 'vitest';
import BackupDetailView from '$features/backups/BackupDetailView.svelte';
import DatabaseView from '$features/databases/DatabaseView.svelte';
import { fireEvent, within } from '@testing-library/svelte';
import Destinations from '../src/routes/destinations/+page.svelte';
import SettingsPage from '../src/routes/settings/+page.svelte';
import { called, press, screen, settle, show, small } from './frame';

async function type(name: string | RegExp, value: string) {
  const dialog = document.querySelector<HTMLElement>('dialog[open]') ?? document.body;
  await fireEvent.input(within(dialog).getByLabelText(name), { target: { value } });
}

async function choose(name: string, value: string) {
  await fireEvent.change(screen.getByRole('combobox', { name }), { target: { value } });
  await settle();
}

async function menu(name: string, item: string) {
  await press(name);
  await fireEvent.click(screen.getByRole('menuitem', { name: item }));
  await settle();
}

describe('the page of destinations', () => {
  test('says of each where it is, what it holds and how it is', async () => {
    await show(Destinations, {}, { path: '/destinations', fixture: small() });
    const rows = screen.getAllByRole('row').map((row) => row.textContent.replace(/\s+/g, ' '));
    expect(rows.some((row) => /Folder .*\/home\/ada\/Howdah.*16 backups.*412 GB.*Good/.test(row))).toBe(true);
    expect(rows.some((row) => /S3 Backup bucket.*s3:\/\/ada-backups\/laptop/.test(row))).toBe(true);
    expect(rows.some((row) => /SFTP Office.*Not reached/.test(row))).toBe(true);
    expect(screen.getByText('Check that it is switched on, or your VPN.')).toBeTruthy();
  });

  test('adds a bucket with its secret, which is sent once and shown nowhere', async () => {
    const { fixture, container } = await show(Destinations, {}, { fixture: small('empty') });
    await fireEvent.click(screen.getAllByRole('button', { name: 'Add a destination' })[0] as HTMLElement);
    await settle();
    await choose('Kind', 's3');
    expect(screen.queryByLabelText('Secret access key')).toBeNull();
    await type('Bucket', ' safe ');
    await type('Access key id', 'AKIA1');
    await settle();
    await type('Secret access key', 's3cret');
    await press('Save');
    const [args] = called(fixture, 'add_destination');
    expect(args).toMatchObject({
      input: {
        id: null,
        name: null,
        place: { kind: 's3', bucket: 'safe', prefix: '', endpoint: null, access_key_id: 'AKIA1' },
        secret: 's3cret',
      },
    });
    expect(document.querySelector('dialog[open]')).toBeNull();
    expect(container.textContent).toContain('s3://safe');
    expect(document.body.innerHTML).not.toContain('s3cret');
  });

  test('sends what opens one kind of place to no other', async () => {
    const { fixture } = await show(Destinations, {}, { fixture: small('empty') });
    await fireEvent.click(screen.getAllByRole('button', { name: 'Add a destination' })[0] as HTMLElement);
    await settle();
    await choose('Kind', 's3');
    await type('Access key id', 'AKIA1');
    await settle();
    await type('Secret access key', 's3cret');
    await choose('Kind', 'sftp');
    await type('Host or alias', 'nas.example.com');
    await type('Folder there', 'backups');
    await settle();
    await press('Save');
    expect(called(fixture, 'add_destination')).toMatchObject([
      { input: { place: { kind: 'sftp', path: 'backups' }, secret: null } },
    ]);
  });

  test('shows at which step a test failed, and forgets that when the place changes', async () => {
    await show(Destinations, {}, { fixture: small('empty') });
    await fireEvent.click(screen.getAllByRole('button', { name: 'Add a destination' })[0] as HTMLElement);
    await settle();
    await choose('Kind', 's3');
    await type('Bucket', 'read-only');
    await press('Test');
    const steps = within(screen.getByRole('list', { name: 'Test of the destination' }))
      .getAllByRole('listitem')
      .map((item) => item.className.split(' ')[0]);
    expect(steps).toEqual(['passed', 'failed', 'skipped', 'skipped', 'skipped']);
    expect(screen.getByRole('alert').textContent).toContain('s3:PutObject');
    await type('Bucket', 'writable');
    await settle();
    expect(screen.queryByRole('list', { name: 'Test of the destination' })).toBeNull();
    await press('Test');
    expect(screen.getByText('Backups can be kept here.')).toBeTruthy();
  });

  test('says what is missing instead of asking the engine', async () => {
    const { fixture } = await show(Destinations, {}, { fixture: small('empty') });
    await fireEvent.click(screen.getAllByRole('button', { name: 'Add a destination' })[0] as HTMLElement);
    await settle();
    await choose('Kind', 'sftp');
    await press('Test');
    expect(screen.getByRole('alert').textContent).toBe('Say which host.');
    expect(called(fixture, 'test_destination')).toEqual([]);
  });

  test('keeps the secret in the keyring where none is typed', async () => {
    const { fixture } = await show(Destinations, {}, { fixture: small() });
    await menu('More for Backup bucket', 'Edit');
    await type('Name', 'Bucket');
    await press('Save');
    expect(called(fixture, 'change_destination')).toMatchObject([
      {
        id: 'dest-bucket',
        change: { name: 'Bucket', secret: null, place: { access_key_id: 'AKIAEXAMPLE' } },
      },
    ]);
  });

  test('takes the secret out of the keyring where the place needs none any more', async () => {
    const { fixture } = await show(Destinations, {}, { fixture: small() });
    await menu('More for Backup bucket', 'Edit');
    await type('Access key id', '');
    await press('Save');
    expect(called(fixture, 'change_destination')).toMatchObject([
      { change: { secret: '', place: { access_key_id: null } } },
    ]);
    expect(fixture.world.destinations.find((each) => each.id === 'dest-bucket')?.has_secret).toBe(false);
  });

  test('says why one is not removed, and removes one that nothing needs', async () => {
    const { fixture } = await show(Destinations, {}, { fixture: small() });
    await menu('More for /home/ada/Howdah', 'Remove');
    await press('Remove the destination');
    expect(screen.getByRole('alert').textContent).toContain('A plan writes to Howdah.');
    await press('Keep it');
    await menu('More for Office', 'Remove');
    await press('Remove the destination');
    expect(fixture.world.destinations.map((each) => each.name)).not.toContain('Office');
  });

  test('tells in a sentence what a look at what lies there found', async () => {
    const { fixture } = await show(Destinations, {}, { fixture: small() });
    fixture.overrides.set('attach', () => ({
      found: 7,
      added: 2,
      missing: 1,
      unreadable: [{ path: 'shop/20260101T000000Z-aaaaaa', failure: null }],
    }));
    await menu('More for Backup bucket', 'Look for backups there');
    const told = document.querySelector('.found')?.textContent.replace(/\s+/g, ' ');
    expect(told).toContain('There are 7 backups on Backup bucket.');
    expect(told).toContain('2 were not listed here, and are now.');
    expect(told).toContain('1 copy that was listed is not there any more.');
    expect(told).toContain('shop/20260101T000000Z-aaaaaa');
  });
});

describe('a plan with several destinations', () => {
  test('keeps them all when something else of it changes, and when it is paused', async () => {
    const fixture = small();
    const shop = fixture.world.databases[0];
    await show(DatabaseView, { id: shop?.id ?? '' }, { fixture });
    await press('Edit the plan');
    await fireEvent.input(screen.getByRole('textbox', { name: 'Time of day' }), { target: { value: '5' } });
    await settle();
    await press('Save the plan');
    expect(called(fixture, 'save_plan').at(-1)).toMatchObject({
      plan: {
        folder: null,
        destinations: ['dest-home', 'dest-bucket'],
        encryption: { with: 'keys', recipients: [fixture.world.keys[0]?.recipient] },
        retention: { daily: 7, weekly: 4, monthly: 12, keep_last: null, min_good: 3 },
      },
    });
    await menu('More for shop', 'Pause the plan');
    expect(called(fixture, 'save_plan').at(-1)).toMatchObject({
      plan: { folder: null, destinations: ['dest-home', 'dest-bucket'], encryption: null, retention: null },
    });
  });

  test('takes another one in by a box', async () => {
    const fixture = small();
    await show(DatabaseView, { id: fixture.world.databases[1]?.id ?? '' }, { fixture });
    await press('Edit the plan');
    await fireEvent.click(screen.getByRole('checkbox', { name: 'Backup bucket' }));
    await settle();
    await press('Save the plan');
    expect(called(fixture, 'save_plan').at(-1)).toMatchObject({
      plan: { destinations: ['dest-home', 'dest-bucket'] },
    });
  });

  test('shows what its rule would delete before it is saved', async () => {
    const fixture = small();
    await show(DatabaseView, { id: fixture.world.databases[0]?.id ?? '' }, { fixture });
    await press('Edit the plan');
    for (const name of [/days one is/, /weeks one is/, /months one is/]) await type(name, '');
    await type(/How many of the last/, '3');
    await new Promise((resolve) => setTimeout(resolve, 300));
    await settle();
    expect(called(fixture, 'preview_retention').at(-1)).toMatchObject({
      question: { rule: { keep_last: 3, daily: null, weekly: null, monthly: null, min_good: 3 } },
    });
    expect(screen.getByText(/^Would delete 1 backup, /)).toBeTruthy();
    expect(screen.getByText('no part of the rule keeps it any longer')).toBeTruthy();
  });
});

describe('a backup’s copies', () => {
  test('are made where there is none', async () => {
    const fixture = small();
    const backup = fixture.world.backups[0];
    await show(BackupDetailView, { id: backup?.id ?? '' }, { fixture });
    await press('Copy to…');
    await press('Copy');
    expect(called(fixture, 'copy_to')).toEqual([{ id: backup?.id, destination: 'dest-office' }]);
  });

  test('are deleted with a word where another stays, the last only by the database’s name', async () => {
    const fixture = small();
    const backup = fixture.world.backups[0];
    await show(BackupDetailView, { id: backup?.id ?? '' }, { fixture });
    await menu('More for the copy on Backup bucket', 'Delete this copy');
    expect(screen.getByText('The copy on /home/ada/Howdah stays.')).toBeTruthy();
    await press('Delete this copy');
    expect(called(fixture, 'delete_copy').at(-1)).toMatchObject({
      destination: 'dest-bucket',
      even_the_last: false,
    });
    await menu('More for the copy on /home/ada/Howdah', 'Delete this copy');
    const button = screen.getByRole<HTMLButtonElement>('button', { name: 'Delete this copy' });
    expect(button.disabled).toBe(true);
    await type(/^Type shop/, 'shop');
    expect(button.disabled).toBe(false);
    await press('Delete this copy');
    expect(called(fixture, 'delete_copy').at(-1)).toMatchObject({
      destination: 'dest-home',
      even_the_last: true,
    });
  });

  test('are kept from every rule by a pin', async () => {
    const fixture = small();
    const backup = fixture.world.backups[0];
    await show(BackupDetailView, { id: backup?.id ?? '' }, { fixture });
    await press('Pin');
    expect(called(fixture, 'pin_backup')).toEqual([{ id: backup?.id, pinned: true }]);
    expect(screen.getByText('Pinned: no rule deletes it')).toBeTruthy();
    expect(screen.getByRole('button', { name: 'Unpin' })).toBeTruthy();
    expect(screen.getByText('Encrypted to', { exact: false })).toBeTruthy();
  });
});

describe('the keys', () => {
  test('warn until the recovery kit was saved, and say where it went', async () => {
    await show(SettingsPage, {}, { fixture: small(), path: '/settings' });
    expect(screen.getByText(/The recovery kit was never saved/)).toBeTruthy();
    await press('Save the recovery kit');
    expect(screen.getByText(/Saved as \/home\/ada\/howdah-recovery-kit\.txt/)).toBeTruthy();
    expect(screen.queryByText(/The recovery kit was never saved/)).toBeNull();
  });

  test('tell a kit that is right from one that is another’s', async () => {
    const { fixture } = await show(SettingsPage, {}, { fixture: small(), path: '/settings' });
    await press('Test a kit');
    expect(screen.getByText(/This kit is right/)).toBeTruthy();
    fixture.overrides.set('test_kit', () => ({
      recipient: 'age1zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz',
      right: false,
      destinations: [],
    }));
    await press('Test a kit');
    expect(screen.getByText(/holds another key/)).toBeTruthy();
    fixture.overrides.set('test_kit', () => null);
    await press('Test a kit');
    expect(screen.queryByText(/holds another key/)).toBeNull();
  });
});
