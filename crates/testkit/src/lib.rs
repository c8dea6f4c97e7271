//! For tests: real PostgreSQL clusters, a temporary engine, things that break on purpose.
