/** The port in a text: `null` where there is none, `undefined` where the text is no port. */
export function parsePort(text: string): number | null | undefined {
  const trimmed = text.trim();
  if (trimmed === '') return null;
  const port = Number(trimmed);
  return /^\d{1,5}$/.test(trimmed) && port >= 1 && port <= 65535 ? port : undefined;
}
