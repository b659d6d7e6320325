//! From a request to its pictures: what every surface does alike.

use std::time::Duration;

use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use uuid::Uuid;
use x0_openapi::{ErrorCode, FieldError, GenerationRecord, GenerationRequest, State};

use super::error::ApiError;
use super::sse::{self, Narrator};
use crate::app::AppState;
use crate::auth::Caller;
use crate::fetch::Fetched;
use crate::generation::{Accepted, CancelOnDrop, Own, Refused};
use crate::shutdown::Stage;
use crate::store::{IdempotencyKey, StoredImage};
use crate::validate::{Answer, Order};

const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const X_GENERATION_ID: HeaderName = HeaderName::from_static("x-generation-id");

/// A request as a surface read it, and what was wrong with it by then.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub request: GenerationRequest,
    pub errors: Vec<FieldError>,
}

/// Finds out whether anything is taken at all, before a body is read for nothing.
pub fn open(app: &AppState) -> Result<(), ApiError> {
    if app.lifecycle.stage() >= Stage::Draining { Err(refused(app, Refused::ShuttingDown)) } else { Ok(()) }
}

/// A generation that was accepted and that a client waits for. When it is dropped the generation is cancelled, unless its request
/// says otherwise or an earlier request made it.
#[derive(Debug)]
pub struct Making {
    app: AppState,
    caller: Caller,
    record: GenerationRecord,
    replayed: bool,
    cancel: CancelOnDrop,
}

/// A generation that succeeded: its record, and its files by index.
#[derive(Clone, Debug)]
pub struct Made {
    pub record: GenerationRecord,
    pub images: Vec<StoredImage>,
}

impl Making {
    /// Checks a request and gets it accepted.
    pub async fn begin(
        app: &AppState,
        caller: &Caller,
        asked: Asked,
        answer: Answer,
        key: Option<IdempotencyKey>,
    ) -> Result<Self, ApiError> {
        Self::begin_order(app, caller, order(app, asked, answer).await?, key).await
    }

    /// Checks one request, and gets it accepted as several generations of `size` images each. If one of them is refused, so are all.
    pub async fn begin_in_parts(
        app: &AppState,
        caller: &Caller,
        asked: Asked,
        answer: Answer,
        size: u32,
    ) -> Result<Vec<Self>, ApiError> {
        let mut parts = Vec::new();
        for part in order(app, asked, answer).await?.split(size) {
            parts.push(Self::begin_order(app, caller, part, None).await?);
        }
        Ok(parts)
    }

    async fn begin_order(
        app: &AppState,
        caller: &Caller,
        order: Order,
        key: Option<IdempotencyKey>,
    ) -> Result<Self, ApiError> {
        let accepted = app.generations.of(caller).accept(order, key).await;
        let Accepted { record, replayed, cancel } = accepted.map_err(|reason| refused(app, reason))?;
        Ok(Self { app: app.clone(), caller: caller.clone(), record, replayed, cancel })
    }

    /// The record as it was when the generation was accepted, or when an equal request found it again.
    pub fn record(&self) -> &GenerationRecord {
        &self.record
    }

    /// Headers that name the generation, for any answer.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Ok(id) = HeaderValue::try_from(self.record.id.to_string()) {
            headers.insert(X_GENERATION_ID, id);
        }
        if let Ok(location) = location(&self.record) {
            headers.insert(header::LOCATION, location);
        }
        if self.replayed {
            headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
        }
        headers
    }

    /// Nobody waits any more: the generation goes on by itself.
    pub fn leave(mut self) -> GenerationRecord {
        self.cancel.disarm();
        self.record
    }

    /// Waits for the end, and leaves: the record of a generation that has ended, or `None` if it has not by then.
    pub async fn ended(mut self, wait: Duration) -> Result<Option<GenerationRecord>, ApiError> {
        let own = self.app.generations.of(&self.caller);
        let ended = tokio::select! {
            // What has ended is told before the news that the server stops.
            biased;
            ended = own.ended(self.record.id) => ended?,
            () = tokio::time::sleep(wait) => None,
            () = self.app.lifecycle.reached(Stage::Closing) => None,
        };
        self.cancel.disarm();
        Ok(ended)
    }

    /// Waits for the pictures, however many there are. That it failed, was cancelled or takes longer is an error.
    pub async fn made(self, wait: Duration) -> Result<Made, ApiError> {
        let (app, caller) = (self.app.clone(), self.caller.clone());
        let location = location(&self.record)?;
        let Some(record) = self.ended(wait).await? else {
            let detail = "the picture is not finished yet; ask for its record later";
            return Err(ApiError::new(ErrorCode::WaitTimeout, detail).with_header(header::LOCATION, location));
        };
        if record.state == State::Cancelled {
            return Err(ApiError::new(ErrorCode::Cancelled, "the generation was cancelled"));
        }
        if let Some(error) = record.error {
            return Err(error.into());
        }
        let mut images = Vec::with_capacity(record.images.len());
        for image in &record.images {
            let image = app.generations.of(&caller).image(record.id, image.index).await?;
            images.push(image.ok_or_else(ApiError::job_not_found)?);
        }
        Ok(Made { record, images })
    }

    /// Answers with what happens, as it happens, in the words of `narrator`.
    pub async fn told(self, narrator: impl Narrator) -> Result<Response, ApiError> {
        sse::stream((&self.app, &self.caller), self.record.id, None, self.cancel, narrator).await
    }
}

/// How long the answer to a cancellation waits for it to take effect, which it does at the next step.
const CANCEL_PATIENCE: Duration = Duration::from_secs(2);

/// Cancels a generation: its record when that has taken effect, or as it is when the step takes long.
pub async fn cancel(own: Own<'_>, id: Uuid) -> Result<GenerationRecord, ApiError> {
    if !own.cancel(id).await? {
        return Err(ApiError::job_not_found());
    }
    let record = match tokio::time::timeout(CANCEL_PATIENCE, own.ended(id)).await {
        Ok(ended) => ended?,
        Err(_) => own.get(id).await?,
    };
    record.ok_or_else(ApiError::job_not_found)
}

/// Fetches the pictures that a request names by address, if this server does that, and checks it on the blocking pool.
async fn order(app: &AppState, asked: Asked, answer: Answer) -> Result<Order, ApiError> {
    let fetched = match &app.fetcher {
        Some(fetcher) if app.validator.takes_pictures(&asked.request) => fetcher.fetch(&asked.request).await,
        Some(_) | None => Fetched::default(),
    };
    let _permit = app.checking.acquire().await.map_err(|error| ApiError::internal(&error))?;
    let validator = app.validator.clone();
    let check = move || {
        let order = validator.order_after(asked.errors, &asked.request, &fetched, &answer)?;
        Ok(order.asked(fetched.laid_into(asked.request)))
    };
    let checked = tokio::task::spawn_blocking(check).await;
    checked.map_err(|error| ApiError::internal(&error))?.map_err(|errors| invalid(app, errors))
}

/// The answer to a request with wrong fields; there is at least one.
pub fn invalid(app: &AppState, errors: Vec<FieldError>) -> ApiError {
    let error = ApiError::fields(errors);
    app.metrics.job_rejected(error.code);
    error
}

fn refused(app: &AppState, reason: Refused) -> ApiError {
    let detail = reason.to_string();
    let error = match reason {
        Refused::QueueFull { retry_after } => ApiError::new(ErrorCode::QueueFull, detail).retry_after(retry_after),
        Refused::QueueQuota { retry_after, .. } => {
            ApiError::new(ErrorCode::QueueQuota, detail).retry_after(retry_after)
        }
        Refused::CostQuota(budget) => ApiError::over_budget(ErrorCode::CostQuota, detail, "pixel-steps", budget),
        Refused::ShuttingDown => ApiError::new(ErrorCode::ShuttingDown, detail)
            .retry_after(Duration::from_secs(1))
            .with_header(header::CONNECTION, HeaderValue::from_static("close")),
        Refused::EngineGone => ApiError::new(ErrorCode::EngineUnavailable, detail).retry_after(Duration::from_secs(5)),
        Refused::KeyMismatch => ApiError::new(ErrorCode::IdempotencyMismatch, detail),
        Refused::Store(error) => error.into(),
    };
    app.metrics.job_rejected(error.code);
    error
}

fn location(record: &GenerationRecord) -> Result<HeaderValue, ApiError> {
    HeaderValue::try_from(format!("/v1/generations/{}", record.id)).map_err(|error| ApiError::internal(&error))
}
