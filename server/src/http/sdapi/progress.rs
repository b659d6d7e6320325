//! `GET /sdapi/v1/progress`, `POST /internal/progress` and `GET /internal/pending-tasks`.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use futures::{FutureExt as _, StreamExt as _};
use x0_openapi::{
    Event, GenerationRecord, PreviewEvent, SdapiPendingTasks, SdapiProblem, SdapiProgress, SdapiProgressRequest,
    SdapiState, SdapiTaskProgress,
};

use super::answer::timestamp;
use super::interrupt::records;
use super::tasks::Task;
use crate::app::AppState;
use crate::auth::Caller;
use crate::clock::now;
use crate::generation::Own;
use crate::http::error::ApiError;
use crate::store::Followed;

/// What a task that has begun has done at least, as AUTOMATIC1111 has it.
const LEAST: f64 = 0.01;

/// Where a task stands.
struct Standing {
    records: Vec<GenerationRecord>,
    /// Of all iterations, 0 to 1.
    progress: f64,
    /// Seconds that are left.
    eta: f64,
}

impl Standing {
    async fn of(own: Own<'_>, task: &Task) -> Result<Self, ApiError> {
        let records = records(own, task).await?;
        let share = |record: &GenerationRecord| {
            if record.state.is_terminal() {
                1.0
            } else {
                f64::from(record.progress.step) / f64::from(record.progress.steps.max(1))
            }
        };
        let done: f64 = records.iter().map(share).sum::<f64>() / records.len().max(1) as f64;
        let begun = records.iter().find_map(|record| record.started_at);
        let (progress, eta) = match begun {
            None => (0.0, records.last().and_then(|record| record.eta_seconds).unwrap_or(0.0)),
            Some(begun) => {
                let progress = (LEAST + done).min(1.0);
                let seconds = now().duration_since(begun).as_secs_f64().max(0.0);
                (progress, seconds / progress - seconds)
            }
        };
        Ok(Self { records, progress, eta })
    }

    /// The iteration that is being made, and its number.
    fn present(&self) -> Option<(u32, &GenerationRecord)> {
        (0..).zip(&self.records).find(|(_, record)| !record.state.is_terminal())
    }

    /// The last prediction that was shown of it.
    async fn preview(&self, own: Own<'_>) -> Result<Option<PreviewEvent>, ApiError> {
        let Some((_, record)) = self.present() else { return Ok(None) };
        let Some(Followed::Stream(mut events)) = own.follow(record.id, None).await? else {
            return Ok(None);
        };
        let mut latest = None;
        // What has happened is there at once.
        while let Some(Some(delivery)) = events.next().now_or_never() {
            match &*delivery.event {
                Event::Preview(preview) => latest = Some(preview.clone()),
                Event::Snapshot(_)
                | Event::Queued(_)
                | Event::Started(_)
                | Event::Step(_)
                | Event::Image(_)
                | Event::Succeeded(_)
                | Event::Failed(_)
                | Event::Cancelled(_)
                | Event::Shutdown(_) => {}
            }
        }
        Ok(latest)
    }

    fn state(&self, task: &Task) -> SdapiState {
        let (number, step, steps) = match self.present() {
            None => (self.records.len() as u32, 0, 0),
            Some((number, record)) => {
                let n = record.request.n.max(1);
                (number, record.progress.step / n, record.progress.steps / n)
            }
        };
        let interrupted = task.interrupted.load(Ordering::Relaxed);
        SdapiState {
            skipped: task.skipped.load(Ordering::Relaxed),
            interrupted,
            stopping_generation: interrupted,
            job: task.name.clone(),
            job_count: self.records.len() as u32,
            job_timestamp: timestamp(task.since),
            job_no: number,
            sampling_step: step,
            sampling_steps: steps,
        }
    }
}

/// Progress
///
/// Of the oldest request over this surface that was not answered yet. `current_image` is what the model predicted last.
#[utoipa::path(
    get,
    path = "/sdapi/v1/progress",
    operation_id = "sdapiProgress",
    tag = "AUTOMATIC1111",
    params(("skip_current_image" = Option<bool>, Query, description = "Whether the picture is left out")),
    responses((status = 200, description = "How far it is", body = SdapiProgress)),
)]
pub async fn progress(
    State(app): State<AppState>,
    caller: Caller,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<SdapiProgress>, ApiError> {
    let idle = SdapiProgress {
        progress: 0.0,
        eta_relative: 0.0,
        state: SdapiState::default(),
        current_image: None,
        textinfo: None,
    };
    let own = app.generations.of(&caller);
    let tasks = app.sdapi.of(&caller).tasks.all();
    let Some(task) = tasks.first() else { return Ok(Json(idle)) };
    let standing = Standing::of(own, task).await?;
    let without =
        query.get("skip_current_image").is_some_and(|value| matches!(value.to_lowercase().as_str(), "true" | "1"));
    let preview = if without { None } else { standing.preview(own).await? };
    Ok(Json(SdapiProgress {
        progress: standing.progress,
        eta_relative: standing.eta,
        state: standing.state(task),
        current_image: preview.map(|preview| preview.b64),
        textinfo: (standing.progress == 0.0).then(|| "Waiting...".to_owned()),
    }))
}

/// Progress of a task
///
/// A task is a request that was sent with `force_task_id`.
#[utoipa::path(
    post,
    path = "/internal/progress",
    operation_id = "sdapiTaskProgress",
    tag = "AUTOMATIC1111",
    request_body = SdapiProgressRequest,
    responses(
        (status = 200, description = "How far it is", body = SdapiTaskProgress),
        (status = "4XX", description = "The request is wrong", body = SdapiProblem),
    ),
)]
pub async fn task_progress(
    State(app): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<SdapiTaskProgress>, ApiError> {
    let (json, _memory) = app.bodies.json(&headers, body).await?;
    let (request, errors) = SdapiProgressRequest::read(json).map_err(|error| ApiError::fields(vec![error]))?;
    if !errors.is_empty() {
        return Err(ApiError::fields(errors));
    }
    let (own, memory) = (app.generations.of(&caller), app.sdapi.of(&caller));
    let name = request.id_task.unwrap_or_default();
    let known = request.id_live_preview.unwrap_or(-1);
    let unknown = SdapiTaskProgress {
        active: false,
        queued: false,
        completed: memory.tasks.finished(&name),
        progress: None,
        eta: None,
        live_preview: None,
        id_live_preview: -1,
        textinfo: None,
    };
    let Some(task) = memory.tasks.all().into_iter().find(|task| task.name == name) else {
        return Ok(Json(SdapiTaskProgress { textinfo: Some("Waiting...".to_owned()), ..unknown }));
    };
    let standing = Standing::of(own, &task).await?;
    if standing.progress == 0.0 {
        let ahead = standing.records.first().and_then(|record| record.position).unwrap_or(0);
        let textinfo = Some(format!("In queue: {ahead} before it"));
        return Ok(Json(SdapiTaskProgress { queued: true, eta: Some(standing.eta), textinfo, ..unknown }));
    }
    let preview = standing.preview(own).await?;
    // Steps of one iteration are fewer than this.
    let iteration = standing.present().map_or(0, |(number, _)| i64::from(number));
    let id = preview
        .as_ref()
        .map_or(-1, |preview| (iteration * 1000 + i64::from(preview.index)) * 10_000 + i64::from(preview.step));
    let wanted = request.live_preview.unwrap_or(true) && id != known;
    Ok(Json(SdapiTaskProgress {
        active: true,
        progress: Some(standing.progress),
        eta: Some(standing.eta),
        live_preview: preview
            .filter(|_| wanted)
            .map(|preview| format!("data:{};base64,{}", preview.format.media_type(), preview.b64)),
        id_live_preview: id,
        ..unknown
    }))
}

/// Tasks that wait
#[utoipa::path(
    get,
    path = "/internal/pending-tasks",
    operation_id = "sdapiPendingTasks",
    tag = "AUTOMATIC1111",
    responses((status = 200, description = "The tasks that have not begun", body = SdapiPendingTasks)),
)]
pub async fn pending_tasks(State(app): State<AppState>, caller: Caller) -> Result<Json<SdapiPendingTasks>, ApiError> {
    let mut tasks = Vec::new();
    for task in app.sdapi.of(&caller).tasks.all() {
        if records(app.generations.of(&caller), &task).await?.iter().all(|record| record.started_at.is_none()) {
            tasks.push(task.name.clone());
        }
    }
    Ok(Json(SdapiPendingTasks { size: tasks.len(), tasks }))
}
