//! OpenSSH's `sshd` (Debian: `openssh-server`) on 127.0.0.1, and an `ssh-agent`, with keys of a test's own.
//!
//! The server lets in the user who runs the tests. As root it can also ask for a password, which that user then has in a
//! mount namespace of the server's own, and nowhere else.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use howdah_domain::destination::{SshLogin, SshTarget};
use howdah_postgres::children::{self, Child, Parting};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};

use crate::tools::{Server, free_port};

/// Opens [`Sshd::locked_key`].
pub const PASSPHRASE: &str = "correct horse passphrase";
/// What [`SshdBuilder::password`] and [`SshdBuilder::questions`] ask for.
pub const PASSWORD: &str = "correct horse password";

/// Where it may be installed; `sbin` is on no ordinary user's PATH.
const PLACES: [&str; 3] = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"];

/// How a user is asked for a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    Nothing,
    Password,
    Questions,
}

/// What a server should be like.
#[derive(Debug, Clone)]
pub struct SshdBuilder {
    lines: Vec<String>,
    asks: Asks,
    kind: &'static str,
    disk: Option<u64>,
}

/// A running `sshd`; dropping it ends it and its sessions.
#[derive(Debug)]
pub struct Sshd {
    // Dropped in this order: what serves ends before its files go.
    server: Option<Server>,
    builder: SshdBuilder,
}

impl SshdBuilder {
    /// With a line of sshd_config before all others, as in `AllowTcpForwarding no`.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.into());
        self
    }

    /// With a host key of this kind (`ecdsa`, `rsa`) beside the usual `ed25519`.
    #[must_use]
    pub fn also_host_key(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self
    }

    /// With a disk of this many bytes at [`Sshd::disk`], which is there for the server alone. For root only.
    #[must_use]
    pub fn disk(mut self, bytes: u64) -> Self {
        self.disk = Some(bytes);
        self
    }

    /// It takes [`PASSWORD`] too. For root only.
    #[must_use]
    pub fn password(mut self) -> Self {
        self.asks = Asks::Password;
        self
    }

    /// It asks for [`PASSWORD`] by questions (`keyboard-interactive`), through PAM. For root only.
    #[must_use]
    pub fn questions(mut self) -> Self {
        self.asks = Asks::Questions;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it is not installed or does not start; with its log.
    pub fn start(self) -> anyhow::Result<Sshd> {
        let folder = tempfile::Builder::new().prefix("howdah-sshd-").tempdir()?;
        let at = |name: &str| folder.path().join(name);
        make_key(&at("host_ed25519"), "ed25519", "")?;
        if self.kind != "ed25519" {
            make_key(&at("host_other"), self.kind, "")?;
        }
        make_key(&at("key"), "ed25519", "")?;
        make_key(&at("locked"), "ed25519", PASSPHRASE)?;
        let mut authorized = fs::read_to_string(at("key.pub"))?;
        authorized.push_str(&fs::read_to_string(at("locked.pub"))?);
        fs::write(at("authorized_keys"), authorized)?;
        let server = self.serve(folder, free_port()?)?;
        Ok(Sshd {
            server: Some(server),
            builder: self,
        })
    }

    fn serve(&self, folder: tempfile::TempDir, port: u16) -> anyhow::Result<Server> {
        let program = PLACES.iter().map(Path::new).find(|path| path.is_file());
        let program =
            program.context("sshd is not installed (Debian, Ubuntu: apt-get install openssh-server)")?;
        let at = |name: &str| folder.path().join(name);
        let mut config = self.lines.join("\n");
        let yes = |asked| if self.asks == asked { "yes" } else { "no" };
        let _ = write!(
            config,
            "\nListenAddress 127.0.0.1\nPort {port}\nHostKey {host_key}\nPidFile none\nStrictModes no\n\
             AuthorizedKeysFile {authorized}\nPermitRootLogin yes\nUsePAM {pam}\nPasswordAuthentication {password}\n\
             KbdInteractiveAuthentication {pam}\nSubsystem sftp internal-sftp\nLogLevel VERBOSE\nMaxStartups 200\n\
             UseDNS no\n",
            host_key = at("host_ed25519").display(),
            authorized = at("authorized_keys").display(),
            pam = yes(Asks::Questions),
            password = yes(Asks::Password),
        );
        if self.kind != "ed25519" {
            let _ = writeln!(config, "HostKey {}", at("host_other").display());
        }
        fs::write(at("sshd_config"), config)?;
        let root = geteuid().is_root();
        ensure!(
            root || (self.asks == Asks::Nothing && self.disk.is_none()),
            "only root can run an sshd that asks for passwords or has a disk"
        );
        if !root {
            return Server::start_in(folder, port, program, |command, _, folder| {
                command.args(["-D", "-e", "-f"]).arg(folder.join("sshd_config"));
                Ok(())
            });
        }
        if self.asks != Asks::Nothing {
            fs::write(at("shadow"), shadow()?)?;
            fs::set_permissions(at("shadow"), fs::Permissions::from_mode(0o600))?;
            fs::write(
                at("pam"),
                "auth required pam_unix.so\naccount required pam_permit.so\nsession required pam_permit.so\n",
            )?;
        }
        // As root it wants an empty folder to lock itself into, and a password has to be somewhere: both are there for this
        // server alone.
        let mut script = "mkdir -p /run/sshd; ".to_owned();
        if self.asks != Asks::Nothing {
            script.push_str("mount --bind shadow /etc/shadow; mount --bind pam /etc/pam.d/sshd; ");
        }
        if let Some(bytes) = self.disk {
            fs::create_dir_all(at("disk"))?;
            let _ = write!(script, "mount -t tmpfs -o size={bytes} none disk; ");
        }
        let _ = write!(script, "exec {} -D -e -f \"$PWD/sshd_config\"", program.display());
        Server::start_in(folder, port, Path::new("/usr/bin/unshare"), |command, _, _| {
            command.args(["--mount", "sh", "-ec", &script]);
            Ok(())
        })
    }
}

impl Sshd {
    /// Starts one that lets in by key, forwards what it is asked to, and serves SFTP.
    ///
    /// # Errors
    /// As [`SshdBuilder::start`].
    pub fn start() -> anyhow::Result<Self> {
        Self::builder().start()
    }

    /// Says first what it should be like.
    pub fn builder() -> SshdBuilder {
        SshdBuilder {
            lines: Vec::new(),
            asks: Asks::Nothing,
            kind: "ed25519",
            disk: None,
        }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("BUG: the server was stopped")
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.server().port()
    }

    /// The user that it lets in: the one who runs the tests.
    ///
    /// # Panics
    /// When that user has no name.
    pub fn user() -> String {
        let user = User::from_uid(geteuid());
        user.ok().flatten().expect("BUG: the user has no name").name
    }

    /// Its working directory: keys, configuration, log.
    pub fn folder(&self) -> &Path {
        self.server().folder()
    }

    /// Where its disk is, as it sees it.
    pub fn disk(&self) -> PathBuf {
        self.folder().join("disk")
    }

    /// A private key that it lets in.
    pub fn key(&self) -> PathBuf {
        self.folder().join("key")
    }

    /// Another one, which [`PASSPHRASE`] opens.
    pub fn locked_key(&self) -> PathBuf {
        self.folder().join("locked")
    }

    /// The public part of its ed25519 key: kind and base64.
    ///
    /// # Panics
    /// When its file is gone.
    pub fn host_key(&self) -> String {
        let text = fs::read_to_string(self.folder().join("host_ed25519.pub")).expect("BUG: it was written");
        let mut words = text.split(' ');
        format!(
            "{} {}",
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default()
        )
    }

    /// A `known_hosts` file that holds its ed25519 key.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn known_hosts(&self) -> PathBuf {
        let file = self.folder().join("known_hosts");
        let line = format!("[127.0.0.1]:{} {}\n", self.port(), self.host_key());
        fs::write(&file, line).expect("BUG: its folder can be written");
        file
    }

    /// How to log in by key.
    pub fn target(&self) -> SshTarget {
        SshTarget {
            host: "127.0.0.1".into(),
            port: Some(self.port()),
            user: Some(Self::user()),
            login: SshLogin::Key { file: self.key() },
        }
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        self.server().log()
    }

    /// The processes that serve its sessions now.
    pub fn sessions(&self) -> Vec<u32> {
        children_of(self.server().pid())
    }

    /// Kills its sessions, and not itself: connections break, new ones can be made.
    pub fn kill_sessions(&self) {
        self.signal_sessions(Signal::SIGKILL);
    }

    /// Stops its sessions where they stand (SIGSTOP): nothing is answered, nothing is closed.
    pub fn freeze_sessions(&self) {
        self.signal_sessions(Signal::SIGSTOP);
    }

    fn signal_sessions(&self, signal: Signal) {
        let mut pids = self.sessions();
        // A session is two processes: one with rights, and below it the one that does the work.
        pids.extend(pids.clone().into_iter().flat_map(children_of));
        for pid in pids {
            // One that ended meanwhile needs no signal.
            let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
        }
    }

    /// Ends it with its sessions; [`Sshd::start_again`] brings it back on the same port with the same files.
    pub fn stop(&mut self) -> Stopped {
        self.kill_sessions();
        let server = self.server.take().expect("BUG: the server was stopped");
        let (folder, port) = server.stop();
        Stopped { folder, port }
    }

    /// Starts it again.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_again(&mut self, stopped: Stopped) -> anyhow::Result<()> {
        self.server = Some(self.builder.serve(stopped.folder, stopped.port)?);
        Ok(())
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // They lead process groups of their own.
        if self.server.is_some() {
            self.kill_sessions();
        }
    }
}

/// A server that was stopped: its files are still there.
#[derive(Debug)]
pub struct Stopped {
    folder: tempfile::TempDir,
    port: u16,
}

impl Stopped {
    /// Gives it another host key, as a machine has that was set up anew.
    ///
    /// # Errors
    /// When `ssh-keygen` fails.
    pub fn change_host_key(&self) -> anyhow::Result<()> {
        make_key(&self.folder.path().join("host_ed25519"), "ed25519", "")
    }
}

fn children_of(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
        .collect()
}

/// Makes a private key, and its public part beside it.
///
/// # Errors
/// When `ssh-keygen` (Debian: `openssh-client`) is not there or fails.
pub fn make_key(file: &Path, kind: &str, passphrase: &str) -> anyhow::Result<()> {
    for old in [file.to_owned(), file.with_extension("pub")] {
        if old.exists() {
            fs::remove_file(old)?;
        }
    }
    let output = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", passphrase, "-C", "", "-f"])
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .context("ssh-keygen does not start (Debian, Ubuntu: apt-get install openssh-client)")?;
    ensure!(
        output.status.success(),
        "ssh-keygen: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// This machine's `/etc/shadow`, in which root's password is [`PASSWORD`].
fn shadow() -> anyhow::Result<String> {
    let output = Command::new("openssl")
        .args(["passwd", "-6", PASSWORD])
        .stdin(Stdio::null())
        .output()
        .context("openssl does not start")?;
    let hash = String::from_utf8(output.stdout)?;
    let root = format!("root:{}:19000:0:99999:7:::", hash.trim());
    let others = fs::read_to_string("/etc/shadow")?;
    let others = others.lines().filter(|line| !line.starts_with("root:"));
    Ok(std::iter::once(root.as_str())
        .chain(others)
        .collect::<Vec<_>>()
        .join("\n")
        + "\n")
}

/// An `ssh-agent` of a test's own; dropping it ends it.
#[derive(Debug)]
pub struct Agent {
    // Dropped in this order: the process ends before its folder goes.
    child: Child,
    folder: tempfile::TempDir,
}

impl Agent {
    /// Starts one that holds these keys, in this order.
    ///
    /// # Errors
    /// When `ssh-agent` or `ssh-add` (Debian: `openssh-client`) fails.
    pub fn start(keys: &[&Path]) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("howdah-agent-").tempdir()?;
        let socket = folder.path().join("socket");
        let mut command = Command::new("ssh-agent");
        command
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = children::spawn(command, Parting::Kill).context("ssh-agent does not start")?;
        let agent = Self { child, folder };
        while !socket.exists() {
            ensure!(agent.child.ended().is_none(), "ssh-agent ended");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        for key in keys {
            let output = Command::new("ssh-add")
                .arg("-q")
                .arg(key)
                .env("SSH_AUTH_SOCK", &socket)
                .stdin(Stdio::null())
                .output()?;
            ensure!(
                output.status.success(),
                "ssh-add: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(agent)
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }
}
