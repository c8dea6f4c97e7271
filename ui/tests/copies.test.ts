import { within } from '@testing-library/svelte';
import { describe, expect, test } from 'vitest';
import BackupDetailView from '$features/backups/BackupDetailView.svelte';
import SettingsPage from '../src/routes/settings/+page.svelte';
import { press, screen, show, small } from './frame';

/** The lines of the copies' table, of the database whose copies are in every state. */
async function copies(index: number) {
  const fixture = small('reach');
  const mine = fixture.world.backups.filter((each) =>
    each.copies.some((c) => c.destination_id === 'dest-bucket'),
  );
  await show(BackupDetailView, { id: mine[index]?.id ?? '' }, { fixture });
  const lines: string[] = [];
  for (const row of within(screen.getByRole('table', { name: 'Copies' }))
    .getAllByRole('row')
    .slice(1)) {
    const words = row.textContent.replace(/\s+/g, ' ').trim();
    // What is wrong with a copy stands in a row of its own below it.
    if (row.classList.contains('why')) lines.push(`${lines.pop() ?? ''} ${words}`);
    else lines.push(words);
  }
  return lines;
}

describe('a copy', () => {
  test('that is owed says what it is made from, when that is tried next, and why it failed', async () => {
    const rows = await copies(0);
    const owed = rows.find((row) => row.includes('My Drive'));
    expect(owed).toContain('To be made');
    expect(owed).toContain('Is made from another copy. Next try in 30 min');
    expect(owed).toContain('Google no longer accepts the sign-in');
    expect(rows.some((row) => /In place.*Not checked yet/.test(row))).toBe(true);
  });

  test('that was checked says when, with the exact time at hand', async () => {
    const [home] = await copies(1);
    expect(home).toMatch(/In place.*Checked 3 d ago/);
    const times = screen.getAllByText('3 d ago').map((time) => time.getAttribute('title'));
    expect(times.every((title) => /\d{4}/.test(title ?? ''))).toBe(true);
  });

  test('that is damaged says what is wrong with it, and leaves room for a new one', async () => {
    const rows = await copies(1);
    expect(rows[1]).toMatch(/Damaged.*12 bytes shorter/);
    await press('Copy to…');
    const options = screen.getAllByRole('option').map((option) => option.textContent);
    expect(options).toContain('Backup bucket');
    expect(options).not.toContain('/home/ada/Howdah');
  });

  test('that is missing or being deleted is told by its word', async () => {
    const rows = await copies(2);
    expect(rows[0]).toContain('Missing');
    expect(rows[1]).toMatch(/Being deleted.*Next try in 1 h/);
    expect(screen.queryByRole('button', { name: 'Copy to…' })).toBeNull();
  });
});

test('the settings lead to the kit’s button where a need asked for it', async () => {
  await show(SettingsPage, {}, { fixture: small(), path: '/settings#keys' });
  expect(document.activeElement).toBe(screen.getByRole('button', { name: 'Save the recovery kit' }));
});
