/** Does something at once, and then at most once in a while however often it is asked for; the last wish is never lost. */
export class Gentle {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wanted = false;

  constructor(
    private readonly act: () => void,
    private readonly rest = 1000,
  ) {}

  ask(): void {
    if (this.#timer !== undefined) {
      this.#wanted = true;
      return;
    }
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (!this.#wanted) return;
      this.#wanted = false;
      this.ask();
    }, this.rest);
    this.act();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#wanted = false;
  }
}
