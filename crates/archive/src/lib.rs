//! The backup file: reads and writes streams, knows no server and no destination.
//!
//! pg_dump's custom-format archive goes in ([`encode::encode`]), a row of independent zstd frames comes out, together
//! with an [`Index`] of what is where and a fingerprint of every table; where that is wanted, encrypted ([`encryption`]).
//! [`decode`] and [`entry`] read it back, whole or one table at a time, and [`copy_text`] takes its rows apart ([`csv`], [`insert`],
//! [`search`]); [`verify`] checks every byte of a backup's folder. Everything here is synchronous and
//! runs on the threads it is called on or on its own short-lived ones.

pub mod block;
mod compress;
pub mod copy_text;
pub mod csv;
mod cutter;
pub mod decode;
pub mod encode;
pub mod encryption;
pub mod entry;
pub mod error;
pub mod fingerprint;
mod frames;
mod gather;
pub mod index;
pub mod insert;
pub mod manifest;
pub mod meter;
pub mod scanner;
pub mod search;
mod seekable;
pub mod source;
mod statement;
pub mod text;
pub mod toc;
pub mod verify;
mod verify_dump;

pub use encode::{DEFAULT_LEVEL, EncodeOptions, Encoded, encode, encode_for};
pub use encryption::{Identity, Keys, Recipient, Recipients};
pub use error::Error;
pub use fingerprint::{Fingerprint, RowSum};
pub use index::{Entry, Frame, Index};
pub use manifest::Manifest;
pub use meter::{Meter, Snapshot};
pub use toc::ArchiveHeader;
pub use verify::{Damage, Report, verify, verify_with};
