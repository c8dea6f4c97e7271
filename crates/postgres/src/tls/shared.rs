//! rustls configurations that are made once and used by every connection with the same settings: reading the system's authorities
//! takes longer than a whole connection, and a monitored database is connected to every few seconds.
//!
//! One is made anew when a file that it was made of has changed, or after [`LIFETIME`]: the system's authorities may have.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use howdah_domain::Tls;
use rustls::ClientConfig;
use rustls::client::Resumption;

use super::client_config;
use crate::Error;

/// How long the system's authorities are believed to be what they were.
const LIFETIME: Duration = Duration::from_secs(300);

/// How many are kept: many more than anybody has settings.
const ROOM: usize = 64;

/// What says that a file is another than before.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp(Option<[i64; 6]>);

impl Stamp {
    #[cfg(unix)]
    fn of(path: &Path) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        let found = std::fs::metadata(path).ok();
        Self(found.map(|found| {
            [
                found.ino().cast_signed(),
                found.size().cast_signed(),
                found.mtime(),
                found.mtime_nsec(),
                // Of changed permissions, too: others may not read a client's key.
                found.ctime(),
                found.ctime_nsec(),
            ]
        }))
    }

    #[cfg(not(unix))]
    fn of(path: &Path) -> Self {
        let found = std::fs::metadata(path).ok();
        Self(found.map(|found| {
            let since = found
                .modified()
                .ok()
                .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok())
                .unwrap_or_default();
            let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
            [
                found.len().cast_signed(),
                seconds,
                i64::from(since.subsec_nanos()),
                0,
                0,
                0,
            ]
        }))
    }
}

fn stamps(tls: &Tls) -> [Option<Stamp>; 3] {
    [&tls.ca_file, &tls.certificate_file, &tls.key_file].map(|path| path.as_deref().map(Stamp::of))
}

struct Kept {
    tls: Tls,
    stamps: [Option<Stamp>; 3],
    made: Instant,
    config: Arc<ClientConfig>,
}

static KEPT: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

/// As [`client_config`], from what is kept where that is still right.
pub(crate) fn shared_config(tls: &Tls) -> Result<Arc<ClientConfig>, Error> {
    let stamps = stamps(tls);
    {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|kept| kept.made.elapsed() < LIFETIME && (kept.tls != *tls || kept.stamps == stamps));
        if let Some(found) = kept.iter().find(|kept| kept.tls == *tls) {
            return Ok(Arc::clone(&found.config));
        }
    }
    let mut config = client_config(tls)?;
    // PostgreSQL resumes no session (it gives out no tickets); something else that did would have its certificate verified once and never again.
    config.resumption = Resumption::disabled();
    let config = Arc::new(config);
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    // Several that connect for the first time make one each, and one of them stays.
    kept.retain(|kept| kept.tls != *tls);
    if kept.len() >= ROOM {
        kept.remove(0);
    }
    kept.push(Kept {
        tls: tls.clone(),
        stamps,
        made: Instant::now(),
        config: Arc::clone(&config),
    });
    Ok(config)
}

#[cfg(test)]
mod tests {
    use howdah_domain::TlsMode;

    use super::*;

    #[test]
    fn a_configuration_is_made_once_and_anew_when_a_file_of_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, crate::certificate::pem::AUTHORITY).unwrap();
        let tls = Tls {
            mode: TlsMode::VerifyFull,
            ca_file: Some(file.clone()),
            ..Tls::default()
        };
        let first = shared_config(&tls).unwrap();
        assert!(Arc::ptr_eq(&first, &shared_config(&tls).unwrap()));
        let other = Tls {
            mode: TlsMode::VerifyCa,
            ..tls.clone()
        };
        assert!(!Arc::ptr_eq(&first, &shared_config(&other).unwrap()));
        std::fs::write(&file, "nothing of the kind").unwrap();
        assert!(
            shared_config(&tls).is_err(),
            "the old one would hide that it is gone"
        );
    }
}
