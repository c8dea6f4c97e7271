//! The way to an SSH server: which hosts it leads through, and what is needed to log in to each.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use howdah_domain::Secret;
use howdah_domain::destination::{SshLogin, SshTarget};
use tokio_util::sync::CancellationToken;

use crate::config::{Named, Settings};
use crate::session::Beginning;
use crate::{Error, Session};

/// Hosts on one way, at most: a configuration that jumps in circles ends here.
const MOST_HOPS: usize = 8;

/// What sessions are made with, besides the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Howdah's own file of accepted host keys; it need not exist.
    pub known_hosts: Option<PathBuf>,
    /// A file to read instead of the user's and the system's `ssh_config`.
    pub config: Option<PathBuf>,
    /// How long it may take to connect to one host and to agree on keys.
    pub connect_timeout: Duration,
    /// After so much silence the server is asked for a sign of life; after three in a row without one, the session is lost.
    pub keepalive: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            known_hosts: None,
            config: None,
            connect_timeout: Duration::from_secs(15),
            keepalive: Duration::from_secs(15),
        }
    }
}

/// A way to an SSH server, found out once, that sessions can be opened on any number of times.
#[derive(Debug, Clone)]
pub struct Route {
    /// The hosts on the way; the last one is the target.
    hops: Vec<Settings>,
    login: SshLogin,
    secret: Option<Secret>,
    options: Options,
}

impl Route {
    /// Finds out where a target leads: aliases and jump hosts as `ssh` has them. Connects to nothing.
    ///
    /// `secret` is the key's passphrase or the password, as the target's login has it. A jump host never gets the password; the
    /// passphrase may open keys for it.
    ///
    /// # Errors
    /// [`Error::Misconfigured`]; [`Error::Cancelled`].
    pub async fn resolve(
        target: &SshTarget,
        secret: Option<&Secret>,
        options: &Options,
        cancel: &CancellationToken,
    ) -> Result<Self, Error> {
        let config = options.config.as_deref();
        let named = Named {
            host: target.host.clone(),
            user: target.user.clone(),
            port: target.port,
        };
        let mut hops = VecDeque::new();
        let mut settings = Settings::of(&named, config, cancel).await?;
        loop {
            let jumps = std::mem::take(&mut settings.jumps);
            hops.push_front(settings);
            let Some((first, between)) = jumps.split_first() else {
                break;
            };
            // Of several jumps only the first one's own jumps count: ssh reaches each further one through those before it.
            for jump in between.iter().rev() {
                let mut settings = Settings::of(jump, config, cancel).await?;
                settings.jumps.clear();
                hops.push_front(settings);
            }
            if hops.len() >= MOST_HOPS {
                return Err(Error::misconfigured(format!(
                    "The way to {} leads through more than {MOST_HOPS} hosts: ProxyJump may go in circles.",
                    target.host
                )));
            }
            settings = Settings::of(first, config, cancel).await?;
        }
        Ok(Self {
            hops: hops.into(),
            login: target.login.clone(),
            secret: secret.cloned(),
            options: options.clone(),
        })
    }

    /// The target, as messages name it.
    pub fn host(&self) -> String {
        self.hops.last().map_or_else(String::new, Settings::display)
    }

    /// Opens a session with the target: connects, checks host keys and logs in at every host on the way.
    ///
    /// # Errors
    /// Any of [`Error`] but `Refused`, which only a jump host gives that does not lead on.
    pub async fn open(&self, cancel: &CancellationToken) -> Result<Session, Error> {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Error::Cancelled),
            session = Box::pin(self.open_all()) => session,
        }
    }

    async fn open_all(&self) -> Result<Session, Error> {
        let jumping = self.jumping();
        let mut below = None;
        for (index, settings) in self.hops.iter().enumerate() {
            let last = index + 1 == self.hops.len();
            let beginning = Beginning {
                settings,
                login: if last { &self.login } else { &jumping },
                secret: self.secret.as_ref().filter(|_| last || self.secret_stays_here()),
                options: &self.options,
            };
            below = Some(beginning.session(below).await?);
        }
        below.ok_or_else(|| Error::misconfigured("The way leads nowhere."))
    }

    /// How to log in at jump hosts: with the target's keys, with those that `~/.ssh/config` names, or the agent's.
    fn jumping(&self) -> SshLogin {
        match &self.login {
            SshLogin::Key { file } => SshLogin::Key { file: file.clone() },
            SshLogin::Agent => SshLogin::Agent,
            SshLogin::Auto | SshLogin::Password => SshLogin::Auto,
        }
    }

    /// Whether the secret is a passphrase, and nothing that would be sent.
    fn secret_stays_here(&self) -> bool {
        matches!(self.login, SshLogin::Key { .. })
    }
}
