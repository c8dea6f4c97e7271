/** The shell's transport. No other file knows Tauri. */
import { invoke } from '@tauri-apps/api/core';
import { listen } from '@tauri-apps/api/event';
import type { Transport } from './transport';

/** The one channel on which the engine's events arrive. */
const CHANNEL = 'howdah://event';

export const tauri: Transport = {
  invoke: (command, args) => invoke(command, args),
  listen: (hear) => listen(CHANNEL, ({ payload }) => hear(payload)),
};
