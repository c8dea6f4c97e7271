/** A database's availability on its page, alive: how it stands, and a stretch of time that can be looked at more closely. */
import { moved, part, same, scaled, type Range } from '$lib/charts/zoom';
import { call, onEvent, type Availability, type CheckRule, type Event, type Span } from '$lib/ipc';
import { Action } from '$lib/state/action.svelte';
import { Gentle } from '$lib/state/gentle';
import { Resource } from '$lib/state/resource.svelte';

const HOUR = 3_600_000;

export const SPANS: readonly Span[] = ['day', 'week', 'month', 'quarter', 'year'];

export const HOURS: Record<Span, number> = { day: 24, week: 168, month: 720, quarter: 2160, year: 8760 };

/** Widths that differ by less are drawn from what is there. */
const CLOSE = 24;

export class Watch {
  readonly page = new Resource(() => call('watch_page', { id: this.id }));
  readonly stretch = new Resource<Availability>(() => this.#ask());
  readonly checking = new Action();
  readonly muting = new Action();
  readonly changing = new Action();
  readonly exporting = new Action();
  span = $state<Span>('day');
  /** The part that is looked at more closely. */
  zoom = $state.raw<Range>();
  /** Where the last export lies. */
  exported = $state<string>();
  #points = 0;
  readonly #gentle = new Gentle(() => this.load());

  constructor(readonly id: string) {}

  start(): () => void {
    const stop = onEvent((event) => this.hear(event));
    void this.page.load();
    return () => {
      stop();
      this.#gentle.stop();
    };
  }

  hear(event: Event): void {
    const ours = event.type === 'health' && event.database_ids.includes(this.id);
    if (ours || event.type === 'databases' || event.type === 'missed') this.#gentle.ask();
  }

  load(): void {
    void this.page.load();
    if (this.#points > 0) void this.stretch.load();
  }

  /** The whole of the chosen span, up to now. */
  get whole(): Range {
    const to = Date.now();
    return { from: to - HOURS[this.span] * HOUR, to };
  }

  /** Whether it is known how many pixels there are to draw on. */
  get measured(): boolean {
    return this.#points > 0;
  }

  /** How many pixels there are to draw on. */
  measure(width: number): void {
    if (this.#points > 0 && Math.abs(width - this.#points) < CLOSE) return;
    this.#points = Math.round(Math.max(60, Math.min(2000, width)));
    void this.stretch.load();
  }

  #ask(): Promise<Availability> {
    const { from, to } = this.zoom ?? this.whole;
    return call('availability', {
      request: {
        database_id: this.id,
        from: new Date(from).toISOString(),
        to: new Date(to).toISOString(),
        points: this.#points,
      },
    });
  }

  choose(span: Span): void {
    this.span = span;
    this.#look(undefined);
  }

  #look(range: Range | undefined): void {
    this.zoom = range;
    this.exported = undefined;
    void this.stretch.load();
  }

  /** What is drawn now. */
  get shown(): Range {
    const { data } = this.stretch;
    return data ? { from: Date.parse(data.from), to: Date.parse(data.to) } : this.whole;
  }

  /** The part between two shares of what is drawn. */
  zoomTo(a: number, b: number): void {
    const range = part(this.shown, a, b);
    if (range) this.#look(range);
  }

  scale(factor: number, around: number): void {
    const { shown } = this;
    const moment = shown.from + around * (shown.to - shown.from);
    const range = scaled(shown, factor, moment, this.whole);
    if (range.to - range.from >= HOURS[this.span] * HOUR - 1000) this.reset();
    else if (!same(range, shown)) this.#look(range);
  }

  move(share: number): void {
    if (!this.zoom) return;
    const range = moved(this.zoom, share, this.whole);
    if (!same(range, this.zoom)) this.#look(range);
  }

  reset(): void {
    if (this.zoom) this.#look(undefined);
  }

  async check(): Promise<void> {
    const health = await this.checking.run(() => call('check_now', { id: this.id }));
    if (health) this.page.patch((page) => ({ ...page, health }));
  }

  async mute(until: string | null): Promise<void> {
    await this.muting.run(() => call('mute', { id: this.id, until }));
    void this.page.load();
  }

  async saveRule(rule: CheckRule): Promise<void> {
    await this.changing.run(() => call('save_check_rule', { id: this.id, rule }));
    this.load();
  }

  async export(title: string): Promise<void> {
    this.exported = undefined;
    const { from, to } = this.shown;
    const path = await this.exporting.run(() =>
      call('export_checks', {
        id: this.id,
        from: new Date(from).toISOString(),
        to: new Date(to).toISOString(),
        title,
      }),
    );
    if (path) this.exported = path;
  }
}
