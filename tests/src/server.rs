//! A server, started as its users start it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::command;
use crate::sse::Events;

/// How long a server may take to listen, on a machine that does other things too.
const START: Duration = Duration::from_secs(60);

/// `x0 serve` on a port of its own choice, with a data folder of its own. It is killed when dropped (SIGKILL); if the test failed, what
/// it wrote is shown.
#[derive(Debug)]
pub struct Server {
    child: Child,
    url: String,
    log: Arc<Mutex<String>>,
    client: reqwest::Client,
    data: Arc<TempDir>,
}

impl Server {
    /// Starts a server and waits until it listens.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with more arguments.
    ///
    /// # Panics
    /// When it does not listen in time.
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::start_in(Arc::new(TempDir::new().expect("a folder for temporary files")), arguments)
    }

    /// Kills the server, which leaves it no time for anything, and starts another one with its data folder.
    #[must_use]
    pub fn killed_and_started_again(self) -> Self {
        let data = self.data.clone();
        drop(self);
        Self::start_in(data, &[])
    }

    /// Asks the server to end, kills it as soon as it has heard that, and starts another one with its data folder.
    #[must_use]
    pub fn interrupted_and_started_again(self) -> Self {
        self.signal("-TERM");
        let deadline = Instant::now() + START;
        while !self.log.lock().expect("no writer panics").contains("finishing what was accepted") {
            assert!(Instant::now() < deadline, "the server has not heard");
            thread::yield_now();
        }
        self.killed_and_started_again()
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill exists").success());
    }

    fn start_in(data: Arc<TempDir>, arguments: &[&str]) -> Self {
        let mut child = command()
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data.path())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("x0 can be started");
        let log = Arc::new(Mutex::new(String::new()));
        let (lines, heard) = mpsc::channel();
        keep(child.stdout.take().expect("it is piped"), &log, lines.clone());
        keep(child.stderr.take().expect("it is piped"), &log, lines);

        let deadline = Instant::now() + START;
        let url = loop {
            match heard.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => match address(&line) {
                    Some(url) => break url,
                    None => continue,
                },
                Err(_) => {
                    child.kill().ok();
                    panic!("the server does not listen:\n{}", log.lock().expect("no writer panics"));
                }
            }
        };
        Self { child, url, log, client: reqwest::Client::new(), data }
    }

    /// The address of a path of this server.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// Sends a GET and reads the body as text.
    pub async fn text(&self, path: &str) -> String {
        let answer = self.client.get(self.url(path)).send().await.expect("the server answers");
        assert!(answer.status().is_success(), "GET {path}: {}", answer.status());
        answer.text().await.expect("the answer is text")
    }

    /// Sends a GET and reads the body as JSON.
    pub async fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.text(path).await).expect("the answer is JSON")
    }

    /// Posts a generation, asking for an answer of one media type.
    pub async fn post(&self, request: &Value, accept: &str) -> reqwest::Response {
        let post = self.client.post(self.url("/v1/generations")).header("accept", accept).json(request);
        post.send().await.expect("the server answers")
    }

    /// Follows the events of a generation after the one of the id `after`.
    pub async fn events(&self, id: &str, after: Option<&str>) -> Events {
        let mut get = self.client.get(self.url(&format!("/v1/generations/{id}/events")));
        if let Some(after) = after {
            get = get.header("last-event-id", after);
        }
        Events::of(get.send().await.expect("the server answers"))
    }

    /// Posts a generation and follows its events.
    pub async fn follow(&self, request: &Value) -> Events {
        Events::of(self.post(request, "text/event-stream").await)
    }

    /// Posts a generation and waits for its picture: the file.
    pub async fn picture(&self, request: &Value) -> Vec<u8> {
        let answer = self.post(request, "image/png").await;
        let status = answer.status();
        let body = answer.bytes().await.expect("the answer has a body").to_vec();
        assert!(status.is_success(), "{request}: {status}: {}", String::from_utf8_lossy(&body));
        body
    }

    /// Asks the server to end, as a container engine does, and waits for it.
    ///
    /// # Panics
    /// When it has not ended in time.
    pub fn terminate(mut self, within: Duration) -> ExitStatus {
        let id = self.child.id().to_string();
        self.signal("-TERM");
        let (told, ended) = mpsc::channel();
        // `Child::wait` has no timeout; a reader of the closed end of its output would miss children of its own.
        thread::scope(|scope| {
            let child = &mut self.child;
            scope.spawn(move || told.send(child.wait()));
            let status = ended.recv_timeout(within);
            if status.is_err() {
                Command::new("kill").args(["-KILL", &id]).status().ok();
            }
            status.unwrap_or_else(|_| panic!("the server has not ended after {within:?}")).expect("it is our child")
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if thread::panicking() {
            eprintln!("--- the server wrote:\n{}", self.log.lock().expect("no writer panics"));
        }
    }
}

/// Keeps what the server writes, and hands on each line as long as somebody listens.
fn keep(output: impl Read + Send + 'static, log: &Arc<Mutex<String>>, lines: Sender<String>) {
    let log = Arc::clone(log);
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let mut log = log.lock().expect("no writer panics");
            log.push_str(&line);
            log.push('\n');
            lines.send(line).ok();
        }
    });
}

/// The address in a line that says where the server listens.
fn address(line: &str) -> Option<String> {
    let rest = &line[line.find("http://")?..];
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || ".:/[]".contains(c))).unwrap_or(rest.len());
    Some(rest[..end].trim_end_matches(['/', '.']).to_owned())
}
