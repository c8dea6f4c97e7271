/**
 * Run after every build: the window's script stays within its budget, and none of the made-up data that
 * development shows has come along.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const BUDGET = 300_000;
/** Words that stand in the fixture and nowhere else. */
const MADE_UP = ['db.nowhere', 'The fixture knows no command', 'provisioning_script_of_2019'];

const files = readdirSync('build', { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath, entry.name));

let bytes = 0;
for (const file of files) {
  const content = readFileSync(file);
  if (file.endsWith('.js')) bytes += gzipSync(content, { level: 9 }).length;
  const found = MADE_UP.find((word) => content.includes(word));
  if (found) {
    process.stderr.write(`${file} holds made-up data (${found}).\n`);
    process.exit(1);
  }
}

const words = `script: ${(bytes / 1000).toFixed(0)} kB compressed, of ${BUDGET / 1000} kB`;
if (bytes === 0 || bytes > BUDGET) {
  process.stderr.write(`${words}: too much, or nothing at all.\n`);
  process.exit(1);
}
process.stdout.write(`${words}\n`);
