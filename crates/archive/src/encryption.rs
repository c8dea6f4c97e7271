//! Encryption of a backup's files with age (age-encryption.org/v1): who can read what is written, and reading it with a key.
//!
//! What is encrypted is the finished `.zst`; its name gets `.age`. A file is written to [`Recipients`] and read with [`Keys`];
//! the standard programs `age` and `zstd` read every file too. age encrypts in chunks of 64 KiB that are sealed each for itself,
//! which keeps a dump seekable ([`DecryptedSource`]). This module knows keys and streams; it keeps no key and asks nobody for
//! one.

mod open;
mod seal;
mod source;

use std::fmt;
use std::io::{Read, Write};
use std::str::FromStr;

use age::secrecy::{ExposeSecret, SecretString};
use howdah_domain::Secret;

use crate::Error;
use crate::manifest::Encryption;
use crate::source::RangeSource;

pub use open::{DecryptingReader, StoredReader};
pub use seal::EncryptingWriter;
pub(crate) use seal::Sealed;
pub use source::{DecryptedSource, StoredSource};

/// What an encrypted file's name ends with.
pub const EXTENSION: &str = ".age";

/// scrypt's work factor for a passphrase, as a power of two: 2^17 needs 128 MiB and some tenths of a second for each file,
/// OWASP's recommendation for scrypt (Password Storage Cheat Sheet).
const WORK_FACTOR: u8 = 17;

/// The greatest work factor that is accepted when reading: 2^20 needs 1 GiB. `age -p` writes 2^18.
const GREATEST_WORK_FACTOR: u8 = 20;

/// A file is encrypted to at most so many keys.
pub const MOST_RECIPIENTS: usize = 64;

/// Bytes of a chunk before age.
const CHUNK: u64 = 64 << 10;

/// Bytes by which age makes each chunk longer: its seal.
const SEAL: u64 = 16;

/// A name for a file, by whether it is encrypted.
pub fn stored_name(name: &str, encrypted: bool) -> String {
    format!("{name}{}", if encrypted { EXTENSION } else { "" })
}

/// The public half of a key: `age1…`, 62 characters. Whoever has the [`Identity`] of it can read.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Recipient(age::x25519::Recipient);

impl FromStr for Recipient {
    type Err = Error;

    /// # Errors
    /// [`Error::NotARecipient`]; a secret key that was given instead is not repeated in it.
    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        text.parse().map(Self).map_err(|_| Error::NotARecipient {
            text: if looks_secret(text) {
                None
            } else {
                Some(shortened(text))
            },
        })
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether a text may be a secret key, and so must not be repeated.
fn looks_secret(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    text.contains("SECRET") || text.contains("PRIVATE")
}

/// As much of a text as fits into a sentence.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 70;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Who can read what is written: the holders of keys, or whoever knows a passphrase.
#[derive(Clone)]
pub struct Recipients(Kind);

#[derive(Clone)]
enum Kind {
    /// At least one.
    Keys(Vec<Recipient>),
    /// age knows a passphrase only alone.
    Passphrase(Secret),
}

impl Recipients {
    /// The holders of these keys: each of them alone can read.
    ///
    /// # Errors
    /// [`Error::NoRecipient`] where there is none: nobody could read what is written; [`Error::TooManyRecipients`] where there
    /// are more than [`MOST_RECIPIENTS`].
    pub fn keys(recipients: impl IntoIterator<Item = Recipient>) -> Result<Self, Error> {
        let mut keys: Vec<Recipient> = Vec::new();
        for recipient in recipients {
            if !keys.contains(&recipient) {
                keys.push(recipient);
            }
        }
        if keys.is_empty() {
            return Err(Error::NoRecipient);
        }
        if keys.len() > MOST_RECIPIENTS {
            return Err(Error::TooManyRecipients { given: keys.len() });
        }
        Ok(Self(Kind::Keys(keys)))
    }

    /// As [`keys`](Self::keys), from texts.
    ///
    /// # Errors
    /// [`Error::NotARecipient`] for the first that is none; as [`keys`](Self::keys).
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, Error> {
        let recipients: Vec<Recipient> = texts
            .iter()
            .map(|text| text.as_ref().parse())
            .collect::<Result<_, _>>()?;
        Self::keys(recipients)
    }

    /// Whoever knows the passphrase. Writing and reading a file then take some tenths of a second and 128 MiB for a moment.
    ///
    /// # Errors
    /// [`Error::NoRecipient`] where it is empty.
    pub fn passphrase(passphrase: Secret) -> Result<Self, Error> {
        if passphrase.is_empty() {
            return Err(Error::NoRecipient);
        }
        Ok(Self(Kind::Passphrase(passphrase)))
    }

    /// What the manifest says of it.
    pub fn to_manifest(&self) -> Encryption {
        match &self.0 {
            Kind::Keys(recipients) => Encryption {
                age_recipients: recipients.iter().map(Recipient::to_string).collect(),
                age_passphrase: false,
            },
            Kind::Passphrase(_) => Encryption {
                age_recipients: Vec::new(),
                age_passphrase: true,
            },
        }
    }

    /// Encrypts what is written through to `output`. Its [`finish`](EncryptingWriter::finish) must be called.
    ///
    /// # Errors
    /// [`Error::Write`] where the header cannot be written; [`Error::Encrypt`] where age refuses.
    pub fn writer<W: Write>(&self, output: W) -> Result<EncryptingWriter<W>, Error> {
        EncryptingWriter::begin(self.encryptor()?, output).map_err(|source| Error::Write { source })
    }

    /// Encrypts a small file.
    ///
    /// # Errors
    /// [`Error::Encrypt`].
    pub fn encrypt(&self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let failed = |source| Error::Write { source };
        let mut writer = self.writer(Vec::with_capacity(bytes.len() + 1024))?;
        writer.write_all(bytes).map_err(failed)?;
        writer.finish().map_err(failed)
    }

    /// What age begins a file with; for a passphrase this is where the time goes.
    pub(crate) fn encryptor(&self) -> Result<age::Encryptor, Error> {
        let outcome = match &self.0 {
            Kind::Keys(recipients) => {
                age::Encryptor::with_recipients(recipients.iter().map(|key| &key.0 as &dyn age::Recipient))
            }
            Kind::Passphrase(passphrase) => {
                let mut recipient = age::scrypt::Recipient::new(to_age(passphrase));
                recipient.set_work_factor(WORK_FACTOR);
                age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))
            }
        };
        outcome.map_err(|error| Error::Encrypt {
            reason: error.to_string(),
        })
    }
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Keys(recipients) => f.debug_tuple("Keys").field(recipients).finish(),
            Kind::Passphrase(_) => f.write_str("Passphrase(…)"),
        }
    }
}

/// The secret half of a key: `AGE-SECRET-KEY-1…`.
#[derive(Clone)]
pub struct Identity(age::x25519::Identity);

impl Identity {
    /// A new one, from the system's randomness.
    pub fn generate() -> Self {
        Self(age::x25519::Identity::generate())
    }

    /// Reads a secret key.
    ///
    /// # Errors
    /// [`Error::NotAKey`], which does not repeat it.
    pub fn from_secret(text: &Secret) -> Result<Self, Error> {
        let parsed = text.expose().trim().parse();
        parsed.map(Self).map_err(|_| Error::NotAKey)
    }

    /// The secret key's text, for the keyring and the recovery kit.
    pub fn to_secret(&self) -> Secret {
        Secret::new(self.0.to_string().expose_secret())
    }

    /// The public half: who can read with it.
    pub fn recipient(&self) -> Recipient {
        Recipient(self.0.to_public())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity(of {})", self.recipient())
    }
}

/// What is at hand to read with: secret keys, passphrases, both, or nothing.
#[derive(Clone, Default)]
pub struct Keys {
    identities: Vec<Identity>,
    passphrases: Vec<Secret>,
}

impl Keys {
    /// Nothing: what is encrypted cannot be read.
    pub fn none() -> Self {
        Self::default()
    }

    /// Secret keys as a key file has them (`age-keygen`'s form): one on a line, lines with `#` at their beginning and
    /// empty ones left aside.
    ///
    /// # Errors
    /// [`Error::NotAKey`] where a line is none, or there is none.
    pub fn from_key_file(text: &Secret) -> Result<Self, Error> {
        let mut keys = Self::none();
        let lines = text.expose().lines().map(str::trim);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            keys.identities.push(Identity::from_secret(&Secret::new(line))?);
        }
        if keys.identities.is_empty() {
            return Err(Error::NotAKey);
        }
        Ok(keys)
    }

    /// These and a secret key.
    #[must_use]
    pub fn and_identity(mut self, identity: Identity) -> Self {
        self.identities.push(identity);
        self
    }

    /// These and a passphrase. Several are tried one after the other.
    #[must_use]
    pub fn and_passphrase(mut self, passphrase: Secret) -> Self {
        if !self.passphrases.contains(&passphrase) {
            self.passphrases.push(passphrase);
        }
        self
    }

    /// Whether nothing is at hand.
    pub fn is_empty(&self) -> bool {
        self.identities.is_empty() && self.passphrases.is_empty()
    }

    /// Whether something that could open a backup encrypted like this is at hand: one of its keys, or some passphrase where it
    /// has one (whether it is the right one shows only in a file).
    pub fn may_open(&self, encryption: &Encryption) -> bool {
        if encryption.age_passphrase {
            return !self.passphrases.is_empty();
        }
        let mut own = self
            .identities
            .iter()
            .map(|identity| identity.recipient().to_string());
        own.any(|own| encryption.age_recipients.contains(&own))
    }

    /// Reads a stored file from its beginning: decrypted where its name ends with `.age`, as it is otherwise. Reads its
    /// header at once. A later read fails with an `io::Error` whose source is an [`Error`] where the file is damaged.
    ///
    /// # Errors
    /// [`Error::KeyMissing`], [`Error::WrongKey`], [`Error::WrongPassphrase`]; [`Error::Damaged`] where the header is not
    /// age's or was altered in a way that shows; [`Error::Read`].
    pub fn reader<R: Read>(&self, file: &str, input: R) -> Result<StoredReader<R>, Error> {
        if !file.ends_with(EXTENSION) {
            return Ok(StoredReader::Plain(input));
        }
        DecryptingReader::open(self, file, input).map(StoredReader::Encrypted)
    }

    /// Reads a stored file at any offset: decrypted where its name ends with `.age`, as it is otherwise.
    ///
    /// # Errors
    /// As [`reader`](Self::reader); a file that was cut off is [`Error::Damaged`] at once.
    pub fn source<S: RangeSource>(&self, file: &str, source: S) -> Result<StoredSource<S>, Error> {
        if !file.ends_with(EXTENSION) {
            return Ok(StoredSource::Plain(source));
        }
        DecryptedSource::open(self, file, source).map(StoredSource::Encrypted)
    }

    /// The content of a small file, decrypted where its name ends with `.age`.
    ///
    /// # Errors
    /// As [`reader`](Self::reader).
    pub fn decrypt(&self, file: &str, stored: &[u8]) -> Result<Vec<u8>, Error> {
        let mut content = Vec::with_capacity(stored.len());
        match self.reader(file, stored)?.read_to_end(&mut content) {
            Ok(_) => Ok(content),
            Err(error) => Err(Error::from_io(file, error)),
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("identities", &self.identities)
            .field("passphrases", &self.passphrases)
            .finish()
    }
}

/// The text as age takes it; wiped from memory there as here.
fn to_age(secret: &Secret) -> SecretString {
    SecretString::from(secret.expose().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_from_its_text_and_its_public_half_is_a_recipient() {
        let identity = Identity::generate();
        let secret = identity.to_secret();
        assert!(secret.expose().starts_with("AGE-SECRET-KEY-1"));
        let again = Identity::from_secret(&Secret::new(format!(" {}\n", secret.expose()))).unwrap();
        assert_eq!(again.recipient(), identity.recipient());
        let public = identity.recipient().to_string();
        assert!(public.starts_with("age1") && public.len() == 62, "{public}");
        assert_eq!(
            format!(" {public} ").parse::<Recipient>().unwrap(),
            identity.recipient()
        );
        assert_ne!(Identity::generate().recipient(), identity.recipient());
    }

    #[test]
    fn what_is_no_recipient_is_refused_and_a_secret_key_not_repeated() {
        let identity = Identity::generate();
        let secret = identity.to_secret();
        let mut mistyped = identity.recipient().to_string();
        mistyped.replace_range(20..21, if &mistyped[20..21] == "q" { "p" } else { "q" });
        for text in ["", "age1", "ssh-ed25519 AAAA", &mistyped, &mistyped[..40]] {
            let error = text.parse::<Recipient>().unwrap_err();
            let failure = error.to_failure();
            assert_eq!(failure.code, howdah_domain::FailureCode::InvalidInput);
            assert!(error.to_string().contains(text), "{error}");
        }
        let long = "é".repeat(500);
        assert!(long.parse::<Recipient>().unwrap_err().to_string().len() < 250);
        let lower = secret.expose().to_lowercase();
        for text in [secret.expose(), lower.as_str()] {
            let error = text.parse::<Recipient>().unwrap_err();
            let told = format!("{error} {error:?} {:?}", error.to_failure());
            assert!(!told.to_uppercase().contains(&secret.expose()[20..40]), "{told}");
            assert!(told.contains("secret"), "{told}");
        }
        assert!(matches!(Recipients::parse::<&str>(&[]), Err(Error::NoRecipient)));
        assert!(matches!(
            Recipients::passphrase(Secret::new("")),
            Err(Error::NoRecipient)
        ));
    }

    #[test]
    fn the_same_recipient_twice_is_one() {
        let public = Identity::generate().recipient().to_string();
        let recipients = Recipients::parse(&[&public, &public]).unwrap();
        assert_eq!(recipients.to_manifest().age_recipients, [public]);
    }

    #[test]
    fn a_key_file_may_have_comments_and_several_keys() {
        let identities = [Identity::generate(), Identity::generate()];
        let text = format!(
            "# created: 2026-11-22\n# public key: {}\n{}\n\n  {}  \n",
            identities[0].recipient(),
            identities[0].to_secret().expose(),
            identities[1].to_secret().expose()
        );
        let keys = Keys::from_key_file(&Secret::new(text)).unwrap();
        for identity in &identities {
            let recipients = Recipients::keys([identity.recipient()]).unwrap();
            assert!(keys.may_open(&recipients.to_manifest()));
            let stored = recipients.encrypt(b"hello").unwrap();
            assert_eq!(keys.decrypt("x.age", &stored).unwrap(), b"hello");
        }
        let recipients = Recipients::keys([Identity::generate().recipient()]).unwrap();
        assert!(!keys.may_open(&recipients.to_manifest()));
        for text in ["", "# nothing\n", "hunter2", "age1qqqq"] {
            let error = Keys::from_key_file(&Secret::new(text)).unwrap_err();
            assert!(matches!(error, Error::NotAKey), "{error}");
            assert!(text.len() < 3 || !error.to_string().contains(text));
        }
    }

    #[test]
    fn no_secret_shows_in_debug_output() {
        let identity = Identity::generate();
        let passphrase = Secret::new("correct horse");
        let recipients = Recipients::passphrase(passphrase.clone()).unwrap();
        let keys = Keys::none()
            .and_identity(identity.clone())
            .and_passphrase(passphrase);
        let shown = format!("{identity:?} {keys:?} {recipients:?}").to_uppercase();
        assert!(
            !shown.contains("HORSE") && !shown.contains("AGE-SECRET-KEY"),
            "{shown}"
        );
        assert!(shown.contains(&identity.recipient().to_string().to_uppercase()));
    }
}
