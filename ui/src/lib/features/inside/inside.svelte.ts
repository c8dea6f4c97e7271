/** Rows of a table in a backup: those that came so far, the search among them, and the table saved as a file. */
import {
  call,
  onEvent,
  toFailure,
  type Event,
  type Failure,
  type RowFormat,
  type RowPlace,
  type RowsPage,
  type RowView,
  type SavedTable,
  type TableName,
  type ValueView,
} from '$lib/ipc';
import { Action } from '$lib/state/action.svelte';
import { Resource } from '$lib/state/resource.svelte';

/** Rows that are asked for at once. */
const STEP = 200;
/** So many are kept, fewer of wide tables: who wants more looks for something, or downloads the table. */
export const MOST = 10_000;
const MOST_VALUES = 500_000;

let looks = 0;

export class Inside {
  /** What is known of the table; none until the first answer is there. */
  page = $state.raw<RowsPage>();
  rows = $state.raw<RowView[]>([]);
  failure = $state.raw<Failure>();
  /** Rows are on their way. */
  busy = $state(false);
  /** The person ended the search: it goes on when it is told to, and not by itself. */
  stopped = $state(false);
  /** What is looked for. */
  search = $state('');
  /** Whether every byte that was shown is text. */
  allText = $state(true);
  readonly saving = new Action();
  saved = $state.raw<SavedTable>();
  /** How much of the table is written, 0 to 1. */
  share = $state<number>();
  readonly most = $derived(
    Math.min(MOST, Math.ceil(MOST_VALUES / Math.max(1, this.page?.columns.length ?? 1))),
  );
  readonly full = $derived(this.rows.length >= this.most);
  readonly ended = $derived(this.page !== undefined && this.page.next === null && !this.stopped);
  readonly #id: string;
  #generation = 0;
  #wanted = 0;

  constructor(
    readonly backup: string,
    readonly table: TableName,
  ) {
    looks += 1;
    this.#id = `look-${looks}`;
  }

  start(): () => void {
    const stop = onEvent((event) => this.hear(event));
    void this.begin('');
    return () => {
      stop();
      this.#generation += 1;
      for (const id of [this.#id, this.#savingId]) this.#cancel(id);
    };
  }

  hear(event: Event): void {
    if (event.type === 'saving' && event.look_id === this.#savingId) {
      this.share = event.of > 0 ? event.bytes / event.of : undefined;
    }
  }

  get #savingId(): string {
    return `${this.#id}-saving`;
  }

  /** From the table's beginning, the rows that hold a text. */
  async begin(search: string): Promise<void> {
    this.search = search;
    this.rows = [];
    this.failure = undefined;
    this.allText = true;
    if (this.page) this.page = { ...this.page, looked_at: 0, next: null, rows: [] };
    this.#wanted = STEP;
    await this.#look(null);
  }

  /** The end of the rows that are there is near. */
  nearEnd(): void {
    if (!this.stopped && !this.failure) void this.more();
  }

  /** More rows, after those that are there. */
  async more(): Promise<void> {
    const next = this.page?.next;
    if (this.busy || this.full) return;
    // Stopped before anything was found: from the beginning.
    if (!next) return this.stopped ? this.begin(this.search) : undefined;
    this.#wanted = this.rows.length + STEP;
    await this.#look(next);
  }

  /** Ends the search where it stands. */
  stop(): void {
    this.#generation += 1;
    this.busy = false;
    this.stopped = true;
    this.#cancel(this.#id);
  }

  /** Asks until as many rows are there as are wanted; each answer says how far it is. */
  async #look(from: RowPlace | null): Promise<void> {
    const generation = (this.#generation += 1);
    const gone = () => generation !== this.#generation;
    this.busy = true;
    this.stopped = false;
    try {
      for (;;) {
        const page = await call('rows', {
          request: {
            look_id: this.#id,
            backup_id: this.backup,
            table: this.table,
            search: this.search,
            from,
            limit: Math.min(this.#wanted, this.most) - this.rows.length,
          },
        });
        if (gone()) return;
        this.failure = undefined;
        this.page = page;
        this.allText &&= page.all_text;
        if (page.rows.length > 0) this.rows = [...this.rows, ...page.rows];
        from = page.next;
        if (from === null || this.rows.length >= Math.min(this.#wanted, this.most)) break;
      }
    } catch (thrown) {
      if (gone()) return;
      this.failure = toFailure(thrown);
    }
    this.busy = false;
  }

  /** Writes the whole table into a file that the person chooses. */
  async save(format: RowFormat, title: string): Promise<void> {
    this.saved = undefined;
    this.share = undefined;
    const request = { look_id: this.#savingId, backup_id: this.backup, table: this.table, format };
    const saved = await this.saving.run(() => call('save_table', { title, request }));
    if (this.saving.failure?.code === 'cancelled') this.saving.forget();
    this.saved = saved ?? undefined;
  }

  cancelSaving(): void {
    this.#cancel(this.#savingId);
  }

  #cancel(id: string): void {
    // Where it has ended by then there is nothing to cancel.
    call('cancel_look', { look_id: id }).catch(() => undefined);
  }
}

/** One value that is looked at alone. */
export class Value {
  readonly view: Resource<ValueView>;

  constructor(
    inside: Inside,
    row: RowView,
    readonly column: number,
    readonly name: string,
  ) {
    const cell = row.cells[column];
    this.view = new Resource(() => {
      // What is here as a whole needs no asking.
      if (cell && cell.bytes === undefined) {
        const bytes = new TextEncoder().encode(cell.text ?? '').length;
        return Promise.resolve({ text: cell.text, bytes, shortened: false, all_text: true });
      }
      return call('row_value', {
        request: {
          look_id: `value-${String(row.place.row)}-${String(column)}`,
          backup_id: inside.backup,
          table: inside.table,
          place: row.place,
          column,
        },
      });
    });
    void this.view.load();
  }
}
