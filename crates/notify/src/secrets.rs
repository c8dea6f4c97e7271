//! What lets a channel in, as the keyring gave it.

use std::collections::BTreeMap;
use std::fmt;

use howdah_domain::{ChannelSecret, Secret};

use crate::Error;

/// The secrets of one channel. It cannot be written out, and does not show in debug output.
#[derive(Clone, Default)]
pub struct Secrets(BTreeMap<ChannelSecret, Secret>);

impl Secrets {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one; white space around it, which comes along when it is copied, is dropped.
    #[must_use]
    pub fn with(mut self, kind: ChannelSecret, secret: &Secret) -> Self {
        self.0.insert(kind, Secret::new(secret.expose().trim()));
        self
    }

    /// One of them. An empty one is none.
    pub fn get(&self, kind: ChannelSecret) -> Option<&Secret> {
        self.0.get(&kind).filter(|secret| !secret.is_empty())
    }

    /// One that nothing works without. `what` says which, within a sentence: `the bot's token`.
    pub(crate) fn demand(&self, kind: ChannelSecret, what: &str) -> Result<&Secret, Error> {
        self.get(kind).ok_or_else(|| Error::Misconfigured {
            message: format!("This channel lacks {what}."),
            hint: format!("Enter {what} in the channel's settings."),
        })
    }
}

impl FromIterator<(ChannelSecret, Secret)> for Secrets {
    fn from_iter<T: IntoIterator<Item = (ChannelSecret, Secret)>>(secrets: T) -> Self {
        secrets
            .into_iter()
            .fold(Self::new(), |all, (kind, secret)| all.with(kind, &secret))
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_show_which_they_are_and_not_what_they_say() {
        let secrets = Secrets::new().with(ChannelSecret::Token, &Secret::new(" 123:horse\n"));
        assert_eq!(format!("{secrets:?}"), "{Token}");
        assert_eq!(secrets.get(ChannelSecret::Token).unwrap().expose(), "123:horse");
        let error = secrets
            .demand(ChannelSecret::Url, "the web hook's URL")
            .unwrap_err();
        assert_eq!(error.to_string(), "This channel lacks the web hook's URL.");
    }
}
