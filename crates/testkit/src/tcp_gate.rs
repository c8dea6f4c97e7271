//! A server's door that misbehaves on purpose, for protocols that are not HTTP: bytes go through as they are, until a rule strikes.
//!
//! [`TcpGate::before_ftp`] knows one thing of FTP: the port of a data connection that the server opens (RFC 959, RFC 2428) is
//! replaced by one of the gate's, so that data goes through the gate too. With TLS that cannot be seen, and data goes by it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// The most bytes that are held.
const PIECE: usize = 64 * 1024;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// What is done to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mischief {
    /// It is closed at once, in both ways, when so many bytes have passed.
    Cut {
        /// Bytes that pass before.
        after: u64,
    },
    /// Once so many bytes have passed, no more is read this way. The other way goes on.
    Stall {
        /// Bytes that pass before.
        after: u64,
    },
    /// One bit of the byte at this place arrives altered.
    Flip {
        /// Counted from 0.
        at: u64,
    },
}

/// Which kind of connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One that a client made to the gate's own port.
    Plain,
    /// A data connection of FTP.
    Data,
}

/// Which connections are played what.
#[derive(Debug, Clone, Copy)]
pub struct TcpRule {
    kind: Kind,
    way: Way,
    from: u64,
    times: u64,
    mischief: Mischief,
}

impl TcpRule {
    /// The first connection made from now on.
    pub fn new(way: Way, mischief: Mischief) -> Self {
        Self {
            kind: Kind::Plain,
            way,
            from: 1,
            times: 1,
            mischief,
        }
    }

    /// Of FTP's data connections instead.
    #[must_use]
    pub fn on_data(mut self) -> Self {
        self.kind = Kind::Data;
        self
    }

    /// Begins with the nth connection; 1 is the first.
    #[must_use]
    pub fn from(mut self, nth: u64) -> Self {
        self.from = nth;
        self
    }

    /// Goes on for so many connections, one after the other.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// Never ends.
    #[must_use]
    pub fn always(self) -> Self {
        self.times(u64::MAX)
    }
}

#[derive(Debug, Default)]
struct Book {
    /// Each with the number of connections of its kind that came since it was given.
    rules: Vec<(TcpRule, u64)>,
    plain: u64,
    data: u64,
    up: u64,
    down: u64,
}

impl Book {
    /// Notes a connection, and tells what is done to it: up, and down.
    fn enter(&mut self, kind: Kind) -> (Option<Mischief>, Option<Mischief>) {
        match kind {
            Kind::Plain => self.plain += 1,
            Kind::Data => self.data += 1,
        }
        let (mut up, mut down) = (None, None);
        for (rule, came) in self.rules.iter_mut().filter(|(rule, _)| rule.kind == kind) {
            *came += 1;
            if *came >= rule.from && *came - rule.from < rule.times {
                match rule.way {
                    Way::Up => up = Some(rule.mischief),
                    Way::Down => down = Some(rule.mischief),
                }
            }
        }
        (up, down)
    }
}

#[derive(Debug, Clone)]
struct Shared {
    book: Arc<Mutex<Book>>,
    /// Counts how often everything was to be cut.
    cuts: watch::Receiver<u64>,
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A gate before a server. Dropped, it closes, with every connection through it.
#[derive(Debug)]
pub struct TcpGate {
    port: u16,
    shared: Shared,
    cut: watch::Sender<u64>,
    task: JoinHandle<()>,
}

impl Drop for TcpGate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TcpGate {
    /// A gate before the server on this port of 127.0.0.1.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn before(server_port: u16) -> io::Result<Self> {
        Self::open(server_port, false).await
    }

    /// A gate before an FTP server; its data connections in passive mode go through the gate too.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn before_ftp(server_port: u16) -> io::Result<Self> {
        Self::open(server_port, true).await
    }

    async fn open(server_port: u16, ftp: bool) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let (cut, cuts) = watch::channel(0);
        let shared = Shared {
            book: Arc::default(),
            cuts,
        };
        let ours = shared.clone();
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, server_port));
        let task = tokio::spawn(async move {
            // They end with this task, which owns the set.
            let mut sessions = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                sessions.spawn(session(client, server, Kind::Plain, ftp, ours.clone()));
                while sessions.try_join_next().is_some() {}
            }
        });
        Ok(Self {
            port,
            shared,
            cut,
            task,
        })
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Adds a rule; it counts the connections from now on. Where several strike at the same way of a connection, the one given
    /// last counts.
    pub fn rule(&self, rule: TcpRule) {
        self.shared.book().rules.push((rule, 0));
    }

    /// Takes all rules back. Connections that are there keep what was meant for them.
    pub fn behave(&self) {
        self.shared.book().rules.clear();
    }

    /// Closes every connection that is there. New ones are taken.
    pub fn cut_all(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    /// How many connections were made to its own port.
    pub fn connections(&self) -> u64 {
        self.shared.book().plain
    }

    /// How many data connections of FTP there were.
    pub fn data_connections(&self) -> u64 {
        self.shared.book().data
    }

    /// Bytes that went through, this way.
    pub fn passed(&self, way: Way) -> u64 {
        let book = self.shared.book();
        match way {
            Way::Up => book.up,
            Way::Down => book.down,
        }
    }
}

/// Passes one connection's bytes until both sides have ended, one is cut, or everything is.
async fn session(client: TcpStream, server: SocketAddr, kind: Kind, ftp: bool, shared: Shared) {
    let (up, down) = shared.book().enter(kind);
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut cuts = shared.cuts.clone();
    cuts.mark_unchanged();
    // Ends with this session, which owns the set.
    let mut data = JoinSet::new();
    let upward = Relay::new(Way::Up, up, &shared).pass(from_client, to_server);
    let downward = async {
        let relay = Relay::new(Way::Down, down, &shared);
        if ftp {
            relay.pass_replies(from_server, to_client, &mut data).await
        } else {
            relay.pass(from_server, to_client).await
        }
    };
    let both = async {
        tokio::pin!(upward, downward);
        // A way that ended well leaves the other one open, as TCP has it; one that was cut takes the other with it.
        tokio::select! {
            ended = &mut upward => if ended.is_ok() { let _ = downward.await; },
            ended = &mut downward => if ended.is_ok() { let _ = upward.await; },
        }
    };
    tokio::select! {
        () = both => {}
        _ = cuts.changed() => {}
    }
    // A data connection may still be on its way when the control connection has ended well.
    while data.join_next().await.is_some() {}
}

/// A session inside another one; boxed, since its type would contain itself.
fn data_session(
    client: TcpStream,
    server: SocketAddr,
    shared: Shared,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(session(client, server, Kind::Data, false, shared))
}

/// One way of a connection.
struct Relay<'a> {
    way: Way,
    mischief: Option<Mischief>,
    passed: u64,
    shared: &'a Shared,
}

impl<'a> Relay<'a> {
    fn new(way: Way, mischief: Option<Mischief>, shared: &'a Shared) -> Self {
        Self {
            way,
            mischief,
            passed: 0,
            shared,
        }
    }

    /// Until the end, which is passed on; an error where it is cut.
    async fn pass(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
        let mut piece = vec![0; PIECE];
        self.hold().await?;
        loop {
            let read = from.read(&mut piece).await?;
            if read == 0 {
                return to.shutdown().await;
            }
            self.send(&mut piece[..read], &mut to).await?;
        }
    }

    /// As [`Relay::pass`], line by line, with the ports of data connections replaced.
    async fn pass_replies(
        mut self,
        from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        data: &mut JoinSet<()>,
    ) -> io::Result<()> {
        let mut from = BufReader::new(from);
        self.hold().await?;
        loop {
            let mut line = Vec::new();
            if from.read_until(b'\n', &mut line).await? == 0 {
                return to.shutdown().await;
            }
            if let Some(passive) = Passive::read(&line) {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                line = passive.reply(listener.local_addr()?.port());
                let shared = self.shared.clone();
                let server = SocketAddr::from((Ipv4Addr::LOCALHOST, passive.port));
                data.spawn(async move {
                    if let Ok((client, _)) = listener.accept().await {
                        data_session(client, server, shared).await;
                    }
                });
            }
            while data.try_join_next().is_some() {}
            self.send(&mut line, &mut to).await?;
        }
    }

    /// Sends as much as may pass.
    async fn send(&mut self, bytes: &mut [u8], to: &mut OwnedWriteHalf) -> io::Result<()> {
        let room = match self.mischief {
            Some(Mischief::Cut { after } | Mischief::Stall { after }) => after - self.passed,
            _ => u64::MAX,
        };
        let len = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        if let Some(Mischief::Flip { at }) = self.mischief
            && let Some(at) = at.checked_sub(self.passed)
            && let Some(byte) = usize::try_from(at).ok().and_then(|at| bytes.get_mut(at))
        {
            *byte ^= 1;
        }
        to.write_all(&bytes[..len]).await?;
        self.passed += len as u64;
        {
            let mut book = self.shared.book();
            match self.way {
                Way::Up => book.up += len as u64,
                Way::Down => book.down += len as u64,
            }
        }
        self.hold().await
    }

    /// Cuts or stalls, when it is time.
    async fn hold(&self) -> io::Result<()> {
        match self.mischief {
            Some(Mischief::Cut { after }) if self.passed >= after => {
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Some(Mischief::Stall { after }) if self.passed >= after => std::future::pending().await,
            _ => Ok(()),
        }
    }
}

/// A reply that tells the port of a data connection.
struct Passive {
    port: u16,
    extended: bool,
}

impl Passive {
    fn read(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?;
        let inside = text.split_once('(')?.1.split_once(')')?.0;
        if text.starts_with("229 ") {
            let port = inside.split('|').nth(3)?.parse().ok()?;
            return Some(Self { port, extended: true });
        }
        if text.starts_with("227 ") {
            let numbers: Vec<u8> = inside
                .split(',')
                .map(str::trim)
                .map(str::parse)
                .collect::<Result<_, _>>()
                .ok()?;
            let &[.., high, low] = numbers.as_slice() else {
                return None;
            };
            return Some(Self {
                port: u16::from_be_bytes([high, low]),
                extended: false,
            });
        }
        None
    }

    fn reply(&self, port: u16) -> Vec<u8> {
        if self.extended {
            return format!("229 Entering Extended Passive Mode (|||{port}|)\r\n").into_bytes();
        }
        let [high, low] = port.to_be_bytes();
        format!("227 Entering Passive Mode (127,0,0,1,{high},{low})\r\n").into_bytes()
    }
}

#[cfg(test)]
mod tests;
