//! One control connection: what can be asked on it, and whether it is still in step. It knows no destination.
//!
//! A command that was begun and not answered (because it was cancelled, or waited too long) leaves the connection out of step:
//! the answer may still come. Such a connection is not used again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use suppaftp::tokio::{
    AsyncDataStream as DataStream, AsyncRustlsFtpStream, AsyncRustlsStream, TransferStream,
};
use suppaftp::{FtpError, FtpResult, Mode, Status};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use super::error::{Trouble, is_whole};
use super::tls::Handshakes;
use crate::patience::{Patience, Silence};

/// A data connection.
pub(super) type Transfer = TransferStream<AsyncRustlsStream>;

/// The longest list of one folder that is read: some hundred thousand files.
const LONGEST_LIST: usize = 64 * 1024 * 1024;
/// How long the server may take to say why it ended a transfer, once that is seen.
const REASON: Duration = Duration::from_secs(5);
/// How long an answer to a keepalive is waited for: many servers answer only when the transfer has ended.
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(2);
/// How long the server may take to close its side of a data connection.
const GOODBYE: Duration = Duration::from_secs(1);
/// The bytes that are given to the data connection at once.
const PIECE: usize = 256 * 1024;

const OPENED: [Status; 2] = [Status::AboutToSend, Status::AlreadyOpen];
const CLOSED: [Status; 2] = [Status::ClosingDataConnection, Status::RequestedFileActionOk];

/// What the function that makes data connections tells of the last one.
#[derive(Debug, Default)]
pub(super) struct Dialled {
    /// The server named a port.
    pub(super) asked: AtomicBool,
    /// Nobody answered there.
    pub(super) failed: AtomicBool,
}

/// A control connection that is logged in.
pub(super) struct Session {
    ftp: AsyncRustlsFtpStream,
    /// The destination's folder, absolute and without a slash at its end; none while it is not known.
    pub(super) root: Option<String>,
    handshakes: Arc<Handshakes>,
    dialled: Arc<Dialled>,
    patience: Patience,
    in_step: bool,
    /// A keepalive whose answer has not come yet.
    awaited: bool,
    pub(super) used: Instant,
    /// Whether the server knows EPSV, as far as we know.
    pub(super) has_epsv: bool,
    /// Whether the server knows MLSD, as far as we know.
    pub(super) has_mlsd: bool,
}

impl Session {
    pub(super) fn new(
        ftp: AsyncRustlsFtpStream,
        handshakes: Arc<Handshakes>,
        dialled: Arc<Dialled>,
        patience: Patience,
    ) -> Self {
        Self {
            ftp,
            root: None,
            handshakes,
            dialled,
            patience,
            in_step: true,
            awaited: false,
            used: Instant::now(),
            has_epsv: true,
            has_mlsd: true,
        }
    }

    /// Whether another command can be given.
    pub(super) fn is_in_step(&self) -> bool {
        self.in_step
    }

    /// The library's client, for logging in.
    pub(super) fn library(&mut self) -> &mut AsyncRustlsFtpStream {
        &mut self.ftp
    }

    /// How many handshakes resumed an earlier session.
    #[cfg(test)]
    pub(super) fn resumed(&self) -> u32 {
        self.handshakes.resumed()
    }

    /// The absolute path of what is named from the destination's folder on.
    pub(super) fn path(&self, relative: &str) -> String {
        format!("{}/{relative}", self.root.as_deref().unwrap_or_default())
    }

    /// A command is given; until [`Self::answered`], the connection is out of step.
    pub(super) fn asking(&mut self) -> Duration {
        self.in_step = false;
        self.patience.idle
    }

    /// What came of a command that was waited for.
    pub(super) fn answered<T>(
        &mut self,
        answer: Result<FtpResult<T>, tokio::time::error::Elapsed>,
    ) -> Result<T, Trouble> {
        self.used = Instant::now();
        match answer {
            Ok(Ok(answer)) => {
                self.in_step = true;
                Ok(answer)
            }
            Ok(Err(error)) => {
                let trouble = Trouble::from_library(error, &self.handshakes);
                // 421: the server closes the connection.
                self.in_step = trouble.code().is_some_and(|code| code != 421);
                Err(trouble)
            }
            Err(_) => Err(Trouble::Silent(Silence {
                what: "no answer",
                after: self.patience.idle,
            })),
        }
    }

    /// Gives a command that has one answer, which must be one of these.
    pub(super) async fn ask(&mut self, command: &str, expected: &[Status]) -> Result<String, Trouble> {
        let patience = self.asking();
        let answer = timeout(patience, self.ftp.custom_command(command, expected)).await;
        let answer = self.answered(answer)?;
        if !is_whole(&answer.body) {
            self.in_step = false;
            return Err(Trouble::Lost(
                "the connection ended in the middle of an answer".into(),
            ));
        }
        Ok(String::from_utf8_lossy(&answer.body).trim_end().to_owned())
    }

    /// Goes into a folder; `false` where it is not there.
    pub(super) async fn enter(&mut self, folder: &str) -> Result<bool, Trouble> {
        let folder = if folder.is_empty() { "/" } else { folder };
        let expected = [Status::RequestedFileActionOk, Status::CommandOk];
        match self.ask(&format!("CWD {folder}"), &expected).await {
            Ok(_) => Ok(true),
            Err(trouble) if trouble.code() == Some(550) => Ok(false),
            Err(trouble) => Err(trouble),
        }
    }

    /// The folder that the connection is in.
    pub(super) async fn folder(&mut self) -> Result<String, Trouble> {
        let patience = self.asking();
        let answer = timeout(patience, self.ftp.pwd()).await;
        let folder = self.answered(answer)?;
        // A quote in it is doubled (RFC 959, appendix II).
        Ok(folder.replace("\"\"", "\""))
    }

    pub(super) async fn make_folder(&mut self, path: &str) -> Result<(), Trouble> {
        let expected = [
            Status::PathCreated,
            Status::CommandOk,
            Status::RequestedFileActionOk,
        ];
        self.ask(&format!("MKD {path}"), &expected).await.map(drop)
    }

    pub(super) async fn remove(&mut self, path: &str, folder: bool) -> Result<(), Trouble> {
        let command = if folder { "RMD" } else { "DELE" };
        let expected = [Status::RequestedFileActionOk, Status::CommandOk];
        self.ask(&format!("{command} {path}"), &expected).await.map(drop)
    }

    pub(super) async fn rename(&mut self, from: &str, to: &str) -> Result<(), Trouble> {
        self.ask(&format!("RNFR {from}"), &[Status::RequestFilePending])
            .await?;
        let expected = [Status::RequestedFileActionOk, Status::CommandOk];
        self.ask(&format!("RNTO {to}"), &expected).await.map(drop)
    }

    /// The size that the server tells.
    pub(super) async fn size(&mut self, path: &str) -> Result<u64, Trouble> {
        let answer = self.ask(&format!("SIZE {path}"), &[Status::File]).await?;
        let size = answer
            .split_whitespace()
            .nth(1)
            .and_then(|size| size.parse().ok());
        size.ok_or_else(|| Trouble::Lost(format!("the answer to SIZE is no number: {answer}").into()))
    }

    /// Whether the connection still stands, and answers what it is asked.
    pub(super) async fn is_alive(&mut self) -> bool {
        self.asking();
        let answer = timeout(REASON, self.ftp.noop()).await;
        self.in_step = self.answered(answer).is_ok();
        self.in_step
    }

    /// Gives a command that opens a data connection. Where EPSV is not known, or its port is not to be reached (some
    /// firewalls understand PASV only), PASV is used from then on, always with the host that the control connection has: the
    /// address in its answer may be one behind a router, or somebody else's.
    async fn open(&mut self, command: &str, offset: u64) -> Result<Transfer, Trouble> {
        loop {
            self.ftp.set_mode(if self.has_epsv {
                Mode::ExtendedPassive
            } else {
                Mode::Passive
            });
            self.dialled.asked.store(false, Ordering::Relaxed);
            self.dialled.failed.store(false, Ordering::Relaxed);
            let patience = self.asking();
            let ftp = &mut self.ftp;
            let answer = timeout(patience, async {
                let offset = usize::try_from(offset).map_err(|_| FtpError::BadResponse)?;
                ftp.resume_transfer(offset).await?;
                ftp.custom_data_command(command, &OPENED).await
            })
            .await;
            let asked = self.dialled.asked.load(Ordering::Relaxed);
            let failed = self.dialled.failed.load(Ordering::Relaxed);
            match self.answered(answer) {
                Ok((_, transfer)) => {
                    // Until the transfer has ended.
                    self.in_step = false;
                    return Ok(transfer);
                }
                Err(Trouble::Refused { code, .. }) if self.has_epsv && !asked && code != 421 => {
                    self.has_epsv = false;
                }
                Err(Trouble::Lost(_)) if self.has_epsv && failed => {
                    // Nothing was asked of the server but a port.
                    self.in_step = true;
                    self.has_epsv = false;
                }
                Err(trouble) => return Err(trouble),
            }
        }
    }

    /// Begins to read a file from a position on.
    pub(super) async fn begin_reading(&mut self, path: &str, offset: u64) -> Result<Transfer, Trouble> {
        self.open(&format!("RETR {path}"), offset).await
    }

    /// Begins to write a file; one of that name is replaced.
    pub(super) async fn begin_writing(&mut self, path: &str) -> Result<Transfer, Trouble> {
        self.open(&format!("STOR {path}"), 0).await
    }

    /// The list of the folder that the connection is in, and whether it is MLSD's.
    pub(super) async fn list(&mut self) -> Result<(Vec<u8>, bool), Trouble> {
        if self.has_mlsd {
            match self.lines("MLSD").await {
                Err(Trouble::Refused {
                    code: 500 | 502 | 504,
                    ..
                }) => self.has_mlsd = false,
                result => return result.map(|lines| (lines, true)),
            }
        }
        Ok((self.lines("LIST").await?, false))
    }

    async fn lines(&mut self, command: &str) -> Result<Vec<u8>, Trouble> {
        let mut transfer = self.open(command, 0).await?;
        let mut lines = Vec::new();
        let idle = self.patience.idle;
        loop {
            match timeout(idle, transfer.read_buf(&mut lines)).await {
                Ok(Ok(0)) => break,
                Ok(Ok(_)) if lines.len() <= LONGEST_LIST => {}
                Ok(Ok(_)) => return Err(Trouble::Lost("the list has no end".into())),
                // Some servers end TLS without saying so; the answer tells whether that was all.
                Ok(Err(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
                Ok(Err(error)) => return Err(Trouble::from_io(error)),
                Err(_) => {
                    return Err(Trouble::Silent(Silence {
                        what: "no byte came",
                        after: idle,
                    }));
                }
            }
        }
        self.end_reading(transfer).await?;
        Ok(lines)
    }

    /// Ends a transfer whose bytes have all come.
    pub(super) async fn end_reading(&mut self, transfer: Transfer) -> Result<(), Trouble> {
        let patience = self.asking();
        let answer = timeout(patience, transfer.finish()).await;
        self.answered(answer)
    }

    /// Ends a transfer in the middle. Servers differ in what they answer, so that the connection is in step again only if it
    /// proves to be.
    pub(super) async fn cut(&mut self, transfer: Transfer) {
        self.asking();
        // What is answered to the transfer and to ABOR, in which order and whether both are, differs.
        let answer = timeout(REASON, self.ftp.abort(transfer)).await;
        let talks = matches!(answer, Ok(Ok(()) | Err(FtpError::UnexpectedResponse(_))));
        if talks && !self.is_alive().await {
            // That was the answer to ABOR; the one to NOOP is still to come.
            let answer = timeout(REASON, self.ftp.read_response(Status::CommandOk)).await;
            self.in_step = self.answered(answer).is_ok();
        }
    }

    /// Sends bytes, as fast as they are taken.
    pub(super) async fn write(&mut self, transfer: &mut Transfer, bytes: &[u8]) -> Result<(), Trouble> {
        let idle = self.patience.idle;
        for piece in bytes.chunks(PIECE) {
            let mut rest = piece;
            while !rest.is_empty() {
                match timeout(idle, transfer.write(rest)).await {
                    Ok(Ok(taken)) if taken > 0 => rest = &rest[taken..],
                    Ok(Ok(_)) => return Err(self.reason("the data connection takes no more".into()).await),
                    Ok(Err(error)) => return Err(self.reason(error.into()).await),
                    Err(_) => {
                        return Err(Trouble::Silent(Silence {
                            what: "no byte was taken",
                            after: idle,
                        }));
                    }
                }
            }
            self.keep_alive().await?;
        }
        Ok(())
    }

    /// Says something on the control connection, which is silent during a transfer: routers forget silent connections. Many
    /// servers answer at once; of the others the answer comes with the transfer's, and they are not asked again.
    async fn keep_alive(&mut self) -> Result<(), Trouble> {
        if self.awaited || self.used.elapsed() < self.patience.idle / 2 {
            return Ok(());
        }
        self.used = Instant::now();
        let wait = KEEPALIVE_ANSWER.min(self.patience.idle / 4);
        match timeout(wait, self.ftp.noop()).await {
            Ok(Ok(())) => Ok(()),
            Err(_) => {
                self.awaited = true;
                Ok(())
            }
            Ok(Err(error)) => match Trouble::from_library(error, &self.handshakes) {
                // It does not know the command, or not now.
                trouble if is_no_to_keepalive(&trouble) => Ok(()),
                // The transfer's own answer, which comes early.
                trouble => Err(trouble),
            },
        }
    }

    /// Why a transfer broke: mostly the server says so on the control connection.
    async fn reason(&mut self, cause: crate::error::Cause) -> Trouble {
        for _ in 0..2 {
            let answer = timeout(REASON, self.ftp.read_response_in(&CLOSED)).await;
            match answer {
                Ok(Err(error)) => {
                    let is_keepalive = self.awaited && is_answer_to_keepalive(&error);
                    self.awaited = false;
                    match Trouble::from_library(error, &self.handshakes) {
                        _ if is_keepalive => {}
                        trouble @ Trouble::Refused { .. } => return trouble,
                        _ => break,
                    }
                }
                _ => break,
            }
        }
        Trouble::Lost(cause)
    }

    /// Ends an upload, and waits until the server says that it has it all.
    pub(super) async fn end_writing(&mut self, mut transfer: Transfer) -> Result<(), Trouble> {
        let idle = self.patience.idle;
        match timeout(idle, transfer.shutdown()).await {
            // A server that has closed it already says on the control connection why.
            Ok(Ok(()) | Err(_)) => {}
            Err(_) => {
                return Err(Trouble::Silent(Silence {
                    what: "no byte was taken",
                    after: idle,
                }));
            }
        }
        if matches!(transfer.get_ref(), DataStream::Ssl(_)) {
            // What the server has said there (TLS session tickets) is read to its end: a socket that is closed with unread bytes
            // is reset, and the reset may overtake the last bytes of the file.
            let mut said = [0; 1024];
            let _ = timeout(GOODBYE, async {
                while matches!(transfer.read(&mut said).await, Ok(read) if read > 0) {}
            })
            .await;
        }
        self.asking();
        let settle = self.patience.settle;
        let mut answer = timeout(settle, transfer.finish()).await;
        if std::mem::take(&mut self.awaited) {
            let keepalive_came_first = matches!(&answer, Ok(Err(error)) if is_answer_to_keepalive(error));
            let rest = timeout(
                settle,
                self.ftp.read_response_in(if keepalive_came_first {
                    &CLOSED
                } else {
                    &[Status::CommandOk]
                }),
            )
            .await;
            if keepalive_came_first {
                answer = rest.map(|answer| answer.map(drop));
            } else if rest.is_err() {
                // Only the keepalive's answer is missing: the upload has ended well, the connection has not.
                let result = self.answered(answer);
                self.in_step = false;
                return result;
            }
        }
        self.answered(answer)
    }
}

/// Whether an answer is the one to NOOP, and not the transfer's.
fn is_answer_to_keepalive(error: &FtpError) -> bool {
    match error {
        FtpError::UnexpectedResponse(response) => matches!(response.status.code(), 200 | 500 | 502 | 503),
        _ => false,
    }
}

/// The answers of a server that does not know NOOP, or not during a transfer.
fn is_no_to_keepalive(trouble: &Trouble) -> bool {
    matches!(trouble.code(), Some(500 | 502 | 503))
}
