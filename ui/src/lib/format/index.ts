export * from './counts';
export * from './durations';
export * from './lists';
export * from './numbers';
export * from './times';
