//! `GET /v1/models/{owner}/{name}` and its versions.

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Map, Value, json};
use utoipa::{PartialSchema as _, ToSchema as _};
use x0_model::ModelInfo;
use x0_openapi::{ErrorCode, Problem, ReplicateInput, ReplicateModel, ReplicateVersion, ReplicateVersionList};

use super::OWNER;
use crate::app::AppState;
use crate::http::address::Address;
use crate::http::error::ApiError;

/// One model (Replicate)
#[utoipa::path(
    get,
    path = "/v1/models/{owner}/{name}",
    operation_id = "getModelOfOwner",
    tag = "Replicate",
    params(
        ("owner" = String, Path, description = "Always `x0`", example = "x0"),
        ("name" = String, Path, description = "The model's id", example = "fashion"),
    ),
    responses(
        (status = 200, description = "The model", body = ReplicateModel),
        (status = 404, description = "No such model", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn get_model(
    State(app): State<AppState>,
    Path((owner, name)): Path<(String, String)>,
    address: Address,
) -> Result<Json<ReplicateModel>, ApiError> {
    let info = find(&app, &owner, &name)?;
    Ok(Json(ReplicateModel {
        url: address.of(&format!("/v1/models/{OWNER}/{}", info.name)),
        owner: OWNER.to_owned(),
        name: info.name.clone(),
        description: info.description.clone(),
        visibility: "public".to_owned(),
        github_url: None,
        paper_url: None,
        license_url: None,
        run_count: 0,
        cover_image_url: None,
        default_example: None,
        latest_version: version(&app, info),
    }))
}

/// A model's versions (Replicate)
///
/// There is one, which is named like its model.
#[utoipa::path(
    get,
    path = "/v1/models/{owner}/{name}/versions",
    operation_id = "listVersions",
    tag = "Replicate",
    params(
        ("owner" = String, Path, description = "Always `x0`", example = "x0"),
        ("name" = String, Path, description = "The model's id", example = "fashion"),
    ),
    responses(
        (status = 200, description = "The versions", body = ReplicateVersionList),
        (status = 404, description = "No such model", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn list_versions(
    State(app): State<AppState>,
    Path((owner, name)): Path<(String, String)>,
) -> Result<Json<ReplicateVersionList>, ApiError> {
    let results = vec![version(&app, find(&app, &owner, &name)?)];
    Ok(Json(ReplicateVersionList { previous: None, next: None, results }))
}

/// One version of a model (Replicate)
#[utoipa::path(
    get,
    path = "/v1/models/{owner}/{name}/versions/{version}",
    operation_id = "getVersion",
    tag = "Replicate",
    params(
        ("owner" = String, Path, description = "Always `x0`", example = "x0"),
        ("name" = String, Path, description = "The model's id", example = "fashion"),
        ("version" = String, Path, description = "The same", example = "fashion"),
    ),
    responses(
        (status = 200, description = "The version", body = ReplicateVersion),
        (status = 404, description = "No such version", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn get_version(
    State(app): State<AppState>,
    Path((owner, name, id)): Path<(String, String, String)>,
) -> Result<Json<ReplicateVersion>, ApiError> {
    let info = find(&app, &owner, &name)?;
    if id != info.name {
        return Err(ApiError::new(ErrorCode::ModelNotFound, "no such version; a model's one version is named like it"));
    }
    Ok(Json(version(&app, info)))
}

fn find<'a>(app: &'a AppState, owner: &str, name: &str) -> Result<&'a ModelInfo, ApiError> {
    let info = app.validator.catalog().info(name).filter(|_| owner == OWNER);
    info.ok_or_else(|| ApiError::new(ErrorCode::ModelNotFound, "no such model; GET /v1/models lists all, all are x0's"))
}

fn version(app: &AppState, info: &ModelInfo) -> ReplicateVersion {
    ReplicateVersion {
        id: info.name.clone(),
        created_at: app.started,
        cog_version: String::new(),
        openapi_schema: schema(),
    }
}

/// What every model takes and gives, as clients look it up: a list of addresses.
fn schema() -> Value {
    let mut parts = Vec::new();
    ReplicateInput::schemas(&mut parts);
    let mut schemas: Map<String, Value> = parts.into_iter().map(|(name, schema)| (name, json!(schema))).collect();
    schemas.insert("Input".to_owned(), json!(ReplicateInput::schema()));
    let output = json!({"title": "Output", "type": "array", "items": {"type": "string", "format": "uri"}});
    schemas.insert("Output".to_owned(), output);
    let info = json!({"title": "x0", "version": env!("CARGO_PKG_VERSION")});
    json!({"openapi": "3.1.0", "info": info, "paths": {}, "components": {"schemas": schemas}})
}
