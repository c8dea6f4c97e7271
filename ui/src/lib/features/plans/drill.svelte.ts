/** When a plan's backups are proved, and what must be true in them: as typed, and the rule that it makes. */
import type { Assertion, DrillRule, DrillWhen } from '$lib/ipc';
import { t } from '$lib/messages';

export const WHEN: readonly DrillWhen[] = ['never', 'each_backup', 'weekly', 'monthly'];

export class DrillForm {
  when = $state<DrillWhen>('weekly');
  assertions = $state<Assertion[]>([]);

  constructor(rule?: DrillRule) {
    if (!rule) return;
    this.when = rule.when;
    this.assertions = rule.assertions.map((each) => ({ ...each }));
  }

  add(): void {
    this.assertions.push({ name: '', sql: '' });
  }

  remove(index: number): void {
    this.assertions.splice(index, 1);
  }

  /** What keeps it from being saved, as a sentence. */
  readonly problem = $derived.by((): string | undefined =>
    this.assertions.some(({ name, sql }) => !name.trim() !== !sql.trim())
      ? t('plan.problem_assertion')
      : undefined,
  );

  /** Lines that were left empty are none. */
  get rule(): DrillRule {
    return {
      when: this.when,
      assertions: $state
        .snapshot(this.assertions)
        .map(({ name, sql }) => ({ name: name.trim(), sql: sql.trim() }))
        .filter(({ sql }) => sql !== ''),
    };
  }
}
