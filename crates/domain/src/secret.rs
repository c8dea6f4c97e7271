//! A text that must not be seen: no `Serialize`, no `Display`, a redacted `Debug`, wiped from memory when dropped.

use std::fmt;

use zeroize::Zeroizing;

/// A password or a key. It can be read in (from the window's form), and handed to what needs it by
/// [`Secret::expose`], which is easy to search for; it cannot be written out by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the text has no characters.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_in_debug_output() {
        let secret = Secret::new("correct horse");
        assert!(!format!("{secret:?} {:?}", Some(&secret)).contains("horse"));
        assert_eq!(secret.expose(), "correct horse");
    }
}
