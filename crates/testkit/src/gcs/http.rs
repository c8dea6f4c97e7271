//! HTTP/1.1 for the emulator: a thread for each connection, bodies with a length, connections that are kept.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::service::State;

/// How often a connection without a request looks whether the emulator has ended.
const PULSE: Duration = Duration::from_millis(100);

/// A request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    /// The path as it was sent: a slash inside an object's name is escaped.
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// False where the connection broke before all of the body was there.
    pub(super) complete: bool,
}

impl Request {
    /// A header's value.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// A parameter's value.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        find(&self.query, name)
    }
}

fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let pair = pairs.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    Some(&pair.1)
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

/// What to do with a request.
pub(super) enum Reply {
    /// Answer it.
    Answer(Answer),
    /// Answer it, and close the connection after so many bytes of the body.
    Cut(Answer, usize),
    /// Close the connection.
    HangUp,
    /// Answer nothing, for as long as the other side waits.
    Stall,
}

/// Serves until `ended`.
pub(super) fn serve(listener: &TcpListener, ended: &Arc<AtomicBool>, state: &Arc<Mutex<State>>) {
    for connection in listener.incoming() {
        if ended.load(Ordering::SeqCst) {
            return;
        }
        if let Ok(connection) = connection {
            let (ended, state) = (Arc::clone(ended), Arc::clone(state));
            std::thread::spawn(move || {
                // A connection that breaks is part of the tests.
                let _ = converse(connection, &ended, &state);
            });
        }
    }
}

fn converse(connection: TcpStream, ended: &AtomicBool, state: &Mutex<State>) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut writer = connection.try_clone()?;
    let mut reader = BufReader::new(connection);
    while wait_for_request(&mut reader, ended)? {
        let request = read_request(&mut reader)?;
        let complete = request.complete;
        let reply = state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .reply(request);
        match reply {
            _ if !complete => return Ok(()),
            Reply::Answer(answer) => write_answer(&mut writer, &answer, usize::MAX)?,
            Reply::Cut(answer, bytes) => return write_answer(&mut writer, &answer, bytes),
            Reply::HangUp => return Ok(()),
            Reply::Stall => {
                // Until the other side goes away.
                reader.get_ref().set_read_timeout(Some(PULSE))?;
                while !ended.load(Ordering::SeqCst) {
                    match reader.read(&mut [0]) {
                        Err(error) if is_timeout(&error) => {}
                        _ => return Ok(()),
                    }
                }
                return Ok(());
            }
        }
    }
    Ok(())
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// False where no further request comes.
fn wait_for_request(reader: &mut BufReader<TcpStream>, ended: &AtomicBool) -> io::Result<bool> {
    reader.get_ref().set_read_timeout(Some(PULSE))?;
    loop {
        if ended.load(Ordering::SeqCst) {
            return Ok(false);
        }
        match reader.fill_buf() {
            Ok(bytes) => {
                let comes = !bytes.is_empty();
                reader.get_ref().set_read_timeout(Some(Duration::from_secs(60)))?;
                return Ok(comes);
            }
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> io::Result<Request> {
    let first = read_line(reader)?;
    let mut words = first.split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    let length = find(&headers, "content-length").and_then(|text| text.parse().ok());
    let length: u64 = length.unwrap_or_default();
    let mut body = Vec::new();
    // A connection that breaks here leaves what has arrived.
    let _ = reader.by_ref().take(length).read_to_end(&mut body);
    Ok(Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: pairs(query),
        complete: body.len() as u64 == length,
        headers,
        body,
    })
}

fn read_line(reader: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// The pairs of a query, or of a form.
pub(super) fn pairs(text: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text).decode_utf8_lossy().into_owned()
    };
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

fn write_answer(writer: &mut TcpStream, answer: &Answer, most: usize) -> io::Result<()> {
    let mut head = format!(
        "HTTP/1.1 {} Emulated\r\nContent-Length: {}\r\n",
        answer.status,
        answer.body.len()
    );
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    writer.write_all(head.as_bytes())?;
    writer.write_all(&answer.body[..answer.body.len().min(most)])?;
    writer.flush()
}
