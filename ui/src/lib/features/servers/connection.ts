/** Connections as people read and fill them. */
import type { Connection, TlsMode } from '$lib/ipc';
import { t } from '$lib/messages';
import { formatSsh } from '../ssh/words';

export const TLS_MODES: readonly TlsMode[] = ['prefer', 'require', 'verify-ca', 'verify-full', 'disable'];

export const BLANK: Connection = {
  host: '',
  port: 5432,
  role: '',
  database: '',
  tls: { mode: 'prefer', ca_file: null, certificate_file: null, key_file: null },
};

/** `role@host:port/database`. */
export function formatConnection({ host, port, role, database }: Connection): string {
  const where = host.includes(':') ? `[${host}]` : host;
  return `${role}@${where}:${port}/${database}`;
}

/** The SSH server that it goes through, in words; `undefined` where the way is straight. */
export function formatTunnel({ tunnel }: Connection): string | undefined {
  return tunnel && t('tunnel.through', { server: formatSsh(tunnel) });
}

/** All of the way in one line. */
export function formatWay(connection: Connection): string {
  return [formatConnection(connection), formatTunnel(connection)].filter(Boolean).join(', ');
}

/** Where it is, without who and what. */
export function formatAddress({ host, port }: Connection): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

const DOTS = '••••••';

/** A pasted connection as it may stand on a screen: the password as dots. */
export function maskPassword(text: string): string {
  return text
    .replace(/(:\/\/[^:@/\s]*:)([^\s]+)(@[^@\s]*)/g, `$1${DOTS}$3`)
    .replace(
      /\b(password\s*=\s*|PGPASSWORD\s*=\s*)('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s&]+)/gi,
      `$1${DOTS}`,
    );
}
