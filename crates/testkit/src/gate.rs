//! An HTTP server's door that misbehaves on purpose: it stands on 127.0.0.1 before a real server, passes everything on, and does
//! what its rules say to the requests that they name.
//!
//! It parses HTTP/1.1 as far as it must (RFC 9112: heads, lengths, chunks), keeps clients' connections alive, holds no body in
//! memory, and opens a connection of its own to the server for each request. It knows no TLS: for that, [`TcpGate`](crate::tcp_gate::TcpGate).
//!
//! ```no_run
//! # use howdah_testkit::gate::{Gate, Rule, Trick};
//! # async fn example(port: u16) -> std::io::Result<()> {
//! let gate = Gate::before(port).await?;
//! // The second part that is uploaded, and the next two after it, are refused; then all is well.
//! gate.rule(Rule::on("PUT", "partNumber=").from(2).times(3).plays(Trick::answer(503).with_header("Retry-After", "1")));
//! // The first object that is read breaks off after a thousand bytes.
//! gate.rule(Rule::on("GET", "/dump").plays(Trick::CutResponse { after: 1000 }));
//! # Ok(())
//! # }
//! ```

mod message;
mod session;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// What is done to a request. Bytes are counted in the body, without the framing of chunks; S3's `aws-chunked` is body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trick {
    /// It is not passed on; this is the answer. Made with [`Trick::answer`].
    Answer(Answer),
    /// Both connections are closed once so many bytes of its body were passed on (fewer, where it has fewer).
    CutRequest {
        /// Bytes passed on before.
        after: u64,
    },
    /// Once so many bytes of its body were passed on, no more is read, and no answer comes: a server that hangs.
    StallRequest {
        /// Bytes passed on before.
        after: u64,
    },
    /// Its body is passed on no faster than this.
    SlowRequest {
        /// The pace.
        bytes_a_second: u64,
    },
    /// One bit of the byte at this place of its body arrives altered.
    FlipRequest {
        /// Counted from 0.
        at: u64,
    },
    /// The server gets the request whole and does what it asks; the answer is lost, and the connection closed.
    LoseAnswer,
    /// The server gets the request whole and does what it asks; nothing of the answer comes.
    StallAnswer,
    /// Both connections are closed once so many bytes of the answer's body were passed on.
    CutResponse {
        /// Bytes passed on before.
        after: u64,
    },
    /// Once so many bytes of the answer's body were passed on, no more comes.
    StallResponse {
        /// Bytes passed on before.
        after: u64,
    },
    /// One bit of the byte at this place of the answer's body arrives altered.
    FlipResponse {
        /// Counted from 0.
        at: u64,
    },
}

/// An answer that the gate gives itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    after: Option<u64>,
}

impl Trick {
    /// An answer with this status and no body, given once the request was read whole (at once, where it waits for
    /// `100 Continue`).
    pub fn answer(status: u16) -> Self {
        Self::Answer(Answer {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            after: None,
        })
    }

    /// Adds a header to an answer.
    ///
    /// # Panics
    /// When it is no answer.
    #[must_use]
    pub fn with_header(self, name: &str, value: &str) -> Self {
        self.amended(|answer| answer.headers.push((name.to_owned(), value.to_owned())))
    }

    /// Gives an answer a body.
    ///
    /// # Panics
    /// When it is no answer.
    #[must_use]
    pub fn with_body(self, body: impl Into<Vec<u8>>) -> Self {
        self.amended(|answer| answer.body = body.into())
    }

    /// Lets an answer come in mid-upload, when so many bytes of the request's body were read. They go nowhere.
    ///
    /// # Panics
    /// When it is no answer.
    #[must_use]
    pub fn in_mid_upload(self, after: u64) -> Self {
        self.amended(|answer| answer.after = Some(after))
    }

    fn amended(self, amend: impl FnOnce(&mut Answer)) -> Self {
        let Self::Answer(mut answer) = self else {
            panic!("only an answer has headers, a body and a moment");
        };
        amend(&mut answer);
        Self::Answer(answer)
    }
}

/// Which requests are played a trick.
#[derive(Debug, Clone)]
pub struct Rule {
    method: String,
    part: String,
    from: u64,
    times: u64,
    trick: Trick,
    /// Requests that matched so far.
    matched: u64,
}

impl Rule {
    /// The first request with this method (`""`: any) whose target (path and query, as they are on the wire) contains `part`.
    pub fn on(method: &str, part: &str) -> Self {
        Self {
            method: method.to_owned(),
            part: part.to_owned(),
            from: 1,
            times: 1,
            trick: Trick::CutRequest { after: 0 },
            matched: 0,
        }
    }

    /// Begins with the nth that matches; 1 is the first.
    #[must_use]
    pub fn from(mut self, nth: u64) -> Self {
        self.from = nth;
        self
    }

    /// Goes on for so many that match, one after the other.
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

    /// What is done to them; without it the connection is cut before the body.
    #[must_use]
    pub fn plays(mut self, trick: Trick) -> Self {
        self.trick = trick;
        self
    }

    fn matches(&self, seen: &Seen) -> bool {
        seen.is(&self.method, &self.part)
    }

    /// Counts a request that matches, and says whether it is one of those meant.
    fn strikes(&mut self) -> bool {
        self.matched += 1;
        self.matched >= self.from && self.matched - self.from < self.times
    }
}

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its method.
    pub method: String,
    /// Path and query, as they are on the wire.
    pub target: String,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Seen {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    fn is(&self, method: &str, part: &str) -> bool {
        (method.is_empty() || self.method.eq_ignore_ascii_case(method)) && self.target.contains(part)
    }
}

#[derive(Debug, Default)]
struct Book {
    rules: Vec<Rule>,
    seen: Vec<Seen>,
    at_once: usize,
    most_at_once: usize,
}

impl Book {
    /// Notes a request, and tells the trick to play it: that of the rule that was given last.
    fn enter(&mut self, seen: Seen) -> Option<Trick> {
        let mut trick = None;
        for rule in self.rules.iter_mut().filter(|rule| rule.matches(&seen)) {
            if rule.strikes() {
                trick = Some(rule.trick.clone());
            }
        }
        self.seen.push(seen);
        self.at_once += 1;
        self.most_at_once = self.most_at_once.max(self.at_once);
        trick
    }
}

/// What the gate's sessions share.
#[derive(Debug, Clone)]
struct Shared {
    server: SocketAddr,
    book: Arc<Mutex<Book>>,
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A gate before an HTTP server. Dropped, it closes, with every connection through it.
#[derive(Debug)]
pub struct Gate {
    port: u16,
    shared: Shared,
    task: JoinHandle<()>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gate {
    /// A gate before the server on this port of 127.0.0.1.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn before(server_port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Shared {
            server: SocketAddr::from((Ipv4Addr::LOCALHOST, server_port)),
            book: Arc::default(),
        };
        let ours = shared.clone();
        let task = tokio::spawn(async move {
            // They end with this task, which owns the set.
            let mut sessions = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                sessions.spawn(session::run(client, ours.clone()));
                while sessions.try_join_next().is_some() {}
            }
        });
        Ok(Self { port, shared, task })
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Adds a rule; it counts the requests from now on. Where several strike at one request, the one given last is played.
    pub fn rule(&self, rule: Rule) {
        self.shared.book().rules.push(rule);
    }

    /// Takes all rules back. What is stalled stays so.
    pub fn behave(&self) {
        self.shared.book().rules.clear();
    }

    /// How many requests came with this method (`""`: any) whose target contains `part`.
    pub fn requests(&self, method: &str, part: &str) -> usize {
        self.shared
            .book()
            .seen
            .iter()
            .filter(|seen| seen.is(method, part))
            .count()
    }

    /// The requests that came, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.book().seen.clone()
    }

    /// The most requests that were on their way at one time.
    pub fn most_at_once(&self) -> usize {
        self.shared.book().most_at_once
    }
}

#[cfg(test)]
mod tests;
