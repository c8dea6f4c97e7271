//! The gate before a server that answers with what it got, spoken to over a bare socket.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::message::{Incoming, Piece, RequestHead};
use super::*;

/// Answers every request with its body's length and the sum of its bytes, in two chunks; `/none` with 204. Keeps connections.
struct Echo {
    port: u16,
    answered: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Echo {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answered = Arc::new(AtomicUsize::new(0));
        let ours = Arc::clone(&answered);
        let task = tokio::spawn(async move {
            let mut sessions = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                sessions.spawn(Self::serve(stream, Arc::clone(&ours)));
            }
        });
        Self { port, answered, task }
    }

    async fn serve(stream: TcpStream, answered: Arc<AtomicUsize>) {
        let (from, mut to) = stream.into_split();
        let mut from = Incoming::new(from);
        while let Ok(Some(head)) = from.head().await {
            let mut request = RequestHead::parse(&head).unwrap();
            if request.waits {
                to.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
            }
            let (mut len, mut sum) = (0, 0);
            loop {
                match request.body.next(&mut from).await {
                    Ok(Some(Piece::Payload(bytes))) => {
                        len += bytes.len();
                        sum += bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
                    }
                    Ok(Some(Piece::Framing(_))) => {}
                    Ok(None) => break,
                    Err(_) => return,
                }
            }
            let text = format!("{len} {sum}");
            let answer = if request.seen.target == "/none" {
                "HTTP/1.1 204 No Content\r\n\r\n".to_owned()
            } else {
                let (first, rest) = text.split_at(1);
                format!(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{first}\r\n{:x}\r\n{rest}\r\n0\r\n\r\n",
                    rest.len()
                )
            };
            answered.fetch_add(1, Ordering::SeqCst);
            if to.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

struct Client(TcpStream);

impl Client {
    async fn to(gate: &Gate) -> Self {
        Self(
            TcpStream::connect((Ipv4Addr::LOCALHOST, gate.port()))
                .await
                .unwrap(),
        )
    }

    async fn send(&mut self, method: &str, target: &str, body: &[u8]) {
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.0.write_all(head.as_bytes()).await.unwrap();
        // A connection that is cut meanwhile is what some tests are about.
        let _ = self.0.write_all(body).await;
    }

    /// Everything that comes until the connection ends, or nothing comes for a while.
    async fn rest(&mut self) -> String {
        let mut all = Vec::new();
        let mut piece = [0; 4096];
        let patience = Duration::from_millis(300);
        while let Ok(Ok(read)) = tokio::time::timeout(patience, self.0.read(&mut piece)).await {
            if read == 0 {
                break;
            }
            all.extend(&piece[..read]);
        }
        String::from_utf8(all).unwrap()
    }

    async fn ask(&mut self, method: &str, target: &str, body: &[u8]) -> String {
        self.send(method, target, body).await;
        self.rest().await
    }
}

#[tokio::test]
async fn without_rules_everything_passes_on_one_connection() {
    let echo = Echo::start().await;
    let gate = Gate::before(echo.port).await.unwrap();
    let mut client = Client::to(&gate).await;
    assert!(
        client
            .ask("PUT", "/a?x=1", &[1; 100_000])
            .await
            .contains("\r\n\r\n1\r\n1\r\nc\r\n00000 100000\r\n0\r\n\r\n")
    );
    assert!(client.ask("GET", "/b", b"").await.contains("200 OK"));
    assert!(client.ask("DELETE", "/none", b"").await.contains("204"));
    client
        .0
        .write_all(b"PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n5\r\nabcde\r\n0\r\n\r\n")
        .await
        .unwrap();
    let answer = client.rest().await;
    assert!(
        answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200"),
        "{answer}"
    );
    assert_eq!(gate.requests("", ""), 4);
    assert_eq!(gate.requests("PUT", "x=1"), 1);
    assert_eq!(gate.seen()[3].header("Expect"), Some("100-continue"));
    assert_eq!(gate.most_at_once(), 1);
}

#[tokio::test]
async fn a_rule_strikes_the_requests_that_it_names_and_no_others() {
    let echo = Echo::start().await;
    let gate = Gate::before(echo.port).await.unwrap();
    let busy = Trick::answer(503)
        .with_header("Retry-After", "1")
        .with_body("slow down");
    gate.rule(Rule::on("PUT", "/part").from(2).times(2).plays(busy));
    let mut client = Client::to(&gate).await;
    let mut statuses = Vec::new();
    for target in ["/part1", "/other", "/part2", "/part3", "/part4"] {
        let answer = client.ask("PUT", target, b"abc").await;
        statuses.push(answer[9..12].to_owned());
        if answer.contains("503") {
            assert!(
                answer.contains("Retry-After: 1\r\n") && answer.ends_with("slow down"),
                "{answer}"
            );
        }
    }
    assert_eq!(statuses, ["200", "200", "503", "503", "200"]);
}

#[tokio::test]
async fn a_refusal_in_mid_upload_is_heard_by_the_client() {
    let echo = Echo::start().await;
    let gate = Gate::before(echo.port).await.unwrap();
    gate.rule(Rule::on("PUT", "/").plays(Trick::answer(403).in_mid_upload(1000)));
    let answer = Client::to(&gate).await.ask("PUT", "/", &[1; 50_000]).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

#[tokio::test]
async fn a_request_is_cut_in_its_middle_and_the_next_one_passes() {
    let echo = Echo::start().await;
    let gate = Gate::before(echo.port).await.unwrap();
    gate.rule(Rule::on("PUT", "/").plays(Trick::CutRequest { after: 10 }));
    assert_eq!(Client::to(&gate).await.ask("PUT", "/", b"hello world!").await, "");
    assert!(
        Client::to(&gate)
            .await
            .ask("PUT", "/", b"hello")
            .await
            .contains("200")
    );
}

#[tokio::test]
async fn a_flipped_byte_changes_the_body_and_not_its_length() {
    let echo = Echo::start().await;
    let gate = Gate::before(echo.port).await.unwrap();
    gate.rule(Rule::on("PUT", "/").plays(Trick::FlipRequest { at: 99_999 }));
    let answer = Client::to(&gate).await.ask("PUT", "/", &[2; 100_000]).await;
    assert!(answer.contains("00000 200001"), "{answer}");
    gate.rule(Rule::on("PUT", "/").plays(Trick::FlipResponse { at: 0 }));
    let answer = Client::to(&gate).await.ask("PUT", "/", &[2; 10]).await;
    assert!(answer.contains("\r\n\r\n1\r\n0\r\n4\r\n0 20\r\n"), "{answer}");
}

#[tokio::test]
async fn an_answer_is_lost_although_the_server_did_what_it_was_asked() {
    let echo = Echo::start().await;
    let gate = Gate::before(echo.port).await.unwrap();
    gate.rule(Rule::on("", "/lost").plays(Trick::LoseAnswer));
    assert_eq!(Client::to(&gate).await.ask("POST", "/lost", b"x").await, "");
    assert_eq!(echo.answered.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_answer_is_cut_in_its_middle() {
    let echo = Echo::start().await;
    let gate = Gate::before(echo.port).await.unwrap();
    gate.rule(Rule::on("GET", "/").plays(Trick::CutResponse { after: 2 }));
    let answer = Client::to(&gate).await.ask("GET", "/", b"").await;
    assert!(answer.ends_with("1\r\n0\r\n2\r\n "), "{answer:?}");
}

#[tokio::test]
async fn what_is_stalled_neither_ends_nor_answers() {
    let echo = Echo::start().await;
    let gate = Gate::before(echo.port).await.unwrap();
    gate.rule(Rule::on("PUT", "/").plays(Trick::StallRequest { after: 5 }));
    gate.rule(Rule::on("GET", "/").plays(Trick::StallResponse { after: 1 }));
    for (method, heard) in [("PUT", ""), ("GET", "\r\n1\r\n0")] {
        let mut client = Client::to(&gate).await;
        let answer = client.ask(method, "/", b"").await;
        assert!(answer.ends_with(heard), "{answer:?}");
        let open = tokio::time::timeout(Duration::from_millis(100), client.0.readable()).await;
        assert!(open.is_err(), "the connection stays open, and silent");
    }
    gate.behave();
    assert!(
        Client::to(&gate)
            .await
            .ask("PUT", "/", b"x")
            .await
            .contains("200")
    );
}
