//! Destinations: where copies of backups live.
