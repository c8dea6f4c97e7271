import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fireEvent, within } from '@testing-library/svelte';
import { goto } from '$app/navigation';
import { describe, expect, test, vi } from 'vitest';
import BackupDetailView from '$features/backups/BackupDetailView.svelte';
import DatabaseView from '$features/databases/DatabaseView.svelte';
import RunFull from '$features/runs/RunFull.svelte';
import Databases from '../src/routes/databases/+page.svelte';
import OverviewPage from '../src/routes/+page.svelte';
import SettingsPage from '../src/routes/settings/+page.svelte';
import { Fixture } from '$lib/ipc/fixture';
import { screen, settle, show } from './frame';

describe('the overview', () => {
  test('opens with one sentence, and what needs somebody with a button each', async () => {
    const { fixture } = await show(OverviewPage, {});
    expect(screen.getByRole('heading', { level: 1 }).textContent).toBe(
      '2 things need you. 3 of 4 databases are backed up and reachable.',
    );
    const needs = screen.getByRole('list', { name: 'What needs you' });
    expect(
      within(needs)
        .getAllByRole('button')
        .map((button) => button.textContent.trim()),
    ).toEqual(['Show the fix', 'Back up now']);
    await fireEvent.click(within(needs).getByRole('button', { name: 'Back up now' }));
    await settle();
    expect(fixture.calls.at(-2)?.command ?? '').toMatch(/back_up_now|overview/);
    expect(fixture.calls.some((each) => each.command === 'back_up_now')).toBe(true);
  });

  test('teaches the one step where there is nothing yet', async () => {
    await show(OverviewPage, {}, { scenario: 'empty' });
    expect(screen.getByRole('heading', { level: 1 }).textContent).toBe('Nothing is being backed up yet');
    const main = within(screen.getByRole('main'));
    expect(main.getByRole('link', { name: 'Add a database' }).getAttribute('href')).toBe('/add');
  });

  test('says what went wrong, what to do, and has the raw words at hand', async () => {
    await show(OverviewPage, {}, { scenario: 'broken' });
    const main = within(screen.getByRole('main'));
    expect(main.getByText(/cannot be read: the disk reports an error/)).toBeTruthy();
    expect(main.getByText(/Check the disk/)).toBeTruthy();
    expect(main.getByText(/disk I\/O error/)).toBeTruthy();
    expect(main.getByRole('button', { name: 'Try again' })).toBeTruthy();
  });

  test('names each state in words, not in colour alone', async () => {
    await show(OverviewPage, {});
    const table = within(screen.getByRole('main')).getByRole('table', { name: 'Databases' });
    expect(within(table).getByText('Failed: a right is missing')).toBeTruthy();
    expect(within(table).getByText('Running 62%')).toBeTruthy();
    expect(within(table).getAllByText('Backed up')).toHaveLength(2);
  });
});

test('the list of databases has a place for a server that has none yet', async () => {
  const fixture = new Fixture({ scenario: 'calm' });
  await fixture.invoke('add_server', {
    input: { type: 'text', text: 'postgres://u:p@new.example.com/db', password: null },
    name: 'New',
    environment: 'none',
  });
  await show(Databases, {}, { fixture });
  const server = within(screen.getByRole('region', { name: 'New' }));
  expect(server.getByRole('link', { name: 'Add a database of this server' })).toBeTruthy();
});

describe('a server', () => {
  test('is removed only when its name was typed', async () => {
    const { fixture } = await show(Databases, {}, { scenario: 'calm' });
    await fireEvent.click(screen.getByRole('button', { name: 'More for Office' }));
    await fireEvent.click(screen.getByRole('menuitem', { name: 'Remove the server' }));
    await settle();
    const dialog = within(screen.getByRole('dialog'));
    const remove = dialog.getByRole<HTMLButtonElement>('button', { name: 'Remove the server' });
    expect(remove.disabled).toBe(true);
    await fireEvent.input(dialog.getByRole('textbox'), { target: { value: 'office' } });
    expect(remove.disabled).toBe(true);
    await fireEvent.input(dialog.getByRole('textbox'), { target: { value: 'Office' } });
    expect(remove.disabled).toBe(false);
    await fireEvent.click(remove);
    await settle();
    expect(fixture.world.servers.map((server) => server.name)).toEqual(['db.example.com']);
  });

  test('keeps its password where none is typed', async () => {
    const fixture = new Fixture({ scenario: 'calm' });
    const id = fixture.world.databases[0]?.id ?? '';
    await show(DatabaseView, { id }, { fixture });
    await fireEvent.click(screen.getByRole('button', { name: 'More for shop' }));
    await fireEvent.click(screen.getByRole('menuitem', { name: 'Edit the connection' }));
    await settle();
    const dialog = within(screen.getByRole('dialog'));
    await fireEvent.input(dialog.getByLabelText('Host'), { target: { value: 'db2.example.com' } });
    await fireEvent.click(dialog.getByRole('button', { name: 'Save the connection' }));
    await settle();
    const change = fixture.calls.find((each) => each.command === 'change_server')?.args.change;
    expect(change).toMatchObject({ connection: { host: 'db2.example.com' } });
    expect(change).not.toHaveProperty('password');
  });

  test('is not typed over while the page behind goes on', async () => {
    const fixture = new Fixture();
    const database = fixture.world.databases[0];
    const run = database?.active_run;
    if (!run) throw new Error('the fixture has a running run');
    await show(DatabaseView, { id: database.id }, { fixture });
    await fireEvent.click(screen.getByRole('button', { name: 'More for shop' }));
    await fireEvent.click(screen.getByRole('menuitem', { name: 'Edit the connection' }));
    await settle();
    const host = within(screen.getByRole('dialog')).getByLabelText<HTMLInputElement>('Host');
    await fireEvent.input(host, { target: { value: 'half-typed' } });
    fixture.emit({ type: 'progress', run_id: run.id, state: run.state, progress: run.progress });
    fixture.emit({ type: 'databases' });
    await settle();
    expect(host.value).toBe('half-typed');
  });
});

describe('a dialog begins at what it asks', () => {
  async function open(item: string) {
    await show(Databases, {}, { scenario: 'calm' });
    await fireEvent.click(screen.getByRole('button', { name: 'More for Office' }));
    await fireEvent.click(screen.getByRole('menuitem', { name: item }));
    await settle();
    return within(screen.getByRole('dialog'));
  }

  test('at its first field', async () => {
    const dialog = await open('Edit the connection');
    expect(document.activeElement).toBe(dialog.getByLabelText('Server’s name'));
  });

  test('at the first word of a plan that is edited', async () => {
    const fixture = new Fixture({ scenario: 'calm' });
    await show(DatabaseView, { id: fixture.world.databases[0]?.id ?? '' }, { fixture });
    await fireEvent.click(screen.getByRole('button', { name: 'Edit the plan' }));
    await settle();
    const dialog = within(screen.getByRole('dialog'));
    expect(document.activeElement).toBe(dialog.getByRole('combobox', { name: 'How often' }));
  });

  test('at the name to be typed, where that is what it asks', async () => {
    const dialog = await open('Remove the server');
    expect(document.activeElement).toBe(dialog.getByRole('textbox'));
  });

  test('at the harmless answer, where it asks for nothing else', async () => {
    const fixture = new Fixture();
    const id = fixture.world.runs.find((run) => run.state.state === 'running')?.id ?? '';
    await show(RunFull, { id }, { fixture });
    await fireEvent.click(screen.getByRole('button', { name: 'Cancel' }));
    await settle();
    const dialog = within(screen.getByRole('dialog'));
    expect(document.activeElement).toBe(dialog.getByRole('button', { name: 'Let it run' }));
  });
});

describe('a database', () => {
  test('has its plan as a sentence, and is paused and resumed', async () => {
    const fixture = new Fixture({ scenario: 'calm' });
    const id = fixture.world.databases[0]?.id ?? '';
    await show(DatabaseView, { id }, { fixture });
    expect(
      screen.getByText(
        'Every day at 04:00 (Europe/Berlin), back up shop into /home/ada/Howdah and Backup bucket.',
      ),
    ).toBeTruthy();
    await fireEvent.click(screen.getByRole('button', { name: 'More for shop' }));
    await fireEvent.click(screen.getByRole('menuitem', { name: 'Pause the plan' }));
    await settle();
    expect(fixture.calls.find((each) => each.command === 'save_plan')?.args.plan).toMatchObject({
      enabled: false,
      folder: null,
      destinations: ['dest-home', 'dest-bucket'],
    });
    expect(screen.getByText('Paused: the schedule does not start it')).toBeTruthy();
  });

  test('has a plan that waits for what is chosen', async () => {
    const fixture = new Fixture({ scenario: 'calm' });
    await show(DatabaseView, { id: fixture.world.databases[0]?.id ?? '' }, { fixture });
    await fireEvent.click(screen.getByRole('button', { name: 'Edit the plan' }));
    await settle();
    const dialog = within(screen.getByRole('dialog'));
    const choose = (label: string, value: string) =>
      fireEvent.change(dialog.getByRole('combobox', { name: label }), { target: { value } });
    await choose('What becomes of a missed time', 'if_older');
    await fireEvent.input(dialog.getByRole('textbox', { name: 'Hours' }), { target: { value: '0' } });
    await choose('When it may begin', 'between');
    await settle();
    const save = dialog.getByRole<HTMLButtonElement>('button', { name: 'Save the plan' });
    expect(save.disabled).toBe(true);
    await fireEvent.input(dialog.getByRole('textbox', { name: 'Hours' }), { target: { value: '36' } });
    await choose('On battery', 'never');
    await choose('On a metered network', 'go');
    await settle();
    await fireEvent.click(save);
    await settle();
    expect(fixture.calls.find((each) => each.command === 'save_plan')?.args.plan).toMatchObject({
      conditions: {
        missed: { is: 'if_older', hours: 36 },
        battery: { is: 'never' },
        metered: true,
        hours: { from: { hour: 22, minute: 0 }, to: { hour: 6, minute: 0 } },
      },
    });
  });

  test('leads to its run when it is backed up', async () => {
    vi.mocked(goto).mockClear();
    const fixture = new Fixture({ scenario: 'calm' });
    const id = fixture.world.databases[0]?.id ?? '';
    await show(DatabaseView, { id }, { fixture });
    await fireEvent.click(screen.getByRole('button', { name: 'Back up now' }));
    await settle();
    expect(vi.mocked(goto).mock.calls[0]?.[0]).toContain('run=run-1');
    expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Back up now' }).disabled).toBe(true);
  });

  test('has a chart that arrow keys step through', async () => {
    const fixture = new Fixture({ scenario: 'calm' });
    const id = fixture.world.databases[0]?.id ?? '';
    await show(DatabaseView, { id }, { fixture });
    const chart = screen.getByRole('slider');
    const newest = chart.getAttribute('aria-valuetext');
    await fireEvent.keyDown(chart, { key: 'ArrowLeft' });
    expect(chart.getAttribute('aria-valuenow')).toBe('29');
    expect(chart.getAttribute('aria-valuetext')).not.toBe(newest);
    await fireEvent.keyDown(chart, { key: 'Home' });
    expect(chart.getAttribute('aria-valuenow')).toBe('1');
  });
});

describe('a run', () => {
  test('is cancelled after a question', async () => {
    const fixture = new Fixture();
    const id = fixture.world.runs.find((run) => run.state.state === 'running')?.id ?? '';
    await show(RunFull, { id }, { fixture });
    await fireEvent.click(screen.getByRole('button', { name: 'Cancel' }));
    await settle();
    expect(fixture.calls.some((each) => each.command === 'cancel_run')).toBe(false);
    const dialog = within(screen.getByRole('dialog'));
    await fireEvent.click(dialog.getByRole('button', { name: 'Cancel the backup' }));
    await settle();
    expect(fixture.calls.find((each) => each.command === 'cancel_run')?.args).toEqual({ id });
    expect(screen.getByText('Cancelled by you. Nothing of it was kept.')).toBeTruthy();
  });

  test('says what it is doing in numbers', async () => {
    const fixture = new Fixture();
    const id = fixture.world.runs.find((run) => run.state.state === 'running')?.id ?? '';
    const { container } = await show(RunFull, { id }, { fixture });
    const text = (container.querySelector('main .facts')?.textContent ?? '').replace(/\u00a0/g, ' ');
    expect(text).toContain('table 14 of 32');
    expect(text).toContain('public.orders');
    expect(text).toContain('4.1 M rows');
    expect(text).toContain('61 MB/s');
    expect(within(screen.getByRole('main')).getByRole('progressbar').getAttribute('aria-valuenow')).toBe(
      '62',
    );
  });

  test('that failed says why, what to do, and has the program’s own words', async () => {
    const fixture = new Fixture();
    const id = fixture.world.runs.find((run) => run.state.state === 'failed')?.id ?? '';
    await show(RunFull, { id }, { fixture });
    const main = within(screen.getByRole('main'));
    expect(main.getByText(/may not read 3 tables/)).toBeTruthy();
    expect(main.getByText(/Let somebody who owns them run/)).toBeTruthy();
    expect(main.getAllByText(/permission denied for table log/).length).toBeGreaterThan(0);
    expect(main.getByRole('button', { name: 'Try again' })).toBeTruthy();
  });
});

describe('a backup', () => {
  test('finds a table among many', async () => {
    const fixture = new Fixture({ scenario: 'calm' });
    const id = fixture.world.backups[0]?.id ?? '';
    await show(BackupDetailView, { id }, { fixture });
    const table = () => within(screen.getByRole('table', { name: 'Tables' })).getAllByRole('row').length - 1;
    expect(table()).toBe(200);
    await fireEvent.click(screen.getByRole('button', { name: 'Show 14 more of 214' }));
    expect(table()).toBe(214);
    await fireEvent.input(screen.getByRole('searchbox', { name: 'Search tables' }), {
      target: { value: 'order_lines' },
    });
    expect(table()).toBeLessThan(20);
  });

  test('is read back by a press, and shown in the pane', async () => {
    vi.mocked(goto).mockClear();
    const fixture = new Fixture({ scenario: 'calm' });
    const id = fixture.world.backups[0]?.id ?? '';
    await show(BackupDetailView, { id }, { fixture });
    await fireEvent.click(screen.getByRole('button', { name: 'Verify' }));
    await settle();
    expect(vi.mocked(goto).mock.calls[0]?.[0]).toContain('run=run-1');
    expect(screen.getByText('Read back and found whole')).toBeTruthy();
  });
});

describe('settings', () => {
  test('take a colour at once and keep it', async () => {
    const { fixture } = await show(SettingsPage, {}, { scenario: 'calm' });
    await fireEvent.click(screen.getByRole('radio', { name: 'Dark' }));
    await settle();
    expect(document.documentElement.dataset.theme).toBe('dark');
    expect(fixture.world.settings.theme).toBe('dark');
    await fireEvent.click(screen.getByRole('radio', { name: 'System' }));
    await settle();
    expect(document.documentElement.dataset.theme).toBeUndefined();
  });

  test('do not take a number that makes no sense', async () => {
    const { fixture } = await show(SettingsPage, {}, { scenario: 'calm' });
    const field = screen.getByRole<HTMLInputElement>('textbox', { name: 'Backups at once' });
    await fireEvent.input(field, { target: { value: '9' } });
    await fireEvent.blur(field);
    await settle();
    expect(screen.getByRole('alert').textContent).toContain('From 1 to 8');
    expect(fixture.calls.some((each) => each.command === 'save_settings')).toBe(false);
    await fireEvent.input(field, { target: { value: '4' } });
    await fireEvent.blur(field);
    await settle();
    expect(fixture.world.settings.parallel_backups).toBe(4);
  });

  test('go back to what they were where they could not be saved', async () => {
    const fixture = new Fixture({ scenario: 'calm' });
    fixture.overrides.set('save_settings', () => {
      throw { code: 'disk_full', message: 'No space left.', hint: null, details: null };
    });
    await show(SettingsPage, {}, { fixture });
    await fireEvent.click(screen.getByRole('switch', { name: 'Figures for Prometheus' }));
    await settle();
    expect(screen.getByRole('alert').textContent).toContain('No space left.');
    expect(screen.getByRole<HTMLInputElement>('switch', { name: 'Figures for Prometheus' }).checked).toBe(
      false,
    );
  });
});

test('no component writes a style into its markup, which a strict content policy would drop', () => {
  const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.svelte'),
  );
  expect(files.length).toBeGreaterThan(50);
  expect(files.filter((file) => /\sstyle="/.test(readFileSync(join('src', file), 'utf8')))).toEqual([]);
});
