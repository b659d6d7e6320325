//! `POST /sdapi/v1/interrupt` and `/sdapi/v1/skip`.

use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use x0_openapi::{GenerationRecord, SdapiEmpty};

use super::tasks::Task;
use crate::app::AppState;
use crate::auth::Caller;
use crate::generation::Own;
use crate::http::error::ApiError;

/// Interrupt
///
/// Ends what was begun over this surface; what still waits goes on. The requests are answered with the pictures that were finished.
#[utoipa::path(
    post,
    path = "/sdapi/v1/interrupt",
    operation_id = "sdapiInterrupt",
    tag = "AUTOMATIC1111",
    responses((status = 200, description = "It ends with the next step", body = SdapiEmpty)),
)]
pub async fn interrupt(State(app): State<AppState>, caller: Caller) -> Result<Json<SdapiEmpty>, ApiError> {
    let own = app.generations.of(&caller);
    for task in app.sdapi.of(&caller).tasks.all() {
        let records = records(own, &task).await?;
        if records.iter().any(|record| record.started_at.is_some()) {
            task.interrupted.store(true, Ordering::Relaxed);
            for record in &records {
                own.cancel(record.id).await?;
            }
        }
    }
    Ok(Json(SdapiEmpty {}))
}

/// Skip
///
/// Ends the present iteration of what was begun over this surface, and goes on with the next.
#[utoipa::path(
    post,
    path = "/sdapi/v1/skip",
    operation_id = "sdapiSkip",
    tag = "AUTOMATIC1111",
    responses((status = 200, description = "It ends with the next step", body = SdapiEmpty)),
)]
pub async fn skip(State(app): State<AppState>, caller: Caller) -> Result<Json<SdapiEmpty>, ApiError> {
    let own = app.generations.of(&caller);
    for task in app.sdapi.of(&caller).tasks.all() {
        let records = records(own, &task).await?;
        let present = records.iter().find(|record| record.started_at.is_some() && !record.state.is_terminal());
        if let Some(record) = present {
            task.skipped.store(true, Ordering::Relaxed);
            own.cancel(record.id).await?;
        }
    }
    Ok(Json(SdapiEmpty {}))
}

/// The records of a task's generations, in order.
pub(super) async fn records(own: Own<'_>, task: &Task) -> Result<Vec<GenerationRecord>, ApiError> {
    let mut records = Vec::with_capacity(task.generations.len());
    for id in &task.generations {
        records.extend(own.get(*id).await?);
    }
    Ok(records)
}
