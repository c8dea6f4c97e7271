/** A topic that nobody guesses: whoever knows an open topic's name reads it. */

const LETTERS = 'abcdefghijklmnopqrstuvwxyz234567';

/** `howdah-` and 20 letters, of 100 bits. */
export function randomTopic(bytes = crypto.getRandomValues(new Uint8Array(20))): string {
  return `howdah-${Array.from(bytes, (byte) => LETTERS[byte % 32] ?? '').join('')}`;
}
