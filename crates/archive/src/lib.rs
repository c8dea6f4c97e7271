//! The backup file: reads and writes streams, knows no server and no destination.
