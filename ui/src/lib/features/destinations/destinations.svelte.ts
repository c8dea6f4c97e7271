/** The destinations on their page, and what a look at what lies there found. */
import { call, onEvent, type AttachReport, type DestinationView, type Event } from '$lib/ipc';
import { Action } from '$lib/state/action.svelte';
import { Resource } from '$lib/state/resource.svelte';

export class Destinations {
  readonly list = new Resource(() => call('list_destinations'));
  readonly attaching = new Action();
  /** Which one is looked at, or was last. */
  looked = $state.raw<DestinationView>();
  found = $state.raw<AttachReport>();

  start(): () => void {
    const stop = onEvent((event) => this.hear(event));
    void this.list.load();
    return stop;
  }

  hear(event: Event): void {
    if (['destinations', 'backups', 'missed'].includes(event.type)) void this.list.load();
  }

  /** The same look once more. */
  async lookAgain(): Promise<void> {
    if (this.looked) await this.look(this.looked);
  }

  async look(destination: DestinationView): Promise<void> {
    if (this.attaching.busy) return;
    this.looked = destination;
    this.found = undefined;
    this.found = await this.attaching.run(() => call('attach', { id: destination.id }));
    // What the look found out about the place itself is told too.
    void this.list.load();
  }
}
