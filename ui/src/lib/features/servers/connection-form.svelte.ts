/** A connection in a form: each field as typed, and the connection they make. */
import type { Connection, TlsMode } from '$lib/ipc';
import { BLANK } from './connection';

export class ConnectionForm {
  host = $state('');
  port = $state('5432');
  role = $state('');
  database = $state('');
  tls = $state<TlsMode>('prefer');
  ca = $state('');
  certificate = $state('');
  key = $state('');

  constructor(from: Connection = BLANK) {
    this.take(from);
  }

  take(from: Connection): void {
    this.host = from.host;
    this.port = String(from.port);
    this.role = from.role;
    this.database = from.database;
    this.tls = from.tls.mode;
    this.ca = from.tls.ca_file ?? '';
    this.certificate = from.tls.certificate_file ?? '';
    this.key = from.tls.key_file ?? '';
  }

  readonly portNumber = $derived.by(() => {
    const port = Number(this.port.trim());
    return /^\d{1,5}$/.test(this.port.trim()) && port >= 1 && port <= 65535 ? port : undefined;
  });

  /** The connection; `undefined` while something it needs is missing. */
  readonly connection = $derived.by((): Connection | undefined => {
    const host = this.host.trim().replace(/^\[(.*)\]$/, '$1');
    const port = this.portNumber;
    if (!host || port === undefined || !this.role || !this.database) return undefined;
    return {
      host,
      port,
      role: this.role,
      database: this.database,
      tls: {
        mode: this.tls,
        ca_file: this.ca.trim() || null,
        certificate_file: this.certificate.trim() || null,
        key_file: this.key.trim() || null,
      },
    };
  });
}
