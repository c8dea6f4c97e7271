//! The page that the browser comes back to: just enough HTTP on 127.0.0.1 to take one redirect.
//!
//! A browser opens connections that it does not use, asks for an icon, and anybody on this machine can knock; so connections
//! are served side by side, each for a short while, and only the redirect with our `state` counts.

use std::time::Duration;

use howdah_domain::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use url::Url;

/// How long one connection may take to ask.
const PATIENCE: Duration = Duration::from_secs(20);

/// The longest head of a request that is read.
const LONGEST: usize = 16 * 1024;

/// Connections at once; further ones wait.
const AT_ONCE: usize = 16;

/// What the browser brought.
pub(super) enum Redirect {
    /// A code to get the grant for.
    Code {
        /// The code.
        code: Secret,
        /// Waits for a page.
        browser: Browser,
    },
    /// An error of Google's page.
    Error {
        /// `access_denied`.
        code: String,
        /// Waits for a page.
        browser: Browser,
    },
}

/// A browser that waits for its page.
pub(super) struct Browser {
    stream: TcpStream,
}

impl Browser {
    /// Shows the last page.
    pub(super) async fn tell(self, well: bool) {
        let text = if well {
            "Howdah is signed in. You can close this tab."
        } else {
            "Howdah is not signed in. You can close this tab; Howdah says why."
        };
        answer(self.stream, "200 OK", text).await;
    }
}

/// Serves until the right redirect comes.
pub(super) async fn wait(listener: &TcpListener, state: &str) -> Redirect {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < AT_ONCE => match accepted {
                Ok((stream, _)) => {
                    let state = state.to_owned();
                    connections.spawn(async move {
                        tokio::time::timeout(PATIENCE, serve(stream, &state)).await.ok().flatten()
                    });
                }
                // Too many open files, for one: it passes.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
            Some(served) = connections.join_next() => {
                if let Ok(Some(redirect)) = served {
                    return redirect;
                }
            }
        }
    }
}

/// One connection, one request.
async fn serve(mut stream: TcpStream, state: &str) -> Option<Redirect> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut piece = [0; 2048];
        match stream.read(&mut piece).await {
            Ok(read) if read > 0 && head.len() + read <= LONGEST => head.extend_from_slice(&piece[..read]),
            _ => return None,
        }
    }
    let head = String::from_utf8_lossy(&head);
    let target = head.strip_prefix("GET ").and_then(|rest| rest.split(' ').next());
    let base = Url::parse("http://127.0.0.1/").ok()?;
    let Some(url) = target
        .filter(|target| target.starts_with('/'))
        .and_then(|target| base.join(target).ok())
    else {
        answer(stream, "405 Method Not Allowed", "There is nothing here.").await;
        return None;
    };
    if url.path() != "/" {
        answer(stream, "404 Not Found", "There is nothing here.").await;
        return None;
    }
    let value = |name: &str| {
        let mut values = url.query_pairs().filter(|(key, _)| key == name);
        let value = values.next().map(|(_, value)| value.into_owned());
        // Twice the same name is nobody's honest redirect.
        value.filter(|_| values.next().is_none())
    };
    if value("state").as_deref() != Some(state) {
        answer(
            stream,
            "400 Bad Request",
            "This is not the sign-in that Howdah waits for. Begin again in Howdah.",
        )
        .await;
        return None;
    }
    let browser = Browser { stream };
    match (value("code"), value("error")) {
        (Some(code), None) => Some(Redirect::Code {
            code: Secret::new(code),
            browser,
        }),
        (None, Some(code)) => Some(Redirect::Error { code, browser }),
        _ => {
            answer(
                browser.stream,
                "400 Bad Request",
                "There is no code in this address.",
            )
            .await;
            None
        }
    }
}

/// A page with one sentence, which never comes from outside.
async fn answer(mut stream: TcpStream, status: &str, text: &str) {
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Howdah</title>\
         <p style=\"font: 16px system-ui; margin: 4em auto; max-width: 32em\">{text}</p></html>"
    );
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\
         Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n\
         Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n\r\n{page}",
        page.len()
    );
    let sent = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    };
    // Who does not fetch its page does without.
    drop(tokio::time::timeout(PATIENCE, sent).await);
}
