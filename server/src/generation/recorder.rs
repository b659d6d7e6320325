//! Writes down what happens to one generation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::sync::{Semaphore, mpsc};
use tracing::{Span, error_span};
use uuid::Uuid;
use x0_engine::{EngineHandle, Event, Failure, FailureCode, JobId, StepReport};
use x0_model::Picture;
use x0_openapi::{ErrorCode, GenerationError, ImageRecord, PreviewEvent, ResolvedPreview, StepEvent};

use super::{Fact, FinishedImage, Glimpse};
use crate::metrics::{Held, Metrics, Outcome};
use crate::picture::{Encoding, encode, fit};
use crate::store::{JobStore, StoreError};
use crate::validate::{Order, Work};

/// Takes the engine's events of one generation, encodes their pictures, and appends them to the store, in order. It is the only
/// one that writes to this generation, and it ends with the terminal fact.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) id: Uuid,
    pub(super) order: Order,
    pub(super) store: Arc<dyn JobStore>,
    pub(super) engine: EngineHandle<Work>,
    pub(super) metrics: Metrics,
    /// As many pictures are encoded at once as there are processors.
    pub(super) encoders: Arc<Semaphore>,
    pub(super) accepted: Instant,
    /// Whether the place in the queue was written down; later changes are only shown.
    pub(super) queued: bool,
    /// Counts the generation among those that wait, until it is begun.
    pub(super) waits: Option<Held>,
    /// The span of what is happening: waiting, or removing noise.
    pub(super) phase: Span,
}

/// A picture as a file.
struct Encoded {
    width: u32,
    height: u32,
    file: Vec<u8>,
    duration: Duration,
}

impl Recorder {
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Event<Picture>>) {
        while let Some(event) = inbox.recv().await {
            let ended = match self.record(event).await {
                Ok(ended) => ended,
                Err(error) => {
                    tracing::error!(%error, "an event could not be stored");
                    None
                }
            };
            if let Some(outcome) = ended {
                self.finish(outcome);
                return;
            }
        }
        let error = GenerationError {
            code: ErrorCode::EngineUnavailable,
            message: "the engine stopped before the generation was finished".to_owned(),
        };
        match self.leave(error).await {
            Ok(outcome) => self.finish(outcome),
            Err(error) => {
                tracing::error!(%error, "the end of a generation could not be stored");
                self.finish(Outcome::Failed);
            }
        }
    }

    /// Leaves what this process cannot finish to the next one, or else ends it with `error`.
    async fn leave(&self, error: GenerationError) -> Result<Outcome, StoreError> {
        if self.store.outlives_the_process() {
            return Ok(Outcome::HandedBack);
        }
        self.store.append(self.id, Fact::Failed(error)).await?;
        Ok(Outcome::Failed)
    }

    /// Writes down one event; how the generation ended, if it was the last.
    async fn record(&mut self, event: Event<Picture>) -> Result<Option<Outcome>, StoreError> {
        match event {
            Event::Queued { position, eta } => self.moved(position, eta).await?,
            Event::Started => {
                self.waits = None;
                self.phase = error_span!("denoise");
                let request = self.order.resolved();
                self.metrics.job_started(&request.model, request.priority, self.accepted.elapsed());
                self.store.append(self.id, Fact::Started).await?;
            }
            Event::Step { image, step, steps, report: StepReport { timestep, sigma } } => {
                let step = StepEvent { index: image, step, steps, timestep, sigma };
                self.store.show(self.id, Glimpse::Step(step));
            }
            Event::Preview { image, step, steps, report, picture } => {
                if let Some(preview) = self.order.resolved().preview {
                    self.preview(preview, image, (step, steps), report, picture).await;
                }
            }
            Event::Image { image, picture } => return self.image(image, picture).await,
            Event::Succeeded => return self.end(Fact::Succeeded, Outcome::Succeeded).await,
            Event::Failed(failure) => {
                tracing::warn!(code = failure.code.as_str(), error = failure.message, "failed");
                self.metrics.job_failed(failure.code);
                let outcome = match failure.code {
                    FailureCode::DeviceLost | FailureCode::ShuttingDown => {
                        return self.leave(told(failure)).await.map(Some);
                    }
                    FailureCode::DeadlineExceeded => Outcome::Expired,
                    FailureCode::NanOutput | FailureCode::OutOfMemory | FailureCode::ModelError => Outcome::Failed,
                };
                return self.end(Fact::Failed(told(failure)), outcome).await;
            }
            Event::Cancelled => return self.end(Fact::Cancelled, Outcome::Cancelled).await,
        }
        Ok(None)
    }

    async fn moved(&mut self, position: u32, eta: Duration) -> Result<(), StoreError> {
        let eta_seconds = Some((eta.as_secs_f64() * 1000.0).round() / 1000.0);
        if std::mem::replace(&mut self.queued, true) {
            self.store.show(self.id, Glimpse::Moved { position, eta_seconds });
            return Ok(());
        }
        self.store.append(self.id, Fact::Queued { position, eta_seconds }).await
    }

    async fn preview(
        &self,
        preview: ResolvedPreview,
        image: u32,
        (step, steps): (u32, u32),
        StepReport { timestep, sigma }: StepReport,
        picture: Picture,
    ) {
        let encoding = Encoding::preview(preview.format);
        match self.encode(fit_to(picture, preview.max_size), encoding).await {
            Ok(Encoded { width, height, file, .. }) => {
                let event = PreviewEvent {
                    index: image,
                    step,
                    steps,
                    timestep,
                    sigma,
                    decoder: preview.decoder,
                    format: preview.format,
                    width,
                    height,
                    b64: BASE64.encode(file),
                };
                self.store.show(self.id, Glimpse::Preview(event));
            }
            Err(error) => tracing::error!(error, "a preview could not be encoded"),
        }
    }

    async fn image(&self, index: u32, picture: Picture) -> Result<Option<Outcome>, StoreError> {
        let request = self.order.resolved();
        let finishing = self.order.finishing();
        let encoded = match self.encode(move || finishing(picture), self.order.encoding(index)).await {
            Ok(encoded) => encoded,
            Err(error) => {
                tracing::error!(error, "an image could not be encoded");
                self.engine.cancel(JobId(self.id.as_u128()));
                let message = "the picture could not be encoded".to_owned();
                let error = GenerationError { code: ErrorCode::InternalError, message };
                return self.end(Fact::Failed(error), Outcome::Failed).await;
            }
        };
        let pixel_steps = self.order.pixel_steps() / u64::from(request.n.max(1));
        self.metrics.image_finished(&request.model, pixel_steps, encoded.duration);
        let record = ImageRecord {
            index,
            seed: self.order.seed(index),
            url: format!("/v1/generations/{}/images/{index}", self.id),
            width: encoded.width,
            height: encoded.height,
            format: request.output.format,
            b64: request.output.inline.then(|| BASE64.encode(&encoded.file)),
        };
        let image = FinishedImage { record, file: encoded.file.into() };
        self.store.append(self.id, Fact::Image(image)).await?;
        Ok(None)
    }

    async fn end(&self, fact: Fact, outcome: Outcome) -> Result<Option<Outcome>, StoreError> {
        self.store.append(self.id, fact).await?;
        Ok(Some(outcome))
    }

    fn finish(&self, outcome: Outcome) {
        let request = self.order.resolved();
        tell_end(&self.metrics, &request.model, request.n, outcome, self.accepted);
    }

    /// Makes a file of a picture, on the blocking pool.
    async fn encode(
        &self,
        picture: impl FnOnce() -> Picture + Send + 'static,
        encoding: Encoding,
    ) -> Result<Encoded, String> {
        let _permit = self.encoders.acquire().await.map_err(|error| error.to_string())?;
        let encode = move || {
            let start = Instant::now();
            let picture = picture();
            let file = encode(&picture, &encoding).map_err(|error| error.to_string())?;
            Ok(Encoded { width: picture.width, height: picture.height, file, duration: start.elapsed() })
        };
        tokio::task::spawn_blocking(encode).await.map_err(|error| error.to_string())?
    }
}

/// Counts and logs that a generation has ended. The current span says which.
pub(super) fn tell_end(metrics: &Metrics, model: &str, images: u32, outcome: Outcome, accepted: Instant) {
    let duration = accepted.elapsed();
    metrics.job_finished(model, outcome, duration);
    let duration_seconds = duration.as_secs_f64();
    tracing::info!(outcome = outcome.name(), images, duration_seconds, "generation ended");
}

fn fit_to(picture: Picture, max_size: u32) -> impl FnOnce() -> Picture + Send + 'static {
    move || fit(picture, max_size)
}

/// A failure of the engine, as clients are told of it.
fn told(failure: Failure) -> GenerationError {
    let code = match failure.code {
        FailureCode::NanOutput => ErrorCode::NanOutput,
        FailureCode::OutOfMemory => ErrorCode::OutOfMemory,
        FailureCode::DeviceLost => ErrorCode::DeviceLost,
        FailureCode::ModelError => ErrorCode::ModelError,
        FailureCode::DeadlineExceeded => ErrorCode::DeadlineExceeded,
        FailureCode::ShuttingDown => ErrorCode::ShuttingDown,
    };
    GenerationError { code, message: failure.message }
}

#[cfg(test)]
mod tests;
