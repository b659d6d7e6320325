//! Event streams, as the HTML standard defines them.

use std::collections::VecDeque;
use std::fmt;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use serde_json::Value;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub name: String,
    pub id: Option<String>,
    pub data: Value,
}

/// The events of an answer.
pub struct Events {
    bytes: BoxStream<'static, reqwest::Result<Vec<u8>>>,
    buffer: Vec<u8>,
    ready: VecDeque<Event>,
}

impl Events {
    /// # Panics
    /// When the answer is no event stream.
    pub fn of(answer: reqwest::Response) -> Self {
        assert_eq!(answer.status(), 200);
        let media_type = answer.headers()["content-type"].to_str().expect("it is ASCII");
        assert!(media_type.starts_with("text/event-stream"), "{media_type}");
        let bytes = answer.bytes_stream().map(|chunk| chunk.map(|bytes| bytes.to_vec())).boxed();
        Self { bytes, buffer: Vec::new(), ready: VecDeque::new() }
    }

    /// The next event; `None` when the stream has ended.
    ///
    /// # Panics
    /// When the stream breaks off.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let chunk = self.bytes.next().await?.expect("the stream does not break off");
            self.buffer.extend(chunk);
            while let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let text = String::from_utf8(block).expect("event streams are UTF-8");
                self.ready.extend(parse(&text));
            }
        }
    }

    /// The events up to the first of this name, with it.
    ///
    /// # Panics
    /// When the stream ends before.
    pub async fn until(&mut self, name: &str) -> Vec<Event> {
        let mut events = Vec::new();
        while events.last().is_none_or(|event: &Event| event.name != name) {
            match self.next().await {
                Some(event) => events.push(event),
                None => panic!("the stream ended without {name}: {events:?}"),
            }
        }
        events
    }

    /// All events to the end.
    pub async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("ready", &self.ready).finish_non_exhaustive()
    }
}

/// An event from its lines; `None` when they are comments or settings only.
fn parse(block: &str) -> Option<Event> {
    let field = |name: &str| {
        let value = |line: &str| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim_start_matches(' ').to_owned());
        block.lines().filter_map(value).reduce(|all, line| all + "\n" + &line)
    };
    let data = serde_json::from_str(&field("data")?).expect("the data of every event is JSON");
    Some(Event { name: field("event").unwrap_or_default(), id: field("id"), data })
}
