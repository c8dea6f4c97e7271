//! Listing and removing: objects, and uploads that nobody finished.

use aws_sdk_s3::types::EncodingType;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use percent_encoding::percent_decode_str;

use super::S3;
use super::refusal::{Kind, Refusal};

/// How many objects are removed at once.
const REMOVED_AT_ONCE: usize = 8;

/// A key in the bucket, whoever made it.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) key: String,
    pub(super) len: u64,
}

/// An upload that was begun and neither finished nor aborted.
#[derive(Debug)]
pub(super) struct Unfinished {
    pub(super) key: String,
    pub(super) id: String,
    /// Seconds since 1970.
    pub(super) begun: Option<i64>,
}

impl S3 {
    /// Every key that begins with `prefix`, page by page.
    pub(super) async fn listed(&self, prefix: &str) -> Result<Vec<Listed>, Refusal> {
        let client = self.client().await;
        let mut all = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let page = self
                .patience()
                .send(|_| {
                    client
                        .list_objects_v2()
                        .bucket(self.bucket())
                        .set_prefix(not_empty(prefix))
                        // Names with signs that XML cannot hold would break the page.
                        .encoding_type(EncodingType::Url)
                        .set_continuation_token(next.clone())
                        .send()
                })
                .await?;
            // Somebody's page that only looks like an answer is no empty bucket.
            if page.name.is_none() {
                return Err(Refusal::senseless());
            }
            let encoded = page.encoding_type == Some(EncodingType::Url);
            for object in page.contents.unwrap_or_default() {
                let Some(key) = object.key else { continue };
                all.push(Listed {
                    key: if encoded { decoded(&key) } else { key },
                    len: object.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
                });
            }
            next = page.next_continuation_token;
            if page.is_truncated != Some(true) || next.is_none() {
                return Ok(all);
            }
        }
    }

    /// Removes an object, or a marker that is shown as a folder. One that is not there is no error.
    pub(super) async fn delete_key(&self, key: &str) -> Result<(), Refusal> {
        let client = self.client().await;
        let deleted = self
            .patience()
            .send(|_| client.delete_object().bucket(self.bucket()).key(key).send())
            .await;
        match deleted {
            Ok(_) => Ok(()),
            Err(refusal) if refusal.kind == Kind::NoObject => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }

    /// Removes objects, several at once.
    pub(super) async fn delete_keys(&self, keys: Vec<String>) -> Result<(), Refusal> {
        stream::iter(keys)
            .map(|key| async move { self.delete_key(&key).await })
            .buffer_unordered(REMOVED_AT_ONCE)
            .try_collect()
            .await
    }

    /// Every unfinished upload whose key begins with `prefix`; none where the store does not tell of any.
    pub(super) async fn unfinished(&self, prefix: &str) -> Result<Vec<Unfinished>, Refusal> {
        let client = self.client().await;
        let mut all = Vec::new();
        let (mut next_key, mut next_id): (Option<String>, Option<String>) = (None, None);
        loop {
            let page = self
                .patience()
                .send(|_| {
                    client
                        .list_multipart_uploads()
                        .bucket(self.bucket())
                        .set_prefix(not_empty(prefix))
                        .encoding_type(EncodingType::Url)
                        .set_key_marker(next_key.clone())
                        .set_upload_id_marker(next_id.clone())
                        .send()
                })
                .await;
            let page = match page {
                // rclone says of a bucket without uploads that there is no such upload.
                Err(refusal) if matches!(refusal.kind, Kind::NotImplemented | Kind::NoUpload) => {
                    return Ok(all);
                }
                page => page?,
            };
            let encoded = page.encoding_type == Some(EncodingType::Url);
            let plain = |key: String| if encoded { decoded(&key) } else { key };
            for upload in page.uploads.unwrap_or_default() {
                let (Some(key), Some(id)) = (upload.key, upload.upload_id) else {
                    continue;
                };
                let key = plain(key);
                // Some stores take no notice of the prefix.
                if key.starts_with(prefix) {
                    let begun = upload.initiated.map(|time| time.secs());
                    all.push(Unfinished { key, id, begun });
                }
            }
            next_key = page.next_key_marker.map(plain);
            next_id = page.next_upload_id_marker;
            if page.is_truncated != Some(true) || next_key.is_none() {
                return Ok(all);
            }
        }
    }

    /// Aborts an upload. Tells whether it may still hold a part: one that was on its way may arrive after it was aborted.
    pub(super) async fn abort_upload(&self, key: &str, id: &str) -> Result<bool, Refusal> {
        let client = self.client().await;
        let aborted = self
            .patience()
            .send(|_| {
                client
                    .abort_multipart_upload()
                    .bucket(self.bucket())
                    .key(key)
                    .upload_id(id)
                    .send()
            })
            .await;
        match aborted {
            Ok(_) => {}
            Err(refusal) if matches!(refusal.kind, Kind::NoUpload | Kind::NoObject) => return Ok(false),
            Err(refusal) => return Err(refusal),
        }
        let parts = self
            .patience()
            .send(|_| {
                client
                    .list_parts()
                    .bucket(self.bucket())
                    .key(key)
                    .upload_id(id)
                    .max_parts(1)
                    .send()
            })
            .await;
        Ok(parts.is_ok())
    }

    /// Aborts every upload of a key.
    pub(super) async fn abort_uploads_of(&self, key: &str) -> Result<(), Refusal> {
        for upload in self.unfinished(key).await? {
            if upload.key == key {
                self.abort_upload(&upload.key, &upload.id).await?;
            }
        }
        Ok(())
    }
}

fn not_empty(prefix: &str) -> Option<String> {
    (!prefix.is_empty()).then(|| prefix.to_owned())
}

/// A key as it is, from one that was encoded for a URL: with `+` for a space (Amazon S3 API reference, "EncodingType").
fn decoded(key: &str) -> String {
    percent_decode_str(&key.replace('+', " "))
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_were_before_they_were_encoded() {
        assert_eq!(decoded("caf%C3%A9/a+b%2Bc%0A"), "café/a b+c\n");
    }
}
