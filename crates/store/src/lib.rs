//! What Howdah remembers on this machine: SQLite and the keyring.
