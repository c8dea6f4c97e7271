import axe from 'axe-core';
import { fireEvent, within } from '@testing-library/svelte';
import { describe, expect, test, vi } from 'vitest';
import AvailabilityView from '$features/availability/AvailabilityView.svelte';
import DatabaseView from '$features/databases/DatabaseView.svelte';
import OverviewPage from '../src/routes/+page.svelte';
import { Fixture } from '$lib/ipc/fixture';
import { called, press, screen, settle, show } from './frame';

// axe computes every element's style, which the tests' DOM does slowly, and a busy machine more slowly still.
vi.setConfig({ testTimeout: 180_000 });

const plain = (text: string | null | undefined) =>
  (text ?? '').replace(/[\u00a0\u202f]/g, ' ').replace(/\s+/g, ' ');

async function findings(container: HTMLElement): Promise<string[]> {
  const { violations } = await axe.run(container, { rules: { 'color-contrast': { enabled: false } } });
  return violations.flatMap((violation) =>
    violation.nodes.map((node) => `${violation.id}: ${node.html.slice(0, 160)}`),
  );
}

/** The page of the database of that name, with what it is drawn from. */
async function open(name: string, fixture = new Fixture({ scenario: 'watch' })) {
  const id = fixture.world.databases.find((database) => database.name === name)?.id ?? '';
  const shown = await show(AvailabilityView, { id }, { fixture });
  // The width has to stay for a moment before anything is asked for it.
  await new Promise((resolve) => setTimeout(resolve, 120));
  await settle();
  return { ...shown, id };
}

const main = () => within(screen.getByRole('main'));
const bar = () => main().getByRole('slider', { name: /^Availability of/ });

describe('the page of a database’s availability', () => {
  test.each([
    ['shop', /Up, 12 ms/],
    ['billing', /Down for 14 min: connection refused/],
    ['staging', /Slow, 854 ms/],
    ['failing', /Failing, 2 of 3/],
    ['in_maintenance', /In maintenance/],
    ['asleep', /No data: asleep/],
    ['offline', /No data: offline/],
    ['locked', /No data: keyring locked/],
    ['not_checked', /Not checked/],
    ['new', /Not checked yet/],
  ])('says of %s how it stands, and axe finds nothing', async (name, state) => {
    const { container } = await open(name);
    expect(main().getByRole('heading', { level: 1 }).textContent).toBe(`Availability of ${name}`);
    expect(plain(container.querySelector('main .lead')?.textContent)).toMatch(state);
    expect(await findings(container)).toEqual([]);
  });

  test('says what will be there where nothing was checked yet', async () => {
    await open('new');
    expect(main().getByText('Nothing to show yet')).toBeTruthy();
    expect(plain(main().getByText(/The first check is due/).textContent)).toContain('within 1 min');
    expect(main().queryByRole('slider')).toBeNull();
  });

  test('offers to switch checks on where they are off', async () => {
    const { fixture } = await open('not_checked');
    expect(main().getByText('This database is not checked')).toBeTruthy();
    await press('Switch checks on');
    expect(called(fixture, 'save_check_rule')[0]?.rule).toMatchObject({ enabled: true });
    expect(main().queryByText('This database is not checked')).toBeNull();
  });

  test('says what went wrong, and tries again', async () => {
    const fixture = new Fixture({ scenario: 'watch' });
    fixture.overrides.set('availability', () => {
      throw { code: 'data_dir_unusable', message: 'The disk reports an error.', hint: null, details: null };
    });
    await open('shop', fixture);
    expect(main().getByText('The disk reports an error.')).toBeTruthy();
    fixture.overrides.clear();
    await press('Try again');
    expect(bar()).toBeTruthy();
  });

  test('draws a year of checks with a handful of nodes', async () => {
    const { container } = await open('shop');
    await fireEvent.click(main().getByRole('radio', { name: /1 year/ }));
    await settle();
    expect(bar().querySelectorAll('*').length).toBeLessThan(20);
    expect(container.querySelectorAll('main .timeline svg *').length).toBeLessThan(120);
  });

  test('has a stretch for each choice, with its uptime', async () => {
    const { fixture } = await open('billing');
    const spans = within(main().getByRole('radiogroup', { name: 'Stretch of time' }));
    expect(spans.getAllByRole('radio')).toHaveLength(5);
    expect(plain(spans.getByRole('radio', { name: /24 hours/ }).closest('label')?.textContent)).toMatch(
      /24 hours 98\.\d\d%/,
    );
    await fireEvent.click(spans.getByRole('radio', { name: /30 days/ }));
    await settle();
    const request = called(fixture, 'availability').at(-1)?.request as { from: string; to: string };
    expect((Date.parse(request.to) - Date.parse(request.from)) / 86_400_000).toBeCloseTo(30);
  });

  test('never says 100 % of what was down for a second, and nothing of what is not known', async () => {
    const fixture = new Fixture({ scenario: 'watch' });
    const page = (await fixture.invoke('watch_page', { id: fixture.world.databases[0]?.id })) as object;
    fixture.overrides.set('watch_page', () => ({
      ...page,
      uptimes: [
        { span: 'day', uptime: 1 },
        { span: 'week', uptime: 0.999999 },
        { span: 'month', uptime: null },
      ],
    }));
    await open('shop', fixture);
    const words = main()
      .getAllByRole('radio')
      .map((radio) => plain(radio.closest('label')?.querySelector('.uptime')?.textContent));
    expect(words).toEqual(['100%', '99.99%', '–', '–', '–']);
  });
});

describe('the bar', () => {
  test('is stepped through by keys, and says each bucket', async () => {
    const { container } = await open('billing');
    const newest = bar().getAttribute('aria-valuenow');
    await fireEvent.keyDown(bar(), { key: 'End' });
    await settle();
    expect(bar().getAttribute('aria-valuenow')).toBe(newest);
    const spoken = () => plain(container.querySelector('.bar [aria-live], .bar + [aria-live]')?.textContent);
    expect(spoken()).toContain('down');
    await fireEvent.keyDown(bar(), { key: 'ArrowLeft' });
    await settle();
    expect(bar().getAttribute('aria-valuenow')).toBe(String(Number(newest) - 1));
    await fireEvent.keyDown(bar(), { key: 'Home' });
    await settle();
    expect(bar().getAttribute('aria-valuenow')).toBe('1');
    expect(spoken()).toMatch(/no data: asleep|100% up/);
    expect(bar().getAttribute('aria-valuetext')).toMatch(/–/);
  });

  test('and the chart look closer together, and show all of it again', async () => {
    const { fixture } = await open('shop');
    const chart = main().getByRole('slider', { name: /^Answer times/ });
    await fireEvent.keyDown(chart, { key: 'Home' });
    await fireEvent.keyDown(chart, { key: '+' });
    await settle();
    const request = called(fixture, 'availability').at(-1)?.request as { from: string; to: string };
    expect((Date.parse(request.to) - Date.parse(request.from)) / 3_600_000).toBeCloseTo(12);
    await press('Show all 24 hours');
    expect(screen.queryByRole('button', { name: 'Show all 24 hours' })).toBeNull();
    await fireEvent.keyDown(chart, { key: '+' });
    await settle();
    await fireEvent.keyDown(chart, { key: 'Escape' });
    await settle();
    expect(screen.queryByRole('button', { name: 'Show all 24 hours' })).toBeNull();
  });

  test('has a legend that says why there is no data', async () => {
    await open('shop');
    await fireEvent.click(main().getByRole('radio', { name: /1 year/ }));
    await settle();
    const legend = plain(main().getByRole('list', { name: 'What the bar shows' }).textContent);
    expect(legend).toMatch(/No data: asleep .*, offline .*, paused .* and keyring locked/);
    expect(legend).toContain('Maintenance');
    expect(legend).toContain('Howdah was not running');
  });
});

describe('incidents', () => {
  test('say what was found, who else was concerned, and the server’s own words', async () => {
    const { container } = await open('billing');
    const table = main().getByRole('table', { name: 'Incidents' });
    expect(plain(table.textContent)).toContain('14 min so far');
    expect(plain(table.textContent)).toContain('db.example.com:5432 · concerned billing and analytics');
    expect(within(table).getByText('Connection refused (os error 111)')).toBeTruthy();
    expect(await findings(container)).toEqual([]);
  });

  test('are noted and known of', async () => {
    const { fixture, container } = await open('billing');
    await press(/^Add a note to the incident/);
    const field = screen.getByRole('textbox', { name: /^Note on the incident/ });
    expect(document.activeElement).toBe(field);
    await fireEvent.input(field, { target: { value: 'The hoster reboots.' } });
    expect(await findings(container)).toEqual([]);
    await press('Save the note');
    await new Promise((resolve) => setTimeout(resolve, 1100));
    await settle();
    expect(called(fixture, 'note_incident')[0]).toMatchObject({ note: 'The hoster reboots.' });
    expect(main().getByText('The hoster reboots.')).toBeTruthy();
    await press('I know of it');
    await settle();
    expect(called(fixture, 'acknowledge_incident')).toHaveLength(1);
    expect(main().getByText('Known')).toBeTruthy();
  });

  test('leave a note as it was with Escape', async () => {
    const { fixture } = await open('billing');
    await press(/^Add a note to the incident/);
    await fireEvent.keyDown(screen.getByRole('textbox', { name: /^Note on the incident/ }), {
      key: 'Escape',
    });
    await settle();
    expect(screen.queryByRole('textbox', { name: /^Note on the incident/ })).toBeNull();
    expect(called(fixture, 'note_incident')).toEqual([]);
  });
});

describe('a check', () => {
  test('is tried before it is saved', async () => {
    const { fixture, container, id } = await open('shop');
    await press('Edit the check');
    const dialog = within(screen.getByRole('dialog'));
    await fireEvent.input(dialog.getByLabelText('Question of your own'), { target: { value: 'SELECT 1' } });
    await fireEvent.input(dialog.getByLabelText('Expected answer'), { target: { value: '2' } });
    await press('Try it');
    expect(called(fixture, 'try_check')[0]).toMatchObject({ id, rule: { sql: 'SELECT 1', expected: '2' } });
    expect(dialog.getByText('The answer was 1, not 2.')).toBeTruthy();
    expect(await findings(container)).toEqual([]);
    await fireEvent.input(dialog.getByLabelText('Expected answer'), { target: { value: '1' } });
    await press('Try it');
    expect(plain(dialog.getByRole('status').textContent)).toContain('Up, 12 ms');
    await press('Save the check');
    expect(called(fixture, 'save_check_rule')[0]).toMatchObject({ id, rule: { expected: '1', failures: 3 } });
    expect(screen.queryByRole('dialog')).toBeNull();
  });

  test('is not saved where a number makes no sense', async () => {
    await open('shop');
    await press('Edit the check');
    const dialog = within(screen.getByRole('dialog'));
    await fireEvent.change(dialog.getByLabelText('Ask every'), { target: { value: 'own' } });
    await settle();
    await fireEvent.input(dialog.getByRole('textbox', { name: 'Ask every' }), { target: { value: '5' } });
    await settle();
    expect(dialog.getByText('From 10 to 86,400')).toBeTruthy();
    expect(dialog.getByRole<HTMLButtonElement>('button', { name: 'Save the check' }).disabled).toBe(true);
  });

  test('is made now by a press', async () => {
    const { fixture, id } = await open('locked');
    await press('Check now');
    expect(called(fixture, 'check_now')).toEqual([{ id }]);
    expect(main().getAllByText(/Up, 12/).length).toBeGreaterThan(0);
  });

  test('tells nobody for a while, or until somebody says otherwise', async () => {
    const { fixture, id } = await open('shop');
    const choose = async (name: string) => {
      await press('More for shop');
      await fireEvent.click(screen.getByRole('menuitem', { name }));
      await settle();
    };
    await choose('Mute for an hour');
    const [first] = called(fixture, 'mute');
    expect(Date.parse(String(first?.until)) - Date.now()).toBeGreaterThan(3_500_000);
    expect(main().getByText(/^Muted until/)).toBeTruthy();
    await choose('Unmute');
    expect(called(fixture, 'mute')[1]).toEqual({ id, until: null });
    await choose('Mute until I say otherwise');
    expect(main().getByText('Muted')).toBeTruthy();
  });

  test('is exported for the stretch in sight', async () => {
    const { fixture, id } = await open('shop');
    await press('Export as CSV…');
    expect(called(fixture, 'export_checks')[0]).toMatchObject({ id, title: 'Export the checks of shop' });
    expect(main().getByText('Saved as /home/ada/shop-checks.csv.')).toBeTruthy();
  });
});

describe('maintenance windows', () => {
  test('are added, for a week or once', async () => {
    const { fixture, container, id } = await open('shop');
    await press('Add a window');
    const dialog = within(screen.getByRole('dialog'));
    expect(await findings(container)).toEqual([]);
    await fireEvent.click(dialog.getByRole('radio', { name: 'Every week' }));
    await settle();
    expect(await findings(container)).toEqual([]);
    await fireEvent.click(dialog.getByRole('button', { name: 'Saturday' }));
    await fireEvent.input(dialog.getByLabelText('From'), { target: { value: '22' } });
    await fireEvent.input(dialog.getByLabelText('What for'), { target: { value: 'Reindexing' } });
    await press('Save the window');
    expect(called(fixture, 'save_maintenance')[0]?.window).toMatchObject({
      id: null,
      databases: [id],
      when: { repeats: 'weekly', days: ['sunday', 'saturday'], at: { hour: 22, minute: 0 }, minutes: 60 },
      note: 'Reindexing',
    });
    expect(plain(main().getByText('Reindexing').closest('li')?.textContent)).toContain(
      'Sat and Sun 22:00, for 1 h',
    );
  });

  test('are removed after a question', async () => {
    const { fixture } = await open('shop');
    await press(/^Remove the window Sun/);
    expect(called(fixture, 'remove_maintenance')).toEqual([]);
    await press('Remove the window');
    expect(called(fixture, 'remove_maintenance')).toEqual([{ id: 'maintenance-weekly' }]);
  });
});

describe('elsewhere', () => {
  test('the overview says what does not answer, and leads there', async () => {
    const { container } = await show(OverviewPage, {}, { scenario: 'watch' });
    expect(main().getByRole('heading', { level: 1 }).textContent).toMatch(/^2 things need you\./);
    const needs = within(main().getByRole('list', { name: 'What needs you' }));
    expect(needs.getByText('billing does not answer: connection refused')).toBeTruthy();
    expect(needs.getAllByRole('button', { name: 'Look' })).toHaveLength(2);
    const table = within(main().getByRole('table', { name: 'Databases' }));
    expect(table.getAllByText('Down: connection refused')).toHaveLength(2);
    expect(
      table.getByRole('link', { name: /^Availability of billing in the last 24 hours: 9\d\.\d\d%/ }),
    ).toBeTruthy();
    expect(await findings(container)).toEqual([]);
  });

  test('the sidebar shows what is graver', async () => {
    await show(OverviewPage, {}, { scenario: 'watch' });
    const list = within(screen.getByRole('navigation')).getByRole('list', { name: 'Databases' });
    expect(within(list).getByText('Failing, 2 of 3')).toBeTruthy();
    expect(within(list).getAllByText('Down: connection refused')).toHaveLength(2);
  });

  test('a database’s own page has its last day, and the way to more', async () => {
    const fixture = new Fixture({ scenario: 'watch' });
    const id = fixture.world.databases[0]?.id ?? '';
    await show(DatabaseView, { id }, { fixture });
    const section = within(main().getByRole('region', { name: 'Availability' }));
    expect(plain(section.getByText(/^Up/).textContent)).toBe('Up, 12 ms');
    expect(section.getByRole('link', { name: 'Show the availability' }).getAttribute('href')).toBe(
      `/databases/${id}/availability`,
    );
  });
});
