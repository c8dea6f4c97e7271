/** The chats in which somebody wrote to a Telegram bot, to choose among instead of typing an id. */
import { call, type ChannelInput, type TelegramChat } from '$lib/ipc';
import { Action } from '$lib/state/action.svelte';

export class Chats {
  readonly asking = new Action();
  found = $state.raw<TelegramChat[]>();

  async find(input: ChannelInput): Promise<void> {
    this.found = undefined;
    this.found = await this.asking.run(() => call('find_telegram_chats', { input }));
  }
}
