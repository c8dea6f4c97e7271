//! For tests: real PostgreSQL clusters of every major, a schema with every kind of object, a pooler, servers that keep
//! backups, and servers that misbehave on purpose.
//!
//! Everything listens on 127.0.0.1 and ends with the test, even with one that is killed. Errors are `anyhow`'s: a test
//! wants to read them, not to tell them apart.

pub mod azurite;
pub mod certificates;
pub mod chance;
pub mod cluster;
pub mod disk;
pub mod drive;
pub mod forward;
pub mod ftpd;
pub mod gate;
pub mod gcs;
pub mod hooks;
pub mod impostor;
pub mod mail;
pub mod moto;
pub mod pooler;
pub mod rclone;
pub mod sample;
pub mod sshd;
pub mod system_bus;
pub mod tcp_gate;
mod template;
pub mod tools;

pub use cluster::{Cluster, ClusterBuilder, Encryption};
pub use disk::SmallDisk;
pub use forward::{Forward, forward};
pub use mail::MailServer;
pub use pooler::{PgBouncer, PoolMode};

/// The majors that everything is tested on.
pub const MAJORS: [u16; 6] = [13, 14, 15, 16, 17, 18];
