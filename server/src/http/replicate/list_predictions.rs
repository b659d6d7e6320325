//! `GET /v1/predictions`.

use axum::Json;
use axum::extract::{Query, State};
use x0_openapi::{ErrorCode, FieldError, Problem, ReplicatePredictionList};

use super::prediction::prediction;
use crate::app::AppState;
use crate::auth::Caller;
use crate::http::address::Address;
use crate::http::error::ApiError;
use crate::store::Page;

/// As many as Replicate has on a page.
const LIMIT: usize = 100;

/// Recent predictions, newest first (Replicate)
#[utoipa::path(
    get,
    path = "/v1/predictions",
    operation_id = "listPredictions",
    tag = "Replicate",
    params(("cursor" = Option<String>, Query, description = "From `next`: only those older than this id")),
    responses(
        (status = 200, description = "One page", body = ReplicatePredictionList),
        (status = "4XX", description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn list_predictions(
    State(app): State<AppState>,
    caller: Caller,
    Query(parameters): Query<Vec<(String, String)>>,
    address: Address,
) -> Result<Json<ReplicatePredictionList>, ApiError> {
    let mut page = Page { limit: LIMIT, after: None, state: None };
    for (name, value) in &parameters {
        let wrong = |field: &str, code, message: &str| {
            ApiError::fields(vec![FieldError { field: field.to_owned(), code, message: message.to_owned() }])
        };
        if name != "cursor" {
            let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
            return Err(wrong(&name, ErrorCode::UnknownParameter, "is not a parameter of this route; there is cursor"));
        }
        let id = value.parse().map_err(|_| wrong("cursor", ErrorCode::InvalidType, "must be a prediction's id"))?;
        page.after = Some(id);
    }
    let list = app.generations.of(&caller).list(page).await?;
    let last = list.data.last().map(|record| record.id).filter(|_| list.has_more);
    Ok(Json(ReplicatePredictionList {
        previous: None,
        next: last.map(|id| address.of(&format!("/v1/predictions?cursor={id}"))),
        results: list.data.into_iter().map(|record| prediction(record, &address)).collect(),
    }))
}
