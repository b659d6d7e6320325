//! A server for a test, and a client for it.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Parser;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use x0_engine::FailureCode;
use x0_engine::fake::{FakeDenoiser, Faults, Gate};
use x0_model::sampler::{SamplerKind, SamplerSpec};
use x0_model::{
    Channels, Conditioning, Cost, Defaults, ModelInfo, ModelKind, Picture, Request, RequestError, SecondPass, SizeRule,
};
use x0_openapi::{KeyLimits, Named as _, PreviewDecoder, Scope};
use x0_server::auth::{Key, KeyFile, Limits};
use x0_server::catalog::Catalog;
use x0_server::config::{AuthConfig, Config, ServeArgs};
use x0_server::device::Device;
use x0_server::server::Server;
use x0_server::shutdown::Stopped;
use x0_server::validate::Work;

/// Keys without limits.
pub(crate) const NO_LIMITS: Limits =
    Limits { requests_per_minute: None, pixel_steps_per_minute: None, queue_size: None, streams: None };

/// A test that waits longer waits for something that will not come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server on a port of its own. Its denoiser passes a gate before every model call; the gate is open unless the test holds it.
pub(crate) struct TestServer {
    pub(crate) base: String,
    pub(crate) gate: Gate,
    pub(crate) client: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<Stopped>>,
}

/// A key file of a test's own.
pub(crate) struct Keys {
    folder: tempfile::TempDir,
}

impl Keys {
    /// No keys.
    pub(crate) fn new() -> Self {
        let keys = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::write(keys.path(), r#"{"keys": []}"#).unwrap();
        keys
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("keys.json")
    }

    /// Adds a key of these scopes, separated by commas.
    pub(crate) fn add(&self, name: &str, scopes: &str) -> String {
        let scopes: Vec<Scope> = scopes.split(',').map(|scope| Scope::from_name(scope).unwrap()).collect();
        let (key, token) = Key::random(name, &scopes, KeyLimits::default()).unwrap();
        KeyFile::change(&self.path(), |file| file.keys.push(key)).unwrap();
        token.reveal().to_owned()
    }

    /// Leaves a file that is none.
    pub(crate) fn break_file(&self) {
        std::fs::write(self.path(), "{").unwrap();
    }

    /// A server that asks for these keys, with its gate open.
    pub(crate) async fn server(&self, limits: Limits) -> TestServer {
        self.server_with(limits, |_| {}).await
    }

    pub(crate) async fn server_with(&self, limits: Limits, configure: impl FnOnce(&mut Config)) -> TestServer {
        TestServer::start_with(|config| {
            config.auth = AuthConfig::Keys { file: self.path(), limits };
            configure(config);
        })
        .await
    }
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    serve: ServeArgs,
}

impl TestServer {
    /// A server whose gate is open.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A server with other settings.
    pub(crate) async fn start_with(configure: impl FnOnce(&mut Config)) -> Self {
        let server = Self::start_held(configure).await;
        server.gate.open();
        server
    }

    /// A server whose gate is shut: no model call passes before the test lets it.
    pub(crate) async fn start_held(configure: impl FnOnce(&mut Config)) -> Self {
        Self::launch(configure, u32::MAX).await
    }

    /// A server whose gate is open, and that has no memory for model calls of more than `rows` rows.
    pub(crate) async fn start_with_memory_for(rows: u32) -> Self {
        let server = Self::launch(|_| {}, rows).await;
        server.gate.open();
        server
    }

    async fn launch(configure: impl FnOnce(&mut Config), memory: u32) -> Self {
        let line = Line::parse_from(["x0", "--listen", "127.0.0.1:0"]);
        let mut config = line.serve.config().unwrap();
        configure(&mut config);
        let gate = Gate::new();
        let denoiser = FakeDenoiser::adapted(read, paint).through(&gate).with_memory_for(memory);
        let catalog = Arc::new(ToyCatalog::new());
        let server =
            Server::start(config, &Device::cpu(), catalog, move || Ok::<_, Infallible>(denoiser)).await.unwrap();
        let base = format!("http://{}", server.address());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run_until(async {
            let _ = stopped.await;
        }));
        Self { base, gate, client: reqwest::Client::new(), stop: Some(stop), running: Some(running) }
    }

    /// A server that keeps its generations in a folder, and does not wait for what is under way when it stops. Its gate is shut.
    pub(crate) async fn start_in(folder: &std::path::Path) -> Self {
        Self::start_held(|config| {
            config.data_dir = Some(folder.to_owned());
            config.shutdown.drain = Duration::ZERO;
        })
        .await
    }

    /// Asks the server to stop, and does not wait for it.
    pub(crate) fn begin_to_stop(&mut self) {
        self.stop.take().expect("it was not asked before").send(()).expect("it is running");
    }

    /// Stops the server, and waits until it has.
    pub(crate) async fn stopped(mut self) {
        self.begin_to_stop();
        self.gate.open();
        self.has_stopped().await;
    }

    /// Waits until the server does not listen any more.
    pub(crate) async fn is_deaf(&self) {
        within(async { while self.request(Method::GET, "/livez").send().await.is_ok() {} }).await;
    }

    /// Waits until the server has stopped, without letting model calls pass.
    pub(crate) async fn has_stopped(&mut self) -> Stopped {
        within(self.running.take().expect("nobody waited before")).await.unwrap()
    }

    /// Waits until a model call stands before the gate with no pass left.
    pub(crate) async fn held(&self) {
        let gate = self.gate.clone();
        tokio::task::spawn_blocking(move || gate.wait_until_held()).await.unwrap();
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        within(self.request(Method::GET, path).send()).await.unwrap()
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.json().await.unwrap()
    }

    pub(crate) fn post(&self, body: &Value) -> RequestBuilder {
        self.request(Method::POST, "/v1/generations").json(body)
    }

    /// Posts and answers what came: the status and the body as JSON.
    pub(crate) async fn answer(&self, request: RequestBuilder) -> (u16, Value) {
        let answer = within(request.send()).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.bytes().await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&body))))
    }

    /// Accepts a generation and gives its id.
    pub(crate) async fn accept(&self, body: &Value) -> String {
        let (status, record) = self.answer(self.post(body)).await;
        assert_eq!(status, 202, "{record}");
        record["id"].as_str().unwrap().to_owned()
    }

    /// Posts and waits for the finished record.
    pub(crate) async fn finish(&self, body: &Value) -> Value {
        let (status, record) = self.answer(self.post(body).header("prefer", "wait=30")).await;
        assert_eq!(status, 200, "{record}");
        record
    }

    /// Posts and waits for the picture.
    pub(crate) async fn picture(&self, body: &Value) -> Vec<u8> {
        let answer = within(self.post(body).header("accept", "image/png").send()).await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.bytes().await.unwrap().to_vec()
    }

    /// Posts and follows the events.
    pub(crate) async fn follow(&self, body: &Value) -> Events {
        Events::new(within(self.post(body).header("accept", "text/event-stream").send()).await.unwrap())
    }

    /// Follows the events of a generation after the one of the id `after`.
    pub(crate) async fn events(&self, id: &str, after: Option<&str>) -> Events {
        let mut request = self.request(Method::GET, &format!("/v1/generations/{id}/events"));
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        Events::new(within(request.send()).await.unwrap())
    }

    /// Asks for `/metrics` again and again until `line` is one of its lines.
    pub(crate) async fn metric(&self, line: &str) {
        self.metric_as("", line).await;
    }

    /// [`Self::metric`] with a key, which may become known only now.
    pub(crate) async fn metric_as(&self, key: &str, line: &str) {
        within(async {
            loop {
                let answer = self.request(Method::GET, "/metrics").bearer_auth(key).send().await.unwrap();
                if answer.text().await.unwrap().lines().any(|l| l == line) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Waits until the server knows a key.
    pub(crate) async fn known(&self, key: &str) {
        let models = || self.request(Method::GET, "/v1/models").bearer_auth(key).send();
        within(async { while models().await.unwrap().status() == 401 {} }).await;
    }

    /// Asks for the record again and again until the generation is in this state.
    pub(crate) async fn state(&self, id: &str, state: &str) -> Value {
        within(async {
            loop {
                let record = self.json(&format!("/v1/generations/{id}")).await;
                if record["state"] == state {
                    return record;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

/// Waits, but not for ever.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it takes too long")
}

/// An event stream.
pub(crate) struct Events {
    bytes: BoxStream<'static, Vec<u8>>,
    buffer: String,
    ready: VecDeque<Event>,
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

impl Event {
    /// The event in a line: its id, its name, and what tells it from others of its name.
    pub(crate) fn line(&self) -> String {
        let id = self.id.as_ref().map(|id| format!("{id} ")).unwrap_or_default();
        let name = &self.name;
        let data = &self.data;
        let detail = match name.as_str() {
            "step" | "preview" => format!(" {}: {} of {}", data["index"], data["step"], data["steps"]),
            "image" => format!(" {} seed {}", data["index"], data["seed"]),
            "queued" => format!(" {}", data["position"]),
            "snapshot" | "succeeded" | "failed" | "cancelled" => {
                format!(" ({}, {} images)", data["state"].as_str().unwrap(), data["images"].as_array().unwrap().len())
            }
            _ => String::new(),
        };
        format!("{id}{name}{detail}")
    }
}

impl Events {
    pub(crate) fn new(answer: Response) -> Self {
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.headers()["cache-control"], "no-cache, no-transform");
        let bytes = answer.bytes_stream().map(|chunk| chunk.expect("the stream does not break off").to_vec()).boxed();
        Self { bytes, buffer: String::new(), ready: VecDeque::new() }
    }

    /// The next event; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        within(async {
            loop {
                if let Some(event) = self.ready.pop_front() {
                    return Some(event);
                }
                self.buffer += std::str::from_utf8(&self.bytes.next().await?).unwrap();
                while let Some((block, rest)) = self.buffer.split_once("\n\n") {
                    self.ready.extend(event(block));
                    self.buffer = rest.to_owned();
                }
            }
        })
        .await
    }

    /// Reads up to the first event of this name, and gives it.
    pub(crate) async fn until(&mut self, name: &str) -> Event {
        loop {
            let event = self.next().await.unwrap_or_else(|| panic!("the stream ended without {name}"));
            if event.name == name {
                return event;
            }
        }
    }

    /// All that is left.
    pub(crate) async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

fn event(block: &str) -> Option<Event> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let data = serde_json::from_str(field("data")?).unwrap();
    Some(Event { name: field("event")?.to_owned(), id: field("id").map(str::to_owned), data })
}

/// A picture in base64, of one colour.
pub(crate) fn base64_picture(width: u32, height: u32, value: u8) -> String {
    let bytes = vec![value; (width * height) as usize];
    let picture = Picture { width, height, channels: Channels::Gray, bytes };
    BASE64.encode(x0_server::picture::encode(&picture, &x0_server::picture::Encoding::Png { text: None }).unwrap())
}

/// Three models without weights:
///
/// - `toy`: three classes, 8 x 8 pixels, can be guided;
/// - `blobs`: unconditional, 8 x 8 pixels;
/// - `words`: text to image, multiples of 8 pixels. Its prompt may ask for faults.
#[derive(Debug)]
pub(crate) struct ToyCatalog {
    models: Vec<ModelInfo>,
    loaded: Mutex<BTreeSet<String>>,
}

impl ToyCatalog {
    fn new() -> Self {
        let pixels = SizeRule { default_width: 8, default_height: 8, multiple: 1, fixed: true };
        let latents = SizeRule { default_width: 64, default_height: 64, multiple: 8, fixed: false };
        let classes = ["Zero", "one", "two words"].map(str::to_owned).to_vec();
        let toy = info("toy", ModelKind::ClassConditional, pixels);
        let words = info("words", ModelKind::TextToImage, latents);
        let blobs = info("blobs", ModelKind::Unconditional, pixels);
        let models = vec![
            ModelInfo { classes, guidable: true, ..toy },
            ModelInfo { guidable: true, image_to_image: true, ..words },
            blobs,
        ];
        Self { models, loaded: Mutex::new(BTreeSet::from(["toy".to_owned()])) }
    }
}

fn info(name: &str, kind: ModelKind, size: SizeRule) -> ModelInfo {
    ModelInfo {
        name: name.to_owned(),
        kind,
        classes: Vec::new(),
        guidable: false,
        image_to_image: false,
        size,
        defaults: Defaults { steps: 4, guidance_scale: 2.0, sampler: SamplerSpec::from(SamplerKind::Ddim) },
        examples: Vec::new(),
        description: None,
        license: None,
        attribution: None,
        embedded: true,
    }
}

impl Catalog for ToyCatalog {
    fn infos(&self) -> Vec<&ModelInfo> {
        self.models.iter().collect()
    }

    fn info(&self, name: &str) -> Option<&ModelInfo> {
        self.models.iter().find(|info| info.name == name)
    }

    fn plan(&self, _: &str, request: &Request) -> Result<Cost, RequestError> {
        if request.steps == 999 {
            return Err(RequestError { field: "steps", message: "999 is what this model does not like".to_owned() });
        }
        let rows = if request.guidance_scale > 1.0 { 2 } else { 1 };
        let second_pass = request.highres.map(|highres| SecondPass {
            calls: highres.steps,
            tensor_height: highres.height,
            tensor_width: highres.width,
        });
        let (tensor_height, tensor_width) = (request.height, request.width);
        Ok(Cost { calls: request.steps, rows, tensor_height, tensor_width, context: 0, second_pass })
    }

    fn warnings(&self, _: &str, request: &Request) -> Vec<String> {
        match &request.conditioning {
            Conditioning::Text { prompt, .. } if prompt.text().len() > 100 => vec!["the prompt is long".to_owned()],
            Conditioning::Text { .. } | Conditioning::Class(_) | Conditioning::None => Vec::new(),
        }
    }

    fn preview_decoders(&self, name: &str) -> Vec<PreviewDecoder> {
        match name {
            "words" => vec![PreviewDecoder::Linear, PreviewDecoder::Full],
            _ => vec![PreviewDecoder::Full],
        }
    }

    fn auto_preview(&self, name: &str, _: &Request) -> PreviewDecoder {
        self.preview_decoders(name)[0]
    }

    fn is_loaded(&self, name: &str) -> bool {
        self.loaded.lock().unwrap().contains(name)
    }

    fn load(&self, name: &str) -> Result<(), String> {
        if name == "blobs" {
            return Err("/models/blobs: its weights are gone".to_owned());
        }
        self.loaded.lock().unwrap().insert(name.to_owned());
        Ok(())
    }

    fn load_duration(&self, name: &str) -> Option<Duration> {
        self.is_loaded(name).then_some(Duration::from_millis(1500))
    }

    fn unload(&self, name: &str) {
        self.loaded.lock().unwrap().remove(name);
    }
}

fn read(work: &Work) -> x0_engine::fake::Work {
    let request = &work.request;
    x0_engine::fake::Work {
        seed: request.seed,
        steps: request.steps + request.highres.map_or(0, |highres| highres.steps),
        rows: if request.guidance_scale > 1.0 { 2 } else { 1 },
        width: request.highres.map_or(request.width, |highres| highres.width),
        height: request.highres.map_or(request.height, |highres| highres.height),
        faults: match &request.conditioning {
            Conditioning::Text { prompt, .. } => faults(prompt.text()),
            Conditioning::Class(_) | Conditioning::None => Faults::default(),
        },
    }
}

/// What a prompt asks to go wrong.
fn faults(prompt: &str) -> Faults {
    match prompt {
        "nan" => Faults { nan_at: Some(2), ..Faults::default() },
        "panic" => Faults { panic_at: Some(2), ..Faults::default() },
        "out of memory" => Faults { admit: Some(FailureCode::OutOfMemory), ..Faults::default() },
        "device lost at once" => Faults { admit: Some(FailureCode::DeviceLost), ..Faults::default() },
        "device lost" => Faults { lost_at: Some(2), ..Faults::default() },
        "no decoding" => Faults { decode: Some(FailureCode::ModelError), image: Some(1), ..Faults::default() },
        _ => Faults::default(),
    }
}

fn paint(picture: x0_engine::fake::Picture) -> Picture {
    let x0_engine::fake::Picture { width, height, pixels, .. } = picture;
    Picture { width, height, channels: Channels::Rgb, bytes: pixels }
}
