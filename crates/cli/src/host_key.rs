//! Keys of SSH servers that nobody has accepted yet: a person at the terminal is asked, a script says which one it expects.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;

use howdah_domain::{Failure, FailureCode};
use howdah_postgres::tunnel::accept_host_key;

/// Does something that may meet a server whose key is not known. Where it does, and the key is the `expected` one, or the
/// person at the terminal accepts it, the key is kept and the work is done once more.
///
/// # Errors
/// As the work; [`FailureCode::HostKeyUnknown`] where the key is not accepted.
pub(crate) async fn with_question<T>(
    known_hosts: Option<&Path>,
    expected: Option<&str>,
    work: impl AsyncFn() -> Result<T, Failure>,
) -> Result<T, Failure> {
    // A chain of jump hosts shows one key after the other.
    for _ in 0..8 {
        let failure = match work().await {
            Err(failure) if failure.code == FailureCode::HostKeyUnknown => failure,
            outcome => return outcome,
        };
        let accepted = match (known_hosts, expected) {
            (None, _) => false,
            (Some(_), Some(fingerprint)) => names(&failure, fingerprint),
            (Some(_), None) => ask(failure.clone()).await,
        };
        let (Some(known_hosts), true, Some(line)) = (known_hosts, accepted, failure.details.as_deref())
        else {
            return Err(failure.hint(
                "Compare the fingerprint with the server's own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub there), then \
                 say --accept-host-key SHA256:…, or log in once with ssh.",
            ));
        };
        accept_host_key(known_hosts, line).map_err(|error| error.to_failure())?;
    }
    work().await
}

/// Whether the failure shows the key with this fingerprint.
fn names(failure: &Failure, fingerprint: &str) -> bool {
    failure
        .message
        .split(|letter: char| letter.is_whitespace())
        .any(|word| word.starts_with("SHA256:") && word.trim_end_matches('.') == fingerprint)
}

/// Asks a person, where there is one.
async fn ask(failure: Failure) -> bool {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return false;
    }
    let answer = tokio::task::spawn_blocking(move || {
        let mut screen = std::io::stderr();
        write!(
            screen,
            "{}\nIs this the right key? Type yes to accept it: ",
            failure.message
        )?;
        screen.flush()?;
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        std::io::Result::Ok(line)
    });
    matches!(answer.await, Ok(Ok(line)) if line.trim().eq_ignore_ascii_case("yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_fingerprint_names_a_key() {
        let failure = Failure::new(
            FailureCode::HostKeyUnknown,
            "vps shows a key that nobody has accepted yet: ssh-ed25519 SHA256:abc.",
        );
        assert!(names(&failure, "SHA256:abc"));
        for other in ["SHA256:ab", "SHA256:", "", "abc", "vps"] {
            assert!(!names(&failure, other), "{other}");
        }
    }
}
