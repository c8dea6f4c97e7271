/** Something that is asked for often and done seldom: at once the first time, then once in a while. */

export interface Paced {
  (): void;
  /** What was put off is not done any more. */
  stop(): void;
}

export function atMostEvery(milliseconds: number, act: () => void): Paced {
  let last = -Infinity;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const paced = () => {
    if (timer !== undefined) return;
    const wait = Math.max(0, last + milliseconds - Date.now());
    const now = () => {
      timer = undefined;
      last = Date.now();
      act();
    };
    if (wait === 0) now();
    else timer = setTimeout(now, wait);
  };
  paced.stop = () => {
    clearTimeout(timer);
    timer = undefined;
  };
  return paced;
}
