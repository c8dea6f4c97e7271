import adapter from '@sveltejs/adapter-static';
import { vitePreprocess } from '@sveltejs/vite-plugin-svelte';

/** One page for every address (`index.html`), rendered in the window alone: there is no server to render on. */
/** @type {import('@sveltejs/kit').Config} */
export default {
  preprocess: vitePreprocess(),
  compilerOptions: { runes: true },
  kit: {
    adapter: adapter({ pages: 'build', assets: 'build', fallback: 'index.html' }),
    alias: { $features: 'src/lib/features', $components: 'src/lib/components' },
    // The window's content is never replaced under it, so there is no new version to poll for.
    // The window loads from the program itself: one file comes faster than fifty.
    output: { bundleStrategy: 'single' },
    version: { name: 'howdah', pollInterval: 0 },
  },
};
