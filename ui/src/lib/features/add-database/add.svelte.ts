/**
 * Adding a database: a connection, a test, a plan, each opening when the one before it is good. A pasted text with
 * its password goes to the engine as it is, and never comes back.
 */
import {
  call,
  onEvent,
  toFailure,
  type ConnectionInput,
  type Connection,
  type Environment,
  type Failure,
  type Overview,
  type ParsedConnection,
  type ServerView,
  type SettingsPage,
} from '$lib/ipc';
import { Action } from '$lib/state/action.svelte';
import { EVERYTHING, PlanEditor } from '../plans/editor.svelte';
import { ConnectionForm } from '../servers/connection-form.svelte';
import { ConnectionTest } from '../servers/connection-test.svelte';

export type Way = 'paste' | 'form';

/** How long the databases of a new plan may take to appear. */
const APPEAR_MS = 15_000;

export class AddDatabase {
  way = $state<Way>('paste');
  text = $state('');
  password = $state('');
  readonly form = new ConnectionForm();
  /** What the engine made of the pasted text. */
  parsed = $state.raw<ParsedConnection>();
  parseFailure = $state.raw<Failure>();
  readonly test = new ConnectionTest();
  plan = $state.raw<PlanEditor>();
  name = $state('');
  environment = $state<Environment>('none');
  readonly starting = new Action();
  /** A server known already, to which a database is added. */
  readonly server: ServerView | undefined;

  #asked = 0;
  /** The input that was tested, to see that it changed since. */
  #tested = $state('');
  #testedSelection = $state(JSON.stringify(EVERYTHING));
  /** The server as saved, so that a second attempt does not save it twice. */
  #saved: { id: string; from: string } | undefined;

  constructor(server?: ServerView) {
    this.server = server;
    if (server) {
      this.name = server.name;
      this.environment = server.environment;
    }
  }

  /** What the fields make; `undefined` while they are incomplete. */
  readonly input = $derived.by((): ConnectionInput | undefined => {
    if (this.server) return { type: 'server', id: this.server.id };
    const password = this.password === '' ? null : this.password;
    const { target, given } = this.form.tunnel;
    const ssh = given === undefined ? {} : { ssh_secret: given };
    if (this.way === 'paste') {
      if (!this.parsed || target === undefined) return undefined;
      return { type: 'text', text: this.text, password, ...(target && { tunnel: target }), ...ssh };
    }
    const { connection } = this.form;
    return connection && { type: 'form', connection, password, ...ssh };
  });

  readonly connection = $derived.by((): Connection | undefined => {
    if (this.server) return this.server.connection;
    return this.way === 'paste' ? this.parsed?.connection : this.form.connection;
  });

  /** Whether a password or passphrase will have to go to the keyring. */
  readonly keepsPassword = $derived.by(
    () =>
      !this.server &&
      (this.password !== '' ||
        this.form.tunnel.given !== undefined ||
        (this.way === 'paste' && this.parsed?.has_password === true)),
  );

  /** Whether the findings are about what the fields say now. */
  readonly fresh = $derived.by(() => this.test.started && JSON.stringify(this.input) === this.#tested);

  /** Reads the pasted text; only the last question's answer counts. */
  async parse(text: string): Promise<void> {
    const number = ++this.#asked;
    if (text.trim() === '') {
      this.parsed = undefined;
      this.parseFailure = undefined;
      return;
    }
    try {
      const parsed = await call('parse_connection', { text });
      if (number !== this.#asked) return;
      this.parsed = parsed;
      this.parseFailure = undefined;
    } catch (thrown) {
      if (number !== this.#asked) return;
      this.parsed = undefined;
      this.parseFailure = toFailure(thrown);
    }
  }

  /** From the text to the form, with what was understood. The password is typed again: nobody hands it back. */
  fillForm(): void {
    if (this.parsed) this.form.takeText(this.parsed.connection);
    this.way = 'form';
  }

  async runTest(settings: SettingsPage): Promise<void> {
    const { input } = this;
    if (!input) return;
    this.#tested = JSON.stringify(input);
    this.#testedSelection = JSON.stringify(EVERYTHING);
    this.plan = undefined;
    const report = await this.test.start(input, EVERYTHING);
    if (report?.ok) this.openPlan(settings);
  }

  /** Tests again with what of the database was chosen, and leaves the plan as it is. */
  async testChoice(): Promise<void> {
    const { input, plan } = this;
    if (!input || !plan) return;
    const { selection } = plan;
    this.#tested = JSON.stringify(input);
    this.#testedSelection = JSON.stringify(selection);
    await this.test.start(input, selection);
  }

  /** Whether another part of the database was chosen than was tested. */
  readonly choiceUntested = $derived.by(
    () => this.plan !== undefined && JSON.stringify(this.plan.selection) !== this.#testedSelection,
  );

  /** Opens the third step, also where the test found what would make a backup fail, and somebody means to mend it. */
  openPlan(settings: SettingsPage): void {
    const { connection } = this;
    if (!connection) return;
    if (!this.name) this.name = connection.host.startsWith('/') ? '' : connection.host;
    this.plan = new PlanEditor(
      {
        schedule: { type: 'daily', at: settings.settings.default_time },
        time_zone: settings.time_zone,
        folder: settings.settings.default_folder,
        scope: { type: 'database', name: connection.database },
      },
      settings.destinations,
    );
  }

  /** Saves server and plan, starts the first backup. Answers where to go. */
  start(): Promise<string | undefined> {
    return this.starting.run(async () => {
      const { input, plan } = this;
      if (!input || !plan) return undefined;
      const serverId = this.server?.id ?? (await this.#save(input));
      const draft = plan.draft(serverId);
      if (!draft) return undefined;
      const covers = (name: string) => draft.scope.type === 'all_databases' || draft.scope.name === name;
      await call('save_plan', { plan: draft });
      const databases = await appeared((overview) =>
        overview.databases.filter((database) => database.server_id === serverId && covers(database.name)),
      );
      const runs: string[] = [];
      for (const database of databases) {
        if (database.active_run) runs.push(database.active_run.id);
        else runs.push(...(await call('back_up_now', { database_id: database.id })));
      }
      this.#forget();
      const [only] = databases;
      if (runs.length === 1 && runs[0]) return `/runs/${runs[0]}`;
      return databases.length === 1 && only ? `/databases/${only.id}` : '/';
    });
  }

  async #save(input: ConnectionInput): Promise<string> {
    const from = JSON.stringify([input, this.name, this.environment]);
    if (this.#saved?.from === from) return this.#saved.id;
    if (this.#saved) {
      // The fields changed after a first attempt had saved them: that server is replaced.
      await call('remove_server', { id: this.#saved.id });
      this.#saved = undefined;
    }
    const { id } = await call('add_server', {
      input,
      name: this.name.trim(),
      environment: this.environment,
    });
    this.#saved = { id, from };
    return id;
  }

  /** The secrets have done their work here. */
  #forget(): void {
    this.text = '';
    this.password = '';
    this.form.tunnel.secret = '';
    this.#saved = undefined;
  }
}

/** The databases that a new plan covers. A plan for all of a server's finds them in a moment, and says so. */
async function appeared<Found>(find: (overview: Overview) => Found[]): Promise<Found[]> {
  const until = Date.now() + APPEAR_MS;
  let woken: (() => void) | undefined;
  const stop = onEvent((event) => {
    if (event.type === 'databases') woken?.();
  });
  try {
    for (;;) {
      const news = new Promise<void>((resolve) => (woken = resolve));
      const found = find(await call('overview'));
      const left = until - Date.now();
      if (found.length > 0 || left <= 0) return found;
      await Promise.race([news, new Promise((resolve) => setTimeout(resolve, left))]);
    }
  } finally {
    stop();
  }
}
