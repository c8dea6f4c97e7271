//! What an answer of an S3 store means. Decided by codes and statuses, never by a message's English.
//!
//! Codes are from "Error responses" of the Amazon S3 API reference; those of other stores are named where they stand.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};

use super::parts::LARGEST_OBJECT;
use crate::Error;
use crate::error::{Cause, MissingWhy, chain};

/// The longest pause that a store is granted when it asks for one.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A request that was not granted.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) kind: Kind,
    /// The pause that the store asks for.
    pub(super) retry_after: Option<Duration>,
    /// The store's words, or the network's. They hold no secret: signatures are derived from it one way.
    words: String,
}

/// Why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// No connection, or it broke, or nothing moved for too long.
    Unreachable,
    /// The server's certificate.
    Untrusted,
    /// 5xx, throttling.
    Busy,
    /// Others are at the same object at this moment.
    Conflict,
    /// Who we say we are is not believed.
    Credentials,
    /// We may not do this.
    Forbidden,
    /// No such bucket.
    NoBucket,
    /// No such object, or a 404 that does not say of what.
    NoObject,
    /// No such multipart upload: completed, aborted, or lost by the store.
    NoUpload,
    /// `If-None-Match: *` holds it back: the object is there.
    Exists,
    /// A quota is used up.
    Full,
    /// Larger than the store takes.
    TooLarge,
    /// What arrived does not match its checksum.
    Altered,
    /// The range lies outside the object.
    OutsideObject,
    /// This machine's clock is wrong. The SDK learns the difference from the answer: trying again helps once.
    WrongClock,
    /// The bucket lies in another region: this one, where the store says so.
    WrongRegion(Option<String>),
    /// The store does not know what was asked for.
    NotImplemented,
    /// The storage class, the encryption or the bucket's name make no sense to the store.
    Misconfigured,
    /// Anything else.
    Other,
}

impl Kind {
    /// Whether the same request may be granted a little later.
    pub(super) fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unreachable | Self::Busy | Self::Conflict | Self::Altered | Self::WrongClock
        )
    }

    /// Whether the store may have done what it was asked all the same.
    pub(super) fn leaves_doubt(&self) -> bool {
        matches!(self, Self::Unreachable | Self::Busy | Self::Other)
    }

    fn of_code(code: &str) -> Option<Self> {
        Some(match code {
            "InternalError"
            | "ServiceUnavailable"
            | "SlowDown"
            | "SlowDownRead"
            | "SlowDownWrite"
            | "Throttling"
            | "ThrottlingException"
            | "TooManyRequests"
            | "RequestLimitExceeded"
            | "RequestTimeout"
            | "RequestThrottled"
            | "BandwidthLimitExceeded"
            | "ServerNotInitialized"
            | "XMinioServerNotInitialized" => Self::Busy,
            "IncompleteBody" => Self::Unreachable,
            "ConditionalRequestConflict" | "OperationAborted" => Self::Conflict,
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "ExpiredToken"
            | "InvalidToken"
            | "TokenRefreshRequired"
            | "InvalidSecurity"
            | "NotSignedUp"
            | "Unauthorized"
            | "AuthFailure"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "TokenExpired"
            | "ExpiredTokenException" => Self::Credentials,
            "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "MethodNotAllowed" | "Forbidden"
            | "InvalidObjectState" | "ObjectLocked" | "UserSuspended" => Self::Forbidden,
            "NoSuchBucket" => Self::NoBucket,
            "NoSuchKey" | "NotFound" | "NoSuchVersion" => Self::NoObject,
            "NoSuchUpload" => Self::NoUpload,
            "PreconditionFailed" => Self::Exists,
            // Ceph; MinIO; MinIO; the HTTP status's name; DigitalOcean, Wasabi.
            "QuotaExceeded"
            | "XMinioAdminBucketQuotaExceeded"
            | "XMinioStorageFull"
            | "InsufficientStorage"
            | "StorageQuotaExceeded"
            | "ServiceQuotaExceeded"
            | "InsufficientCapacity" => Self::Full,
            "EntityTooLarge" => Self::TooLarge,
            // The last two are MinIO's.
            "BadDigest"
            | "InvalidDigest"
            | "XAmzContentSHA256Mismatch"
            | "XAmzContentChecksumMismatch"
            | "ContentSHA256Mismatch" => Self::Altered,
            "InvalidRange" => Self::OutsideObject,
            "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => Self::WrongClock,
            "PermanentRedirect"
            | "TemporaryRedirect"
            | "Redirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException" => Self::WrongRegion(None),
            "NotImplemented" => Self::NotImplemented,
            "InvalidStorageClass"
            | "InvalidEncryptionAlgorithmError"
            | "InvalidBucketName"
            | "KeyTooLongError"
            | "ServerSideEncryptionConfigurationNotFoundError"
            | "KMSNotConfigured" => Self::Misconfigured,
            code if code.starts_with("KMS.") => Self::Misconfigured,
            _ => return None,
        })
    }

    /// An answer to HEAD has no code.
    fn of_status(status: u16) -> Self {
        match status {
            301 | 307 => Self::WrongRegion(None),
            401 => Self::Credentials,
            403 => Self::Forbidden,
            404 => Self::NoObject,
            409 => Self::Conflict,
            412 => Self::Exists,
            413 => Self::TooLarge,
            416 => Self::OutsideObject,
            501 => Self::NotImplemented,
            507 => Self::Full,
            408 | 429 | 500..=599 => Self::Busy,
            _ => Self::Other,
        }
    }
}

impl Refusal {
    /// Nothing moved for so long.
    pub(super) fn stalled(after: Duration) -> Self {
        Self {
            kind: Kind::Unreachable,
            retry_after: None,
            words: format!("nothing moved for {} seconds", after.as_secs()),
        }
    }

    /// An answer that is none of S3's.
    pub(super) fn senseless() -> Self {
        Self {
            kind: Kind::Other,
            retry_after: None,
            words: "the answer is none of an S3 store: is the endpoint right, and the network open?"
                .to_owned(),
        }
    }

    /// Reads an error of the SDK's.
    pub(super) fn read<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        match error {
            SdkError::ServiceError(answer) => {
                let meta = answer.err().meta();
                Self::answered(answer.raw(), meta.code(), meta.message())
            }
            // No XML of S3's: another server, or a proxy's page.
            SdkError::ResponseError(answer) => {
                let refusal = Self::answered(answer.raw(), None, None);
                if answer.raw().status().is_success() {
                    // It did what it was asked, and says so in words that are not S3's.
                    let why = error.source().map_or_else(String::new, chain);
                    Self::plain(refusal.kind, format!("{}: {why}", refusal.words))
                } else {
                    refusal
                }
            }
            SdkError::DispatchFailure(failure) => Self::undelivered(
                failure.is_io() || failure.is_timeout(),
                failure
                    .as_connector_error()
                    .map(|error| error as &(dyn StdError + 'static)),
            ),
            SdkError::TimeoutError(_) => Self::plain(Kind::Unreachable, chain(error)),
            _ => Self::undelivered(false, Some(error)),
        }
    }

    fn plain(kind: Kind, words: String) -> Self {
        Self {
            kind,
            retry_after: None,
            words,
        }
    }

    fn answered(raw: &HttpResponse, code: Option<&str>, message: Option<&str>) -> Self {
        let status = raw.status().as_u16();
        let kind = code
            .and_then(Kind::of_code)
            .unwrap_or_else(|| Kind::of_status(status));
        let headers = raw.headers();
        let kind = match kind {
            Kind::WrongRegion(_) => Kind::WrongRegion(headers.get("x-amz-bucket-region").map(str::to_owned)),
            kind => kind,
        };
        let mut words = match (code, message) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(word), None) | (None, Some(word)) => word.to_owned(),
            (None, None) => "an answer without an explanation".to_owned(),
        };
        words.push_str(&format!(" (HTTP status {status}"));
        if let Some(id) = headers.get("x-amz-request-id") {
            words.push_str(&format!(", request {id}"));
        }
        words.push(')');
        Self {
            kind,
            retry_after: headers.get("retry-after").and_then(pause),
            words,
        }
    }

    /// The request did not get there, or its answer not back, or it could not even be signed.
    fn undelivered(by_the_network: bool, error: Option<&(dyn StdError + 'static)>) -> Self {
        let Some(error) = error else {
            return Self::plain(Kind::Other, "the request was not sent".to_owned());
        };
        let words = chain(error);
        let certificate = causes(error).any(|cause| {
            matches!(
                cause.downcast_ref::<rustls::Error>(),
                Some(rustls::Error::InvalidCertificate(_))
            )
        });
        let credentials =
            causes(error).any(|cause| cause.is::<aws_credential_types::provider::error::CredentialsError>());
        let kind = if certificate {
            Kind::Untrusted
        } else if credentials {
            Kind::Credentials
        } else if by_the_network || causes(error).any(|cause| cause.is::<hyper_util::client::legacy::Error>())
        {
            Kind::Unreachable
        } else {
            Kind::Other
        };
        Self::plain(kind, words)
    }

    /// The error that the caller of a destination gets.
    pub(super) fn into_error(self, at: &At<'_>) -> Error {
        let place = at.place.to_owned();
        let object = at.object.to_owned();
        let source: Cause = Words(self.words).into();
        match self.kind {
            Kind::Unreachable => Error::Unreachable { place, source },
            Kind::Untrusted => Error::Untrusted { place, source },
            Kind::Busy | Kind::Conflict => Error::Busy {
                place,
                retry_after: self.retry_after,
                source,
            },
            Kind::Credentials => Error::Denied {
                place,
                what: "access key",
                source,
            },
            Kind::Forbidden if at.writes => Error::ReadOnly { at: place, source },
            Kind::Forbidden => Error::Denied {
                place,
                what: "access key",
                source,
            },
            Kind::NoBucket => Error::Missing {
                place,
                why: MissingWhy::NoBucket,
            },
            Kind::NoObject => Error::NotFound { path: object },
            Kind::Exists => Error::AlreadyExists { path: object },
            Kind::Full => Error::Full {
                place,
                object,
                written: at.written,
                free: None,
                source,
            },
            Kind::TooLarge => Error::TooLarge {
                place,
                object,
                limit: at.written.clamp(1, LARGEST_OBJECT),
            },
            Kind::Altered => Error::Corrupted {
                path: object,
                detail: source.to_string(),
            },
            Kind::WrongClock => Error::Misconfigured {
                why: format!(
                    "The clock of this computer is wrong, so {place} refuses every request. Set it, best from the network. \
                     ({source})"
                ),
            },
            Kind::WrongRegion(region) => Error::Misconfigured {
                why: match region {
                    Some(region) => format!("{place} lies in the region {region}. Enter that as the region."),
                    None => format!("{place} lies in another region, or at another address. ({source})"),
                },
            },
            Kind::Misconfigured => Error::Misconfigured {
                why: format!(
                    "{place} does not take objects as they are to be stored: check the bucket's name, the storage class and \
                     the encryption. ({source})"
                ),
            },
            Kind::NoUpload | Kind::OutsideObject | Kind::NotImplemented | Kind::Other => Error::Failed {
                what: at.what,
                at: if object.is_empty() { place } else { object },
                source,
            },
        }
    }
}

/// What was tried, for errors.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    /// The destination.
    pub(super) place: &'a str,
    /// `writing`.
    pub(super) what: &'static str,
    /// The object or folder; empty for the destination itself.
    pub(super) object: &'a str,
    /// Whether it changes something.
    pub(super) writes: bool,
    /// Bytes of the object that were taken so far.
    pub(super) written: u64,
}

/// A store's words as an error's cause.
#[derive(Debug)]
struct Words(String);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Words {}

/// An error and what brought it about. After an `io::Error` comes what it wraps, which its `source()` skips.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| {
        match error.downcast_ref::<std::io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
            None => error.source(),
        }
    })
}

/// `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3); at most a minute.
fn pause(text: &str) -> Option<Duration> {
    let pause = if let Ok(seconds) = text.trim().parse() {
        Duration::from_secs(seconds)
    } else {
        let then = DateTime::from_str(text.trim(), DateTimeFormat::HttpDate).ok()?;
        let then = std::time::SystemTime::try_from(then).ok()?;
        then.duration_since(std::time::SystemTime::now())
            .unwrap_or_default()
    };
    Some(pause.min(LONGEST_PAUSE))
}
