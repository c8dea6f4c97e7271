/** The channels and what happened, alive, and what can be done with them on their page. */
import { call, onEvent, type ChannelInput, type ChannelView, type Event } from '$lib/ipc';
import { Action } from '$lib/state/action.svelte';
import { atMostEvery } from '$lib/state/pace';
import { Resource } from '$lib/state/resource.svelte';
import { Trial } from './trial.svelte';

/** A channel as it is: what is kept for it stays. */
export function inputOf(channel: ChannelView): ChannelInput {
  const { id, name, address, rule, enabled } = channel;
  return { id, name, address, secrets: {}, rule, enabled };
}

export class Notifications {
  readonly page = new Resource(() => call('notifications_page'));
  readonly acting = new Action();
  readonly trial = new Trial();
  /** Which one is tried out, or was last. */
  tried = $state.raw<ChannelView>();
  /** A channel that was saved just now and never tried out. */
  untried = $state.raw<ChannelView>();
  /** The page again, once a second at most: a night's messages come all at once. */
  readonly #renew = atMostEvery(1000, () => void this.page.load());

  start(): () => void {
    const stop = onEvent((event) => this.hear(event));
    void this.page.load();
    return () => {
      stop();
      this.#renew.stop();
    };
  }

  hear(event: Event): void {
    if (['notifications', 'databases', 'missed'].includes(event.type)) this.#renew();
  }

  /** Says how a channel does once more after it was changed here, without waiting for the engine's word. */
  async #act(what: () => Promise<unknown>): Promise<void> {
    await this.acting.run(what);
    void this.page.load();
  }

  async test(channel: ChannelView): Promise<void> {
    this.untried = undefined;
    this.tried = channel;
    await this.trial.start(inputOf(channel));
    void this.page.load();
  }

  saved(channel: ChannelView, proved: boolean): void {
    this.tried = undefined;
    this.trial.forget();
    this.untried = proved ? undefined : channel;
    void this.page.load();
  }

  async remove({ id }: ChannelView): Promise<void> {
    await call('remove_channel', { id });
    // What is not there any more is not tried out either.
    if (this.untried?.id === id) this.untried = undefined;
    if (this.tried?.id === id) {
      this.tried = undefined;
      this.trial.forget();
    }
    void this.page.load();
  }

  enable(channel: ChannelView, enabled: boolean): Promise<void> {
    return this.#act(() => call('save_channel', { input: { ...inputOf(channel), enabled } }));
  }

  retry({ id }: ChannelView): Promise<void> {
    return this.#act(() => call('retry_deliveries', { id }));
  }

  acknowledge(id: string): Promise<void> {
    return this.#act(() => call('acknowledge_alert', { id }));
  }
}
