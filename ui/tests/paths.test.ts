import { fireEvent, within } from '@testing-library/svelte';
import { describe, expect, test } from 'vitest';
import Add from '../src/routes/add/+page.svelte';
import Databases from '../src/routes/databases/+page.svelte';
import SettingsPage from '../src/routes/settings/+page.svelte';
import { paste, press, screen, settle, show } from './frame';

const field = (name: string) => screen.getByRole<HTMLInputElement>('textbox', { name });

describe('a path is chosen in the desktop’s dialog', () => {
  test('for the folder of a plan, beginning at what is typed', async () => {
    const { fixture } = await show(Add, {}, { scenario: 'empty', path: '/add' });
    await paste('postgres://howdah:x@db.example.com/shop');
    await press('Test');
    await press('Choose a folder');
    expect(fixture.calls.find((each) => each.command === 'choose_folder')?.args).toEqual({
      title: 'Choose a folder',
      typed: '/home/ada/Howdah',
    });
    expect(field('Folder').value).toBe('~/Backups');
    await press('Start, and back up now');
    expect(fixture.calls.find((each) => each.command === 'save_plan')?.args.plan).toMatchObject({
      folder: '~/Backups',
    });
  });

  test('for each certificate of a connection', async () => {
    const { fixture } = await show(Databases, {}, { scenario: 'calm' });
    await press('More for Office');
    await fireEvent.click(screen.getByRole('menuitem', { name: 'Edit the connection' }));
    await settle();
    const dialog = within(screen.getByRole('dialog'));
    await fireEvent.click(dialog.getByText('Certificates'));
    let count = 0;
    fixture.overrides.set('choose_file', () => `/home/ada/${++count}.pem`);
    for (const name of [
      'Choose the authority’s certificate',
      'Choose the client’s certificate',
      'Choose the client’s key',
    ]) {
      await fireEvent.click(dialog.getByRole('button', { name, hidden: true }));
      await settle();
    }
    await fireEvent.click(dialog.getByRole('button', { name: 'Save the connection' }));
    await settle();
    expect(fixture.calls.find((each) => each.command === 'change_server')?.args.change).toMatchObject({
      connection: {
        tls: {
          ca_file: '/home/ada/1.pem',
          certificate_file: '/home/ada/2.pem',
          key_file: '/home/ada/3.pem',
        },
      },
    });
  });

  test('for the folder of new plans, and is saved at once', async () => {
    const { fixture } = await show(SettingsPage, {}, { scenario: 'calm' });
    await press('Choose a folder');
    expect(fixture.world.settings.default_folder).toBe('~/Backups');
    expect(field('Folder').value).toBe('~/Backups');
  });
});

test('a path that was typed stays when the dialog is left without a choice', async () => {
  const { fixture } = await show(SettingsPage, {}, { scenario: 'calm' });
  fixture.overrides.set('choose_folder', () => null);
  await fireEvent.input(field('Folder'), { target: { value: '/srv/back' } });
  await press('Choose a folder');
  expect(fixture.calls.find((each) => each.command === 'choose_folder')?.args.typed).toBe('/srv/back');
  expect(field('Folder').value).toBe('/srv/back');
  expect(fixture.calls.some((each) => each.command === 'save_settings')).toBe(false);
  await fireEvent.blur(field('Folder'));
  await settle();
  expect(fixture.world.settings.default_folder).toBe('/srv/back');
});

test('a dialog that cannot be shown says so beside its button, and the path can be typed', async () => {
  const { fixture } = await show(SettingsPage, {}, { scenario: 'calm' });
  fixture.overrides.set('choose_folder', () => {
    throw { code: 'internal', message: 'No dialog.', hint: 'Type the path.', details: null };
  });
  await press('Choose a folder');
  expect(screen.getByRole('alert').textContent).toBe('No dialog. Type the path.');
  expect(field('Folder').disabled).toBe(false);
});

test('the button that opens the dialog keeps the focus, so that the keyboard goes on from there', async () => {
  await show(SettingsPage, {}, { scenario: 'calm' });
  const button = screen.getByRole('button', { name: 'Choose a folder' });
  button.focus();
  await press('Choose a folder');
  expect(document.activeElement).toBe(button);
});
