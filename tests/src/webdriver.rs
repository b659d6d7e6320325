//! Chromium, driven by the WebDriver protocol (W3C, 2018).

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a page may take to come to a state, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(60);

/// The key under which WebDriver sends references to elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Switches for a machine without a display, a sandbox and a way out.
const SWITCHES: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// A browser with one empty page. It ends with its driver when dropped.
pub struct Browser {
    driver: Child,
    session: String,
    client: reqwest::Client,
    _profile: TempDir,
}

impl Browser {
    /// Starts Debian's Chromium with a window of this size.
    ///
    /// # Panics
    /// When `chromedriver` or `chromium` is missing: Debian's packages are chromium-driver and chromium.
    pub async fn start(width: u32, height: u32) -> Self {
        let profile = TempDir::new().expect("a folder for temporary files");
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is needed: apt-get install chromium chromium-driver");
        let mut lines = BufReader::new(driver.stdout.take().expect("it is piped")).lines();
        let port =
            lines.by_ref().map_while(Result::ok).find_map(|line| port(&line)).expect("chromedriver says its port");
        // What else it writes is of no interest, but must not fill the pipe.
        thread::spawn(move || lines.count());

        let mut switches: Vec<String> = SWITCHES.map(str::to_owned).to_vec();
        switches.push(format!("--window-size={width},{height}"));
        switches.push(format!("--user-data-dir={}", profile.path().display()));
        let options = json!({"args": switches, "binary": "/usr/bin/chromium"});
        let logs = json!({"browser": "ALL"});
        let wanted = json!({"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": logs}});
        let mut browser = Self {
            driver,
            session: format!("http://127.0.0.1:{port}/session"),
            client: reqwest::Client::new(),
            _profile: profile,
        };
        let session = browser.command(Method::POST, "", json!({"capabilities": wanted})).await;
        browser.session =
            format!("{}/{}", browser.session, session["sessionId"].as_str().expect("a session has an id"));
        browser
    }

    pub async fn open(&self, url: &str) {
        self.command(Method::POST, "/url", json!({"url": url})).await;
    }

    /// Runs the body of a JavaScript function in the page; it gets `arguments`.
    pub async fn script(&self, body: &str, arguments: Value) -> Value {
        self.command(Method::POST, "/execute/sync", json!({"script": body, "args": arguments})).await
    }

    /// Waits until a JavaScript expression is neither false, null nor empty, and returns it.
    ///
    /// # Panics
    /// When that takes more than a minute.
    pub async fn wait_for(&self, expression: &str) -> Value {
        // The page itself looks again after each of its frames, so that what is seen is no later than what is drawn.
        let script = "const [test, done] = [new Function(`return ${arguments[0]}`), arguments[1]];
            const look = () => { const value = test(); value ? done(value) : requestAnimationFrame(look); };
            look();";
        self.command(Method::POST, "/timeouts", json!({"script": PATIENCE.as_millis() as u64})).await;
        self.command(Method::POST, "/execute/async", json!({"script": script, "args": [expression]})).await
    }

    /// Clicks on an element, as a hand does: it must be visible.
    pub async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        self.command(Method::POST, &format!("/element/{element}/click"), json!({})).await;
    }

    /// Types into an element, after what is there.
    pub async fn type_into(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        self.command(Method::POST, &format!("/element/{element}/value"), json!({"text": text})).await;
    }

    /// The text that is seen of an element.
    pub async fn text(&self, selector: &str) -> String {
        let element = self.element(selector).await;
        let text = self.command(Method::GET, &format!("/element/{element}/text"), Value::Null).await;
        text.as_str().expect("the text of an element is text").to_owned()
    }

    /// What is seen of the page, as a PNG in base64.
    pub async fn screenshot(&self) -> String {
        let file = self.command(Method::GET, "/screenshot", Value::Null).await;
        file.as_str().expect("a screenshot is text").to_owned()
    }

    /// What the page and the browser complained of since the last time.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.command(Method::POST, "/se/log", json!({"type": "browser"})).await;
        let entries = log.as_array().expect("a log is a list").iter();
        entries.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Sends a command of Chromium's own protocol.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.command(Method::POST, "/goog/cdp/execute", json!({"cmd": command, "params": parameters})).await
    }

    fn quit(&self) -> std::io::Result<usize> {
        let (authority, path) = self.session.trim_start_matches("http://").split_once('/').unwrap_or_default();
        let mut stream = TcpStream::connect(authority)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "DELETE /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n")?;
        stream.read(&mut [0; 64])
    }

    async fn element(&self, selector: &str) -> String {
        let query = json!({"using": "css selector", "value": selector});
        let element = self.command(Method::POST, "/element", query).await;
        element[ELEMENT].as_str().expect("an element has a reference").to_owned()
    }

    async fn command(&self, method: Method, path: &str, body: Value) -> Value {
        let mut request = self.client.request(method, format!("{}{path}", self.session));
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("chromedriver answers");
        let status = answer.status();
        let mut json: Value = answer.json().await.expect("chromedriver answers in JSON");
        assert!(status.is_success(), "{path} {body}: {}", json["value"]["message"]);
        json["value"].take()
    }
}

impl std::fmt::Debug for Browser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Browser").field("session", &self.session).finish_non_exhaustive()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser outlives its driver, unless it is told to end before. There is no async here.
        self.quit().ok();
        self.driver.kill().ok();
        self.driver.wait().ok();
    }
}

/// The port in the line by which chromedriver says that it is ready.
fn port(line: &str) -> Option<u16> {
    let (_, rest) = line.split_once("started successfully on port ")?;
    rest.trim_end_matches('.').parse().ok()
}
