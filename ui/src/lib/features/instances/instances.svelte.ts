/** The local instances on their page, and what is done with them. */
import { call, onEvent, type Event, type InstanceView } from '$lib/ipc';
import { Action } from '$lib/state/action.svelte';
import { Resource } from '$lib/state/resource.svelte';

/** How long it is shown that something was copied, in milliseconds. */
const SHOWN = 2000;

export class Instances {
  readonly list = new Resource(() => call('list_instances'));
  readonly acting = new Action();
  /** Which one something is done with. */
  at = $state.raw<string>();
  /** Of which one something was put on the clipboard. */
  copied = $state.raw<{ id: string; psql: boolean }>();
  #forgetting: ReturnType<typeof setTimeout> | undefined;

  start(): () => void {
    const stop = onEvent((event) => this.hear(event));
    void this.list.load();
    return () => {
      stop();
      clearTimeout(this.#forgetting);
    };
  }

  hear(event: Event): void {
    if (event.type === 'instances' || event.type === 'missed') void this.list.load();
  }

  async #do(instance: InstanceView, what: () => Promise<unknown>): Promise<boolean> {
    if (this.acting.busy) return false;
    this.at = instance.id;
    this.copied = undefined;
    await this.acting.run(what);
    void this.list.load();
    return this.acting.failure === undefined;
  }

  toggle(instance: InstanceView): Promise<boolean> {
    const command = instance.state === 'running' ? 'stop_instance' : 'start_instance';
    return this.#do(instance, () => call(command, { id: instance.id }));
  }

  async copy(instance: InstanceView, psql: boolean): Promise<void> {
    const { id } = instance;
    if (!(await this.#do(instance, () => call('copy_instance_url', { id, psql })))) return;
    this.copied = { id, psql };
    clearTimeout(this.#forgetting);
    this.#forgetting = setTimeout(() => (this.copied = undefined), SHOWN);
  }

  open(instance: InstanceView): Promise<boolean> {
    return this.#do(instance, () => call('open_instance', { id: instance.id }));
  }

  openFolder(instance: InstanceView): Promise<boolean> {
    return this.#do(instance, () => call('open_folder', { path: instance.folder }));
  }
}
