//! From a place to the destination there.

use std::path::PathBuf;
use std::sync::Arc;

use howdah_domain::{Place, Secret};

use crate::drive::Drive;
use crate::{Cloud, Destination, Error, Folder, Ftp, S3, Sftp, Webdav, cloud};

/// What of this installation some destinations look at besides their place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Howdah's own file of SSH servers' keys that the user has accepted; it need not exist.
    pub known_hosts: Option<PathBuf>,
}

/// Makes the destination at a place, with nothing of this installation around it.
///
/// # Errors
/// As [`open_in`].
pub fn open(place: &Place, secret: Option<&Secret>) -> Result<Arc<dyn Destination>, Error> {
    open_in(place, secret, &Surroundings::default())
}

/// Makes the destination at a place. Nothing is touched and nobody is asked: what is wrong with it shows when it is used.
///
/// # Errors
/// [`Error::Misconfigured`] where the place cannot be one, or a file that it names cannot be read.
pub fn open_in(
    place: &Place,
    secret: Option<&Secret>,
    surroundings: &Surroundings,
) -> Result<Arc<dyn Destination>, Error> {
    match place {
        Place::Folder(place) => Ok(Arc::new(Folder::new(&place.path))),
        Place::Sftp(place) => Ok(Arc::new(Sftp::new(
            place,
            secret,
            surroundings.known_hosts.as_deref(),
        ))),
        Place::S3(place) => Ok(Arc::new(S3::new(place, secret)?)),
        Place::Webdav(place) => Ok(Arc::new(Webdav::new(place, secret)?)),
        Place::Ftp(place) => Ok(Arc::new(Ftp::new(place, secret)?)),
        Place::Azblob(place) => Ok(Arc::new(Cloud::azblob(
            place,
            secret,
            cloud::Patience::default(),
        )?)),
        Place::Gcs(place) => Ok(Arc::new(Cloud::gcs(place, secret, cloud::Patience::default())?)),
        Place::Drive(place) => Ok(Arc::new(Drive::new(place, secret)?)),
    }
}
