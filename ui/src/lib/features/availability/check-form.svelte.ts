/** How a database is checked, while it is being changed: every field as it is typed, and the rule once all of it makes sense. */
import { formatLength } from '$lib/format';
import { call, type CheckRule, type HealthView } from '$lib/ipc';
import { Action } from '$lib/state/action.svelte';

/** Seconds; what else is wanted is typed. */
const USUAL = [10, 30, 60, 300, 900, 3600, 21_600, 86_400];

export const LIMITS = {
  interval: [10, 86_400],
  timeout: [1, 300],
  failures: [1, 20],
  slow: [1, 300_000],
} as const satisfies Record<string, readonly [number, number]>;

function whole(text: string, [least, most]: readonly [number, number]): number | undefined {
  const number = /^\s*\d+\s*$/.test(text) ? Number(text) : NaN;
  return number >= least && number <= most ? number : undefined;
}

export class CheckForm {
  enabled = $state(true);
  interval = $state('60');
  /** Seconds, where none of the usual ones is wanted. */
  own = $state('');
  timeout = $state('');
  failures = $state('');
  slow = $state('');
  sql = $state('');
  expected = $state('');
  /** What a try found. */
  found = $state.raw<HealthView>();
  readonly trying = new Action();
  readonly saving = new Action();

  constructor(rule: CheckRule) {
    const usual = USUAL.includes(rule.interval_seconds);
    this.enabled = rule.enabled;
    this.interval = usual ? String(rule.interval_seconds) : 'own';
    this.own = usual ? '' : String(rule.interval_seconds);
    this.timeout = String(rule.timeout_seconds);
    this.failures = String(rule.failures);
    this.slow = rule.slow_after_ms === null ? '' : String(rule.slow_after_ms);
    this.sql = rule.sql ?? '';
    this.expected = rule.expected ?? '';
  }

  readonly intervals = USUAL.map((seconds) => ({
    value: String(seconds),
    label: formatLength(seconds * 1000),
  }));

  readonly ownSeconds = $derived(whole(this.own, LIMITS.interval));
  readonly timeoutSeconds = $derived(whole(this.timeout, LIMITS.timeout));
  readonly failureCount = $derived(whole(this.failures, LIMITS.failures));
  readonly slowMs = $derived(this.slow.trim() === '' ? null : whole(this.slow, LIMITS.slow));

  readonly rule: CheckRule | undefined = $derived.by(() => {
    const interval = this.interval === 'own' ? this.ownSeconds : Number(this.interval);
    if (
      interval === undefined ||
      this.timeoutSeconds === undefined ||
      this.failureCount === undefined ||
      this.slowMs === undefined
    ) {
      return undefined;
    }
    const sql = this.sql.trim();
    return {
      enabled: this.enabled,
      interval_seconds: interval,
      timeout_seconds: this.timeoutSeconds,
      failures: this.failureCount,
      sql: sql === '' ? null : sql,
      // Spaces may be what is expected.
      expected: this.expected === '' ? null : this.expected,
      slow_after_ms: this.slowMs,
    };
  });

  async try(id: string): Promise<void> {
    const { rule } = this;
    if (!rule) return;
    this.found = undefined;
    this.found = await this.trying.run(() => call('try_check', { id, rule }));
  }

  /** Whether it was saved. */
  async save(id: string): Promise<boolean> {
    const { rule } = this;
    if (!rule) return false;
    await this.saving.run(() => call('save_check_rule', { id, rule }));
    return this.saving.failure === undefined;
  }
}
