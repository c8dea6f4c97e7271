//! Looking at an object, or at the bucket, without reading bytes.

use std::collections::HashMap;

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{ChecksumMode, ChecksumType};
use data_encoding::{BASE64, HEXLOWER};

use super::S3;
use super::refusal::{Kind, Refusal};
use super::upload::MARK;
use crate::destination::{Checksum, Stat};

/// What a store says of an object.
pub(super) struct Head {
    pub(super) stat: Stat,
    mark: Option<String>,
}

impl Head {
    /// Whether the upload with this mark made it.
    pub(super) fn is_marked(&self, mark: &str) -> bool {
        self.mark.as_deref() == Some(mark)
    }
}

impl S3 {
    pub(super) async fn head(&self, key: &str) -> Result<Head, Refusal> {
        let client = self.client().await;
        let output = self
            .patience()
            .send(|_| {
                client
                    .head_object()
                    .bucket(self.bucket())
                    .key(key)
                    .checksum_mode(ChecksumMode::Enabled)
                    .send()
            })
            .await?;
        Ok(Head {
            stat: Stat {
                len: output
                    .content_length
                    .and_then(|len| u64::try_from(len).ok())
                    .unwrap_or(0),
                checksum: checksum(&output),
            },
            mark: output.metadata.and_then(|metadata| mark(&metadata)),
        })
    }

    /// Why HEAD, whose answers have no body, was refused: a question whose answer has one tells more.
    pub(super) async fn explained(&self, refusal: Refusal) -> Refusal {
        let may_be_explained = matches!(
            refusal.kind,
            Kind::NoObject | Kind::Forbidden | Kind::WrongRegion(_) | Kind::Other
        );
        if !may_be_explained {
            return refusal;
        }
        match self.list_one().await {
            Err(better) => better,
            Ok(()) => refusal,
        }
    }

    /// The smallest question that shows whether the bucket is there and may be listed.
    pub(super) async fn list_one(&self) -> Result<(), Refusal> {
        let client = self.client().await;
        self.patience()
            .send(|_| {
                client
                    .list_objects_v2()
                    .bucket(self.bucket())
                    .prefix(self.below(None))
                    .max_keys(1)
                    .send()
            })
            .await
            .map(drop)
    }
}

/// The mark of the upload that made an object. Stores differ in the case of a name.
fn mark(metadata: &HashMap<String, String>) -> Option<String> {
    metadata
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(MARK))
        .map(|(_, value)| value.clone())
}

/// The best checksum that the store tells.
fn checksum(output: &HeadObjectOutput) -> Option<Checksum> {
    let whole = output.checksum_type != Some(ChecksumType::Composite);
    if let Some(sha256) = output.checksum_sha256.as_deref().filter(|_| whole)
        && let Ok(bytes) = BASE64.decode(sha256.as_bytes())
        && bytes.len() == 32
    {
        return Some(Checksum::Sha256(HEXLOWER.encode(&bytes)));
    }
    let other = |name: &str, value: Option<&str>| {
        let value = value?.trim_matches('"');
        Some(Checksum::Other(format!("{name}:{value}")))
    };
    other("crc64nvme", output.checksum_crc64_nvme.as_deref())
        .or_else(|| other("crc32c", output.checksum_crc32_c.as_deref()))
        .or_else(|| other("crc32", output.checksum_crc32.as_deref()))
        .or_else(|| other("etag", output.e_tag.as_deref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sha_256_of_a_whole_object_counts_before_all_others() {
        let head = HeadObjectOutput::builder()
            .checksum_sha256("LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=")
            .checksum_crc32("NhCmhg==")
            .e_tag("\"5d41402abc4b2a76b9719d911017c592\"")
            .build();
        assert_eq!(
            checksum(&head),
            Some(Checksum::Sha256(
                "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824".into()
            ))
        );
    }

    #[test]
    fn a_checksum_of_checksums_is_no_sha_256_of_the_object() {
        let head = HeadObjectOutput::builder()
            .checksum_sha256("LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=-2")
            .checksum_type(ChecksumType::Composite)
            .e_tag("\"abc-2\"")
            .build();
        assert_eq!(checksum(&head), Some(Checksum::Other("etag:abc-2".into())));
    }

    #[test]
    fn what_a_store_tells_of_is_what_is_compared() {
        let head = HeadObjectOutput::builder().checksum_crc32("NhCmhg==").build();
        assert_eq!(checksum(&head), Some(Checksum::Other("crc32:NhCmhg==".into())));
        assert_eq!(checksum(&HeadObjectOutput::builder().build()), None);
    }

    #[test]
    fn the_mark_is_found_in_any_case() {
        let metadata = HashMap::from([("Howdah-Upload".to_owned(), "a1".to_owned())]);
        assert_eq!(mark(&metadata).as_deref(), Some("a1"));
    }
}
