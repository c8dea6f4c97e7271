//! Runs a program to its end and says what it took: wall time, processor time of it and its children, peak memory.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::resource::{UsageWho, getrusage};

/// What a run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    /// From start to end.
    pub(crate) wall: Duration,
    /// User and system time of the program and of the children that it waited for; not the server's.
    pub(crate) cpu: Duration,
    /// The program's own peak resident memory (VmHWM), its children's left out. Bytes.
    pub(crate) peak_memory: u64,
}

/// Runs `command`, its output into the file `output` (`/dev/null` will do).
///
/// The processor time is exact: the kernel adds it up when a child is waited for. The peak memory is read every few
/// milliseconds; it only grows, so at most the very end is missed.
pub(crate) fn run(mut command: Command, output: &Path) -> anyhow::Result<Taken> {
    let file = File::create(output)?;
    let before = cpu_of_children()?;
    let began = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", command.get_program().display()))?;
    let status_file = format!("/proc/{}/status", child.id());
    let mut peak_memory = 0;
    let status = loop {
        if let Some(memory) = high_water_mark(&status_file) {
            peak_memory = peak_memory.max(memory);
        }
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(4));
    };
    let wall = began.elapsed();
    if !status.success() {
        let mut said = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            std::io::Read::read_to_string(&mut stderr, &mut said)?;
        }
        bail!("{} ended with {status}: {said}", command.get_program().display());
    }
    Ok(Taken {
        wall,
        cpu: cpu_of_children()?.saturating_sub(before),
        peak_memory,
    })
}

fn cpu_of_children() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let total = usage.user_time() + usage.system_time();
    Ok(Duration::from_micros(
        u64::try_from(total.tv_sec())? * 1_000_000 + u64::try_from(total.tv_usec())?,
    ))
}

/// `VmHWM` of a process; none when it has gone.
fn high_water_mark(status_file: &str) -> Option<u64> {
    let text = std::fs::read_to_string(status_file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib * 1024)
}
