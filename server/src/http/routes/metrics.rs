//! `GET /metrics`.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use super::health::{readiness, works};
use crate::app::AppState;
use crate::metrics::Process;

/// Everything that is counted, for Prometheus
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "operations",
    responses((status = 200, description = "Prometheus' text format", body = String, content_type = "text/plain")),
)]
pub async fn metrics(State(app): State<AppState>) -> impl IntoResponse {
    let readiness = readiness(&app);
    let oldest = app.engine.snapshot().oldest_queued.unwrap_or_default();
    app.metrics.queue(oldest, readiness.queue.running, readiness.queue.capacity);
    app.metrics.health(app.inboxes.is_open(), readiness.ready);
    works(&app);
    let catalog = app.validator.catalog();
    for info in catalog.infos() {
        app.metrics.model_loaded(&info.name, catalog.is_loaded(&info.name));
        if let Some(duration) = catalog.load_duration(&info.name) {
            app.metrics.model_load(&info.name, duration);
        }
    }
    if let Some(process) = Process::read() {
        app.metrics.process(process);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.metrics.render())
}
