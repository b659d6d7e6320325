//! `GET /v1/generations`.

use axum::Json;
use axum::extract::{Query, State};
use x0_openapi::{ErrorCode, FieldError, GenerationList, Named as _, Problem, State as JobState};

use crate::app::AppState;
use crate::auth::Caller;
use crate::http::error::ApiError;
use crate::store::Page;

const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 100;

/// Recent generations, newest first
///
/// Files are left out, whatever the requests said of `output.inline`.
#[utoipa::path(
    get,
    path = "/v1/generations",
    operation_id = "listGenerations",
    tag = "generations",
    params(
        ("limit" = Option<u32>, Query, description = "How many at most; default 20", minimum = 1, maximum = 100),
        ("after" = Option<String>, Query, description = "Only those older than the generation of this id"),
        ("state" = Option<JobState>, Query, description = "Only those in this state"),
    ),
    responses(
        (status = 200, description = "One page", body = GenerationList),
        (status = "4XX", description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn list_generations(
    State(app): State<AppState>,
    caller: Caller,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Result<Json<GenerationList>, ApiError> {
    let page = page(&parameters).map_err(|error| ApiError::fields(vec![error]))?;
    Ok(Json(app.generations.of(&caller).list(page).await?))
}

fn page(parameters: &[(String, String)]) -> Result<Page, FieldError> {
    let mut page = Page { limit: DEFAULT_LIMIT, after: None, state: None };
    for (name, value) in parameters {
        let error = |code, message: &str| FieldError { field: name.clone(), code, message: message.to_owned() };
        match name.as_str() {
            "limit" => {
                let limit: i64 = value.parse().map_err(|_| error(ErrorCode::InvalidType, "must be an integer"))?;
                let limit = usize::try_from(limit).ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
                page.limit = limit.ok_or_else(|| error(ErrorCode::OutOfRange, "must be between 1 and 100"))?;
            }
            "after" => {
                let id = value.parse().map_err(|_| error(ErrorCode::InvalidType, "must be a generation's id"))?;
                page.after = Some(id);
            }
            "state" => {
                let words = "must be queued, running, succeeded, failed or cancelled";
                let state = JobState::from_name(value).ok_or_else(|| error(ErrorCode::UnsupportedValue, words))?;
                page.state = Some(state);
            }
            _ => {
                return Err(FieldError {
                    field: name.chars().filter(|c| !c.is_control()).take(64).collect(),
                    code: ErrorCode::UnknownParameter,
                    message: "is not a parameter of this route; there are limit, after and state".to_owned(),
                });
            }
        }
    }
    Ok(page)
}
