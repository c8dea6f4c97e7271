//! Whose key is whose: files in the form of OpenSSH's `known_hosts` (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"), read as ssh reads
//! them: hashed names, patterns, negation, several keys of a host, revoked keys. Certificates are not used, so lines for
//! authorities (`@cert-authority`) say nothing.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use data_encoding::BASE64;
use russh::keys::{Algorithm, HashAlg, PublicKey, PublicKeyBase64 as _, parse_public_key_base64};

use crate::config::DEFAULT_PORT;
use crate::{Error, HostKey};

/// The largest file that is read, in bytes.
const LARGEST: u64 = 16 * 1024 * 1024;

/// What the files say of one host.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The host as `known_hosts` writes it.
    name: String,
    keys: Vec<Recorded>,
}

/// A key on record for the host.
#[derive(Debug)]
struct Recorded {
    key: PublicKey,
    file: PathBuf,
    line: usize,
    revoked: bool,
    /// It is on record for the host without a port, and the host is meant with another port than 22. ssh takes such a key
    /// too, but another one there says nothing.
    without_port: bool,
}

impl Recorded {
    fn place(&self) -> String {
        format!("{} line {}", self.file.display(), self.line)
    }
}

impl Known {
    /// Reads what the files say of a host; files that are not there say nothing.
    ///
    /// # Errors
    /// [`Error::Io`] where a file is there and cannot be read.
    pub(crate) fn read(host: &str, port: u16, files: &[PathBuf]) -> Result<Self, Error> {
        let mut known = Self {
            name: name(host, port),
            keys: Vec::new(),
        };
        for file in files {
            let text = match fs::metadata(file) {
                Ok(metadata) if metadata.len() > LARGEST => {
                    let source = io::Error::from(io::ErrorKind::FileTooLarge);
                    return Err(Error::io("reading", file, source));
                }
                Ok(_) => fs::read(file).map_err(|source| Error::io("reading", file, source))?,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) =>
                {
                    continue;
                }
                Err(source) => return Err(Error::io("reading", file, source)),
            };
            known.add(&String::from_utf8_lossy(&text), file, host, port);
        }
        Ok(known)
    }

    fn add(&mut self, text: &str, file: &Path, host: &str, port: u16) {
        let bare = name(host, DEFAULT_PORT);
        for (index, line) in text.lines().enumerate() {
            let mut words = line.split_ascii_whitespace().peekable();
            let marker = words.next_if(|word| word.starts_with('@'));
            let (Some(hosts), Some(_), Some(key)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            if hosts.starts_with('#') || !matches!(marker, None | Some("@revoked")) {
                continue;
            }
            let with_port = names(hosts, &self.name);
            let without_port = !with_port && port != DEFAULT_PORT && names(hosts, &bare);
            if !with_port && !without_port {
                continue;
            }
            let Ok(key) = parse_public_key_base64(key) else {
                continue;
            };
            self.keys.push(Recorded {
                key,
                file: file.to_owned(),
                line: index + 1,
                revoked: marker.is_some(),
                without_port,
            });
        }
    }

    /// The kinds of key to ask the server for, those on record first: it shows only one, and one of another kind would look
    /// like another key.
    pub(crate) fn preferred(&self) -> Vec<Algorithm> {
        let usual = russh::Preferred::DEFAULT.key;
        // RSA with SHA-1 is not offered, as ssh does not offer it any more.
        let offered = usual
            .iter()
            .filter(|kind| !matches!(kind, Algorithm::Rsa { hash: None }));
        let on_record = |kind: &Algorithm| {
            self.keys.iter().any(|recorded| {
                !recorded.revoked && recorded.key.algorithm().as_str() == key_kind(kind).as_str()
            })
        };
        let (mut first, rest): (Vec<_>, Vec<_>) = offered.cloned().partition(on_record);
        first.extend(rest);
        first
    }

    /// Whether the key that the server shows is one on record.
    ///
    /// # Errors
    /// [`Error::UnknownHostKey`], [`Error::ChangedHostKey`], [`Error::RevokedHostKey`].
    pub(crate) fn check(&self, shown: &PublicKey) -> Result<(), Error> {
        let same = |recorded: &&Recorded| recorded.key.key_data() == shown.key_data();
        if let Some(revoked) = self.keys.iter().filter(same).find(|recorded| recorded.revoked) {
            return Err(Error::RevokedHostKey {
                key: self.shown(shown),
                known_in: revoked.place(),
            });
        }
        if self.keys.iter().any(|recorded| same(&recorded)) {
            return Ok(());
        }
        // A key of another kind counts as well: the kinds on record were asked for first, so the server has none of them.
        let other = self
            .keys
            .iter()
            .find(|recorded| !recorded.revoked && !recorded.without_port);
        match other {
            Some(other) => Err(Error::ChangedHostKey {
                key: self.shown(shown),
                known_in: other.place(),
            }),
            None => Err(Error::UnknownHostKey {
                key: self.shown(shown),
            }),
        }
    }

    fn shown(&self, key: &PublicKey) -> HostKey {
        let algorithm = key.algorithm().as_str().to_owned();
        HostKey {
            host: self.name.clone(),
            fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
            line: format!("{algorithm} {}", key.public_key_base64()),
            algorithm,
        }
    }
}

/// An RSA key is one kind of key, whatever hash signs with it.
fn key_kind(kind: &Algorithm) -> Algorithm {
    match kind {
        Algorithm::Rsa { .. } => Algorithm::Rsa { hash: None },
        other => other.clone(),
    }
}

/// A host as `known_hosts` writes it: `host`, or `[host]:port` where the port is not 22.
fn name(host: &str, port: u16) -> String {
    let host = host.to_lowercase();
    if port == DEFAULT_PORT {
        host
    } else {
        format!("[{host}]:{port}")
    }
}

/// Whether a line's first field names the host: a hashed name, or a list of patterns of which one fits and none that is
/// negated.
fn names(field: &str, host: &str) -> bool {
    if let Some(hashed) = field.strip_prefix("|1|") {
        return hashed_is(hashed, host).unwrap_or(false);
    }
    let mut named = false;
    for pattern in field.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if fits(pattern, host) => return false,
            Some(_) => {}
            None => named |= fits(pattern, host),
        }
    }
    named
}

/// `salt|HMAC-SHA1(salt, host)`, both in base64.
fn hashed_is(hashed: &str, host: &str) -> Option<bool> {
    let (salt, hash) = hashed.split_once('|')?;
    let salt = BASE64.decode(salt.as_bytes()).ok()?;
    let hash = BASE64.decode(hash.as_bytes()).ok()?;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
    Some(hmac::verify(&key, host.as_bytes(), &hash).is_ok())
}

/// Whether a pattern with `*` and `?` (ssh_config(5), "PATTERNS") fits all of a text, in either case of letters.
fn fits(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where the last star was, and how much of the text it has taken.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&letter) if letter == '?' || letter == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&letter| letter == '*')
}

/// Writes an accepted key, as [`HostKey::known_hosts_line`] gives it, into a file, which is made where it is not there. To be
/// called with Howdah's own file, never with one of the user's.
///
/// # Errors
/// [`Error::Io`]; [`Error::Misconfigured`] where `line` is no host and key.
pub fn accept_host_key(file: &Path, line: &str) -> Result<(), Error> {
    let parts: Vec<&str> = line.split(' ').collect();
    let accepts_one_host = matches!(
        parts.as_slice(),
        [host, _, blob] if !host.is_empty()
            && !host.starts_with(['#', '@', '|', '!'])
            && !host.contains([',', '*', '?'])
            && parse_public_key_base64(blob).is_ok()
    );
    if !accepts_one_host || line.contains(char::is_control) {
        return Err(Error::misconfigured(
            "What is to be accepted is not a host's key.",
        ));
    }
    let failed = |what| move |source| Error::io(what, file, source);
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(failed("making the folder of"))?;
    }
    let before = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(failed("reading")(source)),
    };
    if before.lines().any(|known| known == line) {
        return Ok(());
    }
    let break_first = if before.is_empty() || before.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut open = options.open(file).map_err(failed("writing"))?;
    // One write, so that two who append do not mix their lines.
    open.write_all(format!("{break_first}{line}\n").as_bytes())
        .and_then(|()| open.sync_all())
        .map_err(failed("writing"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    // Made with ssh-keygen for these tests.
    const ONE: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJI+C3mCEY747Xidfb8i+8dSL+2F1tqk76v1cPuBi2+B";
    const TWO: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIM++QakK4Ttv4vOTmHBBbjnUNzBJWzqv2c77AJ/4/78z";
    const ECDSA: &str = "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBO1SU1fbbQ074msUfbBKggMTFr6OiuH8DAFHhuciYg6LVYdA5a4R9covFHfOb2VdiehICeX6SJbGI8QrMiLdvUM=";

    fn key(blob: &str) -> PublicKey {
        parse_public_key_base64(blob).unwrap()
    }

    fn known(text: &str, host: &str, port: u16) -> Known {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known_hosts");
        fs::write(&file, text).unwrap();
        Known::read(host, port, &[folder.path().join("absent"), file]).unwrap()
    }

    #[rstest]
    #[case::plain("vps ssh-ed25519 {ONE}\n", "vps", 22)]
    #[case::case("VPS.Example.com ssh-ed25519 {ONE}\n", "vps.example.COM", 22)]
    #[case::comment("vps ssh-ed25519 {ONE} ada@laptop\n", "vps", 22)]
    #[case::tabs("vps\tssh-ed25519\t{ONE}\n", "vps", 22)]
    #[case::list("a,vps,10.0.0.1 ssh-ed25519 {ONE}\n", "10.0.0.1", 22)]
    #[case::port("[vps]:2222 ssh-ed25519 {ONE}\n", "vps", 2222)]
    #[case::port_on_record_without("vps ssh-ed25519 {ONE}\n", "vps", 2222)]
    #[case::wildcard("*.example.com ssh-ed25519 {ONE}\n", "db.example.com", 22)]
    #[case::question_mark("v?s ssh-ed25519 {ONE}\n", "vps", 22)]
    #[case::wildcard_with_port("[*.example.com]:2222 ssh-ed25519 {ONE}\n", "db.example.com", 2222)]
    #[case::the_second_key("vps ssh-ed25519 {TWO}\nvps ssh-ed25519 {ONE}\n", "vps", 22)]
    #[case::after_nonsense(
        "vps\n# vps ssh-ed25519 {TWO}\nvps ssh-ed25519 nonsense\nvps ssh-ed25519 {ONE}",
        "vps",
        22
    )]
    fn a_key_on_record_is_known(#[case] text: &str, #[case] host: &str, #[case] port: u16) {
        let text = text.replace("{ONE}", ONE).replace("{TWO}", TWO);
        known(&text, host, port).check(&key(ONE)).unwrap();
    }

    #[rstest]
    #[case::nothing("", "vps", 22)]
    #[case::other_host("other ssh-ed25519 {ONE}\n", "vps", 22)]
    #[case::other_port("[vps]:23 ssh-ed25519 {ONE}\n", "vps", 2222)]
    #[case::port_but_meant_without("[vps]:2222 ssh-ed25519 {ONE}\n", "vps", 22)]
    #[case::negated("*,!vps ssh-ed25519 {ONE}\n", "vps", 22)]
    #[case::commented("#vps ssh-ed25519 {ONE}\n", "vps", 22)]
    #[case::authority("@cert-authority vps ssh-ed25519 {ONE}\n", "vps", 22)]
    #[case::another_key_without_port("vps ssh-ed25519 {TWO}\n", "vps", 2222)]
    #[case::only_another_one_is_revoked("@revoked vps ssh-ed25519 {TWO}\n", "vps", 22)]
    fn a_key_that_is_not_on_record_is_unknown(#[case] text: &str, #[case] host: &str, #[case] port: u16) {
        let text = text.replace("{ONE}", ONE).replace("{TWO}", TWO);
        let error = known(&text, host, port).check(&key(ONE)).unwrap_err();
        let Error::UnknownHostKey { key } = error else {
            panic!("{error:?}")
        };
        assert_eq!(key.line, format!("ssh-ed25519 {ONE}"));
        assert!(key.fingerprint.starts_with("SHA256:"), "{}", key.fingerprint);
    }

    #[rstest]
    #[case::changed("x ssh-ed25519 {ONE}\nvps ssh-ed25519 {TWO}\n", 2)]
    #[case::another_kind("vps ecdsa-sha2-nistp256 {ECDSA}\n", 1)]
    fn another_key_than_the_one_on_record_is_told_with_its_line(#[case] text: &str, #[case] line: usize) {
        let text = text
            .replace("{ONE}", ONE)
            .replace("{TWO}", TWO)
            .replace("{ECDSA}", ECDSA);
        let error = known(&text, "vps", 22).check(&key(ONE)).unwrap_err();
        let Error::ChangedHostKey { known_in, .. } = error else {
            panic!("{error:?}")
        };
        assert!(
            known_in.ends_with(&format!("known_hosts line {line}")),
            "{known_in}"
        );
    }

    #[test]
    fn a_revoked_key_is_refused_even_where_it_is_on_record() {
        let text = format!("vps ssh-ed25519 {ONE}\n@revoked * ssh-ed25519 {ONE}\n");
        let error = known(&text, "vps", 22).check(&key(ONE)).unwrap_err();
        assert!(
            matches!(&error, Error::RevokedHostKey { known_in, .. } if known_in.ends_with("line 2")),
            "{error:?}"
        );
    }

    #[test]
    fn a_hashed_name_is_found() {
        // The HMAC-SHA1 of example.com, as ssh-keygen -H wrote it.
        let text =
            format!("|1|z6dG7+X6bAJa4AnoB782N4Uf+h8=|nHwAeP0j6wjrl2YPY3rR63hw31s= ssh-ed25519 {TWO}\n");
        known(&text, "example.com", 22).check(&key(TWO)).unwrap();
        let error = known(&text, "example.org", 22).check(&key(TWO)).unwrap_err();
        assert!(matches!(error, Error::UnknownHostKey { .. }), "{error:?}");
    }

    #[test]
    fn the_kind_on_record_is_asked_for_first() {
        let text = format!("vps ecdsa-sha2-nistp256 {ECDSA}\n");
        let preferred = known(&text, "vps", 22).preferred();
        assert_eq!(preferred[0].as_str(), "ecdsa-sha2-nistp256");
        assert_eq!(preferred[1].as_str(), "ssh-ed25519");
        assert!(preferred.iter().all(|kind| kind.as_str() != "ssh-rsa"));
    }

    #[test]
    fn an_accepted_key_is_known_from_then_on_and_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/known_hosts");
        let files = [file.clone()];
        let check = |host: &str| Known::read(host, 2222, &files).unwrap().check(&key(ONE));
        let Err(Error::UnknownHostKey { key: shown }) = check("VPS") else {
            panic!("it is unknown")
        };
        fs::create_dir_all(folder.path().join("deep")).unwrap();
        fs::write(&file, "# without a line break at its end").unwrap();
        for _ in 0..2 {
            accept_host_key(&file, &shown.known_hosts_line()).unwrap();
        }
        check("vps").unwrap();
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(
            text,
            format!("# without a line break at its end\n[vps]:2222 ssh-ed25519 {ONE}\n")
        );
    }

    #[rstest]
    #[case("vps\n@revoked *", "ssh-ed25519 {ONE}")]
    #[case("", "ssh-ed25519 {ONE}")]
    #[case("@cert-authority", "ssh-ed25519 {ONE}")]
    #[case("vps", "ssh-ed25519 nonsense")]
    #[case("*", "ssh-ed25519 {ONE}")]
    #[case("vps,other", "ssh-ed25519 {ONE}")]
    #[case("vps", "ssh-ed25519 {ONE}\nother ssh-ed25519 {ONE}")]
    fn what_is_no_key_is_not_accepted(#[case] host: &str, #[case] line: &str) {
        let folder = tempfile::tempdir().unwrap();
        let line = format!("{host} {}", line.replace("{ONE}", ONE));
        assert!(accept_host_key(&folder.path().join("known_hosts"), &line).is_err());
        assert!(!folder.path().join("known_hosts").exists());
    }
}
