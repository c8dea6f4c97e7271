//! Drives the real window over the WebDriver protocol (W3C Recommendation "WebDriver"), through tauri-driver and
//! WebKitWebDriver. Knows nothing of what the pages show.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::process::{Child, Command};

/// How long a page may take to show what is asked for.
const PATIENCE: Duration = Duration::from_secs(20);

/// The key under which an element's reference travels (WebDriver, section "Elements").
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A session with the app's window.
pub(crate) struct WebDriver {
    http: reqwest::Client,
    session: String,
    driver: Child,
}

/// An element on the page.
#[derive(Debug, Clone)]
pub(crate) struct Element(String);

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

impl WebDriver {
    /// Starts the app under the driver, with `arguments` and in an environment with `variables` added.
    pub(crate) async fn start(binary: &Path, arguments: &[&str], variables: &[(&str, &Path)]) -> Self {
        let (port, native) = (free_port(), free_port());
        let mut command = Command::new("tauri-driver");
        command
            .args(["--port", &port.to_string(), "--native-port", &native.to_string()])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        for (name, value) in variables {
            command.env(name, value);
        }
        let driver = command
            .spawn()
            .expect("tauri-driver is installed (make setup-test)");
        let http = reqwest::Client::new();
        let root = format!("http://127.0.0.1:{port}");
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "wry",
            "tauri:options": { "application": binary, "args": arguments },
        } } });
        let start = Instant::now();
        let answer = loop {
            match http.post(format!("{root}/session")).json(&wanted).send().await {
                Ok(answer) => break answer.json::<Value>().await.expect("the driver answers JSON"),
                Err(error) => {
                    assert!(
                        start.elapsed() < PATIENCE,
                        "tauri-driver does not answer: {error}"
                    );
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        };
        let id = answer["value"]["sessionId"]
            .as_str()
            .unwrap_or_else(|| panic!("no session: {answer}"));
        Self {
            session: format!("{root}/session/{id}"),
            http,
            driver,
        }
    }

    async fn send(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Result<Value, Value> {
        let mut request = self.http.request(method, format!("{}{path}", self.session));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.map_err(|error| json!(error.to_string()))?;
        let good = answer.status().is_success();
        let mut body: Value = answer.json().await.map_err(|error| json!(error.to_string()))?;
        if good {
            Ok(body["value"].take())
        } else {
            Err(body["value"].take())
        }
    }

    async fn get(&self, path: &str) -> Result<Value, Value> {
        self.send(reqwest::Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value, Value> {
        self.send(reqwest::Method::POST, path, Some(body)).await
    }

    /// The process of the app.
    pub(crate) fn app(&self) -> u32 {
        let below = super::app::family(self.driver.id().expect("the driver runs"));
        let is_app = |pid: &u32| {
            std::fs::read_to_string(format!("/proc/{pid}/comm"))
                .is_ok_and(|name| name.trim() == "howdah-desktop")
        };
        below.into_iter().find(is_app).expect("the app runs")
    }

    /// Turns to the app's window, after it was destroyed and made again: it has a new handle then.
    pub(crate) async fn turn_to_window(&self) {
        super::eventually("the app has a window", PATIENCE, || async {
            let handles = self.get("/window/handles").await.ok()?;
            let handle = handles.as_array()?.last()?.clone();
            self.post("/window", json!({ "handle": handle })).await.ok()
        })
        .await;
    }

    /// Runs JavaScript in the page; what it returns is the answer.
    pub(crate) async fn run(&self, script: &str, arguments: Value) -> Result<Value, Value> {
        self.post("/execute/sync", json!({ "script": script, "args": arguments }))
            .await
    }

    /// The path of the page that is shown.
    pub(crate) async fn path(&self) -> String {
        self.run("return location.pathname + location.hash", json!([]))
            .await
            .ok()
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    /// All text that the page shows.
    pub(crate) async fn page_text(&self) -> String {
        self.run("return document.body.innerText", json!([]))
            .await
            .ok()
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    /// Whether an element is there and visible now.
    pub(crate) async fn look(&self, xpath: &str) -> Option<Element> {
        let found = self
            .post("/elements", json!({ "using": "xpath", "value": xpath }))
            .await
            .ok()?;
        for element in found.as_array()? {
            let id = element[ELEMENT].as_str()?.to_owned();
            if self.get(&format!("/element/{id}/displayed")).await.ok()? == json!(true) {
                return Some(Element(id));
            }
        }
        None
    }

    /// Waits for an element, given as an XPath expression.
    pub(crate) async fn find(&self, xpath: &str) -> Element {
        self.find_within(xpath, PATIENCE).await
    }

    /// Waits for an element, as long as `limit`; panics with what the page shows instead.
    pub(crate) async fn find_within(&self, xpath: &str, limit: Duration) -> Element {
        let start = Instant::now();
        loop {
            if let Some(element) = self.look(xpath).await {
                return element;
            }
            if start.elapsed() >= limit {
                panic!(
                    "{xpath} is not there after {limit:?}; {} shows:\n{}",
                    self.path().await,
                    self.page_text().await
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the page shows a text.
    pub(crate) async fn see(&self, text: &str) {
        self.see_within(text, PATIENCE).await;
    }

    /// Waits until the page shows a text, as long as `limit`.
    pub(crate) async fn see_within(&self, text: &str, limit: Duration) {
        let start = Instant::now();
        loop {
            let shown = self.page_text().await;
            if shown.contains(text) {
                return;
            }
            assert!(
                start.elapsed() < limit,
                "{text:?} is not shown after {limit:?}, but:\n{shown}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Clicks on an element when it is there and can be clicked.
    pub(crate) async fn click(&self, xpath: &str) {
        let start = Instant::now();
        loop {
            let element = self.find(&format!("({xpath})[not(@disabled)]")).await;
            // The driver would scroll to it and click at once, while the page is still on its way.
            let into_view = "arguments[0].scrollIntoView({ block: 'nearest', behavior: 'instant' })";
            let _ = self.run(into_view, json!([{ ELEMENT: element.0 }])).await;
            self.comes_to_rest(&element).await;
            match self
                .post(&format!("/element/{}/click", element.0), json!({}))
                .await
            {
                Ok(_) => return,
                // It moved or was drawn anew in between.
                Err(error) => assert!(start.elapsed() < PATIENCE, "{xpath} cannot be clicked: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits while an element moves: a page that scrolls smoothly carries it away from under the pointer.
    async fn comes_to_rest(&self, element: &Element) {
        let path = format!("/element/{}/rect", element.0);
        let mut before = None;
        for _ in 0..100 {
            let now = self.get(&path).await.ok();
            if now == before {
                return;
            }
            before = now;
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
    }

    /// Clicks on the button that says `label`.
    pub(crate) async fn press_button(&self, label: &str) {
        self.click(&format!("//button[normalize-space()='{label}']"))
            .await;
    }

    /// Types into an element.
    pub(crate) async fn type_into(&self, xpath: &str, text: &str) {
        let element = self.find(xpath).await;
        self.post(&format!("/element/{}/value", element.0), json!({ "text": text }))
            .await
            .unwrap_or_else(|error| panic!("{xpath} takes no text: {error}"));
    }

    /// Gives an element the keyboard's focus.
    pub(crate) async fn focus(&self, xpath: &str) {
        let element = self.find(xpath).await;
        self.run("arguments[0].focus()", json!([{ ELEMENT: element.0 }]))
            .await
            .unwrap_or_else(|error| panic!("{xpath} takes no focus: {error}"));
    }

    /// Makes the page this large: the window is what its frame needs around it.
    pub(crate) async fn resize(&self, width: i64, height: i64) {
        let (mut outer, mut inner) = ((width, height), (0, 0));
        for _ in 0..20 {
            let rect = json!({ "x": 0, "y": 0, "width": outer.0, "height": outer.1 });
            self.post("/window/rect", rect)
                .await
                .expect("the window can be resized");
            tokio::time::sleep(Duration::from_millis(300)).await;
            let size = self
                .run("return [innerWidth, innerHeight]", json!([]))
                .await
                .unwrap();
            inner = (size[0].as_i64().unwrap(), size[1].as_i64().unwrap());
            if inner == (width, height) {
                return;
            }
            outer = (outer.0 + width - inner.0, outer.1 + height - inner.1);
        }
        panic!("the page is {inner:?}, not {width} by {height}");
    }

    /// What a command of the shell answers, asked by the page as the window's own code asks.
    pub(crate) async fn invoke(&self, command: &str, arguments: Value) -> Value {
        let script = "const [command, args, done] = arguments; \
             window.__TAURI_INTERNALS__.invoke(command, args) \
             .then((good) => done({ good }), (bad) => done({ bad }));";
        let mut answer = self
            .post(
                "/execute/async",
                json!({ "script": script, "args": [command, arguments] }),
            )
            .await
            .unwrap_or_else(|error| panic!("{command}: {error}"));
        assert!(answer.get("bad").is_none(), "{command}: {answer}");
        answer["good"].take()
    }

    /// Goes to a page of the app, as a click on a link to it does.
    pub(crate) async fn go(&self, path: &str) {
        let script = "const link = document.createElement('a'); link.href = arguments[0]; \
             document.body.append(link); link.click(); link.remove();";
        self.run(script, json!([path])).await.unwrap();
        let page = path.split('?').next().unwrap_or_default();
        super::eventually(&format!("the page {path}"), PATIENCE, || async {
            (self.path().await == page).then_some(())
        })
        .await;
    }

    /// A picture of the page, as PNG.
    pub(crate) async fn picture(&self) -> Vec<u8> {
        let answer = self.get("/screenshot").await.expect("the page can be pictured");
        data_encoding::BASE64
            .decode(answer.as_str().unwrap().as_bytes())
            .expect("base64 (WebDriver, \"Take Screenshot\")")
    }

    /// Ends the session and the app under it.
    pub(crate) async fn end(self) {
        drop(self.send(reqwest::Method::DELETE, "", None).await);
    }
}

impl Drop for WebDriver {
    fn drop(&mut self) {
        // Asked politely, tauri-driver ends the native driver below it too.
        if let Some(pid) = self.driver.id() {
            // An app that a failed test leaves would take the place of the next one's.
            let below = super::app::family(pid);
            drop(std::process::Command::new("kill").arg(pid.to_string()).status());
            for _ in 0..50 {
                if !matches!(self.driver.try_wait(), Ok(None)) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            // One that was asked to end has its time for that.
            let is_there = |pid: &u32| std::path::Path::new(&format!("/proc/{pid}")).exists();
            for _ in 0..150 {
                if !below.iter().any(is_there) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            for pid in below {
                drop(
                    std::process::Command::new("kill")
                        .args(["-KILL", &pid.to_string()])
                        .stderr(std::process::Stdio::null())
                        .status(),
                );
            }
        }
    }
}
