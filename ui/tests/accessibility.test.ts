import axe from 'axe-core';
import { readFileSync } from 'node:fs';
import { describe, expect, test, vi } from 'vitest';
import BackupDetailView from '$features/backups/BackupDetailView.svelte';
import DatabaseView from '$features/databases/DatabaseView.svelte';
import RunFull from '$features/runs/RunFull.svelte';
import RunPane from '$features/runs/RunPane.svelte';
import Add from '../src/routes/add/+page.svelte';
import Backups from '../src/routes/backups/+page.svelte';
import Databases from '../src/routes/databases/+page.svelte';
import OverviewPage from '../src/routes/+page.svelte';
import Destinations from '../src/routes/destinations/+page.svelte';
import Runs from '../src/routes/runs/+page.svelte';
import SettingsPage from '../src/routes/settings/+page.svelte';
import type { Scenario } from '$lib/ipc/fixture/scenarios';
import { fireEvent } from '@testing-library/svelte';
import { cleanup, paste, press, screen, settle, show, small } from './frame';

// axe computes every element's style, which the tests' DOM does slowly, and a busy machine more slowly still.
vi.setConfig({ testTimeout: 180_000 });

/** What axe finds; colours need a real layout, and are checked below by their values. */
async function findings(container: HTMLElement): Promise<string[]> {
  const { violations } = await axe.run(container, { rules: { 'color-contrast': { enabled: false } } });
  return violations.flatMap((violation) =>
    violation.nodes.map((node) => `${violation.id}: ${node.html.slice(0, 160)}`),
  );
}

describe('axe finds nothing', () => {
  test.each<Scenario>(['busy', 'calm', 'empty', 'long', 'broken', 'keyring', 'reach'])(
    'on the overview, %s',
    async (scenario) => {
      const { container } = await show(OverviewPage, {}, { fixture: small(scenario) });
      expect(await findings(container)).toEqual([]);
    },
  );

  test.each([
    ['databases', Databases, '/databases'],
    ['backups', Backups, '/backups'],
    ['destinations', Destinations, '/destinations'],
    ['activity', Runs, '/runs'],
    ['settings', SettingsPage, '/settings'],
    ['add a database', Add, '/add'],
  ] as const)('on %s', async (_, component, path) => {
    const { container } = await show(component, {}, { path, fixture: small() });
    expect(container.querySelector('h1')?.textContent).toBeTruthy();
    expect(await findings(container)).toEqual([]);
  });

  test('where a locked keyring is in the way', async () => {
    const overview = await show(OverviewPage, {}, { fixture: small('keyring') });
    const waiting = overview.fixture.world.runs.find((run) => run.state.state === 'waiting');
    overview.fixture.overrides.set('unlock_keyring', () => 'locked');
    await press('Unlock the keyring');
    expect(await findings(overview.container)).toEqual([]);
    cleanup();
    const settings = await show(SettingsPage, {}, { fixture: small('keyring'), path: '/settings' });
    expect(screen.getByRole('button', { name: 'Unlock the keyring' })).toBeTruthy();
    expect(await findings(settings.container)).toEqual([]);
    cleanup();
    const run = await show(RunFull, { id: waiting?.id ?? '' }, { fixture: overview.fixture });
    expect(await findings(run.container)).toEqual([]);
  });

  test('on each step of adding a database', async () => {
    const { container } = await show(Add, {}, { fixture: small('empty'), path: '/add' });
    await paste('postgres://howdah:s3cret@db.example.com/shop');
    expect(await findings(container)).toEqual([]);
    await press('Test');
    expect(screen.getByRole('button', { name: 'Choose a folder' })).toBeTruthy();
    expect(await findings(container)).toEqual([]);
  });

  test('on adding a database where its start fails, and by the form', async () => {
    const { container, fixture } = await show(Add, {}, { fixture: small('empty'), path: '/add' });
    await paste('postgres://howdah:s3cret@db.example.com/shop');
    await press('Test');
    fixture.world.keyring = 'locked';
    await press('Start, and back up now');
    expect(screen.getByRole('button', { name: 'Unlock the keyring' })).toBeTruthy();
    expect(await findings(container)).toEqual([]);
    await press('Fill in a form instead');
    expect(screen.getAllByRole('button', { name: /^Choose the/, hidden: true })).toHaveLength(3);
    expect(await findings(container)).toEqual([]);
  });

  test('on a database that runs and one that failed', async () => {
    const fixture = small();
    for (const database of fixture.world.databases.slice(0, 3)) {
      const { container } = await show(DatabaseView, { id: database.id }, { fixture });
      for (const tab of screen.getAllByRole('tab')) {
        await fireEvent.click(tab);
        await settle();
        expect(await findings(container)).toEqual([]);
      }
      cleanup();
    }
  });

  test('on a backup', async () => {
    const fixture = small();
    const id = fixture.world.backups[0]?.id ?? '';
    const { container } = await show(BackupDetailView, { id }, { fixture });
    expect(screen.getByRole('heading', { level: 1 }).textContent).toContain('as of');
    expect(await findings(container)).toEqual([]);
  });

  test('on a run at work, a failed one and one in the pane', async () => {
    const fixture = small();
    for (const state of ['running', 'failed'] as const) {
      const id = fixture.world.runs.find((run) => run.state.state === state)?.id ?? '';
      const { container } = await show(RunFull, { id }, { fixture });
      expect(await findings(container)).toEqual([]);
      cleanup();
    }
    const id = fixture.world.runs[0]?.id ?? '';
    const pane = { id, hrefOf: (run: string) => `/runs/${run}`, onclose: () => undefined };
    const { container } = await show(RunPane, pane, { fixture });
    expect(await findings(container)).toEqual([]);
  });

  test('in a dialog', async () => {
    const fixture = small();
    const id = fixture.world.databases[1]?.id ?? '';
    const { container } = await show(DatabaseView, { id }, { fixture });
    await fireEvent.click(screen.getByRole('button', { name: 'Edit the plan' }));
    await settle();
    expect(screen.getByRole('dialog', { name: 'Edit the plan' })).toBeTruthy();
    expect(await findings(container)).toEqual([]);
  });
});

describe('axe finds nothing in what asks about copies', () => {
  test('where a destination of each kind is added and tested', async () => {
    const { container } = await show(Destinations, {}, { fixture: small() });
    await press('Add a destination');
    for (const kind of ['folder', 's3', 'sftp', 'webdav', 'ftp', 'azblob', 'gcs', 'drive']) {
      await fireEvent.change(screen.getByRole('combobox', { name: 'Kind' }), { target: { value: kind } });
      await settle();
      expect(await findings(container)).toEqual([]);
    }
    await fireEvent.change(screen.getByRole('combobox', { name: 'Kind' }), { target: { value: 's3' } });
    await settle();
    await fireEvent.input(screen.getByLabelText('Bucket'), { target: { value: 'read-only' } });
    await press('Test');
    expect(screen.getByRole('alert')).toBeTruthy();
    expect(await findings(container)).toEqual([]);
  });

  test('where a Drive waits for the browser, is signed in, and is to be signed in again', async () => {
    const fixture = small('reach');
    const { container } = await show(Destinations, {}, { fixture });
    expect(await findings(container)).toEqual([]);
    fixture.overrides.set('finish_drive_sign_in', () => new Promise(() => undefined));
    await press('Sign in again');
    expect(screen.getByText('Waiting for the browser…')).toBeTruthy();
    expect(await findings(container)).toEqual([]);
    fixture.overrides.delete('finish_drive_sign_in');
    await press('Add a destination');
    await fireEvent.change(screen.getByRole('combobox', { name: 'Kind' }), { target: { value: 'drive' } });
    await settle();
    await fireEvent.click(screen.getByRole('radio', { name: 'My own client' }));
    await settle();
    expect(await findings(container)).toEqual([]);
    await fireEvent.click(screen.getByRole('radio', { name: 'Howdah’s own' }));
    await press('Sign in with Google');
    expect(await findings(container)).toEqual([]);
  });

  test('where copies are in every state', async () => {
    const fixture = small('reach');
    const mine = fixture.world.backups.filter((backup) => backup.copies.length > 1);
    for (const backup of mine.slice(0, 3)) {
      const { container } = await show(BackupDetailView, { id: backup.id }, { fixture });
      expect(await findings(container)).toEqual([]);
      cleanup();
    }
  });

  test('where the last copy is deleted', async () => {
    const fixture = small();
    const backup = fixture.world.backups.find((each) => each.copies.length === 1);
    const { container } = await show(BackupDetailView, { id: backup?.id ?? '' }, { fixture });
    await press('More for the copy on /home/ada/Howdah');
    await fireEvent.click(screen.getByRole('menuitem', { name: 'Delete this copy' }));
    await settle();
    expect(await findings(container)).toEqual([]);
  });
});

describe('axe finds nothing in what leads elsewhere', () => {
  test('where a database behind an SSH server with an unknown key is added', async () => {
    const { container } = await show(Add, {}, { fixture: small('empty'), path: '/add' });
    await paste('postgres://howdah:s3cret@db.example.com/shop');
    await fireEvent.click(screen.getByRole('switch', { name: /SSH server/ }));
    await settle();
    await fireEvent.change(screen.getByLabelText('Login'), { target: { value: 'key' } });
    await settle();
    expect(await findings(container)).toEqual([]);
    await fireEvent.input(screen.getByLabelText('Host or alias'), { target: { value: 'unknown' } });
    await fireEvent.input(screen.getByLabelText('Private key'), { target: { value: 'id' } });
    await press('Test');
    expect(screen.getByRole('button', { name: 'Accept this key' })).toBeTruthy();
    expect(await findings(container)).toEqual([]);
    await press('Fill in a form instead');
    expect(await findings(container)).toEqual([]);
  });

  test('where settings are exported and imported', async () => {
    const { container } = await show(SettingsPage, {}, { fixture: small(), path: '/settings' });
    await press('Export…');
    await press('Save the file');
    expect(await findings(container)).toEqual([]);
    await press('Cancel');
    await press('Import…');
    expect(await findings(container)).toEqual([]);
    await press('Choose the file…');
    expect(await findings(container)).toEqual([]);
    await press('Take over');
    expect(await findings(container)).toEqual([]);
  });

  test('where a destination holds the settings of other machines', async () => {
    const { container } = await show(Destinations, {}, { fixture: small() });
    await press('More for Backup bucket');
    await fireEvent.click(screen.getByRole('menuitem', { name: 'Settings of other machines…' }));
    await settle();
    expect(await findings(container)).toEqual([]);
  });
});

describe('text can be read on its background', () => {
  const css = readFileSync('src/lib/styles/tokens.css', 'utf8');

  function tokens(block: string): Record<string, string> {
    return Object.fromEntries(
      [...block.matchAll(/--([a-z-]+):\s*(#[0-9a-f]{6});/g)].map(([, name, value]) => [name, value]),
    );
  }

  function luminance(hex: string): number {
    const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => {
      const part = parseInt(hex.slice(at, at + 2), 16) / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }

  function contrast(a: string, b: string): number {
    const [light = 0, dark = 0] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (light + 0.05) / (dark + 0.05);
  }

  const light = tokens(css.slice(css.indexOf(':root {'), css.indexOf('@media')));
  const dark = tokens(css.slice(css.indexOf("[data-theme='dark']")));
  const system = tokens(css.slice(css.indexOf('prefers-color-scheme'), css.indexOf("[data-theme='dark']")));

  test('dark by choice and dark by the system are the same', () => {
    expect(Object.keys(dark).length).toBeGreaterThan(15);
    expect(system).toEqual(dark);
  });

  const TEXT = ['text', 'muted', 'faint', 'accent', 'ok', 'warn', 'bad', 'prod', 'stage', 'dev'];
  const GROUND = ['bg', 'surface', 'sunken'];

  test.each([
    ['light', light],
    ['dark', dark],
  ])('%s', (_, theme) => {
    const pairs = [
      ...TEXT.flatMap((text) => GROUND.map((ground) => [text, ground] as const)),
      ['on-accent', 'accent'] as const,
      ['text', 'accent-soft'] as const,
    ];
    const poor = pairs
      .map(([text, ground]) => ({ text, ground, ratio: contrast(theme[text] ?? '', theme[ground] ?? '') }))
      .filter(({ ratio }) => !(ratio >= 4.5));
    expect(poor).toEqual([]);
  });
});
