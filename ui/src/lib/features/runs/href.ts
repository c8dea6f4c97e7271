/** Where a run is shown: in the pane beside the page one is on. */
import { page } from '$app/state';

/** The present page with this run beside it; on a run's own page, that run's page. */
export function runHref(id: string): string {
  if (page.route.id?.startsWith('/runs/[')) return `/runs/${id}`;
  const query = new URLSearchParams(page.url.search);
  query.delete('edit');
  query.set('run', id);
  return `${page.url.pathname}?${query.toString()}`;
}

/** The present page without a run beside it. */
export function withoutRun(): string {
  const query = new URLSearchParams(page.url.search);
  query.delete('run');
  const rest = query.toString();
  return page.url.pathname + (rest ? `?${rest}` : '');
}
