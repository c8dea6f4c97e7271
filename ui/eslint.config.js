import js from '@eslint/js';
import svelte from 'eslint-plugin-svelte';
import globals from 'globals';
import ts from 'typescript-eslint';
import svelteConfig from './svelte.config.js';

/** The window talks to the shell in one place; everything else goes through it. */
const onlyIpcKnowsTauri = {
  patterns: [{ group: ['@tauri-apps/*'], message: 'Only src/lib/ipc talks to the shell.' }],
};

export default ts.config(
  { ignores: ['build/', '.svelte-kit/', 'node_modules/', 'src/lib/ipc/generated/', 'e2e/'] },
  js.configs.recommended,
  ...ts.configs.strict,
  ...ts.configs.stylistic,
  ...svelte.configs.recommended,
  {
    languageOptions: { globals: { ...globals.browser } },
    rules: {
      'no-undef': 'off',
      'no-console': 'error',
      eqeqeq: 'error',
      '@typescript-eslint/no-non-null-assertion': 'error',
      'no-restricted-imports': ['error', onlyIpcKnowsTauri],
      // Routes are plain paths: the application has no base path and no translated addresses.
      'svelte/no-navigation-without-resolve': 'off',
    },
  },
  {
    files: ['**/*.svelte', '**/*.svelte.ts'],
    languageOptions: {
      parserOptions: { parser: ts.parser, extraFileExtensions: ['.svelte'], svelteConfig },
    },
    rules: {
      // A `let` that is bound to is assigned by Svelte.
      'prefer-const': 'off',
      // Sets, maps and dates are made and forgotten within a function here; what is kept is `$state`.
      'svelte/prefer-svelte-reactivity': 'off',
    },
  },
  { files: ['src/lib/ipc/**'], rules: { 'no-restricted-imports': 'off' } },
  { files: ['*.js', '*.ts', 'tests/**'], languageOptions: { globals: { ...globals.node } } },
);
