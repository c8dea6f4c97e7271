/** The environments, in the order in which they are offered. */
import type { Environment } from '$lib/ipc';

export const ENVIRONMENTS: readonly Environment[] = ['none', 'development', 'staging', 'production'];
