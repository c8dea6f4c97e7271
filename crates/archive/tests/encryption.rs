//! What is encrypted can be read with the right key, whole and in part, and in no other way.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{self, Read};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use howdah_archive::source::RangeSource;
use howdah_archive::{Error, Identity, Keys, Recipients};
use howdah_domain::{FailureCode, Secret};
use rstest::rstest;
use support::Random;

const FILE: &str = "some.zst.age";

/// age's chunks hold so many bytes of the content, and 16 more.
const CHUNK: usize = 64 << 10;
const STORED_CHUNK: usize = CHUNK + 16;

/// A key, and who can read with it.
fn key() -> (Keys, Recipients) {
    let identity = Identity::generate();
    let recipients = Recipients::keys([identity.recipient()]).unwrap();
    (Keys::none().and_identity(identity), recipients)
}

fn noise(random: &mut Random, len: usize) -> Vec<u8> {
    (0..len)
        .map(|_| u8::try_from(random.next() >> 56).unwrap())
        .collect()
}

/// Reads to the end; what came before an error is kept.
fn read(keys: &Keys, stored: &[u8]) -> (Vec<u8>, Result<(), Error>) {
    let mut content = Vec::new();
    let outcome = keys.reader(FILE, stored).and_then(|mut reader| {
        let outcome = reader.read_to_end(&mut content);
        outcome.map(drop).map_err(|error| Error::from_io(FILE, error))
    });
    (content, outcome)
}

fn range(source: &impl RangeSource, start: usize, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    source.read_at(start as u64, &mut bytes).map(|()| bytes)
}

fn is_damaged(error: &Error) -> bool {
    matches!(error, Error::Damaged { file, .. } if file == FILE)
}

#[rstest]
fn a_content_of_any_length_is_read_back_whole_and_in_ranges(
    #[values(0, 1, 16, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 5, 5_000_000)] len: usize,
) {
    let mut random = Random::seeded("ranges");
    let content = noise(&mut random, len);
    let (keys, recipients) = key();
    let stored = recipients.encrypt(&content).unwrap();
    let (read, outcome) = read(&keys, &stored);
    outcome.unwrap();
    assert!(read == content);

    let source = keys.source(FILE, &stored[..]).unwrap();
    assert_eq!(source.byte_len().unwrap(), len as u64);
    for _ in 0..300 {
        let start = random.below(len + 1);
        let most = [10, CHUNK, len + 1][random.below(3)];
        let part = random.below(most.min(len - start) + 1);
        assert!(
            range(&source, start, part).unwrap() == content[start..start + part],
            "{start} + {part}"
        );
        // From the borders of chunks too.
        let start = (start / CHUNK * CHUNK).min(len);
        let part = part.min(len - start);
        assert!(
            range(&source, start, part).unwrap() == content[start..start + part],
            "{start} + {part}"
        );
    }
    for (start, part) in [(len, 1), (len + 1, 1), (0, len + 1), (usize::MAX, 2)] {
        assert_eq!(
            range(&source, start, part).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }
}

#[test]
fn a_file_that_was_cut_off_is_damaged_wherever_it_was_cut() {
    let mut random = Random::seeded("cuts");
    let (keys, recipients) = key();
    let content = noise(&mut random, 3 * CHUNK);
    let stored = recipients.encrypt(&content).unwrap();
    let payload = stored.len() - 3 * STORED_CHUNK;
    let borders = (0..=3).map(|chunk| payload + chunk * STORED_CHUNK);
    let mut lengths: Vec<usize> = borders
        .flat_map(|border| [border - 1, border, border + 1])
        .collect();
    lengths.retain(|len| *len < stored.len());
    lengths.extend(0..payload);
    lengths.extend((0..100).map(|_| random.below(stored.len())));
    for len in lengths {
        let (read, outcome) = read(&keys, &stored[..len]);
        let error = outcome.unwrap_err();
        assert!(is_damaged(&error), "{len}: {error}");
        assert!(content.starts_with(&read), "{len}");
        let error = keys.source(FILE, &stored[..len]).map(drop).unwrap_err();
        assert!(is_damaged(&error), "{len}: {error}");
        assert_eq!(error.to_failure().code, FailureCode::BackupDamaged);
    }
    // And one that was continued.
    for more in [1, 16, 17, STORED_CHUNK] {
        let longer = [&stored[..], &noise(&mut random, more)].concat();
        let (_, outcome) = read(&keys, &longer);
        assert!(is_damaged(&outcome.unwrap_err()), "{more} more");
        assert!(keys.source(FILE, &longer[..]).is_err(), "{more} more");
    }
}

#[test]
fn one_flipped_bit_at_any_byte_is_found() {
    let mut random = Random::seeded("flipped bits");
    let (keys, recipients) = key();
    let content = noise(&mut random, 300);
    let stored = recipients.encrypt(&content).unwrap();
    for at in 0..stored.len() {
        let mut flipped = stored.clone();
        flipped[at] ^= 1 << random.below(8);
        let (read, outcome) = read(&keys, &flipped);
        assert_eq!(read, b"", "byte {at}");
        // In the place where the key is, it looks as if another key were wanted.
        let error = outcome.unwrap_err();
        assert!(
            is_damaged(&error) || matches!(error, Error::WrongKey { .. }),
            "byte {at}: {error}"
        );
        assert!(keys.source(FILE, &flipped[..]).is_err(), "byte {at}");
    }
}

#[test]
fn a_damaged_chunk_is_told_and_the_others_can_still_be_read() {
    let mut random = Random::seeded("damaged chunks");
    let (keys, recipients) = key();
    let content = noise(&mut random, 6 * CHUNK + 1000);
    let stored = recipients.encrypt(&content).unwrap();
    let payload = stored.len() - content.len() - 7 * 16;
    for _ in 0..50 {
        let at = payload + random.below(6 * STORED_CHUNK);
        let chunk = (at - payload) / STORED_CHUNK;
        let mut flipped = stored.clone();
        flipped[at] ^= 1 << random.below(8);
        let (read, outcome) = read(&keys, &flipped);
        assert!(is_damaged(&outcome.unwrap_err()));
        assert!(
            read == content[..chunk * CHUNK],
            "nothing that was not checked is handed out"
        );
        let source = keys.source(FILE, &flipped[..]).unwrap();
        for _ in 0..20 {
            let start = random.below(content.len());
            let len = 1 + random.below((content.len() - start).min(2 * CHUNK));
            let touched = start / CHUNK <= chunk && chunk <= (start + len - 1) / CHUNK;
            match range(&source, start, len) {
                Ok(bytes) => assert!(!touched && bytes == content[start..start + len]),
                Err(error) => {
                    assert!(touched);
                    assert!(is_damaged(&Error::from_io("other", error)), "the file is named");
                }
            }
        }
    }
}

#[test]
fn a_wrong_key_is_told_as_that() {
    let (_, recipients) = key();
    let (wrong, _) = key();
    let stored = recipients.encrypt(b"hello").unwrap();
    let (_, outcome) = read(&wrong, &stored);
    let error = outcome.unwrap_err();
    assert!(
        matches!(&error, Error::WrongKey { file } if file == FILE),
        "{error}"
    );
    let failure = error.to_failure();
    assert_eq!(failure.code, FailureCode::KeyWrong);
    assert!(failure.message.contains("other keys"), "{failure:?}");
    let error = wrong.source(FILE, &stored[..]).map(drop).unwrap_err();
    assert!(matches!(error, Error::WrongKey { .. }), "{error}");

    let passphrase_alone = Keys::none().and_passphrase(Secret::new("open sesame"));
    for keys in [Keys::none(), passphrase_alone] {
        let (_, outcome) = read(&keys, &stored);
        let error = outcome.unwrap_err();
        assert!(
            matches!(
                error,
                Error::KeyMissing {
                    passphrase: false,
                    ..
                }
            ),
            "{error}"
        );
        assert_eq!(error.to_failure().code, FailureCode::KeyMissing);
    }
}

#[test]
fn a_passphrase_opens_what_it_encrypted_and_a_wrong_one_is_told_as_that() {
    let recipients = Recipients::passphrase(Secret::new("open sesame")).unwrap();
    let encryption = recipients.to_manifest();
    assert!(encryption.age_passphrase && encryption.age_recipients.is_empty());
    let content = vec![7; 2 * CHUNK];
    let stored = recipients.encrypt(&content).unwrap();
    let right = Keys::none().and_passphrase(Secret::new("open sesame"));
    let (both, _) = key();
    let both = both.and_passphrase(Secret::new("open sesame"));
    for keys in [&right, &both] {
        assert!(keys.may_open(&encryption));
        assert!(keys.decrypt(FILE, &stored).unwrap() == content);
    }
    let source = right.source(FILE, &stored[..]).unwrap();
    assert_eq!(range(&source, CHUNK - 1, 2).unwrap(), [7, 7]);

    let wrong = Keys::none().and_passphrase(Secret::new("open barley"));
    let (_, outcome) = read(&wrong, &stored);
    let error = outcome.unwrap_err();
    assert!(
        matches!(&error, Error::WrongPassphrase { file } if file == FILE),
        "{error}"
    );
    let failure = error.to_failure();
    assert_eq!(failure.code, FailureCode::KeyWrong);
    assert!(
        failure.message.contains("passphrase does not open"),
        "{failure:?}"
    );

    let (key_alone, _) = key();
    assert!(!key_alone.may_open(&encryption));
    for keys in [Keys::none(), key_alone] {
        let (_, outcome) = read(&keys, &stored);
        let error = outcome.unwrap_err();
        assert!(
            matches!(error, Error::KeyMissing { passphrase: true, .. }),
            "{error}"
        );
        assert!(error.to_failure().message.contains("passphrase"));
    }
}

#[test]
fn a_passphrase_that_asks_for_hours_of_work_is_refused() {
    let mut recipient = age::scrypt::Recipient::new("x".to_owned().into());
    recipient.set_work_factor(2);
    let stored = age::encrypt(&recipient, b"hello").unwrap();
    // The number is the stanza's last word: -> scrypt SALT 2
    let line = stored.split(|byte| *byte == b'\n').nth(1).unwrap();
    let at = "age-encryption.org/v1\n".len() + line.len();
    let greedy = [&stored[..at - 1], b"30", &stored[at..]].concat();
    let keys = Keys::none().and_passphrase(Secret::new("x"));
    assert_eq!(keys.decrypt(FILE, &stored).unwrap(), b"hello");
    let (_, outcome) = read(&keys, &greedy);
    let error = outcome.unwrap_err();
    assert!(
        is_damaged(&error) && error.to_string().contains("2^30"),
        "{error}"
    );
}

#[test]
fn each_of_several_recipients_can_read_alone() {
    let identities = [Identity::generate(), Identity::generate(), Identity::generate()];
    let recipients = Recipients::keys(identities.iter().map(Identity::recipient)).unwrap();
    let stored = recipients.encrypt(b"hello").unwrap();
    for identity in identities {
        let keys = Keys::none().and_identity(identity);
        assert!(keys.may_open(&recipients.to_manifest()));
        assert_eq!(keys.decrypt(FILE, &stored).unwrap(), b"hello");
    }
    // More than fit into the first bytes that are fetched.
    let (keys, _) = key();
    let many: Vec<Identity> = (0..64).map(|_| Identity::generate()).collect();
    let recipients = Recipients::keys(many.iter().map(Identity::recipient)).unwrap();
    let content = vec![1; 200_000];
    let stored = recipients.encrypt(&content).unwrap();
    let last = Keys::none().and_identity(many[63].clone());
    let source = last.source(FILE, &stored[..]).unwrap();
    assert!(range(&source, 70_000, 100_000).unwrap() == content[70_000..170_000]);
    assert!(matches!(
        keys.source(FILE, &stored[..]),
        Err(Error::WrongKey { .. })
    ));
    let one_more = Identity::generate();
    let too_many = many.iter().chain([&one_more]).map(Identity::recipient);
    let error = Recipients::keys(too_many).unwrap_err();
    assert!(matches!(error, Error::TooManyRecipients { given: 65 }), "{error}");
}

#[rstest]
#[case::empty(b"", 1)]
#[case::something_else(b"something else entirely, which is no file of age at all", 1)]
#[case::a_newer_age(b"age-encryption.org/v7\n-> X\n", 1)]
#[case::a_header_without_end(b"age-encryption.org/v1\n-> X Y\n\n", 100_000)]
fn what_is_no_file_of_age_is_damaged(#[case] bytes: &[u8], #[case] stanzas: usize) {
    let (keys, _) = key();
    let (line, rest) = bytes.split_at(bytes.len().min(22));
    let stored = [line, &rest.repeat(stanzas)].concat();
    let (_, outcome) = read(&keys, &stored);
    let error = outcome.unwrap_err();
    assert!(is_damaged(&error), "{error}");
    assert!(is_damaged(&keys.source(FILE, &stored[..]).map(drop).unwrap_err()));
}

#[test]
fn a_name_without_age_is_read_as_it_is() {
    let keys = Keys::none();
    assert_eq!(keys.decrypt("some.zst", b"as it is").unwrap(), b"as it is");
    let source = keys.source("some.zst", &b"as it is"[..]).unwrap();
    assert_eq!(
        (range(&source, 3, 2).unwrap(), source.byte_len().unwrap()),
        (b"it".to_vec(), 8)
    );
}

/// Notes what is fetched, and fails when told to.
struct Far {
    bytes: Vec<u8>,
    fetched: Mutex<Vec<(u64, usize)>>,
    broken: AtomicBool,
}

impl Far {
    fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            fetched: Mutex::default(),
            broken: AtomicBool::new(false),
        }
    }

    fn taken(&self) -> Vec<(u64, usize)> {
        std::mem::take(&mut self.fetched.lock().unwrap())
    }
}

impl RangeSource for Far {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, "the line is dead"));
        }
        self.fetched.lock().unwrap().push((offset, buffer.len()));
        self.bytes[..].read_at(offset, buffer)
    }

    fn byte_len(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }
}

#[test]
fn only_the_chunks_that_are_wanted_are_fetched_each_stretch_at_once() {
    let (keys, recipients) = key();
    let content = noise(&mut Random::seeded("fetched"), 200 * CHUNK + 10);
    let stored = recipients.encrypt(&content).unwrap();
    let payload = stored.len() - content.len() - 201 * 16;
    let far = Far::new(stored);
    let source = keys.source(FILE, &far).unwrap();
    let at = |chunk: usize| (payload + chunk * STORED_CHUNK) as u64;
    assert_eq!(
        far.taken(),
        [(0, 4096), (at(200), 26)],
        "the beginning, and the last chunk"
    );

    let expect = |start: usize, len: usize, fetched: &[(u64, usize)]| {
        assert!(range(&source, start, len).unwrap() == content[start..start + len]);
        assert_eq!(far.taken(), fetched, "{start} + {len}");
    };
    expect(10 * CHUNK + 5, 100, &[(at(10), STORED_CHUNK)]);
    expect(10 * CHUNK + 500, 100, &[]);
    expect(10 * CHUNK + 600, 3 * CHUNK, &[(at(11), 3 * STORED_CHUNK)]);
    expect(13 * CHUNK + 600, 10, &[]);
    expect(50 * CHUNK + 1, 20 * CHUNK, &[(at(50), 21 * STORED_CHUNK)]);
    // More than is fetched at once.
    range(&source, 100 * CHUNK + 1, 80 * CHUNK).unwrap();
    let fetched = far.taken();
    assert_eq!(fetched.len(), 2, "{fetched:?}");
    assert_eq!(
        fetched.iter().map(|(_, len)| len).sum::<usize>(),
        81 * STORED_CHUNK
    );
}

#[test]
fn an_error_of_the_line_stays_what_it_was_and_the_next_read_goes_on() {
    let (keys, recipients) = key();
    let content = noise(&mut Random::seeded("broken line"), 9 * CHUNK);
    let far = Far::new(recipients.encrypt(&content).unwrap());
    let source = keys.source(FILE, &far).unwrap();
    far.broken.store(true, Ordering::Relaxed);
    let error = range(&source, 3 * CHUNK + 7, 2 * CHUNK).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (io::ErrorKind::ConnectionReset, "the line is dead")
    );
    assert!(Error::from_io(FILE, error).is_retryable());
    let error = keys.source(FILE, &far).map(drop).unwrap_err();
    assert!(error.is_retryable(), "{error}");
    far.broken.store(false, Ordering::Relaxed);
    assert!(range(&source, 3 * CHUNK + 7, 2 * CHUNK).unwrap() == content[3 * CHUNK + 7..5 * CHUNK + 7]);

    // A line that breaks in the middle of a stream.
    let stored = recipients.encrypt(&content).unwrap();
    let broken = stored[..200_000].chain(Broken);
    let mut reader = keys.reader(FILE, broken).unwrap();
    let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(
        reader.read(&mut [0]).is_err(),
        "what has failed does not end as if it were whole"
    );
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

#[test]
fn several_threads_can_read_at_once() {
    let mut random = Random::seeded("threads");
    let (keys, recipients) = key();
    let content = noise(&mut random, 40 * CHUNK + 77);
    let far = Far::new(recipients.encrypt(&content).unwrap());
    let source = keys.source(FILE, &far).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let mut random = Random(random.next() | 1);
            let (source, content) = (&source, &content);
            scope.spawn(move || {
                for _ in 0..100 {
                    let start = random.below(content.len());
                    let len = random.below((content.len() - start).min(5 * CHUNK));
                    assert!(range(source, start, len).unwrap() == content[start..start + len]);
                }
            });
        }
    });
}
