//! From a place to the destination there.

use std::sync::Arc;

use howdah_domain::{Place, Secret};

use crate::drive::Drive;
use crate::{Destination, Error, Folder};

/// Makes the destination at a place. Nothing is touched and nobody is asked: what is wrong with it shows when it is used.
///
/// # Errors
/// [`Error::Misconfigured`] where the place cannot be one, or a file that it names cannot be read.
pub fn open(place: &Place, secret: Option<&Secret>) -> Result<Arc<dyn Destination>, Error> {
    match place {
        Place::Folder(place) => Ok(Arc::new(Folder::new(&place.path))),
        Place::Drive(place) => Ok(Arc::new(Drive::new(place, secret)?)),
        _ => Err(Error::Misconfigured {
            why: format!("This version of Howdah cannot use {place}."),
        }),
    }
}
