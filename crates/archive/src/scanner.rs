//! Reads pg_dump's custom format as it passes.
