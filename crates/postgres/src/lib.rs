//! PostgreSQL servers and the bundled PostgreSQL programs.
