//! The archive's header and table of contents: what pg_dump says that it is going to write.

/// The head of an archive, as pg_dump wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArchiveHeader {
    /// The archive format's version: `(1, 14, 0)` for PostgreSQL 13–15, `(1, 15, 0)` for 16, `(1, 16, 0)` for 17 and 18.
    pub version: (u8, u8, u8),
    /// The database's name.
    pub database: String,
    /// The server's version: `16.4 (Debian 16.4-1)`.
    pub server_version: String,
    /// pg_dump's version: `16.15`.
    pub pg_dump_version: String,
}
