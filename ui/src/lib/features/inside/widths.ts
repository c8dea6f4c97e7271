/** How wide columns are, from what stands in the first rows: fixed, so that rows that come later move nothing. */
import type { RowView } from '$lib/ipc';

const LETTER = 7.3;
const PADDING = 24;
const NARROWEST = 56;
const WIDEST = 320;

/** Pixels of each column. */
export function widths(columns: string[], rows: RowView[]): number[] {
  const some = rows.slice(0, 100);
  return columns.map((name, index) => {
    let letters = name.length;
    for (const row of some) letters = Math.max(letters, row.cells[index]?.text?.length ?? 4);
    return Math.min(WIDEST, Math.max(NARROWEST, Math.ceil(letters * LETTER) + PADDING));
  });
}
