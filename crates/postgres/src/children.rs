//! Child processes that end with us: the one place in Howdah where a process is started.
//!
//! Each child leads a process group of its own, so that it can be killed with whatever it started, and has a *parent
//! death signal*: when Howdah dies, even by `kill -9`, the kernel ends the child. It knows nothing of PostgreSQL: which
//! program, which arguments and which signal are the caller's choice.
//!
//! With `network/lookup.rs` this is the only module with `unsafe`: [`std::os::unix::process::CommandExt::pre_exec`] runs code between fork and
//! exec. What runs there makes only system calls (prctl, getppid, unshare, open, write, _exit), which allocate nothing and take no
//! lock.
//!
//! Linux's parent death signal follows the *thread* that started the child (prctl(2), `PR_SET_PDEATHSIG`), and the
//! runtime's threads come and go. So all children are started by one thread that lives as long as the process.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::output::{Tail, collect};

/// The size that a child's standard output is given where the system allows it: Linux's default limit for an
/// unprivileged user (`/proc/sys/fs/pipe-max-size`). With the usual 64 KiB a dump waits for its reader more often.
const PIPE_BYTES: i32 = 1 << 20;

/// How a child is ended when Howdah dies, and when its [`Child`] is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parting {
    /// SIGKILL: for clients, which have nothing to save.
    Kill,
    /// SIGINT: for `postgres`, a fast shutdown that closes the cluster properly.
    Interrupt,
    /// SIGQUIT: for `postgres`, an immediate shutdown; the next start recovers.
    Quit,
    /// Not at all: a `postgres` that the command line starts for the user goes on when the command has ended.
    Stay,
}

impl Parting {
    /// The signal that it stands for.
    pub fn signal(self) -> Option<Signal> {
        match self {
            Self::Kill => Some(Signal::SIGKILL),
            Self::Interrupt => Some(Signal::SIGINT),
            Self::Quit => Some(Signal::SIGQUIT),
            Self::Stay => None,
        }
    }
}

/// Starts a command in a process group of its own, tied to our life.
///
/// Standard streams are as the command has them, so set all three: what is left unset is inherited. Whatever is
/// [`Stdio::piped`](std::process::Stdio::piped) is found in the [`Child`]. The call blocks until the program runs, a few
/// milliseconds; any thread may make it.
///
/// # Errors
/// Those of [`Command::spawn`]: `NotFound` when there is no such program.
pub fn spawn(command: Command, parting: Parting) -> io::Result<Child> {
    static STARTER: Starter = OnceLock::new();
    by(&STARTER, "child-starter", || {}, command, parting)
}

/// As [`spawn`], without a network: the child has a network namespace of its own, with nothing in it, where the system allows that
/// (Linux; as root, or where unprivileged user namespaces are). Unix sockets in the file system still lead in and out. Whether it
/// is so says [`Child::has_own_network`].
///
/// # Errors
/// As [`spawn`].
pub fn spawn_isolated(mut command: Command, parting: Parting) -> io::Result<Child> {
    #[cfg(target_os = "linux")]
    if nix::unistd::geteuid().is_root() {
        static STARTER: Starter = OnceLock::new();
        // The command may give up root before anything of ours runs in it, so the thread that starts it has the namespace.
        return by(
            &STARTER,
            "isolated-starter",
            || {
                // Only the isolation is lost where it is refused.
                let _ = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET);
            },
            command,
            parting,
        );
    }
    #[cfg(target_os = "linux")]
    isolation::in_namespaces_of_its_own(&mut command);
    spawn(command, parting)
}

#[cfg(target_os = "linux")]
mod isolation {
    use std::io::Write as _;
    use std::os::fd::AsFd as _;
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;

    use nix::fcntl::{OFlag, open};
    use nix::sched::{CloneFlags, unshare};
    use nix::sys::stat::Mode;
    use nix::unistd::{getegid, geteuid, write};

    /// A line of a map of ids, made before the fork: nothing may be allocated after it.
    fn itself(id: u32) -> ([u8; 64], usize) {
        let mut line = [0; 64];
        let mut rest = &mut line[..];
        let _ = writeln!(rest, "{id} {id} 1");
        let left = rest.len();
        (line, 64 - left)
    }

    /// An ordinary user may have a network of its own only in a user namespace of its own (user_namespaces(7)), in which it stays
    /// who it is.
    pub(super) fn in_namespaces_of_its_own(command: &mut Command) {
        let user = itself(geteuid().as_raw());
        let group = itself(getegid().as_raw());
        // SAFETY: unshare, open and write are system calls; paths and lines are there already, and what they answer is dropped.
        unsafe {
            command.pre_exec(move || {
                if unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).is_err() {
                    return Ok(());
                }
                for (path, line) in [
                    (c"/proc/self/setgroups", b"deny".as_slice()),
                    (c"/proc/self/uid_map", &user.0[..user.1]),
                    (c"/proc/self/gid_map", &group.0[..group.1]),
                ] {
                    if let Ok(file) = open(path, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty()) {
                        let _ = write(file.as_fd(), line);
                    }
                }
                Ok(())
            });
        }
    }
}

/// A thread that starts children, and lives as long as the process.
type Starter = OnceLock<mpsc::Sender<Request>>;

fn by(
    starter: &'static Starter,
    name: &str,
    prepare: impl FnOnce() + Send + 'static,
    command: Command,
    parting: Parting,
) -> io::Result<Child> {
    let starter = match starter.get() {
        Some(starter) => starter,
        None => {
            let (sender, requests) = mpsc::channel::<Request>();
            std::thread::Builder::new().name(name.into()).spawn(move || {
                prepare();
                for request in requests {
                    let started = start(request.command, request.parting);
                    // Whoever asked may be gone: then the child is dropped here, and killed.
                    let _ = request.answer.send(started);
                }
            })?;
            // If another thread was faster, ours ends with its sender.
            starter.get_or_init(|| sender)
        }
    };
    let (answer, started) = mpsc::sync_channel(1);
    let request = Request {
        command,
        parting,
        answer,
    };
    starter
        .send(request)
        .map_err(|_| io::Error::other("the thread that starts children is gone"))?;
    started
        .recv()
        .map_err(|_| io::Error::other("the thread that starts children is gone"))?
}

struct Request {
    command: Command,
    parting: Parting,
    answer: mpsc::SyncSender<io::Result<Child>>,
}

/// Runs on a starter thread only.
fn start(mut command: Command, parting: Parting) -> io::Result<Child> {
    command.process_group(0);
    #[cfg(target_os = "linux")]
    if let Some(signal) = parting.signal() {
        let us = Pid::this();
        // SAFETY: between fork and exec only async-signal-safe calls are allowed; prctl, getppid and _exit are system
        // calls, and making an `io::Error` from an error number does not allocate.
        unsafe {
            command.pre_exec(move || {
                nix::sys::prctl::set_pdeathsig(signal)?;
                // Had we died before the prctl, nobody would send the signal any more.
                if nix::unistd::getppid() != us {
                    nix::libc::_exit(127);
                }
                Ok(())
            });
        }
    }
    let mut process = command.spawn()?;
    let group = Arc::new(Group {
        pid: Pid::from_raw(process.id().cast_signed()),
        alive: Mutex::new(true),
    });
    let stdin = process.stdin.take().map(|pipe| File::from(OwnedFd::from(pipe)));
    let stdout = process.stdout.take().map(|pipe| File::from(OwnedFd::from(pipe)));
    let stderr = process.stderr.take().map(|pipe| File::from(OwnedFd::from(pipe)));
    #[cfg(target_os = "linux")]
    if let Some(stdout) = &stdout {
        // Only speed is lost where it is refused.
        let _ = nix::fcntl::fcntl(stdout, nix::fcntl::FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
    }

    let (sender, exit) = watch::channel(None);
    let child = Child {
        group: Arc::clone(&group),
        parting,
        exit,
        stdin,
        stdout,
        stderr,
    };
    // One small thread per child: it outlives any runtime, so that no zombie is left whoever drops what.
    std::thread::Builder::new()
        .name("child-wait".into())
        .stack_size(128 * 1024)
        .spawn(move || {
            let exit = group.wait_for_leader(process).map_err(|error| error.to_string());
            sender.send_replace(Some(exit));
        })?;
    Ok(child)
}

/// A process group that we started. Its number is valid until its leader was waited for.
#[derive(Debug)]
struct Group {
    pid: Pid,
    /// Whether the leader was not waited for yet: its number is ours.
    alive: Mutex<bool>,
}

impl Group {
    fn signal(&self, signal: Signal) {
        let alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        if *alive {
            // ESRCH: it ended just now, and nobody is left in the group.
            let _ = killpg(self.pid, signal);
        }
    }

    fn wait_for_leader(&self, mut process: std::process::Child) -> io::Result<ExitStatus> {
        #[cfg(target_os = "linux")]
        {
            use nix::sys::wait::{Id, WaitPidFlag, waitid};
            // Without reaping it, so that its number stays ours until the lock below is held.
            while let Err(error) = waitid(Id::Pid(self.pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
                if error != nix::errno::Errno::EINTR {
                    break;
                }
            }
        }
        #[cfg(not(target_os = "linux"))]
        let early = process.wait();
        let mut alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        // Parallel workers of a leader that is gone have nobody to report to.
        let _ = killpg(self.pid, Signal::SIGKILL);
        #[cfg(target_os = "linux")]
        let early = process.wait();
        *alive = false;
        early
    }
}

/// A running (or ended) child and its process group. Dropping it ends the group by its [`Parting`].
#[derive(Debug)]
pub struct Child {
    group: Arc<Group>,
    parting: Parting,
    exit: watch::Receiver<Option<Result<ExitStatus, String>>>,
    stdin: Option<File>,
    stdout: Option<File>,
    stderr: Option<File>,
}

/// Kills a child's process group from elsewhere; it does nothing once the child has ended.
#[derive(Debug, Clone)]
pub struct Killer(Arc<Group>);

impl Killer {
    /// SIGKILL to the whole group.
    pub fn kill_group(&self) {
        self.0.signal(Signal::SIGKILL);
    }
}

impl Child {
    /// The process number, which is also its group's.
    pub fn pid(&self) -> u32 {
        self.group.pid.as_raw().cast_unsigned()
    }

    /// Whether it is known to be in a network namespace of its own (see [`spawn_isolated`]).
    pub fn has_own_network(&self) -> bool {
        let network = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/net")).ok();
        // Where one of them may not be looked at, nothing is known.
        matches!((network(&self.pid().to_string()), network("self")), (Some(its), Some(ours)) if its != ours)
    }

    /// The writing end of its standard input, if that is a pipe; a blocking [`io::Write`]. Drop it to say "the end".
    pub fn take_stdin(&mut self) -> Option<File> {
        self.stdin.take()
    }

    /// The reading end of its standard output, if that is a pipe: a blocking [`io::Read`], for a thread;
    /// [`crate::output::readable`] makes it asynchronous. It gives end-of-file when the last process that holds it has ended.
    pub fn take_stdout(&mut self) -> Option<File> {
        self.stdout.take()
    }

    /// The reading end of its standard error, as [`Child::take_stdout`].
    pub fn take_stderr(&mut self) -> Option<File> {
        self.stderr.take()
    }

    /// Something that can kill the group while this is borrowed or waited for.
    pub fn killer(&self) -> Killer {
        Killer(Arc::clone(&self.group))
    }

    /// SIGKILL to the whole group. Wait afterwards to see it gone.
    pub fn kill_group(&self) {
        self.group.signal(Signal::SIGKILL);
    }

    /// Any signal to the whole group.
    pub fn signal(&self, signal: Signal) {
        self.group.signal(signal);
    }

    /// The exit status, if it has ended.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.exit
            .borrow()
            .as_ref()
            .and_then(|exit| exit.as_ref().ok().copied())
    }

    /// Waits for the end of the process; afterwards nobody of its group is left. May be called again.
    ///
    /// # Errors
    /// [`Error::Cancelled`] when `cancel` fires first; the group has been killed and is gone then.
    pub async fn wait(&mut self, cancel: &CancellationToken) -> Result<ExitStatus, Error> {
        let mut exit = self.exit.clone();
        tokio::select! {
            biased;
            exit = ended(&mut exit) => exit,
            () = cancel.cancelled() => {
                self.kill_group();
                ended(&mut self.exit).await?;
                Err(Error::Cancelled)
            }
        }
    }

    /// Waits at most this long, blocking the thread; for `Drop` and for shutdown, where no runtime may be left.
    pub fn wait_blocking(&self, at_most: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + at_most;
        loop {
            if self.exit.borrow().is_some() || Instant::now() >= until {
                return self.ended();
            }
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    /// Reads standard output and error, as far as they are pipes not taken yet, until the process has ended.
    /// Of each the last `limit` bytes are kept.
    ///
    /// # Errors
    /// As [`Child::wait`]. A status other than 0 is no error here.
    pub async fn finish(mut self, cancel: &CancellationToken, limit: usize) -> Result<Finished, Error> {
        let stdout = self.stdout.take().map(|file| collect(file, limit)).transpose();
        let stderr = self.stderr.take().map(|file| collect(file, limit)).transpose();
        let reading = |error| Error::io("reading a program's output", error);
        let (stdout, stderr) = (stdout.map_err(reading)?, stderr.map_err(reading)?);
        let status = self.wait(cancel).await?;
        let mut finished = Finished {
            status,
            stdout: Tail::new(limit),
            stderr: Tail::new(limit),
        };
        if let Some(stdout) = stdout {
            finished.stdout = stdout.finish().await;
        }
        if let Some(stderr) = stderr {
            finished.stderr = stderr.finish().await;
        }
        Ok(finished)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(signal) = self.parting.signal() {
            self.group.signal(signal);
        }
    }
}

async fn ended(exit: &mut watch::Receiver<Option<Result<ExitStatus, String>>>) -> Result<ExitStatus, Error> {
    let failed = |text: &str| Error::io("waiting for a program", io::Error::other(text));
    match exit.wait_for(Option::is_some).await {
        Ok(value) => match value.as_ref() {
            Some(Ok(status)) => Ok(*status),
            Some(Err(text)) => Err(failed(text)),
            None => unreachable!("BUG: waited for a value"),
        },
        Err(_) => Err(failed("the thread that waits for it is gone")),
    }
}

/// What a program left behind.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// The end of its standard output.
    pub stdout: Tail,
    /// The end of its standard error.
    pub stderr: Tail,
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::Stdio;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn runs(pid: u32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // A zombie has ended: only its parent has not noticed yet.
        !stat.is_empty()
            && !stat
                .rsplit(')')
                .next()
                .is_some_and(|rest| rest.trim_start().starts_with('Z'))
    }

    fn soon(mut holds: impl FnMut() -> bool) -> bool {
        (0..300).any(|_| {
            holds() || {
                std::thread::sleep(Duration::from_millis(10));
                false
            }
        })
    }

    #[tokio::test]
    async fn a_child_gives_its_output_and_its_status() {
        let child = spawn(shell("echo out; echo err >&2; exit 7"), Parting::Kill).unwrap();
        let finished = child.finish(&CancellationToken::new(), 100).await.unwrap();
        assert_eq!(finished.status.code(), Some(7));
        assert_eq!(
            (finished.stdout.text().as_str(), finished.stderr.text().as_str()),
            ("out\n", "err\n")
        );
    }

    #[tokio::test]
    async fn only_the_end_of_a_long_output_is_kept() {
        let child = spawn(shell("seq 1 50000 >&2"), Parting::Kill).unwrap();
        let finished = child.finish(&CancellationToken::new(), 1000).await.unwrap();
        assert_eq!(finished.stderr.bytes().len(), 1000);
        assert!(finished.stderr.text().ends_with("\n49999\n50000\n"));
        assert_eq!(finished.stderr.dropped(), 288_894 - 1000);
    }

    #[tokio::test]
    async fn cancelling_kills_the_whole_group() {
        let mut child = spawn(shell("sleep 1000 & echo $!; wait"), Parting::Kill).unwrap();
        let mut line = [0; 32];
        let n = child.take_stdout().unwrap().read(&mut line).unwrap();
        let grandchild: u32 = String::from_utf8_lossy(&line[..n]).trim().parse().unwrap();
        assert!(runs(grandchild));
        let cancel = CancellationToken::new();
        cancel.cancel();
        assert!(child.wait(&cancel).await.unwrap_err().is_cancelled());
        assert!(soon(|| !runs(grandchild)));
    }

    #[tokio::test]
    async fn what_a_child_leaves_running_in_its_group_ends_with_it() {
        let mut child = spawn(shell("sleep 1000 >/dev/null 2>&1 & echo $!"), Parting::Kill).unwrap();
        let mut text = String::new();
        child.take_stdout().unwrap().read_to_string(&mut text).unwrap();
        child.wait(&CancellationToken::new()).await.unwrap();
        let left: u32 = text.trim().parse().unwrap();
        assert!(soon(|| !runs(left)));
    }

    #[test]
    fn dropping_a_child_ends_it_without_a_runtime() {
        let child = spawn(shell("exec sleep 1000"), Parting::Interrupt).unwrap();
        let pid = child.pid();
        assert!(runs(pid));
        drop(child);
        assert!(soon(|| !runs(pid)));
    }

    #[test]
    fn a_child_survives_the_thread_that_asked_for_it() {
        let child = std::thread::spawn(|| spawn(shell("exec sleep 1000"), Parting::Kill).unwrap());
        let child = child.join().unwrap();
        assert_eq!(child.wait_blocking(Duration::from_millis(200)), None);
        assert!(runs(child.pid()));
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error_at_once() {
        let error = spawn(Command::new("/no/such/program"), Parting::Kill).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    /// The other half of the test below: starts a child, tells its number, and waits to be killed.
    #[test]
    fn start_a_child_and_wait_when_told_to() {
        let Ok(file) = std::env::var("HOWDAH_TEST_CHILD_NUMBER") else {
            return;
        };
        let child = spawn(shell("exec sleep 1000"), Parting::Kill).unwrap();
        std::fs::write(&file, child.pid().to_string()).unwrap();
        std::thread::sleep(Duration::from_secs(60));
    }

    #[test]
    fn no_child_outlives_a_parent_that_is_killed_with_9() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("number");
        let mut parent = Command::new(std::env::current_exe().unwrap());
        parent.args([
            "--exact",
            "children::tests::start_a_child_and_wait_when_told_to",
            "--nocapture",
        ]);
        parent
            .env("HOWDAH_TEST_CHILD_NUMBER", &file)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut parent = parent.spawn().unwrap();
        let mut number = None;
        assert!(soon(|| {
            number = std::fs::read_to_string(&file)
                .ok()
                .and_then(|text| text.parse::<u32>().ok());
            number.is_some()
        }));
        let child = number.unwrap();
        assert!(runs(child));
        parent.kill().unwrap();
        parent.wait().unwrap();
        assert!(soon(|| !runs(child)), "the child outlived its parent");
    }
}
