/** Names of tables as people type them: `schema.table`, each part quoted where SQL would want it. */
import type { TableName } from '$lib/ipc';

const PART = String.raw`"(?:[^"]|"")+"|[^".\s]+`;
const NAME = new RegExp(`^\\s*(${PART})\\.(${PART})\\s*$`);

function plain(part: string): string {
  return part.startsWith('"') ? part.slice(1, -1).replaceAll('""', '"') : part;
}

function quoted(part: string): string {
  return /^[a-z_][a-z0-9_$]*$/.test(part) ? part : `"${part.replaceAll('"', '""')}"`;
}

const SCHEMA = new RegExp(`^\\s*(${PART})\\.\\*\\s*$`);

/** `undefined` where the text is no name with its schema. */
export function parseTableName(text: string): TableName | undefined {
  const match = NAME.exec(text);
  return match?.[1] && match[2] ? { schema: plain(match[1]), name: plain(match[2]) } : undefined;
}

export function formatTableName({ schema, name }: TableName): string {
  return `${quoted(schema)}.${quoted(name)}`;
}

/** The schemas that are named as a whole, `schema.*` on a line of its own, and the text without those lines. */
export function takeSchemas(text: string): { schemas: string[]; rest: string } {
  const schemas: string[] = [];
  const rest = text.split('\n').filter((line) => {
    const schema = SCHEMA.exec(line)?.[1];
    if (schema) schemas.push(plain(schema));
    return !schema;
  });
  return { schemas, rest: rest.join('\n') };
}

/** One name a line. What is no name comes back as such. */
export function parseTableNames(text: string): { names: TableName[]; wrong: string[] } {
  const names: TableName[] = [];
  const wrong: string[] = [];
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    const name = parseTableName(line);
    if (name) names.push(name);
    else wrong.push(line.trim());
  }
  return { names, wrong };
}
