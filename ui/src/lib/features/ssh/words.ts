/** An SSH server as people write it. */
import type { SshTarget } from '$lib/ipc';

/** `user@host:port`, as far as it is said. */
export function formatSsh({ host, port, user }: SshTarget): string {
  const where = port !== null && host.includes(':') ? `[${host}]` : host;
  return `${user === null ? '' : `${user}@`}${where}${port === null ? '' : `:${port}`}`;
}
