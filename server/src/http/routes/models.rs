//! `GET /v1/models` and `GET /v1/models/{id}`.

use axum::Json;
use axum::extract::{Path, State};
use x0_model::ModelInfo;
use x0_openapi::{ErrorCode, Model, ModelDefaults, ModelKind, ModelList, ModelSize, Problem};

use crate::app::AppState;
use crate::http::error::ApiError;
use crate::validate::noise_schedule_name;

/// Every model
#[utoipa::path(
    get,
    path = "/v1/models",
    operation_id = "listModels",
    tag = "models",
    responses((status = 200, description = "The models", body = ModelList)),
)]
pub async fn list_models(State(app): State<AppState>) -> Json<ModelList> {
    let data = app.validator.catalog().infos().into_iter().map(|info| model(&app, info)).collect();
    Json(ModelList { object: "list".to_owned(), data })
}

/// One model
#[utoipa::path(
    get,
    path = "/v1/models/{id}",
    operation_id = "getModel",
    tag = "models",
    params(("id" = String, Path, description = "The model's id", example = "fashion")),
    responses(
        (status = 200, description = "The model", body = Model),
        (status = 404, description = "No such model", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn get_model(State(app): State<AppState>, Path(id): Path<String>) -> Result<Json<Model>, ApiError> {
    find(&app, &id).map(Json)
}

/// A model by its id.
pub(super) fn find(app: &AppState, id: &str) -> Result<Model, ApiError> {
    match app.validator.catalog().info(id) {
        Some(info) => Ok(model(app, info)),
        None => Err(ApiError::new(ErrorCode::ModelNotFound, "no such model; GET /v1/models lists all")),
    }
}

fn model(app: &AppState, info: &ModelInfo) -> Model {
    Model {
        id: info.name.clone(),
        object: "model".to_owned(),
        created: app.started.as_second(),
        owned_by: "x0".to_owned(),
        description: info.description.clone(),
        license: info.license.clone(),
        attribution: info.attribution.clone(),
        kind: match info.kind {
            x0_model::ModelKind::Unconditional => ModelKind::Unconditional,
            x0_model::ModelKind::ClassConditional => ModelKind::ClassConditional,
            x0_model::ModelKind::TextToImage => ModelKind::TextToImage,
        },
        default: app.validator.is_default(info),
        classes: info.classes.clone(),
        guidable: info.guidable,
        image_to_image: info.image_to_image,
        size: ModelSize {
            default_width: info.size.default_width,
            default_height: info.size.default_height,
            multiple: info.size.multiple,
            fixed: info.size.fixed,
        },
        defaults: ModelDefaults {
            steps: app.validator.default_steps(info),
            guidance_scale: app.validator.default_guidance_scale(info),
            sampler: info.defaults.sampler.kind.name().to_owned(),
            noise_schedule: noise_schedule_name(info.defaults.sampler.noise_schedule),
        },
        preview_decoders: app.validator.catalog().preview_decoders(&info.name),
        examples: info.examples.clone(),
        embedded: info.embedded,
        loaded: app.validator.catalog().is_loaded(&info.name),
    }
}
