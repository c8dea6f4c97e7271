//! What a store can do, as far as its answers have shown. Kept for as long as the destination is open.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use md5::{Digest as _, Md5};

use super::S3;
use super::refusal::{Kind, Refusal};
use crate::path::TEMPORARY;
use crate::{Destination as _, Error, ObjectPath};

/// More bytes than this are hashed on a thread of their own.
const HASHED_ASIDE: usize = 1024 * 1024;

/// Whether a store heeds `If-None-Match: *` when an object is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Conditions {
    /// Nobody tried.
    Unknown,
    /// It heeds them.
    Heeded,
    /// It takes the header, and replaces the object all the same.
    Ignored,
    /// It refuses requests with the header.
    Refused,
}

/// What was learned.
#[derive(Debug)]
pub(super) struct Learned {
    conditions: AtomicU8,
    checksums: AtomicBool,
}

impl Learned {
    pub(super) fn new(conditions: Conditions) -> Self {
        Self {
            conditions: AtomicU8::new(conditions as u8),
            checksums: AtomicBool::new(false),
        }
    }

    pub(super) fn conditions(&self) -> Conditions {
        match self.conditions.load(Ordering::Relaxed) {
            1 => Conditions::Heeded,
            2 => Conditions::Ignored,
            3 => Conditions::Refused,
            _ => Conditions::Unknown,
        }
    }

    pub(super) fn set_conditions(&self, conditions: Conditions) {
        self.conditions.store(conditions as u8, Ordering::Relaxed);
    }

    /// Whether it has shown that it compares the checksums that come with an object.
    pub(super) fn compares_checksums(&self) -> bool {
        self.checksums.load(Ordering::Relaxed)
    }

    pub(super) fn set_compares_checksums(&self) {
        self.checksums.store(true, Ordering::Relaxed);
    }
}

/// A text that nobody has chosen before.
pub(super) fn new_mark() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("BUG: the operating system has no random numbers");
    HEXLOWER.encode(&bytes)
}

impl S3 {
    /// The header that keeps objects from being replaced, unless the store refuses it.
    pub(super) fn condition(&self) -> Option<String> {
        (self.learned().conditions() != Conditions::Refused).then(|| "*".to_owned())
    }

    /// Whether a request was refused for that header's sake, and is to be sent without it.
    pub(super) fn gives_up_condition(&self, refusal: &Refusal, conditional: bool) -> bool {
        let gives_up = conditional && refusal.kind == Kind::NotImplemented;
        if gives_up {
            self.learned().set_conditions(Conditions::Refused);
        }
        gives_up
    }

    /// [`Error::AlreadyExists`] where an object is there and the store would not keep it from being replaced.
    pub(super) async fn look_first(&self, path: &ObjectPath) -> Result<(), Error> {
        if self.excludes_others() {
            return Ok(());
        }
        match self.head(&self.key(path.as_str())).await {
            Ok(_) => Err(Error::AlreadyExists {
                path: path.to_string(),
            }),
            Err(refusal) if refusal.kind == Kind::NoObject => Ok(()),
            Err(refusal) => {
                let refusal = self.explained(refusal).await;
                Err(refusal.into_error(&self.at("reading", path.as_str())))
            }
        }
    }

    /// Finds out whether the store keeps objects from being replaced, by writing one twice. Nobody sees it: its name is no
    /// object's.
    pub(super) async fn try_conditions(&self) -> Result<(), Refusal> {
        let key = self.key(&format!(".howdah-test-{}{TEMPORARY}", new_mark()));
        let tried = async {
            match self.put_empty(&key, self.condition()).await {
                // The answer to an attempt that made it was lost.
                Err(refusal) if refusal.kind == Kind::Exists => {}
                Err(refusal) if self.gives_up_condition(&refusal, true) => {
                    return self.put_empty(&key, None).await;
                }
                first => first?,
            }
            match self.put_empty(&key, Some("*".to_owned())).await {
                Ok(()) => self.learned().set_conditions(Conditions::Ignored),
                Err(refusal) if refusal.kind == Kind::Exists => {
                    self.learned().set_conditions(Conditions::Heeded);
                }
                Err(refusal) => return Err(refusal),
            }
            Ok(())
        };
        let tried = tried.await;
        self.delete_key(&key).await?;
        tried
    }

    async fn put_empty(&self, key: &str, condition: Option<String>) -> Result<(), Refusal> {
        let client = self.client().await;
        self.patience()
            .send(|_| {
                client
                    .put_object()
                    .bucket(self.bucket())
                    .key(key)
                    .set_if_none_match(condition.clone())
                    .send()
            })
            .await
            .map(drop)
    }

    /// The MD5 of bytes, in base64, for a store that may know no newer checksum.
    pub(super) async fn md5_where_needed(&self, bytes: &Bytes) -> Option<String> {
        if self.learned().compares_checksums() {
            return None;
        }
        let digest = |bytes: &[u8]| BASE64.encode(Md5::digest(bytes).as_slice());
        if bytes.len() < HASHED_ASIDE {
            return Some(digest(bytes));
        }
        let bytes = bytes.clone();
        tokio::task::spawn_blocking(move || digest(&bytes)).await.ok()
    }

    /// Notes whether an answer told the checksum that came with the bytes.
    pub(super) fn learn_of_checksums(&self, told: bool) {
        if told {
            self.learned().set_compares_checksums();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_is_told_again() {
        for conditions in [
            Conditions::Unknown,
            Conditions::Heeded,
            Conditions::Ignored,
            Conditions::Refused,
        ] {
            let learned = Learned::new(Conditions::Unknown);
            learned.set_conditions(conditions);
            assert_eq!(learned.conditions(), conditions);
        }
    }
}
