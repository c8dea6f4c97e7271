/** What is pointed at in charts that lie over one another, by pointer or by keys, and the stretch that is being drawn across them. */
import { bucketAt } from './bar';

export interface Wishes {
  /** A closer look at the part between two shares of the width. */
  zoom: (a: number, b: number) => void;
  /** Closer or wider, around a share of the width. */
  scale: (factor: number, around: number) => void;
  /** Aside, by a share of the width. */
  move: (share: number) => void;
  /** All of it again. */
  reset: () => void;
}

/** Fewer pixels are a click, not a stretch. */
const MEANT = 6;

export class Pointing {
  /** The bucket pointed at. */
  at = $state<number>();
  /** Whether keys led there: then it is said too. */
  byKeys = $state(false);
  /** What is being drawn, in pixels. */
  drawn = $state.raw<{ from: number; to: number }>();

  constructor(
    private readonly size: () => { count: number; width: number },
    private readonly wishes: Wishes,
  ) {}

  /** The bucket that keys begin at. */
  get index(): number {
    const last = Math.max(0, Math.ceil(this.size().count) - 1);
    return Math.min(this.at ?? last, last);
  }

  onkeydown = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { count } = this.size();
    const last = Math.max(0, Math.ceil(count) - 1);
    const around = count > 0 ? (this.index + 0.5) / count : 0.5;
    if (event.shiftKey && (event.key === 'ArrowLeft' || event.key === 'ArrowRight')) {
      event.preventDefault();
      this.wishes.move(event.key === 'ArrowLeft' ? -0.25 : 0.25);
      return;
    }
    const to = {
      ArrowLeft: this.index - 1,
      ArrowDown: this.index - 1,
      ArrowRight: this.index + 1,
      ArrowUp: this.index + 1,
      PageUp: this.index + Math.ceil(count / 10),
      PageDown: this.index - Math.ceil(count / 10),
      Home: 0,
      End: last,
    }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      this.byKeys = true;
      this.at = Math.max(0, Math.min(last, to));
    } else if (event.key === '+' || event.key === '=') {
      event.preventDefault();
      this.wishes.scale(0.5, around);
    } else if (event.key === '-') {
      event.preventDefault();
      this.wishes.scale(2, around);
    } else if (event.key === 'Escape') {
      // A stretch half drawn is let go first.
      if (this.drawn) this.drawn = undefined;
      else this.wishes.reset();
    }
  };

  onpointerdown = (event: PointerEvent): void => {
    if (event.button !== 0) return;
    const x = this.#x(event);
    this.drawn = { from: x, to: x };
    (event.currentTarget as Element).setPointerCapture?.(event.pointerId);
  };

  onpointermove = (event: PointerEvent): void => {
    const x = this.#x(event);
    const { count, width } = this.size();
    this.byKeys = false;
    this.at = bucketAt(Math.min(x, width - 1), count, width);
    if (this.drawn) this.drawn = { ...this.drawn, to: x };
  };

  onpointerup = (): void => {
    const { drawn } = this;
    const { width } = this.size();
    this.drawn = undefined;
    if (drawn && Math.abs(drawn.to - drawn.from) >= MEANT)
      this.wishes.zoom(drawn.from / width, drawn.to / width);
  };

  onpointerleave = (): void => {
    if (!this.drawn) this.at = undefined;
  };

  ondblclick = (): void => this.wishes.reset();

  #x(event: PointerEvent): number {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    return Math.max(0, Math.min(this.size().width, event.clientX - box.left));
  }
}
