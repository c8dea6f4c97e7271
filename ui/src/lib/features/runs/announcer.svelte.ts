/** What a screen reader is told of something that changes all the time: at most one sentence in ten seconds. */
const EVERY_MS = 10_000;

export class Announcer {
  text = $state('');
  #next = '';
  #timer: ReturnType<typeof setTimeout> | undefined;

  say(text: string): void {
    this.#next = text;
    if (this.#timer !== undefined) return;
    this.text = text;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#next !== this.text) this.say(this.#next);
    }, EVERY_MS);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
