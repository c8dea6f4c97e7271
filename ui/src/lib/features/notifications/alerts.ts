/** What happened, as it is looked through and told. */
import { formatDay, formatDuration } from '$lib/format';
import type { AlertView, Severity } from '$lib/ipc';
import { t } from '$lib/messages';

export type Filter = Severity | 'all';
export const FILTERS: readonly Filter[] = ['all', 'critical', 'warning', 'info'];

/** Those of a severity that hold every word that was typed, in whatever is said of them. */
export function filterAlerts(alerts: readonly AlertView[], filter: Filter, search: string): AlertView[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  return alerts.filter((alert) => {
    if (filter !== 'all' && alert.severity !== filter) return false;
    const { title, body, details, deliveries, kind } = alert;
    const text = [title, body, details, t(`alert_kind.${kind}`), ...deliveries.map((each) => each.channel)]
      .join('\n')
      .toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

/** Whether it still lasts. */
export function lasts({ lasts, ended_at }: AlertView): boolean {
  return lasts && ended_at === null;
}

/** Whether somebody may say that they know: it is not told again then. */
export function awaitsAcknowledgement(alert: AlertView): boolean {
  return lasts(alert) && alert.severity === 'critical' && alert.acknowledged_at === null;
}

/** `since 14:02 · lasts`, or `over after 14 min`; nothing of what has no length. */
export function spanWords(alert: AlertView, now: number): string | undefined {
  if (!alert.lasts) return undefined;
  if (alert.ended_at === null) return t('alert.lasts', { since: formatDay(alert.at, now) });
  return t('alert.over', { took: formatSpan(Date.parse(alert.ended_at) - Date.parse(alert.at)) });
}

/** How long something lasted, as people say it: whole minutes, whole days. */
function formatSpan(milliseconds: number): string {
  const minutes = Math.round(milliseconds / 60_000);
  if (minutes < 1) return formatDuration(milliseconds);
  if (minutes < 60) return t('alert_span.minutes', { n: minutes });
  const hours = Math.floor(minutes / 60);
  if (hours < 48) {
    return minutes % 60 === 0
      ? t('alert_span.hours', { n: hours })
      : t('alert_span.hours_minutes', { hours, minutes: minutes % 60 });
  }
  return t('alert_span.days', { n: Math.round(hours / 24) });
}

/** Everything that is known of an alert, to be pasted elsewhere. */
export function alertText({ title, at, body, details }: AlertView): string {
  return [`${title}\n${at}`, body, details].filter(Boolean).join('\n\n');
}
