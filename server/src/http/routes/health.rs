//! `GET /livez` and `GET /readyz`.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use x0_openapi::{Health, Queue, Readiness};

use crate::app::{App, AppState};
use crate::shutdown::Stage;

/// A process is given up when its engine gives no sign of life for so many step timeouts.
const PATIENCE: u32 = 3;

/// Whether the process is worth keeping
///
/// Not when a model call has been under way for far longer than any should take, or when the engine is gone although the server does
/// not stop. A busy server is alive.
#[utoipa::path(
    get,
    path = "/livez",
    operation_id = "livez",
    tag = "operations",
    responses(
        (status = 200, description = "Alive", body = Health),
        (status = 503, description = "The engine hangs, or is gone", body = Health),
    ),
)]
pub async fn livez(State(app): State<AppState>) -> (StatusCode, Json<Health>) {
    let alive = works(&app) || app.lifecycle.stage() >= Stage::Draining;
    (status(alive), Json(Health { alive, version: env!("CARGO_PKG_VERSION").to_owned() }))
}

/// Whether the server takes work
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readyz",
    tag = "operations",
    responses(
        (status = 200, description = "Ready", body = Readiness),
        (status = 503, description = "Not ready; `reasons` says why", body = Readiness),
    ),
)]
pub async fn readyz(State(app): State<AppState>) -> (StatusCode, Json<Readiness>) {
    let readiness = readiness(&app);
    (status(readiness.ready), Json(readiness))
}

/// Whether the engine is there and gives signs of life.
pub(super) fn works(app: &App) -> bool {
    let silent = Instant::now().saturating_duration_since(app.engine.last_progress());
    let works = app.inboxes.is_open() && silent < app.step_timeout * PATIENCE;
    app.metrics.watch(works || app.lifecycle.stage() >= Stage::Draining);
    works
}

/// Whether the server takes work, and how much it has.
pub(super) fn readiness(app: &App) -> Readiness {
    let snapshot = app.engine.snapshot();
    let reasons: Vec<String> = [
        (app.lifecycle.stage() > Stage::Serving).then_some("the server is shutting down"),
        app.lifecycle.is_device_lost().then_some("the device is lost"),
        (!app.inboxes.is_open()).then_some("the engine has stopped"),
    ]
    .into_iter()
    .flatten()
    .map(str::to_owned)
    .collect();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let queue =
        Queue { waiting: count(snapshot.queued), running: count(snapshot.running), capacity: count(snapshot.max_jobs) };
    Readiness { ready: reasons.is_empty(), reasons, queue }
}

fn status(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
