//! Reading from the beginning: the header, the key that opens it, and the chunks as they come; and how what goes wrong there is
//! told: a key that does not fit, a damaged file, or a source that cannot be read.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use age::secrecy::ExposeSecret;
use age::stream::StreamReader;
use age::{DecryptError, Decryptor};
use age_core::format::{FileKey, Stanza};

use super::{GREATEST_WORK_FACTOR, Keys, to_age};
use crate::Error;
use crate::decode::to_io;

/// No header is longer: it holds [`MOST_RECIPIENTS`](super::MOST_RECIPIENTS), each of some 100 bytes. Without a limit a file that is
/// none of ours could keep us for hours: age's reader takes time with the square of the header's length.
const LONGEST_HEADER: u64 = 8 << 10;

/// A file's header, opened; what follows is read through it.
pub(super) struct Opened<R> {
    pub(super) stream: StreamReader<Guarded<R>>,
    /// What the keys opened: with it the file can be opened again without them.
    pub(super) file_key: FileKey,
}

/// Reads a header, and opens it.
pub(super) fn open<R: Read>(keys: &Keys, file: &str, input: R) -> Result<Opened<R>, Error> {
    let (decryptor, left) = read_header(file, input)?;
    let opener = Opener {
        keys,
        wants_passphrase: Cell::new(false),
        file_key: RefCell::new(None),
    };
    let outcome = decryptor.decrypt(std::iter::once(&opener as &dyn age::Identity));
    let stream = outcome.map_err(|error| opener.explain(file, error))?;
    left.store(u64::MAX, Relaxed);
    let file_key = opener
        .file_key
        .take()
        .ok_or_else(|| Error::damaged(file, "its header holds no key"))?;
    Ok(Opened { stream, file_key })
}

/// Opens a file anew whose key is known.
pub(super) fn open_again<R: Read>(
    file_key: &FileKey,
    file: &str,
    input: R,
) -> Result<StreamReader<Guarded<R>>, Error> {
    let (decryptor, left) = read_header(file, input)?;
    let known = Known(file_key);
    let stream = decryptor
        .decrypt(std::iter::once(&known as &dyn age::Identity))
        .map_err(|error| header_damage(file, error))?;
    left.store(u64::MAX, Relaxed);
    Ok(stream)
}

fn read_header<R: Read>(file: &str, input: R) -> Result<(Decryptor<Guarded<R>>, Arc<AtomicU64>), Error> {
    let left = Arc::new(AtomicU64::new(LONGEST_HEADER));
    let guarded = Guarded {
        inner: input,
        left: Arc::clone(&left),
    };
    let decryptor = Decryptor::new(guarded).map_err(|error| header_damage(file, error))?;
    Ok((decryptor, left))
}

/// What is wrong with a header, keys left aside.
fn header_damage(file: &str, error: DecryptError) -> Error {
    let reason = match error {
        DecryptError::Io(error) => match from_source(error) {
            Ok(source) => return Error::read(file, source),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                "it ends inside age's header".to_owned()
            }
            Err(error) => error.to_string(),
        },
        DecryptError::InvalidHeader => "it does not begin as a file of age".to_owned(),
        DecryptError::UnknownFormat => "it is of a newer form of age than this Howdah knows".to_owned(),
        DecryptError::ExcessiveWork { required, .. } => format!(
            "its passphrase asks for 2^{required} of scrypt's work; up to 2^{GREATEST_WORK_FACTOR} is accepted"
        ),
        // A header that was altered after it was written.
        _ => "age's header was altered".to_owned(),
    };
    Error::damaged(file, reason)
}

/// Tries the keys at hand on a header.
struct Opener<'a> {
    keys: &'a Keys,
    wants_passphrase: Cell<bool>,
    file_key: RefCell<Option<FileKey>>,
}

impl Opener<'_> {
    /// What it means that the keys do not open the header. age cannot tell another key from an altered header.
    fn explain(&self, file: &str, error: DecryptError) -> Error {
        let file = file.to_owned();
        match (error, self.wants_passphrase.get()) {
            (DecryptError::NoMatchingKeys, true) => Error::KeyMissing {
                file,
                passphrase: true,
            },
            (DecryptError::NoMatchingKeys, false) if self.keys.identities.is_empty() => Error::KeyMissing {
                file,
                passphrase: false,
            },
            (DecryptError::NoMatchingKeys, false) => Error::WrongKey { file },
            (DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed, true) => {
                Error::WrongPassphrase { file }
            }
            (error, _) => header_damage(&file, error),
        }
    }
}

impl age::Identity for Opener<'_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        self.unwrap_stanzas(std::slice::from_ref(stanza))
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, DecryptError>> {
        let outcome = if stanzas.iter().any(|stanza| stanza.tag == "scrypt") {
            self.wants_passphrase.set(true);
            let mut last = None;
            for passphrase in &self.keys.passphrases {
                let mut identity = age::scrypt::Identity::new(to_age(passphrase));
                identity.set_max_work_factor(GREATEST_WORK_FACTOR);
                last = identity.unwrap_stanzas(stanzas);
                if matches!(last, Some(Ok(_))) {
                    break;
                }
            }
            last
        } else {
            let mut identities = self.keys.identities.iter();
            identities.find_map(|identity| identity.0.unwrap_stanzas(stanzas))
        };
        if let Some(Ok(file_key)) = &outcome {
            self.file_key.replace(Some(copied(file_key)));
        }
        outcome
    }
}

/// A file's key that is known already.
struct Known<'a>(&'a FileKey);

impl age::Identity for Known<'_> {
    fn unwrap_stanza(&self, _: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        Some(Ok(copied(self.0)))
    }
}

fn copied(file_key: &FileKey) -> FileKey {
    FileKey::init_with_mut(|copy| copy.copy_from_slice(file_key.expose_secret()))
}

/// What age reads from. Lets as much through as a header may have, until it is opened; and marks the source's own errors, so
/// that they can be told from age's.
pub(super) struct Guarded<R> {
    inner: R,
    /// Bytes still allowed; `u64::MAX` is any number.
    left: Arc<AtomicU64>,
}

impl<R: Read> Read for Guarded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.load(Relaxed);
        let allowed = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        if allowed == 0 && !buffer.is_empty() {
            return Err(io::Error::other("its header is longer than any of age's"));
        }
        let len = self
            .inner
            .read(&mut buffer[..allowed])
            .map_err(FromSource::mark)?;
        if left != u64::MAX {
            self.left.store(left.saturating_sub(len as u64), Relaxed);
        }
        Ok(len)
    }
}

impl<R: Seek> Seek for Guarded<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to).map_err(FromSource::mark)
    }
}

/// An error of the source, on its way through age.
#[derive(Debug)]
struct FromSource(io::Error);

impl FromSource {
    fn mark(error: io::Error) -> io::Error {
        io::Error::new(error.kind(), Self(error))
    }
}

impl fmt::Display for FromSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for FromSource {}

/// The source's own error, or age's.
fn from_source(error: io::Error) -> Result<io::Error, io::Error> {
    error.downcast::<FromSource>().map(|FromSource(source)| source)
}

/// An error while chunks are read: the source's own as it was; anything else means that the file is damaged.
pub(super) fn explain(file: &str, error: io::Error) -> io::Error {
    from_source(error).unwrap_or_else(|error| {
        let reason = match error.kind() {
            io::ErrorKind::UnexpectedEof => "it was cut off",
            _ => "a part of it does not decrypt: it was altered, or cut off",
        };
        to_io(Error::damaged(file, reason))
    })
}

/// An encrypted file, decrypted as it is read. Memory is two chunks of 64 KiB.
///
/// A read fails with an `io::Error` whose source is an [`Error`] where the file was altered or cut off; no byte is handed
/// out that was not checked. That it was not cut off is known when a read has come to the end.
pub struct DecryptingReader<R> {
    file: String,
    stream: StreamReader<Guarded<R>>,
    failed: bool,
}

impl<R: Read> DecryptingReader<R> {
    pub(super) fn open(keys: &Keys, file: &str, input: R) -> Result<Self, Error> {
        Ok(Self {
            file: file.to_owned(),
            stream: open(keys, file, input)?.stream,
            failed: false,
        })
    }
}

impl<R: Read> Read for DecryptingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.failed {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.stream.read(buffer).map_err(|error| {
            self.failed = true;
            explain(&self.file, error)
        })
    }
}

impl<R> fmt::Debug for DecryptingReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecryptingReader")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// A stored file read from its beginning, encrypted or not.
#[derive(Debug)]
pub enum StoredReader<R> {
    /// As it is.
    Plain(R),
    /// Decrypted.
    Encrypted(DecryptingReader<R>),
}

impl<R: Read> Read for StoredReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(input) => input.read(buffer),
            Self::Encrypted(input) => input.read(buffer),
        }
    }
}
