/** How commands and events travel: by the shell in the application, by a fixture where there is no shell. */
export interface Transport {
  invoke(command: string, args: Record<string, unknown>): Promise<unknown>;
  /** Hears every event from now on; the answer ends that. */
  listen(hear: (event: unknown) => void): Promise<() => void>;
}
