//! What a host means: `ssh -G HOST` answers with everything that `~/.ssh/config` says of it, aliases, patterns and `Match`
//! blocks included (ssh(1), `-G`). Where there is no `ssh` on this machine, a host is taken as it is, with OpenSSH's defaults.
//!
//! Nothing here connects to anything.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::Error;

/// How long `ssh -G` may take; a `Match exec` of the user's runs in it.
const PATIENCE: Duration = Duration::from_secs(15);

/// SSH's registered port.
pub(crate) const DEFAULT_PORT: u16 = 22;

/// The key files that `ssh` tries where none is named (ssh_config(5), `IdentityFile`), of the kinds that Howdah can use.
const DEFAULT_KEYS: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

/// A host, user and port as somebody wrote them: an alias perhaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) host: String,
    pub(crate) user: Option<String>,
    pub(crate) port: Option<u16>,
}

/// Where the agent listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AgentPlace {
    /// Where `SSH_AUTH_SOCK` says.
    Environment,
    /// At this socket.
    Socket(PathBuf),
    /// Nowhere: it is not to be asked.
    None,
}

/// What is to be known of a host before it is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The real name or address.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    /// Key files, most preferred first; they need not exist.
    pub(crate) keys: Vec<PathBuf>,
    /// Only the keys in `keys` are to be shown, also of those in the agent.
    pub(crate) only_these_keys: bool,
    pub(crate) agent: AgentPlace,
    /// The user's and the system's `known_hosts` files; they need not exist.
    pub(crate) known_hosts: Vec<PathBuf>,
    /// The name under which the host's key is kept, where it is not its own.
    pub(crate) host_key_alias: Option<String>,
    /// Hosts to go through, the first one first.
    pub(crate) jumps: Vec<Named>,
}

impl Settings {
    /// Asks `ssh` what it knows of a host, with `config` instead of the user's configuration where that is given.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] where the name cannot be one, the configuration has an error or demands what Howdah
    /// does not do; [`Error::Cancelled`].
    pub(crate) async fn of(
        named: &Named,
        config: Option<&Path>,
        cancel: &CancellationToken,
    ) -> Result<Self, Error> {
        demand_plain("host", &named.host)?;
        if let Some(user) = &named.user {
            demand_plain("user", user)?;
        }
        let mut command = Command::new("ssh");
        if let Some(config) = config {
            command.arg("-F").arg(config);
        }
        if let Some(port) = named.port {
            command.args(["-p", &port.to_string()]);
        }
        if let Some(user) = &named.user {
            command.args(["-l", user]);
        }
        // -T keeps it from complaining that it has no terminal.
        command
            .args(["-T", "-G", "--", &named.host])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Error::Cancelled),
            output = command.output() => output,
            () = tokio::time::sleep(PATIENCE) => {
                return Err(Error::misconfigured(format!(
                    "ssh did not say within {} s what it knows of {}: a Match block of ~/.ssh/config may hang.",
                    PATIENCE.as_secs(),
                    named.host
                )));
            }
        };
        let home = std::env::home_dir();
        match output {
            Ok(output) if output.status.success() => {
                Self::read(&String::from_utf8_lossy(&output.stdout), named, home.as_deref())
            }
            Ok(output) => Err(Error::misconfigured(format!(
                "ssh cannot read its configuration for {}: {}",
                named.host,
                String::from_utf8_lossy(&output.stderr).trim()
            ))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Self::plain(named, home.as_deref()))
            }
            Err(error) => Err(Error::io("starting", "ssh", error)),
        }
    }

    /// What holds where there is no `ssh`.
    fn plain(named: &Named, home: Option<&Path>) -> Self {
        let folder = home.map(|home| home.join(".ssh"));
        let below = |name: &str| folder.as_ref().map(|folder| folder.join(name));
        Self {
            host: named.host.clone(),
            port: named.port.unwrap_or(DEFAULT_PORT),
            user: named.user.clone().unwrap_or_else(local_user),
            keys: DEFAULT_KEYS.iter().filter_map(|name| below(name)).collect(),
            only_these_keys: false,
            agent: AgentPlace::Environment,
            known_hosts: below("known_hosts")
                .into_iter()
                .chain([PathBuf::from("/etc/ssh/ssh_known_hosts")])
                .collect(),
            host_key_alias: None,
            jumps: Vec::new(),
        }
    }

    /// Reads what `ssh -G` wrote: a keyword and its value on each line.
    fn read(text: &str, named: &Named, home: Option<&Path>) -> Result<Self, Error> {
        let mut settings = Self {
            keys: Vec::new(),
            known_hosts: Vec::new(),
            ..Self::plain(named, home)
        };
        let lines = || text.lines().filter_map(|line| line.split_once(' '));
        for (keyword, value) in lines() {
            match keyword {
                "hostname" => value.clone_into(&mut settings.host),
                "user" => value.clone_into(&mut settings.user),
                "port" => {
                    settings.port = value.parse().map_err(|_| {
                        Error::misconfigured(format!("{}: {value} is not a port.", named.host))
                    })?;
                }
                "identitiesonly" => settings.only_these_keys = value == "yes",
                "hostkeyalias" => settings.host_key_alias = Some(value.to_owned()),
                "proxycommand" if value != "none" => {
                    return Err(Error::misconfigured(format!(
                        "~/.ssh/config reaches {} by a ProxyCommand, which Howdah does not run. Use ProxyJump instead.",
                        named.host
                    )));
                }
                "proxyjump" if value != "none" => {
                    settings.jumps = value.split(',').map(Named::parse).collect::<Result<_, _>>()?;
                }
                _ => {}
            }
        }
        // Their values may speak of the others.
        let (mut keys, mut known_hosts) = (Vec::new(), Vec::new());
        let mut agent = AgentPlace::Environment;
        for (keyword, value) in lines() {
            let file = || expanded(value, named, &settings, home);
            match keyword {
                "identityfile" if value != "none" => keys.extend(file()),
                "identityagent" => {
                    agent = match (value, value.strip_prefix('$')) {
                        ("none", _) => AgentPlace::None,
                        ("SSH_AUTH_SOCK", _) => AgentPlace::Environment,
                        (_, Some(variable)) => std::env::var_os(variable.trim_matches(['{', '}']))
                            .map_or(AgentPlace::None, |path| AgentPlace::Socket(path.into())),
                        (_, None) => file().map_or(AgentPlace::None, AgentPlace::Socket),
                    };
                }
                "userknownhostsfile" | "globalknownhostsfile" if value != "none" => {
                    known_hosts.extend(several(value, named, &settings, home));
                }
                _ => {}
            }
        }
        settings.keys = keys;
        settings.known_hosts = known_hosts;
        settings.agent = agent;
        Ok(settings)
    }

    /// `host`, or `host:port` where that is not 22: what people call it.
    pub(crate) fn display(&self) -> String {
        match (self.port, self.host.contains(':')) {
            (DEFAULT_PORT, _) => self.host.clone(),
            (port, false) => format!("{}:{port}", self.host),
            (port, true) => format!("[{}]:{port}", self.host),
        }
    }
}

impl Named {
    /// Reads one host of a `ProxyJump`: `[user@]host[:port]`, or `ssh://[user@]host[:port]`.
    fn parse(text: &str) -> Result<Self, Error> {
        let plain = text.trim();
        let plain = plain
            .strip_prefix("ssh://")
            .unwrap_or(plain)
            .trim_end_matches('/');
        let (user, place) = match plain.rsplit_once('@') {
            Some((user, place)) => (Some(user.to_owned()), place),
            None => (None, plain),
        };
        let wrong =
            || Error::misconfigured(format!("~/.ssh/config: “{text}” is not a host to jump through."));
        let (host, port) = if let Some(rest) = place.strip_prefix('[') {
            let (host, after) = rest.split_once(']').ok_or_else(wrong)?;
            (host, after.strip_prefix(':'))
        } else {
            match place.rsplit_once(':') {
                // An IPv6 address without brackets has no port.
                Some((host, port)) if !host.contains(':') => (host, Some(port)),
                _ => (place, None),
            }
        };
        let port = port.map(str::parse).transpose().map_err(|_| wrong())?;
        if host.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            host: host.to_owned(),
            user,
            port,
        })
    }
}

/// Names go into a command's arguments and, by `Match exec`, perhaps into a shell.
fn demand_plain(what: &str, text: &str) -> Result<(), Error> {
    let odd = |c: char| c.is_control() || c.is_whitespace() || "'\"`$\\;&<>|(){}".contains(c);
    if text.is_empty() {
        return Err(Error::misconfigured(format!("The SSH {what} is missing.")));
    }
    if text.starts_with('-') || text.contains(odd) {
        return Err(Error::misconfigured(format!("“{text}” cannot be an SSH {what}.")));
    }
    Ok(())
}

/// A file's name with `~` and the tokens of ssh_config(5) written out; none where a token is not known.
fn expanded(value: &str, named: &Named, settings: &Settings, home: Option<&Path>) -> Option<PathBuf> {
    let mut text = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            text.push(letter);
            continue;
        }
        match letters.next()? {
            '%' => text.push('%'),
            'd' => text.push_str(home?.to_str()?),
            'h' => text.push_str(&settings.host),
            'n' => text.push_str(&named.host),
            'p' => text.push_str(&settings.port.to_string()),
            'r' => text.push_str(&settings.user),
            'u' => text.push_str(&local_user()),
            _ => return None,
        }
    }
    match text.strip_prefix("~/") {
        Some(rest) => Some(home?.join(rest)),
        None => Some(text.into()),
    }
}

/// Several files in one value. `ssh -G` writes no quotes, so a value that is one file's name with spaces is looked at first.
fn several(value: &str, named: &Named, settings: &Settings, home: Option<&Path>) -> Vec<PathBuf> {
    let whole = expanded(value, named, settings, home);
    if let Some(whole) = whole.filter(|whole| whole.is_file()) {
        return vec![whole];
    }
    value
        .split_whitespace()
        .filter_map(|part| expanded(part, named, settings, home))
        .collect()
}

/// The name of this machine's user.
#[cfg(unix)]
fn local_user() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid());
    user.ok()
        .flatten()
        .map_or_else(from_environment, |user| user.name)
}

/// The name of this machine's user.
#[cfg(not(unix))]
fn local_user() -> String {
    from_environment()
}

fn from_environment() -> String {
    let variable = |name| std::env::var_os(name).map(OsString::into_string);
    ["USER", "USERNAME"]
        .into_iter()
        .find_map(|name| variable(name)?.ok())
        .unwrap_or_else(|| "root".to_owned())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn named(host: &str) -> Named {
        Named {
            host: host.into(),
            user: None,
            port: None,
        }
    }

    fn read(text: &str) -> Result<Settings, Error> {
        Settings::read(text, &named("vps"), Some(Path::new("/home/ada")))
    }

    #[test]
    fn what_ssh_says_of_an_alias_is_taken_over() {
        let settings = read(
            "host vps\nuser bob\nhostname vps.example.com\nport 2222\nidentitiesonly yes\nhostkeyalias fleet\n\
             identityfile ~/.ssh/%h_%r\nidentityfile /with space/key\nidentityfile /no/%Z\nidentityagent ~/agent.sock\n\
             userknownhostsfile /kh1 ~/kh2\nglobalknownhostsfile /etc/ssh/ssh_known_hosts\n\
             proxyjump eve@jump:2200,second,[::1]:23\n",
        )
        .unwrap();
        assert_eq!(settings.display(), "vps.example.com:2222");
        assert_eq!(settings.user, "bob");
        assert!(settings.only_these_keys);
        assert_eq!(settings.host_key_alias.as_deref(), Some("fleet"));
        let keys = ["/home/ada/.ssh/vps.example.com_bob", "/with space/key"];
        assert_eq!(settings.keys, keys.map(PathBuf::from));
        assert_eq!(settings.agent, AgentPlace::Socket("/home/ada/agent.sock".into()));
        let files = ["/kh1", "/home/ada/kh2", "/etc/ssh/ssh_known_hosts"];
        assert_eq!(settings.known_hosts, files.map(PathBuf::from));
        let jumps: Vec<_> = settings
            .jumps
            .iter()
            .map(|jump| (jump.user.as_deref(), jump.host.as_str(), jump.port))
            .collect();
        assert_eq!(
            jumps,
            [
                (Some("eve"), "jump", Some(2200)),
                (None, "second", None),
                (None, "::1", Some(23))
            ]
        );
    }

    #[test]
    fn an_agent_that_is_not_to_be_asked_is_not() {
        assert_eq!(read("identityagent none\n").unwrap().agent, AgentPlace::None);
        assert_eq!(
            read("identityagent SSH_AUTH_SOCK\n").unwrap().agent,
            AgentPlace::Environment
        );
        assert_eq!(
            read("identityagent $HOWDAH_NO_SUCH_VARIABLE\n").unwrap().agent,
            AgentPlace::None
        );
    }

    #[test]
    fn a_proxy_command_is_refused_in_words() {
        let error = read("proxycommand nc %h %p\n").unwrap_err();
        assert!(error.to_string().contains("Use ProxyJump instead"), "{error}");
        assert!(read("proxycommand none\n").is_ok());
    }

    #[rstest]
    #[case("-oProxyCommand=evil")]
    #[case("a b")]
    #[case("$(evil)")]
    #[case("a;b")]
    #[case("")]
    #[tokio::test]
    async fn a_name_that_could_be_something_else_is_refused(#[case] host: &str) {
        let cancel = CancellationToken::new();
        let error = Settings::of(&named(host), None, &cancel).await.unwrap_err();
        assert!(matches!(error, Error::Misconfigured { .. }), "{error:?}");
    }

    #[test]
    fn without_ssh_a_host_is_what_it_is() {
        let settings = Settings::plain(&named("db.example.com"), Some(Path::new("/home/ada")));
        assert_eq!(settings.display(), "db.example.com");
        assert_eq!(settings.keys[0], Path::new("/home/ada/.ssh/id_ed25519"));
        assert_eq!(settings.known_hosts[0], Path::new("/home/ada/.ssh/known_hosts"));
    }
}
