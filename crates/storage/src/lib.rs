//! Destinations: where copies of backups live.
//!
//! A [`Destination`] takes files (*objects*) under relative paths, hands them back, lists and removes them. It knows
//! nothing of dumps, manifests or databases, with one exception: when a backup's folder is removed, the file named
//! [`MANIFEST`] goes first, so that a backup half removed is no backup.
//!
//! An object is there whole or not at all: it appears when [`ObjectWriter::finish`] returns, and a writer that is
//! dropped, aborted or killed leaves nothing under the object's name.
//!
//! [`open`] makes the destination at a place. The suite in `conformance` (feature `testing`) says what every kind must do;
//! [`Faulty`] is a destination that fails on purpose.

mod authorities;
mod azblob;
pub mod cloud;
#[cfg(feature = "testing")]
pub mod conformance;
mod destination;
pub mod drive;
mod error;
mod exactly;
#[cfg(feature = "testing")]
mod faulty;
mod folder;
mod ftp;
mod gcs;
mod open;
mod path;
mod patience;
pub mod probe;
pub mod s3;
mod sftp;
mod upload;
mod webdav;

pub use cloud::Cloud;
pub use destination::{Checksum, Destination, Entry, MANIFEST, Object, ObjectWriter, Stat, Stored};
pub use error::{Cause, Error, MissingWhy};
#[cfg(feature = "testing")]
pub use faulty::{Fault, Faulty};
pub use folder::{Folder, MARKER};
pub use ftp::Ftp;
pub use howdah_ssh::HostKey;
pub use open::{Surroundings, open, open_in};
pub use path::ObjectPath;
pub use patience::Patience;
pub use s3::S3;
pub use sftp::Sftp;
pub use webdav::Webdav;
