//! A system bus of a test's own, with python-dbusmock's logind, UPower and NetworkManager on it
//! (<https://martinpitt.github.io/python-dbusmock/>).

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use howdah_postgres::children::{self, Child, Parting};

/// How long a service may take until it is on the bus.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// logind.
    Logind,
    /// UPower.
    UPower,
    /// NetworkManager.
    NetworkManager,
}

impl Service {
    fn template(self) -> &'static str {
        match self {
            Self::Logind => "logind",
            Self::UPower => "upower",
            Self::NetworkManager => "networkmanager",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Logind => "org.freedesktop.login1",
            Self::UPower => "org.freedesktop.UPower",
            Self::NetworkManager => "org.freedesktop.NetworkManager",
        }
    }

    fn object(self) -> &'static str {
        match self {
            Self::Logind => "/org/freedesktop/login1",
            Self::UPower => "/org/freedesktop/UPower",
            Self::NetworkManager => "/org/freedesktop/NetworkManager",
        }
    }
}

/// A bus; what is on it ends with it.
#[derive(Debug)]
pub struct SystemBus {
    services: Vec<(Service, Child)>,
    _daemon: Child,
    folder: tempfile::TempDir,
}

impl SystemBus {
    /// Starts a bus without services.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("howdah-bus-").tempdir()?;
        let mut command = Command::new("dbus-daemon");
        command
            .args(["--session", "--nofork", "--nopidfile", "--address"])
            .arg(format!("unix:path={}", folder.path().join("bus").display()));
        let daemon = spawn(command, &folder.path().join("daemon.log"))?;
        let bus = Self {
            services: Vec::new(),
            _daemon: daemon,
            folder,
        };
        let until = Instant::now() + PATIENCE;
        while std::os::unix::net::UnixStream::connect(bus.folder.path().join("bus")).is_err() {
            ensure!(Instant::now() < until, "dbus-daemon does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(bus)
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        format!("unix:path={}", self.folder.path().join("bus").display())
    }

    /// Puts a service on it.
    ///
    /// # Errors
    /// When it does not come; Debian's `python3-dbusmock` may be missing.
    pub fn add(&mut self, service: Service) -> anyhow::Result<()> {
        let mut command = Command::new("/usr/bin/python3");
        command
            .args(["-m", "dbusmock", "--system", "-t", service.template()])
            .env("DBUS_SYSTEM_BUS_ADDRESS", self.address());
        let log = self.folder.path().join(service.template());
        let child = spawn(command, &log)?;
        let until = Instant::now() + PATIENCE;
        while !self.is_there(service) {
            if let Some(status) = child.ended() {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                bail!("dbusmock ended with {status}: {said}");
            }
            ensure!(Instant::now() < until, "{service:?} is not on the bus");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.services.push((service, child));
        Ok(())
    }

    /// Takes a service off it.
    pub fn remove(&mut self, service: Service) {
        self.services.retain(|(other, _)| *other != service);
    }

    fn is_there(&self, service: Service) -> bool {
        self.call(
            "org.freedesktop.DBus",
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus.NameHasOwner",
            &[service.name()],
        )
        .is_ok_and(|said| said.contains("true"))
    }

    /// logind says that the machine is about to sleep, or woke.
    ///
    /// # Errors
    /// When logind is not there.
    pub fn prepare_for_sleep(&self, begins: bool) -> anyhow::Result<()> {
        self.signal("PrepareForSleep", begins)
    }

    /// logind says that the machine is about to be switched off.
    ///
    /// # Errors
    /// When logind is not there.
    pub fn prepare_for_shutdown(&self) -> anyhow::Result<()> {
        self.signal("PrepareForShutdown", true)
    }

    fn signal(&self, name: &str, value: bool) -> anyhow::Result<()> {
        self.control(
            Service::Logind,
            Service::Logind.object(),
            "EmitSignal",
            &[
                "org.freedesktop.login1.Manager",
                name,
                "b",
                &format!("[<{value}>]"),
            ],
        )
    }

    /// The locks that are held: what, who, why, mode, as GVariant text.
    ///
    /// # Errors
    /// When logind is not there.
    pub fn locks(&self) -> anyhow::Result<String> {
        self.call(
            Service::Logind.name(),
            Service::Logind.object(),
            "org.freedesktop.login1.Manager.ListInhibitors",
            &[],
        )
    }

    /// UPower says what the machine lives on, and how full its battery is.
    ///
    /// # Errors
    /// When UPower is not there.
    pub fn power(&self, on_battery: bool, percent: f64) -> anyhow::Result<()> {
        self.control(
            Service::UPower,
            "/org/freedesktop/UPower/devices/DisplayDevice",
            "UpdateProperties",
            &[
                "org.freedesktop.UPower.Device",
                &format!("{{'IsPresent': <true>, 'Percentage': <{percent:.1}>}}"),
            ],
        )?;
        self.control(
            Service::UPower,
            Service::UPower.object(),
            "UpdateProperties",
            &[
                "org.freedesktop.UPower",
                &format!("{{'OnBattery': <{on_battery}>}}"),
            ],
        )
    }

    /// NetworkManager says whether the network is paid by the byte (`NMMetered`), and how the machine is connected (`NMState`).
    ///
    /// # Errors
    /// When NetworkManager is not there.
    pub fn network(&self, metered: u32, state: u32) -> anyhow::Result<()> {
        // The template has no such property; once it is there, adding it again fails.
        drop(self.control(
            Service::NetworkManager,
            Service::NetworkManager.object(),
            "AddProperty",
            &["org.freedesktop.NetworkManager", "Metered", "<uint32 0>"],
        ));
        self.control(
            Service::NetworkManager,
            Service::NetworkManager.object(),
            "UpdateProperties",
            &[
                "org.freedesktop.NetworkManager",
                &format!("{{'Metered': <uint32 {metered}>, 'State': <uint32 {state}>}}"),
            ],
        )
    }

    fn control(
        &self,
        service: Service,
        object: &str,
        method: &str,
        arguments: &[&str],
    ) -> anyhow::Result<()> {
        let method = format!("org.freedesktop.DBus.Mock.{method}");
        self.call(service.name(), object, &method, arguments).map(drop)
    }

    fn call(&self, service: &str, object: &str, method: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new("gdbus")
            .args(["call", "--address", &self.address(), "--dest", service])
            .args(["--object-path", object, "--method", method])
            .args(arguments)
            .output()
            .context("gdbus does not start")?;
        ensure!(
            output.status.success(),
            "{method}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn spawn(mut command: Command, log: &Path) -> anyhow::Result<Child> {
    let log = File::create(log)?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    children::spawn(command, Parting::Kill).context("a program of the bus does not start")
}
