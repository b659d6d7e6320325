//! Requests over HTTP.

use std::time::Instant;

use futures::StreamExt as _;
use serde_json::Value;
use x0_openapi::{Model, ModelList};

use crate::commands::CommandError;

/// A client of one server.
#[derive(Clone, Debug)]
pub(super) struct Client {
    base: String,
    http: reqwest::Client,
}

/// What came of a request.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// From the request to the last event.
    pub(super) seconds: f64,
    /// From the request to the first preview.
    pub(super) first_preview: Option<f64>,
    /// The picture in base64; none if it failed.
    pub(super) picture: Option<String>,
}

impl Client {
    pub(super) fn new(url: &str) -> Self {
        Self { base: url.trim_end_matches('/').to_owned(), http: reqwest::Client::new() }
    }

    /// The models that are served.
    pub(super) async fn models(&self) -> Result<Vec<Model>, CommandError> {
        let answer = self.http.get(format!("{}/v1/models", self.base)).send().await;
        let answer = answer.and_then(reqwest::Response::error_for_status).map_err(CommandError::failed)?;
        Ok(answer.json::<ModelList>().await.map_err(CommandError::failed)?.data)
    }

    /// Makes a request, and follows it to its end. That it is refused or fails is no error.
    pub(super) async fn follow(&self, request: &Value) -> Result<Answer, CommandError> {
        let start = Instant::now();
        let since = || start.elapsed().as_secs_f64();
        let post = self.http.post(format!("{}/v1/generations", self.base)).header("accept", "text/event-stream");
        let response = post.json(request).send().await.map_err(CommandError::failed)?;
        let mut answer = Answer { seconds: 0.0, first_preview: None, picture: None };
        if response.status().is_success() {
            let mut bytes = response.bytes_stream();
            let mut events = Events::default();
            while let Some(chunk) = bytes.next().await {
                events.buffer.extend_from_slice(&chunk.map_err(CommandError::failed)?);
                while let Some((name, data)) = events.next() {
                    match name.as_str() {
                        "preview" => answer.first_preview = answer.first_preview.or_else(|| Some(since())),
                        "image" => answer.picture = picture(&data),
                        _ => {}
                    }
                }
            }
        }
        answer.seconds = since();
        Ok(answer)
    }
}

fn picture(data: &str) -> Option<String> {
    serde_json::from_str::<Value>(data).ok()?.get("b64")?.as_str().map(str::to_owned)
}

/// Server-sent events of bytes that come in pieces, as the HTML standard defines them; a server of ours ends its lines by `\n`.
#[derive(Debug, Default)]
struct Events {
    buffer: Vec<u8>,
}

impl Events {
    /// Name and data of the next event that is there as a whole.
    fn next(&mut self) -> Option<(String, String)> {
        let end = self.buffer.windows(2).position(|pair| pair == b"\n\n")?;
        let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
        let block = String::from_utf8_lossy(&block);
        let field = |name: &str| {
            let value = |line: &str| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim_start().to_owned());
            block.lines().filter_map(value).collect::<Vec<_>>().join("\n")
        };
        Some((field("event"), field("data")))
    }
}

#[cfg(test)]
mod tests {
    use super::Events;

    #[test]
    fn events_are_read_from_pieces() {
        let mut events = Events::default();
        let mut heard = Vec::new();
        for piece in ["event: ste", "p\ndata: {}\n", "\n: nothing\n\nid: 3\nevent: image\nda", "ta: a\ndata: b\n\n"] {
            events.buffer.extend_from_slice(piece.as_bytes());
            heard.extend(std::iter::from_fn(|| events.next()));
        }
        let heard: Vec<_> = heard.iter().map(|(name, data)| (name.as_str(), data.as_str())).collect();
        assert_eq!(heard, [("step", "{}"), ("", ""), ("image", "a\nb")]);
    }
}
