//! Fetches, verifies and lays out the PostgreSQL programs that Howdah ships.
fn main() {}
