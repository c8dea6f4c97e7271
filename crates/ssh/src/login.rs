//! Logging in: with the agent's keys, key files, a password, or the password in answer to questions (RFC 4252, RFC 4256).
//!
//! A server that wants two things one after the other (a key, then a password) gets both, where both are at hand.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use howdah_domain::Secret;
use howdah_domain::destination::SshLogin;
use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::{AgentClient, AgentStream};
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey};
use russh::{MethodKind, MethodSet};

use crate::Error;
use crate::config::{AgentPlace, Settings};
use crate::session::Visitor;

/// Rounds of questions that are answered, at most; a server asks once or twice.
const ROUNDS: usize = 8;

/// The agent, however it is reached.
type Agent = AgentClient<Box<dyn AgentStream + Send + Unpin>>;

/// A login under way.
pub(crate) struct Login<'a> {
    handle: &'a mut Handle<Visitor>,
    settings: &'a Settings,
    /// What the server would take next, as it last said.
    methods: MethodSet,
    /// What was tried, in words.
    tried: Vec<String>,
    /// Keys that the server has been shown.
    shown: Vec<KeyData>,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// We are in.
    In,
    /// The server took it and wants something else besides.
    Next,
    /// The server did not take it.
    No,
}

impl<'a> Login<'a> {
    pub(crate) fn new(handle: &'a mut Handle<Visitor>, settings: &'a Settings) -> Self {
        Self {
            handle,
            settings,
            methods: MethodSet::empty(),
            tried: Vec::new(),
            shown: Vec::new(),
        }
    }

    /// Logs in, by `how`.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::Key`], [`Error::Agent`], [`Error::Lost`].
    pub(crate) async fn run(mut self, how: &SshLogin, secret: Option<&Secret>) -> Result<(), Error> {
        let secret = secret.filter(|secret| !secret.is_empty());
        // Nobody is let in for nothing; the answer says what would be taken.
        let user = self.settings.user.clone();
        let answer = self.handle.authenticate_none(user).await;
        if self.heard(answer)? == Step::In {
            return Ok(());
        }
        let in_by_key = match how {
            _ if !self.takes(MethodKind::PublicKey) => {
                if matches!(how, SshLogin::Agent | SshLogin::Key { .. }) {
                    self.tried.push("no key, since it takes none".to_owned());
                }
                false
            }
            SshLogin::Auto => self.agent_and_files(secret).await?,
            SshLogin::Agent => self.agent(true).await? == Step::In,
            SshLogin::Key { file } => {
                let key = load(file, secret).await?;
                self.private_key(file, key).await? == Step::In
            }
            SshLogin::Password => false,
        };
        if in_by_key {
            return Ok(());
        }
        let password = match how {
            SshLogin::Auto | SshLogin::Password => secret,
            SshLogin::Agent | SshLogin::Key { .. } => None,
        };
        match password {
            Some(password) if self.password(password).await? => Ok(()),
            None if *how == SshLogin::Password => {
                self.tried.push("no password, since none was given".to_owned());
                Err(self.denied())
            }
            _ => Err(self.denied()),
        }
    }

    fn takes(&self, method: MethodKind) -> bool {
        self.methods.contains(&method)
    }

    /// The agent's keys, then the files: as `ssh` does it. What cannot be used is passed over.
    async fn agent_and_files(&mut self, secret: Option<&Secret>) -> Result<bool, Error> {
        match self.agent(false).await? {
            Step::In => return Ok(true),
            Step::Next => return Ok(false),
            Step::No => {}
        }
        for file in self.settings.keys.clone() {
            if !file.is_file() {
                continue;
            }
            let key = match load(&file, secret).await {
                Ok(key) => key,
                Err(Error::Key { why, .. }) => {
                    self.tried.push(format!("not the key {}: {why}", file.display()));
                    continue;
                }
                Err(error) => return Err(error),
            };
            match self.private_key(&file, key).await? {
                Step::In => return Ok(true),
                Step::Next => return Ok(false),
                Step::No => {}
            }
        }
        Ok(false)
    }

    /// The agent's keys, until the server takes one. `demanded`: it is an error where there is no agent or no key in it.
    async fn agent(&mut self, demanded: bool) -> Result<Step, Error> {
        let refused = |why: String| {
            if demanded {
                Err(Error::Agent { why })
            } else {
                Ok(Step::No)
            }
        };
        let mut agent = match agent_at(&self.settings.agent).await {
            Ok(agent) => agent,
            Err(why) => return refused(why),
        };
        if let Some(binding) = self.handle.agent_session_binding() {
            // For keys that may be used towards certain hosts only; an agent that does not know of it needs it not.
            let _ = agent.bind_session(binding, false).await;
        }
        let identities = match agent.request_identities().await {
            Ok(identities) => identities,
            Err(error) => return refused(format!("it did not list its keys ({error})")),
        };
        let identities: Vec<_> = identities
            .into_iter()
            .filter(|identity| self.may_show(identity))
            .collect();
        if identities.is_empty() {
            return refused("it holds no key that may be used here".to_owned());
        }
        let mut shown = 0;
        for identity in identities {
            let step = match self.identity(&mut agent, identity).await {
                Ok(step) => step,
                Err(Error::Lost { .. }) if shown > 0 => {
                    // Servers end the session after some keys (MaxAuthTries).
                    self.tried
                        .push(format!("{shown} keys of the agent, after which it hung up"));
                    return Err(self.denied());
                }
                Err(error) => return Err(error),
            };
            shown += 1;
            if step != Step::No {
                return Ok(step);
            }
        }
        let plural = if shown == 1 { "key" } else { "keys" };
        self.tried.push(format!("{shown} {plural} of the agent"));
        Ok(Step::No)
    }

    async fn identity(&mut self, agent: &mut Agent, identity: AgentIdentity) -> Result<Step, Error> {
        let user = self.settings.user.clone();
        let answer = match identity {
            AgentIdentity::PublicKey { key, .. } => {
                let hash = self.hash_for(&key.algorithm()).await?;
                self.shown.push(key.key_data().clone());
                self.handle
                    .authenticate_publickey_with(user, key, hash, agent)
                    .await
            }
            AgentIdentity::Certificate { certificate, .. } => {
                let hash = self.hash_for(&certificate.algorithm()).await?;
                self.handle
                    .authenticate_certificate_with(user, certificate, hash, agent)
                    .await
            }
        };
        match answer {
            Ok(answer) => self.heard(Ok(answer)),
            Err(russh::AgentAuthError::Send(_)) => Err(self.ended()),
            // The agent would not sign: its user said no, or the key is on a token that is not plugged in.
            Err(russh::AgentAuthError::Key(error)) => {
                self.tried
                    .push(format!("not a key that the agent did not sign with ({error})"));
                Ok(Step::No)
            }
        }
    }

    /// Whether an agent's key may be shown: with `IdentitiesOnly`, only those of the named files.
    fn may_show(&self, identity: &AgentIdentity) -> bool {
        if !self.settings.only_these_keys {
            return true;
        }
        let AgentIdentity::PublicKey { key, .. } = identity else {
            return false;
        };
        self.settings
            .keys
            .iter()
            .any(|file| public_half(file).is_some_and(|public| public.key_data() == key.key_data()))
    }

    async fn private_key(&mut self, file: &Path, key: PrivateKey) -> Result<Step, Error> {
        if self.shown.contains(key.public_key().key_data()) {
            return Ok(Step::No);
        }
        self.shown.push(key.public_key().key_data().clone());
        let hash = self.hash_for(&key.algorithm()).await?;
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
        let user = self.settings.user.clone();
        let answer = self.handle.authenticate_publickey(user, key).await;
        let step = self.heard(answer)?;
        if step == Step::No {
            self.tried.push(format!("the key {}", file.display()));
        }
        Ok(step)
    }

    /// With which hash an RSA key signs: the best one that the server knows; the modern one where it does not say.
    async fn hash_for(&self, kind: &Algorithm) -> Result<Option<HashAlg>, Error> {
        if !matches!(kind, Algorithm::Rsa { .. }) {
            return Ok(None);
        }
        match self.handle.best_supported_rsa_hash().await {
            Ok(known) => Ok(known.unwrap_or(Some(HashAlg::Sha512))),
            Err(_) => Err(self.ended()),
        }
    }

    /// The password, as such or in answer to questions, whichever the server takes.
    async fn password(&mut self, password: &Secret) -> Result<bool, Error> {
        if self.takes(MethodKind::Password) {
            let user = self.settings.user.clone();
            let answer = self.handle.authenticate_password(user, password.expose()).await;
            match self.heard(answer)? {
                Step::In => return Ok(true),
                Step::Next => {}
                Step::No => {
                    self.tried.push("the password".to_owned());
                    return Ok(false);
                }
            }
        }
        if self.takes(MethodKind::KeyboardInteractive) {
            return self.questions(password).await;
        }
        Ok(false)
    }

    async fn questions(&mut self, password: &Secret) -> Result<bool, Error> {
        use KeyboardInteractiveAuthResponse as Said;
        let user = self.settings.user.clone();
        let mut said = self
            .handle
            .authenticate_keyboard_interactive_start(user, None::<String>)
            .await;
        let mut answered = false;
        for _ in 0..ROUNDS {
            match said {
                Ok(Said::Success) => return Ok(true),
                Ok(Said::Failure {
                    remaining_methods, ..
                }) => {
                    self.methods = remaining_methods;
                    self.tried
                        .push("the password, in answer to its question".to_owned());
                    return Ok(false);
                }
                Ok(Said::InfoRequest { prompts, .. }) => {
                    // One hidden answer is the password. Anything else (a code of an authenticator) is not ours to give.
                    let hidden = prompts.iter().filter(|prompt| !prompt.echo).count();
                    if hidden > 1 || hidden < prompts.len() || (answered && !prompts.is_empty()) {
                        self.tried
                            .push("the password, but it asks for something else besides".to_owned());
                        return Ok(false);
                    }
                    answered |= hidden == 1;
                    let answers = prompts.iter().map(|_| password.expose().to_owned()).collect();
                    said = self
                        .handle
                        .authenticate_keyboard_interactive_respond(answers)
                        .await;
                }
                Err(_) => return Err(self.ended()),
            }
        }
        self.tried
            .push("the password, but its questions did not end".to_owned());
        Ok(false)
    }

    /// What an answer means; a session that ended gives none.
    fn heard(&mut self, answer: Result<AuthResult, russh::Error>) -> Result<Step, Error> {
        match answer {
            Ok(AuthResult::Success) => Ok(Step::In),
            Ok(AuthResult::Failure {
                remaining_methods,
                partial_success,
            }) => {
                if remaining_methods.is_empty() && self.handle.is_closed() {
                    return Err(self.ended());
                }
                self.methods = remaining_methods;
                Ok(if partial_success { Step::Next } else { Step::No })
            }
            Err(_) => Err(self.ended()),
        }
    }

    fn ended(&self) -> Error {
        Error::Lost {
            host: self.settings.display(),
            why: "the server closed it during the login".to_owned(),
        }
    }

    fn denied(&self) -> Error {
        let mut tried = match self.tried.as_slice() {
            [] => "nothing that it takes is at hand".to_owned(),
            tried => format!("tried {}", tried.join(", ")),
        };
        let names: Vec<&str> = self.methods.iter().map(<&str>::from).collect();
        let _ = write!(
            tried,
            "; it takes {}",
            if names.is_empty() {
                "nothing".to_owned()
            } else {
                names.join(", ")
            }
        );
        Error::Denied {
            host: self.settings.display(),
            user: self.settings.user.clone(),
            tried,
        }
    }
}

/// A private key's public half, from the file beside it, or from the file itself where that is a public key.
fn public_half(file: &Path) -> Option<PublicKey> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".pub");
    [Path::new(&beside), file]
        .into_iter()
        .find_map(|file| russh::keys::load_public_key(file).ok())
}

/// Reads a private key; the passphrase is used only where the key needs one.
async fn load(file: &Path, passphrase: Option<&Secret>) -> Result<PrivateKey, Error> {
    let owned = file.to_owned();
    let passphrase = passphrase.cloned();
    // Passphrases are stretched on purpose, which takes a while.
    let loading = tokio::task::spawn_blocking(move || load_now(&owned, passphrase.as_ref()));
    loading.await.expect("BUG: reading a key does not panic")
}

fn load_now(file: &Path, passphrase: Option<&Secret>) -> Result<PrivateKey, Error> {
    let unusable = |why: String, passphrase: bool| Error::Key {
        file: file.to_owned(),
        why,
        passphrase,
    };
    let text = std::fs::read_to_string(file).map_err(|error| unusable(error.to_string(), false))?;
    let text = Secret::new(text);
    match russh::keys::decode_secret_key(text.expose(), None) {
        Ok(key) => return Ok(key),
        Err(russh::keys::Error::KeyIsEncrypted) => {}
        // Other forms have their own words for it.
        Err(_) if text.expose().contains("ENCRYPTED") => {}
        Err(_) if text.expose().starts_with("PuTTY-User-Key-File-") => {}
        Err(error) => {
            return Err(unusable(
                format!("it is no private key that Howdah knows ({error})"),
                false,
            ));
        }
    }
    let Some(passphrase) = passphrase else {
        return Err(unusable("it needs a passphrase".to_owned(), true));
    };
    russh::keys::decode_secret_key(text.expose(), Some(passphrase.expose()))
        .map_err(|_| unusable("the passphrase is wrong".to_owned(), true))
}

#[cfg(unix)]
async fn agent_at(place: &AgentPlace) -> Result<Agent, String> {
    let socket = match place {
        AgentPlace::Environment => std::env::var_os("SSH_AUTH_SOCK")
            .filter(|path| !path.is_empty())
            .ok_or("SSH_AUTH_SOCK is not set, so none runs for this session")?
            .into(),
        AgentPlace::Socket(path) => path.clone(),
        AgentPlace::None => {
            return Err("~/.ssh/config says that it is not to be asked (IdentityAgent)".to_owned());
        }
    };
    match AgentClient::connect_uds(&socket).await {
        Ok(agent) => Ok(agent.dynamic()),
        Err(error) => Err(format!("{}: {error}", socket.display())),
    }
}

#[cfg(windows)]
async fn agent_at(place: &AgentPlace) -> Result<Agent, String> {
    let pipe = match place {
        AgentPlace::Environment => std::env::var_os("SSH_AUTH_SOCK")
            .map_or_else(|| r"\\.\pipe\openssh-ssh-agent".into(), std::path::PathBuf::from),
        AgentPlace::Socket(path) => path.clone(),
        AgentPlace::None => {
            return Err("~/.ssh/config says that it is not to be asked (IdentityAgent)".to_owned());
        }
    };
    match AgentClient::connect_named_pipe(&pipe).await {
        Ok(agent) => Ok(agent.dynamic()),
        Err(error) => Err(format!("{}: {error}", pipe.display())),
    }
}
