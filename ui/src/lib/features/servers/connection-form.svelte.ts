/** A connection in a form: each field as typed, and the connection they make. */
import type { Connection, TlsMode } from '$lib/ipc';
import { parsePort } from '../ssh/port';
import { BLANK } from './connection';
import { TunnelForm } from './tunnel-form.svelte';

export class ConnectionForm {
  host = $state('');
  port = $state('5432');
  role = $state('');
  database = $state('');
  tls = $state<TlsMode>('prefer');
  ca = $state('');
  certificate = $state('');
  key = $state('');
  readonly tunnel = new TunnelForm();

  constructor(from: Connection = BLANK) {
    this.take(from);
  }

  take(from: Connection): void {
    this.takeText(from);
    this.tunnel.take(from.tunnel);
  }

  /** Takes what a text says, which knows no tunnel: that stays as it was chosen. */
  takeText(from: Connection): void {
    this.host = from.host;
    this.port = String(from.port);
    this.role = from.role;
    this.database = from.database;
    this.tls = from.tls.mode;
    this.ca = from.tls.ca_file ?? '';
    this.certificate = from.tls.certificate_file ?? '';
    this.key = from.tls.key_file ?? '';
  }

  readonly portNumber = $derived.by(() => parsePort(this.port) ?? undefined);

  /** The connection; `undefined` while something it needs is missing. */
  readonly connection = $derived.by((): Connection | undefined => {
    const host = this.host.trim().replace(/^\[(.*)\]$/, '$1');
    const port = this.portNumber;
    const { target } = this.tunnel;
    if (!host || port === undefined || !this.role || !this.database || target === undefined) return undefined;
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
      ...(target && { tunnel: target }),
    };
  });
}
