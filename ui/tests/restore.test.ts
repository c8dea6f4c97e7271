import axe from 'axe-core';
import { describe, expect, test, vi } from 'vitest';
import BackupDetailView from '$features/backups/BackupDetailView.svelte';
import DatabaseView from '$features/databases/DatabaseView.svelte';
import RunFull from '$features/runs/RunFull.svelte';
import Instances from '../src/routes/instances/+page.svelte';
import { formatDateTime } from '$lib/format';
import { fireEvent } from '@testing-library/svelte';
import { called, cleanup, press, screen, settle, show, small } from './frame';

vi.setConfig({ testTimeout: 180_000 });

async function findings(container: HTMLElement): Promise<string[]> {
  const { violations } = await axe.run(container, { rules: { 'color-contrast': { enabled: false } } });
  return violations.flatMap((violation) => violation.nodes.map((node) => node.html.slice(0, 160)));
}

/** The sheet of a backup, open, after the first look. */
async function sheet() {
  const fixture = small();
  const backup = fixture.world.backups[0];
  if (!backup) throw new Error('the world has no backup');
  const shown = await show(BackupDetailView, { id: backup.id }, { fixture });
  await press('Restore…');
  await looked();
  return { ...shown, fixture, backup };
}

/** What is chosen is looked at a moment later. */
async function looked() {
  await new Promise((resolve) => setTimeout(resolve, 500));
  await settle();
}

const choose = async (label: string) => {
  await fireEvent.click(screen.getByRole('radio', { name: label }));
  await looked();
};

const wished = (fixture: ReturnType<typeof small>) =>
  fixture.calls.find((call) => call.command === 'restore_backup')?.args['wish'];

describe('the sheet', () => {
  test('restores onto this machine with one click', async () => {
    const { fixture, backup } = await sheet();
    expect(screen.getByText(/is free on this machine/)).toBeTruthy();
    expect(document.activeElement).toBe(screen.getByRole('radio', { name: 'This machine' }));
    const name = screen.getByLabelText<HTMLInputElement>('Name of the local instance').value;
    expect(name).toContain(formatDateTime(backup.started_at));
    await press(/^Restore \d+ tables into a new local PostgreSQL 16$/);
    expect(wished(fixture)).toMatchObject({ backup_id: backup.id, to: { kind: 'new_instance' } });
  });

  test('restores only what is defined, and leaves owners or privileges out', async () => {
    const { fixture } = await sheet();
    await choose('A server');
    await choose('Only definitions');
    await fireEvent.click(screen.getByRole('checkbox', { name: /^Stop at the first error/ }));
    await fireEvent.click(screen.getByRole('checkbox', { name: 'Keep owners' }));
    await looked();
    expect(screen.getByRole('checkbox', { name: /^Make the roles/ })).toBeTruthy();
    await fireEvent.click(screen.getByRole('checkbox', { name: 'Keep privileges' }));
    await looked();
    expect(screen.queryByRole('checkbox', { name: /^Make the roles/ })).toBeNull();
    await choose('Only these tables');
    await fireEvent.input(screen.getByRole('textbox', { name: 'Only these tables' }), {
      target: { value: 'public.orders\n"My s".*' },
    });
    await looked();
    expect(screen.getByRole('button', { name: /^Restore what is chosen into/ })).toBeTruthy();
    // What replaces a database is whole.
    await choose('In place of the one that is there');
    expect(screen.queryByRole('radio', { name: 'Only definitions' })).toBeNull();
    expect(screen.queryByRole('checkbox', { name: /^Stop at/ })).toBeNull();
    expect(screen.queryByRole('textbox', { name: 'Only these tables' })).toBeNull();
    await choose('A new database');
    await press(/_restored$/);
    expect(wished(fixture)).toMatchObject({
      options: {
        tables: [{ schema: 'public', name: 'orders' }],
        schemas: ['My s'],
        content: 'definitions',
        exit_on_error: true,
        owners: false,
        privileges: false,
        roles: false,
      },
    });
  });

  test('restores only rows into a database that is there, and not into a new PostgreSQL', async () => {
    const { fixture, backup, container } = await sheet();
    expect(screen.queryByRole('radio', { name: 'Only rows' })).toBeNull();
    await choose('A server');
    await choose('Only rows');
    const name = backup.database_name;
    expect(screen.getByLabelText<HTMLInputElement>('Database that is there').value).toBe(name);
    expect(screen.queryByRole('radio', { name: 'A new database' })).toBeNull();
    expect(screen.queryByRole('checkbox', { name: 'Keep owners' })).toBeNull();
    expect(await findings(container)).toEqual([]);
    // On this machine there are no tables for them.
    await choose('This machine');
    expect(screen.getByRole<HTMLInputElement>('radio', { name: 'Definitions and rows' }).checked).toBe(true);
    await choose('A server');
    await press(`Restore the rows into ${name}`);
    expect(wished(fixture)).toMatchObject({
      to: { kind: 'server', database: name, replace: false },
      options: { content: 'rows', exit_on_error: false, roles: false },
    });
  });

  test('replaces a database only after its name was typed', async () => {
    const { fixture, backup, container } = await sheet();
    await choose('A server');
    await choose('In place of the one that is there');
    const name = backup.database_name;
    // What was typed for one server is not typed for another.
    const other = screen.getByLabelText<HTMLSelectElement>('Server');
    const [first, second] = [...other.options].map((option) => option.value);
    const typed = { target: { value: name } };
    await fireEvent.input(screen.getByLabelText(`Type ${name} to confirm`), typed);
    await fireEvent.change(other, { target: { value: other.value === first ? second : first } });
    await looked();
    expect(screen.getByLabelText<HTMLInputElement>(`Type ${name} to confirm`).value).toBe('');
    expect(screen.getByLabelText<HTMLInputElement>('Database to replace').value).toBe(name);
    const button = screen.getByRole<HTMLButtonElement>('button', { name: `Replace ${name}` });
    expect(button.disabled).toBe(true);
    await fireEvent.input(screen.getByLabelText(`Type ${name} to confirm`), typed);
    await looked();
    expect(button.disabled).toBe(false);
    expect(await findings(container)).toEqual([]);
    await press(`Replace ${name}`);
    expect(wished(fixture)).toMatchObject({ to: { kind: 'server', database: name, replace: true } });
  });

  test('is not pressed where the look found something in the way', async () => {
    const { fixture } = await sheet();
    await choose('A server');
    await fireEvent.input(screen.getByLabelText('New database'), { target: { value: 'taken' } });
    await looked();
    expect(screen.getByText('There is a database taken already.')).toBeTruthy();
    expect(screen.getByText('1 thing is in the way')).toBeTruthy();
    const asked = () => fixture.calls.filter((call) => call.command === 'preflight').length;
    const before = asked();
    await press('Look again');
    expect(asked()).toBe(before + 1);
    const button = screen.getByRole<HTMLButtonElement>('button', { name: /into taken$/ });
    expect(button.disabled).toBe(true);
  });

  test('keeps what is chosen when the page behind it changes', async () => {
    const { fixture, backup } = await sheet();
    await choose('A server');
    fixture.emit({ type: 'backups', database_id: backup.database_id });
    await looked();
    expect(screen.getByRole<HTMLInputElement>('radio', { name: 'A server' }).checked).toBe(true);
  });
});

describe('what was restored', () => {
  test('is listed, started, stopped and copied without its password coming here', async () => {
    const { fixture, container } = await show(Instances, {}, { path: '/instances', fixture: small() });
    await press('Copy the URL');
    expect(screen.getByRole('button', { name: 'Copied' })).toBeTruthy();
    expect(called(fixture, 'copy_instance_url')).toEqual([
      { id: fixture.world.instances[0]?.id, psql: false },
    ]);
    expect(document.body.innerHTML).not.toContain('postgresql://');
    await press('Stop');
    expect(fixture.world.instances.every((each) => each.state === 'stopped')).toBe(true);
    await fireEvent.click(screen.getAllByRole('button', { name: 'Start' })[0] as HTMLElement);
    await settle();
    expect(fixture.world.instances.some((each) => each.state === 'running')).toBe(true);
    expect(await findings(container)).toEqual([]);
  });

  test('is put back from its page', async () => {
    const fixture = small();
    const database = fixture.world.databases[0];
    if (!database) throw new Error('the world has no database');
    fixture.world.replacements = [
      {
        id: 'replacement',
        server_id: database.server_id,
        database: database.name,
        kept: `${database.name}_before_2026_11_22_0915`,
        backup_id: database.last_backup?.id ?? '',
        replaced_at: new Date().toISOString(),
        kept_until: new Date(Date.now() + 6 * 86_400_000).toISOString(),
      },
    ];
    await show(DatabaseView, { id: database.id }, { fixture });
    await press('Put back');
    const dialog = screen.getByRole('dialog');
    await fireEvent.submit(dialog.querySelector('form') as HTMLFormElement);
    await settle();
    expect(fixture.calls.some((call) => call.command === 'put_back')).toBe(true);
    expect(screen.getByText(/is what it was/)).toBeTruthy();
  });
});

test('a restore says into what, and offers to put back what it replaced', async () => {
  const fixture = small();
  const [backup] = fixture.world.backups;
  const [server] = fixture.world.servers;
  const run = fixture.world.runs.find((each) => each.kind === 'drill');
  if (!backup || !server || !run) throw new Error('the world lacks something');
  run.kind = 'restore';
  const to = { kind: 'server' as const, server_id: server.id, database: 'shop_copy', replace: false };
  const options = {
    tables: [],
    schemas: [],
    extensions: true,
    owners: true,
    privileges: true,
    content: 'all' as const,
    exit_on_error: false,
    roles: false,
  };
  fixture.world.restores.set(run.id, { backup_id: backup.id, to, options });
  fixture.world.replacements = [
    {
      id: 'replacement',
      server_id: server.id,
      database: 'shop_copy',
      kept: 'shop_copy_before_2026_11_22_0915',
      backup_id: backup.id,
      replaced_at: new Date().toISOString(),
      kept_until: new Date(Date.now() + 6 * 86_400_000).toISOString(),
    },
  ];
  const beside = await show(RunFull, { id: run.id }, { fixture });
  expect(screen.getByText('shop_copy')).toBeTruthy();
  expect(screen.getByText(`on ${server.name}`, { exact: false })).toBeTruthy();
  expect(screen.queryByRole('button', { name: 'Put back' })).toBeNull();
  expect(await findings(beside.container)).toEqual([]);
  cleanup();
  fixture.world.restores.set(run.id, { backup_id: backup.id, to: { ...to, replace: true }, options });
  const replaced = await show(RunFull, { id: run.id }, { fixture });
  expect(screen.getByText(/shop_copy_before_2026_11_22_0915/)).toBeTruthy();
  expect(screen.getByRole('button', { name: 'Put back' })).toBeTruthy();
  expect(await findings(replaced.container)).toEqual([]);
});

test('a drill says what it found, proved or not', async () => {
  const fixture = small();
  const run = fixture.world.runs.find((each) => each.kind === 'drill');
  if (!run) throw new Error('the world has no drill');
  const proved = await show(RunFull, { id: run.id }, { fixture });
  expect(screen.getByText('Proved')).toBeTruthy();
  expect(await findings(proved.container)).toEqual([]);
  cleanup();
  run.state = { state: 'failed' };
  const refuted = await show(RunFull, { id: run.id }, { fixture });
  expect(screen.getByText('Not proved')).toBeTruthy();
  expect(screen.getAllByText('Differs').length).toBeGreaterThan(0);
  expect(await findings(refuted.container)).toEqual([]);
});
