import { fireEvent, within } from '@testing-library/svelte';
import { describe, expect, test } from 'vitest';
import type { Fixture } from '$lib/ipc/fixture';
import OverviewPage from '../src/routes/+page.svelte';
import Destinations from '../src/routes/destinations/+page.svelte';
import { called, press, screen, settle, show, small } from './frame';

const button = (name: string) => screen.getByRole<HTMLButtonElement>('button', { name });
const dialog = () => within(screen.getByRole('dialog'));

async function type(name: string, value: string) {
  await fireEvent.input(dialog().getByLabelText(name), { target: { value } });
  await settle();
}

async function begin(fixture: Fixture = small('empty')) {
  await show(Destinations, {}, { fixture });
  await fireEvent.click(screen.getAllByRole('button', { name: 'Add a destination' })[0] as HTMLElement);
  await settle();
  await fireEvent.change(screen.getByRole('combobox', { name: 'Kind' }), { target: { value: 'drive' } });
  await settle();
  return fixture;
}

/** Leaves the browser's page open until somebody comes back from it. */
function hold(fixture: Fixture) {
  let done: (answer: unknown) => void = () => undefined;
  let failed: (failure: unknown) => void = () => undefined;
  fixture.overrides.set(
    'finish_drive_sign_in',
    () =>
      new Promise((resolve, reject) => {
        done = resolve;
        failed = reject;
      }),
  );
  return { done: (answer: unknown) => done(answer), failed: (failure: unknown) => failed(failure) };
}

describe('a destination in Google Drive', () => {
  test('is added by signing in, and by nothing before that', async () => {
    const fixture = await begin();
    expect(button('Save').disabled).toBe(true);
    expect(button('Test').disabled).toBe(true);
    expect(screen.getByLabelText<HTMLInputElement>('Folder').value).toMatch(/^Howdah\//);
    await press('Sign in with Google');
    expect(screen.getByText('Signed in as ada@example.com')).toBeTruthy();
    expect(called(fixture, 'begin_drive_sign_in')).toEqual([
      { request: { destination: null, client_id: null, client_secret: null } },
    ]);
    await type('Folder', ' Howdah/desk ');
    await press('Test');
    await press('Save');
    const asked = {
      input: {
        id: null,
        name: null,
        place: { kind: 'drive', folder: 'Howdah/desk', client_id: null, account: 'ada@example.com' },
        secret: null,
        sign_in: 'sign-in-1',
      },
    };
    expect(called(fixture, 'test_destination')).toEqual([asked]);
    expect(called(fixture, 'add_destination')).toEqual([asked]);
    expect(fixture.world.destinations.map((each) => each.kind)).toEqual(['drive']);
  });

  test('waits for the browser, and has the address to copy where none opened', async () => {
    const fixture = small('empty');
    const browser = hold(fixture);
    await begin(fixture);
    await press('Sign in with Google');
    expect(screen.getByText('Waiting for the browser…')).toBeTruthy();
    expect(screen.getByText(/^https:\/\/accounts\.google\.com\//)).toBeTruthy();
    expect(button('Copy the address')).toBeTruthy();
    expect(button('Save').disabled).toBe(true);
    browser.done({ id: 'sign-in-1', account: null });
    await settle();
    expect(screen.getByText('Signed in')).toBeTruthy();
    expect(button('Save').disabled).toBe(false);
  });

  test('keeps the focus while it waits, so that the keyboard can give it up', async () => {
    const fixture = small('empty');
    hold(fixture);
    await begin(fixture);
    button('Sign in with Google').focus();
    const focused = document.activeElement;
    await press('Sign in with Google');
    expect(focused?.textContent.trim()).toBe('Cancel the sign-in');
  });

  test('gives the sign-in up by a press, and does not heed what comes of it', async () => {
    const fixture = small('empty');
    const browser = hold(fixture);
    await begin(fixture);
    await press('Sign in with Google');
    await press('Cancel the sign-in');
    expect(called(fixture, 'cancel_drive_sign_in')).toEqual([{ id: 'sign-in-1' }]);
    browser.failed({ code: 'cancelled', message: 'Given up.', hint: null, details: null });
    await settle();
    expect(screen.queryByRole('alert')).toBeNull();
    expect(button('Sign in with Google')).toBeTruthy();
  });

  test('says why a sign-in failed, and can be tried again', async () => {
    const fixture = small('empty');
    const browser = hold(fixture);
    await begin(fixture);
    await press('Sign in with Google');
    browser.failed({ code: 'sign_in_needed', message: 'You said no.', hint: null, details: null });
    await settle();
    expect(screen.getByRole('alert').textContent).toContain('You said no.');
    fixture.overrides.delete('finish_drive_sign_in');
    await press('Sign in with Google');
    expect(screen.queryByRole('alert')).toBeNull();
    expect(screen.getByText('Signed in as ada@example.com')).toBeTruthy();
  });

  test('leaves no sign-in behind when its dialog is left', async () => {
    const fixture = await begin();
    await press('Sign in with Google');
    await press('Cancel');
    expect(called(fixture, 'cancel_drive_sign_in')).toEqual([{ id: 'sign-in-1' }]);
  });

  test('can be reached with a client of one’s own, whose sign-in counts for no other', async () => {
    const fixture = await begin();
    await fireEvent.click(screen.getByRole('radio', { name: 'My own client' }));
    await settle();
    expect(button('Sign in with Google').disabled).toBe(true);
    await type('Client id', 'mine.apps.googleusercontent.com');
    await type('Client secret', 'GOCSPX-1');
    await press('Sign in with Google');
    expect(called(fixture, 'begin_drive_sign_in')).toEqual([
      {
        request: {
          destination: null,
          client_id: 'mine.apps.googleusercontent.com',
          client_secret: 'GOCSPX-1',
        },
      },
    ]);
    await type('Client id', 'other.apps.googleusercontent.com');
    expect(button('Save').disabled).toBe(true);
    await type('Client id', 'mine.apps.googleusercontent.com');
    await press('Save');
    expect(called(fixture, 'add_destination')).toMatchObject([
      { input: { place: { client_id: 'mine.apps.googleusercontent.com' }, sign_in: 'sign-in-1' } },
    ]);
  });

  test('asks for a client where this build has none, and says how to get one', async () => {
    const fixture = small('empty');
    fixture.overrides.set('drive_offer', () => ({ built_in: false }));
    await begin(fixture);
    expect(screen.queryByRole('radio', { name: 'Howdah’s own' })).toBeNull();
    expect(screen.getByLabelText('Client id')).toBeTruthy();
    expect(screen.getByText(/type Desktop app/)).toBeTruthy();
    expect(screen.getByText(/drive\.file/)).toBeTruthy();
  });
});

describe('a sign-in that has gone', () => {
  const again = { request: { destination: 'dest-drive', client_id: null, client_secret: null } };
  const failing = (fixture: Fixture) =>
    fixture.world.destinations.find((each) => each.id === 'dest-drive')?.failure;

  test('is renewed where the destinations are listed', async () => {
    const fixture = small('reach');
    await show(Destinations, {}, { fixture, path: '/destinations' });
    await press('Sign in again');
    expect(called(fixture, 'begin_drive_sign_in')).toEqual([again]);
    expect(failing(fixture)).toBeNull();
    expect(screen.queryByText(/no longer accepts the sign-in/)).toBeNull();
  });

  test('is renewed on the overview, which then needs it no more', async () => {
    const fixture = small('reach');
    await show(OverviewPage, {}, { fixture });
    expect(screen.getByText('Google Drive (My Drive) needs you to sign in again')).toBeTruthy();
    await press('Sign in again');
    expect(called(fixture, 'begin_drive_sign_in')).toEqual([again]);
    expect(screen.queryByText('Google Drive (My Drive) needs you to sign in again')).toBeNull();
  });

  test('is renewed in its dialog, and goes along where the folder is another', async () => {
    const fixture = small('reach');
    await show(Destinations, {}, { fixture, path: '/destinations' });
    await press('More for My Drive');
    await fireEvent.click(screen.getByRole('menuitem', { name: 'Edit' }));
    await settle();
    expect(dialog().getByText('In the Drive of ada@example.com.')).toBeTruthy();
    await type('Folder', 'Howdah/desk');
    await fireEvent.click(dialog().getByRole('button', { name: 'Sign in again' }));
    await settle();
    await fireEvent.click(dialog().getByRole('button', { name: 'Save' }));
    await settle();
    expect(called(fixture, 'change_destination')).toEqual([
      {
        id: 'dest-drive',
        change: {
          name: 'My Drive',
          place: { kind: 'drive', folder: 'Howdah/desk', client_id: null, account: 'ada@example.com' },
          secret: null,
          sign_in: 'sign-in-1',
        },
      },
    ]);
  });
});

test('the recovery kit that was never saved is a need that leads to its button', async () => {
  const fixture = small('reach');
  await show(OverviewPage, {}, { fixture });
  const needs = within(screen.getByRole('list', { name: 'What needs you' }));
  expect(needs.getByText('The recovery kit was never saved')).toBeTruthy();
  await fixture.invoke('save_kit', { title: '' });
  await settle();
  expect(screen.queryByText('The recovery kit was never saved')).toBeNull();
});
