/** What can go wrong when the window asks for something, always in the engine's own form. */
import type { Failure } from './generated/Failure';

export function isFailure(value: unknown): value is Failure {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as Failure).code === 'string' &&
    typeof (value as Failure).message === 'string'
  );
}

/** The failure that a rejected command carries; whatever else was thrown becomes an internal one. */
export function toFailure(thrown: unknown): Failure {
  if (isFailure(thrown)) {
    return {
      code: thrown.code,
      message: thrown.message,
      hint: thrown.hint ?? null,
      details: thrown.details ?? null,
    };
  }
  const text = thrown instanceof Error ? thrown.message : typeof thrown === 'string' ? thrown : '';
  return {
    code: 'internal',
    message: '',
    hint: null,
    details: text || null,
  };
}
