/**
 * The window's way to the engine: typed commands, and one channel of typed events.
 * The only folder that knows how both travel.
 */
import type { Commands, CommandName } from './commands';
import { toFailure } from './failure';
import type { Event } from './generated/Event';
import type { Transport } from './transport';

export * from './commands';
export * from './failure';
export type * from './types';
export type { Transport } from './transport';

let chosen: Promise<Transport> | undefined;
const hearers = new Set<(event: Event) => void>();
/** Settled when events arrive, or when it is plain that none will: pages are still answered then. */
let listening: Promise<unknown> | undefined;

async function choose(): Promise<Transport> {
  // Without a shell around it (`npm run dev` in a browser) the window shows made-up data. A production build
  // has no trace of it: the condition is constant there, and the import falls away.
  if (import.meta.env.DEV && !('__TAURI_INTERNALS__' in globalThis)) {
    return (await import('./fixture')).fixtureFromAddress();
  }
  return (await import('./tauri')).tauri;
}

function transport(): Promise<Transport> {
  chosen ??= choose();
  return chosen;
}

/** Replaces the transport, for tests. Whoever listened hears the new one. */
export function useTransport(replacement: Transport): void {
  chosen = Promise.resolve(replacement);
  listening = undefined;
  if (hearers.size > 0) listen();
}

/** Runs a command. Rejects with a `Failure`, never with anything else. */
export async function call<Name extends CommandName>(
  command: Name,
  ...[args]: Commands[Name]['args'] extends Record<string, never> ? [] : [args: Commands[Name]['args']]
): Promise<Commands[Name]['answer']> {
  try {
    // Who listens first and asks then must miss nothing in between.
    await listening;
    return await (await transport()).invoke(command, args ?? {});
  } catch (thrown) {
    throw toFailure(thrown);
  }
}

function listen(): void {
  listening ??= transport()
    .then((way) =>
      way.listen((event) => {
        for (const hear of [...hearers]) hear(event as Event);
      }),
    )
    .catch(() => undefined);
}

/** Hears every event of the engine until the answer is called. */
export function onEvent(hear: (event: Event) => void): () => void {
  hearers.add(hear);
  listen();
  return () => hearers.delete(hear);
}
