export * from './counts';
export * from './durations';
export * from './numbers';
export * from './times';
