/**
 * One clock for everything that shows how long ago something was. It ticks only while something on the page
 * reads it: once a second for running things, every ten seconds for the rest.
 */
import { createSubscriber } from 'svelte/reactivity';

function ticking(milliseconds: number): () => void {
  return createSubscriber((update) => {
    const timer = setInterval(update, milliseconds);
    return () => clearInterval(timer);
  });
}

const seconds = ticking(1000);
const calm = ticking(10_000);

export const clock = {
  /** Now, for what changes by the second. */
  get second(): number {
    seconds();
    return Date.now();
  },
  /** Now, for what is said in minutes and more. */
  get now(): number {
    calm();
    return Date.now();
  },
};
