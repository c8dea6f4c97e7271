//! Reads one data block of an archive as it passes.
