/** The window's colours. The choice is remembered here too, so that the window opens in them at once. */
import type { Theme } from '$lib/ipc';

const KEY = 'howdah.theme';

function show(theme: string | null): void {
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

export function applyTheme(theme: Theme): void {
  show(theme);
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // Without storage the window opens in the system's colours for a moment.
  }
}

export function applyRememberedTheme(): void {
  try {
    show(localStorage.getItem(KEY));
  } catch {
    show(null);
  }
}
