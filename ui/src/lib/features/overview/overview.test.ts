import { describe, expect, test } from 'vitest';
import { useTransport, type DatabaseSummary, type Need } from '$lib/ipc';
import { Fixture } from '$lib/ipc/fixture';
import { needLine } from './needs';
import { OverviewState } from './overview.svelte';
import { summary } from './summary';
import { marks } from './today';
import { verdict } from './verdict';

const settle = () => new Promise((resolve) => setTimeout(resolve));

function databases(count: number, change: Partial<DatabaseSummary>[] = []): DatabaseSummary[] {
  const [like] = new Fixture({ scenario: 'calm' }).world.databases;
  if (!like) throw new Error('the fixture has databases');
  return Array.from({ length: count }, (_, index) => ({
    ...like,
    id: `db-${index}`,
    name: `db ${index}`,
    status: 'good' as const,
    active_run: null,
    health: null,
    ...change[index],
  }));
}

function need(kind: Need['kind'], change: Partial<Need> = {}): Need {
  return {
    kind,
    database_id: 'db-0',
    database_name: 'shop',
    destination_id: null,
    destination_name: null,
    backup_id: null,
    run_id: null,
    failure: null,
    since: null,
    ...change,
  };
}

describe('the verdict', () => {
  test('reassures where everything is well', () => {
    expect(verdict({ databases: databases(4), needs: [] })).toEqual({
      tone: 'ok',
      text: 'All 4 databases are backed up.',
    });
    expect(verdict({ databases: databases(1), needs: [] }).text).toBe('db 0 is backed up.');
  });

  test('counts what needs somebody, and what does not', () => {
    expect(verdict({ databases: databases(4), needs: [need('backup_failed')] })).toEqual({
      tone: 'bad',
      text: '1 thing needs you. 3 of 4 databases are backed up.',
    });
    expect(verdict({ databases: databases(2), needs: [need('overdue'), need('no_plan')] }).text).toBe(
      '2 things need you. 1 of 2 databases is backed up.',
    );
  });

  test('counts two needs of one database as one database', () => {
    const needs = [need('backup_failed'), need('overdue')];
    expect(verdict({ databases: databases(4), needs }).text).toContain('3 of 4');
  });

  test('says nothing about the rest where all of it is concerned', () => {
    expect(verdict({ databases: databases(1), needs: [need('overdue')] }).text).toBe('1 thing needs you.');
  });

  test('does not call backed up what has no backup yet', () => {
    const never = { last_backup: null, status: 'never' as const };
    const run = new Fixture().world.runs.find((each) => each.state.state === 'running') ?? null;
    expect(verdict({ databases: databases(4, [never]), needs: [] }).text).toBe(
      '3 of 4 databases are backed up.',
    );
    expect(verdict({ databases: databases(4, [{ ...never, active_run: run }]), needs: [] }).text).toBe(
      '1 of 4 databases is being backed up for the first time.',
    );
    expect(verdict({ databases: databases(1, [{ ...never, active_run: run }]), needs: [] }).text).toBe(
      'The first backup is on its way.',
    );
    expect(verdict({ databases: databases(1, [never]), needs: [] }).text).toBe(
      'No database is backed up yet.',
    );
  });

  test('says that plans are paused', () => {
    expect(verdict({ databases: databases(2, [{ status: 'paused' }]), needs: [] }).text).toBe(
      '1 of 2 databases is paused; all have a backup.',
    );
  });
});

describe('the verdict on what answers', () => {
  const health = (is: 'up' | 'slow' | 'down' | 'maintenance'): DatabaseSummary['health'] => ({
    state: { is },
    since: new Date().toISOString(),
    checked_at: new Date().toISOString(),
    connect_ms: null,
    answer_ms: null,
    failure: null,
    muted_until: null,
  });
  const up = { health: health('up') };

  test('says reachable where all of them answered', () => {
    const all = [up, { health: health('slow') }, up, up];
    expect(verdict({ databases: databases(4, all), needs: [] }).text).toBe(
      'All 4 databases are backed up and reachable.',
    );
    expect(verdict({ databases: databases(1, [up]), needs: [] }).text).toBe(
      'db 0 is backed up and reachable.',
    );
  });

  test.each([{ health: null }, { health: health('maintenance') }, { health: health('down') }])(
    'says nothing of it where one of them did not (%#)',
    (one) => {
      expect(verdict({ databases: databases(2, [up, one]), needs: [] }).text).toBe(
        'All 2 databases are backed up.',
      );
    },
  );

  test('speaks of those that need nobody', () => {
    const down = need('database_down', { database_id: 'db-0' });
    const all = [{ health: health('down') }, up, up, up];
    expect(verdict({ databases: databases(4, all), needs: [down] })).toEqual({
      tone: 'bad',
      text: '1 thing needs you. 3 of 4 databases are backed up and reachable.',
    });
    const known = [{ health: health('down') }, up, { health: null }, up];
    expect(verdict({ databases: databases(4, known), needs: [down] }).text).toBe(
      '1 thing needs you. 3 of 4 databases are backed up.',
    );
    const copy = need('copy_owed');
    expect(verdict({ databases: databases(2, [up, up]), needs: [copy] }).text).toBe(
      '1 thing needs you. All 2 databases are backed up and reachable.',
    );
  });
});

describe('a need', () => {
  const failure = (code: 'authentication_failed' | 'disk_full' | 'permission_denied' | 'stalled') => ({
    code,
    message: 'Why.',
    hint: null,
    details: null,
  });

  test.each([
    ['authentication_failed', 'Edit the connection', '/databases/db-0?edit=connection'],
    ['disk_full', 'Edit the plan', '/databases/db-0?edit=plan'],
    ['permission_denied', 'Show the fix', '/runs/run'],
    ['stalled', 'Show the run', '/runs/run'],
  ] as const)('that is a backup failed by %s offers: %s', (code, button, to) => {
    const line = needLine(need('backup_failed', { failure: failure(code), run_id: 'run' }));
    expect(line).toMatchObject({ button, remedy: { act: 'go', to }, detail: 'Why.' });
  });

  test('of a database that does not answer leads to its availability', () => {
    const refused = { code: 'connection_refused', message: 'Why.', hint: null, details: null } as const;
    expect(needLine(need('database_down', { failure: refused }))).toEqual({
      text: 'shop does not answer: connection refused',
      detail: 'Why.',
      button: 'Look',
      remedy: { act: 'go', to: '/databases/db-0/availability' },
    });
    expect(needLine(need('database_down')).text).toBe('shop does not answer');
  });

  test.each(['overdue', 'never_backed_up'] as const)('%s offers a backup now', (kind) => {
    expect(needLine(need(kind)).remedy).toEqual({ act: 'back_up', database: 'db-0' });
  });

  test('of the keyring offers to unlock it, or leads to the settings where there is none', () => {
    const whole = { database_id: null, database_name: null };
    const of = (code: 'keyring_locked' | 'keyring_absent') =>
      needLine(need('keyring', { ...whole, failure: { code, message: 'Why.', hint: null, details: null } }));
    expect(of('keyring_locked').remedy).toEqual({ act: 'unlock' });
    expect(of('keyring_absent').remedy).toEqual({ act: 'go', to: '/settings' });
  });
});

describe('a need of something else than a database', () => {
  const place = { database_id: null, database_name: null, destination_id: 'd', destination_name: 'My Drive' };
  const failure = (code: 'sign_in_needed' | 'destination_missing') => ({
    code,
    message: 'Why.',
    hint: null,
    details: null,
  });

  test('is signed in to again where that is what the place asks for', () => {
    expect(needLine(need('destination', { ...place, failure: failure('sign_in_needed') }))).toEqual({
      text: 'Google Drive (My Drive) needs you to sign in again',
      detail: 'Why.',
      button: 'Sign in again',
      remedy: { act: 'sign_in', destination: 'd' },
    });
  });

  test('leads to the destinations where the place asks for something else', () => {
    expect(
      needLine(need('destination', { ...place, failure: failure('destination_missing') })),
    ).toMatchObject({
      text: 'My Drive needs you',
      remedy: { act: 'go', to: '/destinations' },
    });
  });

  test.each(['copy_lost', 'copy_owed'] as const)('%s leads to the backup', (kind) => {
    const line = needLine(need(kind, { destination_name: 'My Drive', backup_id: 'b' }));
    expect(line.text).toMatch(/^A copy of shop on My Drive is /);
    expect(line.remedy).toEqual({ act: 'go', to: '/backups/b' });
  });

  test('of the recovery kit leads to the keys, and says what is lost without it', () => {
    const line = needLine(need('kit_unsaved', { database_id: null, database_name: null }));
    expect(line.remedy).toEqual({ act: 'go', to: '/settings#keys' });
    expect(line.detail).toContain('lost with this machine');
  });

  test('does not make its database one that is not backed up', () => {
    expect(verdict({ databases: databases(4), needs: [need('copy_owed')] })).toEqual({
      tone: 'warn',
      text: '1 thing needs you. All 4 databases are backed up.',
    });
    expect(verdict({ databases: databases(4), needs: [need('copy_lost')] }).tone).toBe('bad');
  });
});

describe('the overview', () => {
  test('follows a run from beginning to end without being asked', async () => {
    const fixture = new Fixture({ scenario: 'calm' });
    useTransport(fixture);
    const overview = new OverviewState();
    const stop = overview.start();
    await settle();
    const [database] = overview.databases;
    if (!database) throw new Error('the fixture has databases');

    await fixture.invoke('back_up_now', { database_id: database.id });
    await settle();
    const run = overview.page.data?.active_runs[0];
    expect(run?.database_id).toBe(database.id);
    expect(overview.database(database.id)?.status).toBe('running');

    if (!run) return;
    fixture.emit({
      type: 'progress',
      run_id: run.id,
      state: { state: 'running', phase: 'dumping' },
      progress: { ...run.progress, raw_bytes: 5, raw_bytes_expected: 10 },
    });
    expect(overview.page.data?.active_runs[0]?.progress.raw_bytes).toBe(5);
    expect(overview.database(database.id)?.active_run?.progress.raw_bytes).toBe(5);

    await fixture.invoke('cancel_run', { id: run.id });
    await settle();
    expect(overview.page.data?.active_runs).toEqual([]);
    expect(overview.page.data?.recent_runs[0]?.state).toEqual({ state: 'cancelled' });
    stop();
  });

  test('asks once more, not once for each, when many events come together', async () => {
    const fixture = new Fixture({ scenario: 'calm', delay: 5 });
    useTransport(fixture);
    const overview = new OverviewState();
    const stop = overview.start();
    for (let index = 0; index < 50; index += 1) fixture.emit({ type: 'databases' });
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(fixture.calls.filter((each) => each.command === 'overview').length).toBeLessThanOrEqual(2);
    stop();
  });

  test('keeps what it has when an answer fails, and says why', async () => {
    const fixture = new Fixture({ scenario: 'calm' });
    useTransport(fixture);
    const overview = new OverviewState();
    await overview.page.load();
    fixture.overrides.set('overview', () => {
      throw new Error('boom');
    });
    await overview.page.load();
    expect(overview.databases).toHaveLength(4);
    expect(overview.page.failure).toMatchObject({ code: 'internal', details: 'boom' });
  });

  test('hears nothing any more after it ended', async () => {
    const fixture = new Fixture({ scenario: 'calm' });
    useTransport(fixture);
    const overview = new OverviewState();
    overview.start()();
    await settle();
    const asked = fixture.calls.length;
    fixture.emit({ type: 'databases' });
    await settle();
    expect(fixture.calls.length).toBe(asked);
  });

  test('sums itself up in a line that long names do not break', async () => {
    const fixture = new Fixture({ scenario: 'long' });
    useTransport(fixture);
    const overview = new OverviewState();
    await overview.page.load();
    if (!overview.page.data) throw new Error('loaded');
    const line = summary(overview.page.data, Date.now());
    expect(line).toContain('the_database_whose_name_was_gen…');
    expect(line).toMatch(/in 1 place$/);
  });

  test('marks the day’s runs once each', async () => {
    const fixture = new Fixture();
    useTransport(fixture);
    const overview = new OverviewState();
    await overview.page.load();
    if (!overview.page.data) throw new Error('loaded');
    const now = Date.now();
    const all = marks(overview.page.data, now - 12 * 3_600_000, now + 12 * 3_600_000);
    expect(new Set(all.map((mark) => mark.key)).size).toBe(all.length);
    expect(all.filter((mark) => mark.tone === 'bad')).toHaveLength(1);
    expect(all.filter((mark) => mark.tone === 'running')).toHaveLength(1);
    expect(all.filter((mark) => mark.tone === 'due').length).toBeGreaterThan(0);
  });
});
