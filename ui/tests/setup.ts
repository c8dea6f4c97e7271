/** What the tests' DOM lacks, and the parts of SvelteKit that need a running application. */
import { cleanup } from '@testing-library/svelte';
import { afterEach, beforeEach, vi } from 'vitest';
import { setLocale } from '$lib/format/locale';

process.env.TZ = 'Europe/Berlin';

vi.mock('$app/navigation', () => ({
  goto: vi.fn(() => Promise.resolve()),
  afterNavigate: vi.fn(),
}));

vi.mock('$app/state', () => ({
  page: { url: new URL('http://localhost/'), params: {}, route: { id: '/' }, status: 200, error: null },
}));

HTMLDialogElement.prototype.showModal = function () {
  this.open = true;
};
HTMLDialogElement.prototype.close = function () {
  if (!this.open) return;
  this.open = false;
  this.dispatchEvent(new Event('close'));
};

// axe asks for a canvas to recognise icon fonts, of which there are none.
HTMLCanvasElement.prototype.getContext = () => null;

Element.prototype.scrollIntoView = () => undefined;

globalThis.ResizeObserver = class {
  observe() {
    return undefined;
  }
  unobserve() {
    return undefined;
  }
  disconnect() {
    return undefined;
  }
};

beforeEach(() => {
  setLocale('en-GB');
});

afterEach(() => {
  cleanup();
  localStorage.clear();
});
