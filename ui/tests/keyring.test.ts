import { fireEvent, within } from '@testing-library/svelte';
import { goto } from '$app/navigation';
import { expect, test, vi } from 'vitest';
import RunFull from '$features/runs/RunFull.svelte';
import Add from '../src/routes/add/+page.svelte';
import Databases from '../src/routes/databases/+page.svelte';
import OverviewPage from '../src/routes/+page.svelte';
import SettingsPage from '../src/routes/settings/+page.svelte';
import type { Fixture } from '$lib/ipc/fixture';
import { paste, press, screen, settle, show } from './frame';

const asked = (fixture: Fixture, command: string) =>
  fixture.calls.filter((each) => each.command === command).length;

const main = () => within(screen.getByRole('main'));
const unlock = () => main().getByRole('button', { name: 'Unlock the keyring' });

test('a locked keyring is unlocked where the overview says that it is needed', async () => {
  const { fixture } = await show(OverviewPage, {}, { scenario: 'keyring' });
  await fireEvent.click(unlock());
  await settle();
  expect(asked(fixture, 'unlock_keyring')).toBe(1);
  expect(main().queryByText('Howdah cannot read the passwords')).toBeNull();
});

test('a keyring whose dialog was dismissed is said to be locked still, and can be asked again', async () => {
  const { fixture } = await show(OverviewPage, {}, { scenario: 'keyring' });
  fixture.overrides.set('unlock_keyring', () => 'locked');
  await fireEvent.click(unlock());
  await settle();
  expect(main().getByRole('status').textContent).toBe('It is still locked.');
  fixture.overrides.delete('unlock_keyring');
  await fireEvent.click(unlock());
  await settle();
  expect(main().queryByText('It is still locked.')).toBeNull();
});

test('the keyring’s dialog is asked for once, however often the button is pressed', async () => {
  const { fixture } = await show(OverviewPage, {}, { scenario: 'keyring' });
  let answer: (state: string) => void = () => undefined;
  fixture.overrides.set('unlock_keyring', () => new Promise((resolve) => (answer = resolve)));
  await fireEvent.click(unlock());
  await settle();
  expect((unlock() as HTMLButtonElement).disabled).toBe(true);
  await fireEvent.click(unlock());
  answer('open');
  await settle();
  expect(asked(fixture, 'unlock_keyring')).toBe(1);
});

test('a run that waits for the keyring offers to unlock it', async () => {
  const first = await show(OverviewPage, {}, { scenario: 'keyring' });
  const waiting = first.fixture.world.runs.find((run) => run.state.state === 'waiting');
  await show(RunFull, { id: waiting?.id ?? '' }, { fixture: first.fixture });
  expect(screen.getAllByRole('button', { name: 'Unlock the keyring' }).length).toBeGreaterThan(0);
});

test('the settings say that the keyring is locked, and unlock it', async () => {
  const { fixture } = await show(SettingsPage, {}, { scenario: 'keyring' });
  expect(main().getByText('Locked')).toBeTruthy();
  await fireEvent.click(unlock());
  await settle();
  expect(fixture.world.keyring).toBe('open');
  expect(main().getByText('Open: passwords can be kept and read')).toBeTruthy();
  expect(main().queryByRole('button', { name: 'Unlock the keyring' })).toBeNull();
});

test('a password that cannot be kept is told before the start, with the way out', async () => {
  await show(Add, {}, { scenario: 'keyring', path: '/add' });
  await paste('postgres://howdah:s3cret@db.example.com/shop');
  await press('Test');
  expect(main().getByText('The keyring is locked, so the password cannot be kept yet.')).toBeTruthy();
  await fireEvent.click(unlock());
  await settle();
  expect(main().queryByText(/cannot be kept yet/)).toBeNull();
});

test('a connection without a password asks nothing of the keyring', async () => {
  await show(Add, {}, { scenario: 'keyring', path: '/add' });
  await paste('postgres://howdah@db.example.com/shop');
  await press('Test');
  expect(main().queryByText(/cannot be kept/)).toBeNull();
});

test('a start that the keyring stopped goes on by itself once it is unlocked', async () => {
  vi.mocked(goto).mockClear();
  const { fixture } = await show(Add, {}, { scenario: 'empty', path: '/add' });
  await paste('postgres://howdah:s3cret@db.example.com/shop');
  await press('Test');
  // It was locked while the page was open.
  fixture.world.keyring = 'locked';
  await press('Start, and back up now');
  expect(screen.getByRole('alert').textContent).toContain('The keyring is locked.');
  await fireEvent.click(unlock());
  await settle();
  expect(fixture.world.servers).toHaveLength(1);
  expect(vi.mocked(goto).mock.calls.at(-1)?.[0]).toMatch(/^\/runs\//);
});

test('a test of a known server that the keyring stopped goes on once it is unlocked', async () => {
  const first = await show(Databases, {}, { scenario: 'calm' });
  const { fixture } = first;
  const server = fixture.world.servers[0];
  let locked = true;
  fixture.overrides.set('test_connection', () => {
    if (locked)
      throw { code: 'keyring_locked', message: 'The keyring is locked.', hint: null, details: null };
    return { ok: true, steps: [], databases: [], schemas: [], role_sql: null };
  });
  fixture.overrides.set('unlock_keyring', () => {
    locked = false;
    return 'open';
  });
  await show(Add, {}, { fixture, path: `/add?server=${server?.id ?? ''}` });
  const buttons = () => screen.getAllByRole('button', { name: 'Test' });
  await fireEvent.click(buttons().at(-1) ?? document.body);
  await settle();
  await fireEvent.click(screen.getByRole('button', { name: 'Unlock the keyring' }));
  await settle();
  expect(screen.getByText('A backup of this database would work.')).toBeTruthy();
  expect(asked(fixture, 'test_connection')).toBe(2);
});
