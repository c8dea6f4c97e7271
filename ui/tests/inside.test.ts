import { fireEvent, within } from '@testing-library/svelte';
import axe from 'axe-core';
import { describe, expect, test, vi } from 'vitest';
import BackupDetailView from '$features/backups/BackupDetailView.svelte';
import { MOST } from '$features/inside/inside.svelte';
import InsideView from '$features/inside/InsideView.svelte';
import { failure } from '$lib/ipc/fixture/failure';
import { called, press, screen, settle, show, small, type Shown } from './frame';

vi.setConfig({ testTimeout: 60_000 });

async function look(name = 'customers', fixture = small()): Promise<Shown> {
  const backup = fixture.world.backups[0]?.id ?? '';
  return show(InsideView, { backup, table: { schema: 'public', name } }, { fixture });
}

const grid = () => screen.getByRole('grid', { name: 'Rows of public.customers' });
const cells = (row: number) =>
  within(within(grid()).getAllByRole('row')[row + 1] as HTMLElement)
    .getAllByRole('gridcell')
    .map((cell) => cell.textContent.trim());

/** Types into the search, and looks at once. */
async function search(text: string): Promise<void> {
  const box = screen.getByRole('searchbox', { name: 'Search rows' });
  await fireEvent.input(box, { target: { value: text } });
  await fireEvent.submit(screen.getByRole('search'));
  await new Promise((resolve) => setTimeout(resolve, 20));
  await settle();
}

test('each table of a backup leads to its rows', async () => {
  const fixture = small();
  const id = fixture.world.backups[0]?.id ?? '';
  await show(BackupDetailView, { id }, { fixture });
  const [first] = screen.getAllByRole('link', { name: /^Look inside / });
  expect(first?.getAttribute('href')).toMatch(new RegExp(`^/backups/${id}/inside\\?schema=.+&table=.+`));
});

describe('a table', () => {
  test('shows its rows with NULL apart from the empty text, and says how many there are', async () => {
    await look();
    expect(screen.getByRole('heading', { level: 1 }).textContent).toBe('public.customers');
    expect(cells(0).slice(0, 4)).toEqual(['1', 'customer1@example.com', 'Ada Lovelace', 'NULL']);
    expect(cells(5)[2]).toBe('');
    expect(screen.getByText('200 of 41,200 shown')).toBeTruthy();
    expect(grid().getAttribute('aria-rowcount')).toBe('41201');
  });

  test('keeps only the rows in sight in the page, and loads more near their end', async () => {
    const { fixture } = await look();
    const before = called(fixture, 'rows').length;
    const box = grid().parentElement as HTMLElement;
    expect(within(grid()).getAllByRole('row').length).toBeLessThan(60);
    box.scrollTop = 28 * 195;
    await fireEvent.scroll(box);
    await settle();
    expect(called(fixture, 'rows').length).toBeGreaterThan(before);
    expect(screen.getByText('400 of 41,200 shown')).toBeTruthy();
    expect(within(grid()).getAllByRole('row').length).toBeLessThan(60);
    expect(MOST).toBeGreaterThan(400);
  });

  test('opens a long value whole, by a click and by the keyboard', async () => {
    const { fixture } = await look();
    const row = within(grid()).getAllByRole('row')[8] as HTMLElement;
    const cell = within(row).getAllByRole('gridcell')[3] as HTMLElement;
    // The eighth row has a long note.
    expect(cell.textContent.trim().startsWith('A long note.')).toBe(true);
    await fireEvent.click(cell);
    await settle();
    const dialog = screen.getByRole('dialog', { name: 'note' });
    expect(dialog.textContent).toContain('A long note. '.repeat(60).trim());
    expect(called(fixture, 'row_value')).toHaveLength(1);
    await press('Close');
    expect(screen.queryByRole('dialog', { name: 'note' })).toBeNull();

    await fireEvent.keyDown(grid(), { key: 'ArrowDown' });
    await settle();
    await fireEvent.keyDown(grid(), { key: 'Home' });
    await settle();
    expect(document.activeElement?.textContent.trim()).toBe('9');
    await fireEvent.keyDown(grid(), { key: 'Enter' });
    await settle();
    expect(screen.getByRole('dialog', { name: 'id' }).textContent).toContain('9');
    expect(called(fixture, 'row_value'), 'what is here already is not asked for').toHaveLength(1);
  });

  test('without rows says which columns it has', async () => {
    await look('empty');
    expect(screen.getByText('This table has no rows')).toBeTruthy();
    expect(screen.getByText(/id, email, name/)).toBeTruthy();
    expect(screen.queryByRole('grid')).toBeNull();
  });

  test('that is damaged says so, with the way out', async () => {
    await look('damaged');
    expect(screen.getByRole('alert').textContent).toMatch(/public\.damaged.*Use another copy/s);
    expect(screen.getByRole('button', { name: 'Try again' })).toBeTruthy();
  });
});

describe('a search', () => {
  test('goes on in slices until it has been everywhere, and says how far it is', async () => {
    const { fixture } = await look();
    await search('customer4119');
    expect(screen.getByText(/11 rows found/).textContent).toMatch(/41,200 of 41,200 looked at/);
    const slices = called(fixture, 'rows').filter(
      ({ request }) => (request as { search: string }).search === 'customer4119',
    );
    expect(slices.length).toBeGreaterThan(5);
    expect(cells(0)[0]).toBe('4119');
  });

  test('that finds nothing says so', async () => {
    await look();
    await search('nobody at all');
    expect(screen.getByText('No row holds “nobody at all”.')).toBeTruthy();
  });

  test('is stopped, and goes on where it stopped', async () => {
    const { fixture } = await look();
    let held: (() => void) | undefined;
    const answer = fixture.overrides;
    let asked = 0;
    answer.set('rows', async (args) => {
      asked += 1;
      if (asked === 2) await new Promise<void>((resolve) => (held = resolve));
      answer.delete('rows');
      const given = await fixture.invoke('rows', args);
      if (asked < 2) answer.set('rows', again);
      return given;
    });
    const again = answer.get('rows') as (args: Record<string, unknown>) => unknown;
    await search('customer4119');
    await press('Stop');
    expect(called(fixture, 'cancel_look').length).toBeGreaterThan(0);
    held?.();
    await settle();
    expect(screen.getByText(/looked at/).textContent).toMatch(/5,000 of 41,200 looked at/);
    await press('Search on');
    await settle();
    expect(screen.getByText(/11 rows found/)).toBeTruthy();
  });
});

describe('a download', () => {
  test('says where the file is, and opens its folder', async () => {
    const { fixture } = await look();
    await press('Download CSV');
    const [asked] = called(fixture, 'save_table');
    expect(asked?.request).toMatchObject({ format: 'csv', table: { schema: 'public', name: 'customers' } });
    expect(screen.getByText(/\/home\/ada\/public\.customers\.csv: 41,200 rows/)).toBeTruthy();
    await press('Open the folder');
    expect(called(fixture, 'open_folder')).toEqual([{ path: '/home/ada' }]);
  });

  test('shows how far it is, and can be cancelled without a complaint', async () => {
    const { fixture } = await look();
    let end: ((thrown: unknown) => void) | undefined;
    fixture.overrides.set('save_table', () => new Promise((_, reject) => (end = reject)));
    await press('Download SQL');
    const id = (called(fixture, 'save_table')[0]?.request as { look_id: string }).look_id;
    fixture.emit({ type: 'saving', look_id: id, bytes: 25, of: 100 });
    await settle();
    expect(screen.getByRole('progressbar').getAttribute('aria-valuenow')).toBe('25');
    await press('Cancel');
    expect(called(fixture, 'cancel_look')).toContainEqual({ look_id: id });
    end?.(failure('cancelled', 'Cancelled.'));
    await settle();
    expect(screen.queryByRole('alert')).toBeNull();
    expect(screen.queryByRole('progressbar')).toBeNull();
  });

  test('that fails says why', async () => {
    const { fixture } = await look();
    fixture.overrides.set('save_table', () => {
      throw failure('disk_full', 'The rows could not be written to /mnt/stick/rows.csv.', 'Free some space.');
    });
    await press('Download CSV');
    expect(screen.getByRole('alert').textContent).toMatch(/stick.*Free some space/s);
  });
});

test('axe finds nothing on a table’s rows', async () => {
  const { container } = await look();
  const { violations } = await axe.run(container, { rules: { 'color-contrast': { enabled: false } } });
  expect(
    violations.flatMap((violation) => violation.nodes.map((node) => `${violation.id}: ${node.html}`)),
  ).toEqual([]);
});
