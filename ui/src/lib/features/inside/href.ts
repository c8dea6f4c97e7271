/** Where a table of a backup is looked into. */
import type { TableName } from '$lib/ipc';

export function insideHref(backup: string, table: TableName): string {
  const query = new URLSearchParams({ schema: table.schema, table: table.name });
  return `/backups/${backup}/inside?${query.toString()}`;
}
