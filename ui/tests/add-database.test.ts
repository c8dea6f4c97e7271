import { fireEvent, within } from '@testing-library/svelte';
import { goto } from '$app/navigation';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import Add from '../src/routes/add/+page.svelte';
import { cleanup, paste, press, screen, settle, show, type Shown } from './frame';

const PASTED = 'postgres://howdah:s3cret@db.example.com:6432/shop';

const called = ({ fixture }: Shown, command: string) =>
  fixture.calls.filter((each) => each.command === command).map((each) => each.args);

describe('adding a database', () => {
  let shown: Shown;

  beforeEach(async () => {
    vi.mocked(goto).mockClear();
    shown = await show(Add, {}, { scenario: 'empty', path: '/add' });
  });

  test('shows each part as it is understood, and that the password goes to the keyring', async () => {
    await paste(PASTED);
    const facts = shown.container.querySelector('dl');
    expect(facts?.textContent).toContain('db.example.com');
    expect(facts?.textContent).toContain('port 6432');
    expect(facts?.textContent).toMatch(/goes to the system’s keyring/);
    expect(screen.queryByLabelText('Password')).toBeNull();
  });

  test('asks for a password that the text does not hold', async () => {
    await paste('postgres://howdah@db.example.com/shop');
    expect(screen.getByLabelText('Password').getAttribute('type')).toBe('password');
  });

  test('does not leave the password on the screen', async () => {
    await paste(PASTED);
    const area = screen.getByRole<HTMLTextAreaElement>('textbox', { name: 'Connection' });
    await fireEvent.blur(area);
    expect(area.value).not.toContain('s3cret');
    await fireEvent.focus(area);
    expect(area.value).toBe(PASTED);
  });

  test('says what is wrong with a text that is no connection, and tests nothing', async () => {
    await paste('hello');
    expect(shown.container.textContent).toContain('That is not a connection that Howdah understands.');
    expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Test' }).disabled).toBe(true);
  });

  test('goes from a pasted text to a first backup in two presses', async () => {
    await paste(PASTED);
    await press('Test');
    expect(screen.getByRole('list', { name: 'Test' }).textContent).toContain('PostgreSQL 16.4');
    await press('Start, and back up now');

    expect(called(shown, 'add_server')).toEqual([
      {
        input: { type: 'text', text: PASTED, password: null },
        name: 'db.example.com',
        environment: 'none',
      },
    ]);
    const server = shown.fixture.world.servers[0];
    const database = shown.fixture.world.databases[0];
    expect(called(shown, 'save_plan')).toMatchObject([
      {
        plan: {
          server_id: server?.id,
          scope: { type: 'database', name: 'shop' },
          schedule: { type: 'daily', at: { hour: 4, minute: 0 } },
          time_zone: 'Europe/Berlin',
          folder: '/home/ada/Howdah',
          enabled: true,
        },
      },
    ]);
    expect(called(shown, 'back_up_now')).toEqual([{ database_id: database?.id }]);
    expect(goto).toHaveBeenCalledWith(`/runs/${shown.fixture.world.runs[0]?.id ?? ''}`);
  });

  test('takes the words that were chosen', async () => {
    await paste(PASTED);
    await press('Test');
    const time = screen.getByRole('textbox', { name: 'Time of day' });
    await fireEvent.input(time, { target: { value: '6 pm' } });
    await fireEvent.change(screen.getByRole('combobox', { name: 'Which databases' }), {
      target: { value: 'all' },
    });
    await fireEvent.click(screen.getByRole('radio', { name: 'Production' }));
    await settle();
    await press('Start, and back up now');
    expect(called(shown, 'add_server')).toMatchObject([{ environment: 'production' }]);
    expect(called(shown, 'save_plan')).toMatchObject([
      {
        plan: {
          scope: { type: 'all_databases', except: [] },
          schedule: { type: 'daily', at: { hour: 18, minute: 0 } },
        },
      },
    ]);
    expect(called(shown, 'back_up_now')).toHaveLength(2);
    expect(goto).toHaveBeenCalledWith('/');
  });

  test('shows what would make the backup fail, with the SQL that mends it, and opens no plan', async () => {
    await paste('postgres://reader:x@db.example.com/shop');
    await press('Test');
    const list = screen.getByRole('list', { name: 'Test' });
    expect(within(list).getByText(/GRANT SELECT/)).toBeTruthy();
    expect(shown.container.textContent).toContain('A backup would fail.');
    expect(screen.queryByRole('button', { name: 'Start, and back up now' })).toBeNull();
    await press('Set up the plan anyway');
    expect(screen.getByRole('button', { name: 'Start, and back up now' })).toBeTruthy();
  });

  test('offers no plan for a server that was not reached', async () => {
    await paste('postgres://u:x@db.nowhere/shop');
    await press('Test');
    expect(shown.container.textContent).toContain('the name does not resolve');
    expect(screen.queryByRole('button', { name: 'Set up the plan anyway' })).toBeNull();
  });

  test('forgets the findings when the connection is changed', async () => {
    await paste(PASTED);
    await press('Test');
    expect(screen.queryByRole('button', { name: 'Start, and back up now' })).toBeTruthy();
    await paste('postgres://howdah:s3cret@other.example.com/shop');
    expect(screen.queryByRole('button', { name: 'Start, and back up now' })).toBeNull();
    expect(screen.queryByRole('list', { name: 'Test' })).toBeNull();
  });

  test('does not save the server twice when the plan fails at first', async () => {
    await paste(PASTED);
    await press('Test');
    shown.fixture.overrides.set('save_plan', () => {
      throw {
        code: 'destination_read_only',
        message: 'The folder cannot be written.',
        hint: null,
        details: null,
      };
    });
    await press('Start, and back up now');
    expect(screen.getByRole('alert').textContent).toContain('The folder cannot be written.');
    shown.fixture.overrides.delete('save_plan');
    await press('Start, and back up now');
    expect(called(shown, 'add_server')).toHaveLength(1);
    expect(goto).toHaveBeenCalled();
  });

  test('fills the form with what was understood, without the password', async () => {
    await paste(PASTED);
    await press('Fill in a form instead');
    expect(screen.getByRole<HTMLInputElement>('textbox', { name: 'Host' }).value).toBe('db.example.com');
    expect(screen.getByRole<HTMLInputElement>('textbox', { name: 'Port' }).value).toBe('6432');
    const password = screen.getByLabelText<HTMLInputElement>('Password');
    expect(password.value).toBe('');
    await fireEvent.input(password, { target: { value: 'typed' } });
    await press('Test');
    expect(called(shown, 'test_connection')).toMatchObject([
      {
        request: {
          input: { type: 'form', password: 'typed', connection: { host: 'db.example.com', port: 6432 } },
        },
      },
    ]);
  });
});

test('a database of a server that is known already needs no connection', async () => {
  const first = await show(Add, {}, { scenario: 'calm' });
  const server = first.fixture.world.servers[0];
  cleanup();
  const shown = await show(Add, {}, { fixture: first.fixture, path: `/add?server=${server?.id ?? ''}` });
  await press('Test');
  await press('Start, and back up now');
  expect(called(shown, 'add_server')).toEqual([]);
  expect(called(shown, 'test_connection').at(-1)).toMatchObject({
    request: { input: { type: 'server', id: server?.id } },
  });
  expect(called(shown, 'save_plan')).toMatchObject([{ plan: { server_id: server?.id } }]);
});
