/** The window renders itself: there is no server, and nothing to render ahead. */
export const ssr = false;
export const prerender = false;
