//! One object on its way: a single request where it is smaller than a part, a multipart upload otherwise.
//!
//! At most three parts are in memory: one that is filled and two on their way, or three on their way. Every object carries a
//! mark of this upload in its metadata, so that after an answer was lost we can tell our object from another's.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::create_multipart_upload::{
    CreateMultipartUploadError, CreateMultipartUploadOutput,
};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ServerSideEncryption, StorageClass,
};
use bytes::{Bytes, BytesMut};
use tokio::task::JoinSet;

use super::S3;
use super::learned::new_mark;
use super::parts::Parts;
use super::refusal::{At, Kind, Refusal};
use super::request::InPieces;
use crate::destination::Stored;
use crate::upload::Upload;
use crate::{Error, ObjectPath};

/// The most parts in memory.
const PARTS_AT_ONCE: usize = 3;

/// The name of the mark in an object's metadata.
pub(super) const MARK: &str = "howdah-upload";

/// How often an upload that is aborted is looked for: a part that was on its way may have arrived after.
const MOST_ABORTS: u32 = 3;

/// An object on its way.
pub(super) struct S3Upload {
    s3: S3,
    path: ObjectPath,
    key: String,
    mark: String,
    parts: Parts,
    filling: BytesMut,
    /// Bytes taken.
    written: u64,
    multipart: Multipart,
    /// The object itself was asked for: it may be in place.
    placed: bool,
}

/// How far the multipart upload is.
enum Multipart {
    /// Not wanted yet.
    None,
    /// Asked for; its id is not known, or of several attempts at it one may be without an owner.
    Asked,
    /// It takes parts.
    Open(Open),
}

struct Open {
    id: String,
    next: i32,
    on_their_way: JoinSet<Result<CompletedPart, Error>>,
    done: Vec<CompletedPart>,
    /// Another one of the same key may be there that nobody knows.
    strays: bool,
}

impl S3Upload {
    pub(super) fn new(s3: S3, path: ObjectPath, parts: Parts) -> Self {
        let key = s3.key(path.as_str());
        Self {
            s3,
            path,
            key,
            mark: new_mark(),
            parts,
            filling: BytesMut::new(),
            written: 0,
            multipart: Multipart::None,
            placed: false,
        }
    }

    fn at(&self) -> At<'_> {
        At {
            writes: true,
            written: self.written,
            ..self.s3.at("writing", self.path.as_str())
        }
    }

    fn error(&self, refusal: Refusal) -> Error {
        refusal.into_error(&self.at())
    }

    /// Begins the multipart upload where there is none.
    async fn open(&mut self) -> Result<(), Error> {
        if matches!(self.multipart, Multipart::Open(_)) {
            return Ok(());
        }
        self.multipart = Multipart::Asked;
        let client = self.s3.client().await;
        let place = self.s3.place();
        let patience = self.s3.patience();
        let outcome = patience
            .send_within(patience.idle, |_| {
                let asked = client
                    .create_multipart_upload()
                    .bucket(&place.bucket)
                    .key(&self.key)
                    .metadata(MARK, &self.mark)
                    .checksum_algorithm(ChecksumAlgorithm::Crc32)
                    .set_storage_class(place.storage_class.as_deref().map(StorageClass::from))
                    .set_server_side_encryption(
                        place
                            .server_side_encryption
                            .as_deref()
                            .map(ServerSideEncryption::from),
                    )
                    .set_ssekms_key_id(place.kms_key.clone());
                async { begun(asked.send().await) }
            })
            .await;
        let output = outcome.result.map_err(|refusal| self.error(refusal))?;
        let id = output.upload_id.ok_or_else(|| Error::Failed {
            what: "writing",
            at: self.path.to_string(),
            source: "the store began an upload without an id".into(),
        })?;
        self.multipart = Multipart::Open(Open {
            id,
            next: 1,
            on_their_way: JoinSet::new(),
            done: Vec::new(),
            strays: outcome.in_doubt,
        });
        Ok(())
    }

    /// Sends what was filled as a part. Waits until there is room for another one.
    async fn send_part(&mut self) -> Result<(), Error> {
        self.open().await?;
        let bytes = self.filling.split().freeze();
        let written = self.written;
        let s3 = self.s3.clone();
        let (path, key) = (self.path.clone(), self.key.clone());
        let Multipart::Open(open) = &mut self.multipart else {
            unreachable!("BUG: the upload was opened above");
        };
        let number = open.next;
        open.next += 1;
        let id = open.id.clone();
        open.on_their_way.spawn(async move {
            upload_part(&s3, &key, &id, number, &bytes)
                .await
                .map_err(|refusal| {
                    refusal.into_error(&At {
                        writes: true,
                        written,
                        ..s3.at("writing", path.as_str())
                    })
                })
        });
        self.wait_for_parts(PARTS_AT_ONCE - 1).await
    }

    /// Waits until at most so many parts are on their way.
    async fn wait_for_parts(&mut self, at_most: usize) -> Result<(), Error> {
        let Multipart::Open(open) = &mut self.multipart else {
            return Ok(());
        };
        while open.on_their_way.len() > at_most {
            match open.on_their_way.join_next().await {
                Some(Ok(part)) => open.done.push(part?),
                Some(Err(error)) => {
                    return Err(Error::Failed {
                        what: "writing",
                        at: self.path.to_string(),
                        source: error.into(),
                    });
                }
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// The whole object by one request.
    async fn put(&mut self) -> Result<(), Error> {
        self.placed = true;
        let bytes = self.filling.split().freeze();
        let digest = self.s3.md5_where_needed(&bytes).await;
        let client = self.s3.client().await;
        let place = self.s3.place();
        let patience = self.s3.patience();
        loop {
            let condition = self.s3.condition();
            let outcome = patience
                .send_within(patience.idle, |watch| {
                    client
                        .put_object()
                        .bucket(&place.bucket)
                        .key(&self.key)
                        .metadata(MARK, &self.mark)
                        .set_if_none_match(condition.clone())
                        .checksum_algorithm(ChecksumAlgorithm::Crc32)
                        .set_content_md5(digest.clone())
                        .set_storage_class(place.storage_class.as_deref().map(StorageClass::from))
                        .set_server_side_encryption(
                            place
                                .server_side_encryption
                                .as_deref()
                                .map(ServerSideEncryption::from),
                        )
                        .set_ssekms_key_id(place.kms_key.clone())
                        .body(bytes.clone().into())
                        .customize()
                        .interceptor(InPieces::new(&bytes, watch))
                        .send()
                })
                .await;
            match outcome.result {
                Ok(output) => {
                    self.s3.learn_of_checksums(output.checksum_crc32.is_some());
                    return Ok(());
                }
                Err(refusal) if self.s3.gives_up_condition(&refusal, condition.is_some()) => {}
                Err(refusal) if refusal.kind == Kind::Exists && outcome.in_doubt => {
                    return self.unless_ours(refusal).await;
                }
                Err(refusal) => return Err(self.error(refusal)),
            }
        }
    }

    /// Joins the parts to the object.
    async fn join_parts(&mut self, len: u64) -> Result<(), Error> {
        let Multipart::Open(open) = &mut self.multipart else {
            unreachable!("BUG: an upload of parts is open");
        };
        open.done.sort_by_key(|part| part.part_number);
        let id = open.id.clone();
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(open.done.clone()))
            .build();
        self.placed = true;
        let client = self.s3.client().await;
        let patience = self.s3.patience();
        loop {
            let condition = self.s3.condition();
            // A store may take minutes to join thousands of parts.
            let outcome = patience
                .send_within(patience.settle, |_| {
                    client
                        .complete_multipart_upload()
                        .bucket(self.s3.bucket())
                        .key(&self.key)
                        .upload_id(&id)
                        .multipart_upload(parts.clone())
                        .set_mpu_object_size(i64::try_from(len).ok())
                        .set_if_none_match(condition.clone())
                        .send()
                })
                .await;
            match outcome.result {
                Ok(_) => return Ok(()),
                Err(refusal) if self.s3.gives_up_condition(&refusal, condition.is_some()) => {}
                // Done at an attempt whose answer was lost: the second one finds the object, or no upload any more.
                Err(refusal) if outcome.in_doubt && matches!(refusal.kind, Kind::Exists | Kind::NoUpload) => {
                    return self.unless_ours(refusal).await;
                }
                Err(refusal) => return Err(self.error(refusal)),
            }
        }
    }

    /// All is well where the object in place bears our mark.
    async fn unless_ours(&self, refusal: Refusal) -> Result<(), Error> {
        match self.s3.head(&self.key).await {
            Ok(head) if head.is_marked(&self.mark) => Ok(()),
            _ => Err(self.error(refusal)),
        }
    }

    /// What the store says of the object that is in place now.
    async fn look(&self, len: u64) -> Result<Stored, Error> {
        let head = self
            .s3
            .head(&self.key)
            .await
            .map_err(|refusal| self.error(refusal))?;
        if head.stat.len != len {
            return Err(Error::WrongSize {
                path: self.path.to_string(),
                expected: len,
                found: head.stat.len,
            });
        }
        Ok(Stored {
            len,
            checksum: head.stat.checksum,
        })
    }
}

/// The answer to the question for an upload. rclone gives it another name than S3 does, and the SDK then takes it for an error.
#[allow(clippy::result_large_err, reason = "the SDK's own type")]
fn begun(
    answer: Result<CreateMultipartUploadOutput, SdkError<CreateMultipartUploadError, HttpResponse>>,
) -> Result<CreateMultipartUploadOutput, SdkError<CreateMultipartUploadError, HttpResponse>> {
    match answer {
        Err(SdkError::ServiceError(misread)) if misread.raw().status().is_success() => {
            let text = misread.raw().body().bytes().unwrap_or_default();
            match upload_id(&String::from_utf8_lossy(text)) {
                Some(id) => Ok(CreateMultipartUploadOutput::builder().upload_id(id).build()),
                None => Err(SdkError::ServiceError(misread)),
            }
        }
        answer => answer,
    }
}

/// The upload's id in an answer, whatever that is called.
fn upload_id(xml: &str) -> Option<String> {
    let (_, rest) = xml.split_once("<UploadId>")?;
    let (id, _) = rest.split_once("</UploadId>")?;
    (!id.is_empty() && !id.contains(['&', '<'])).then(|| id.to_owned())
}

async fn upload_part(
    s3: &S3,
    key: &str,
    id: &str,
    number: i32,
    bytes: &Bytes,
) -> Result<CompletedPart, Refusal> {
    let digest = s3.md5_where_needed(bytes).await;
    let client = s3.client().await;
    let output = s3
        .patience()
        .send(|watch| {
            client
                .upload_part()
                .bucket(s3.bucket())
                .key(key)
                .upload_id(id)
                .part_number(number)
                .checksum_algorithm(ChecksumAlgorithm::Crc32)
                .set_content_md5(digest.clone())
                .body(bytes.clone().into())
                .customize()
                .interceptor(InPieces::new(bytes, watch))
                .send()
        })
        .await?;
    s3.learn_of_checksums(output.checksum_crc32.is_some());
    Ok(CompletedPart::builder()
        .part_number(number)
        .set_e_tag(output.e_tag)
        .set_checksum_crc32(output.checksum_crc32)
        .build())
}

#[async_trait::async_trait]
impl Upload for S3Upload {
    async fn write(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        let limit = self.parts.limit();
        if self.written + bytes.len() as u64 > limit {
            return Err(Error::TooLarge {
                place: self.s3.shown().to_owned(),
                object: self.path.to_string(),
                limit,
            });
        }
        self.written += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.filling.len() == self.parts.size {
                self.send_part().await?;
            }
            let room = self.parts.size - self.filling.len();
            let piece = bytes.split_to(room.min(bytes.len()));
            self.fill(&piece);
        }
        Ok(())
    }

    async fn complete(&mut self, len: u64) -> Result<Stored, Error> {
        let in_parts = !matches!(self.multipart, Multipart::None);
        if in_parts {
            self.send_part().await?;
            self.wait_for_parts(0).await?;
        }
        self.s3.look_first(&self.path).await?;
        if in_parts {
            self.join_parts(len).await?;
        } else {
            self.put().await?;
        }
        let stored = self.look(len).await?;
        if let Multipart::Open(Open { strays: true, .. }) = self.multipart {
            // It holds nothing, and goes with the folder at the latest.
            let _ = self.s3.abort_uploads_of(&self.key).await;
        }
        Ok(stored)
    }

    async fn abandon(&mut self) {
        let multipart = std::mem::replace(&mut self.multipart, Multipart::None);
        let aborted = match multipart {
            Multipart::None => Ok(()),
            Multipart::Asked => self.s3.abort_uploads_of(&self.key).await,
            Multipart::Open(mut open) => {
                open.on_their_way.shutdown().await;
                self.abort(&open).await
            }
        };
        if let Err(refusal) = aborted {
            tracing::warn!(key = %self.key, ?refusal, "an unfinished upload stays until its folder is removed");
        }
        if self.placed
            && let Ok(head) = self.s3.head(&self.key).await
            && head.is_marked(&self.mark)
            && let Err(refusal) = self.s3.delete_key(&self.key).await
        {
            tracing::warn!(key = %self.key, ?refusal, "an object that was given up stays until its folder is removed");
        }
    }
}

impl S3Upload {
    /// Adds to the part that is filled. The room for a whole part is taken at once: growing would copy, and hold two.
    fn fill(&mut self, piece: &[u8]) {
        if self.filling.capacity() < self.parts.size && self.filling.len() + piece.len() > SMALL {
            self.filling.reserve(self.parts.size - self.filling.len());
        }
        self.filling.extend_from_slice(piece);
    }

    async fn abort(&self, open: &Open) -> Result<(), Refusal> {
        if open.strays {
            self.s3.abort_uploads_of(&self.key).await?;
        }
        for _ in 0..MOST_ABORTS {
            if !self.s3.abort_upload(&self.key, &open.id).await? {
                break;
            }
        }
        Ok(())
    }
}

/// An object below this is not worth the room of a part.
const SMALL: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_an_upload_is_found_whatever_the_answer_is_called() {
        for name in ["InitiateMultipartUploadResult", "InitiateMultipartUpload"] {
            let xml = format!("<{name}><Key>k</Key>\n  <UploadId>332083a2-4f1f</UploadId></{name}>");
            assert_eq!(upload_id(&xml).as_deref(), Some("332083a2-4f1f"));
        }
        for other in [
            "",
            "<UploadId></UploadId>",
            "<UploadId>a<b/></UploadId>",
            "<UploadId>a",
        ] {
            assert_eq!(upload_id(other), None, "{other}");
        }
    }
}
