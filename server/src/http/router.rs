//! Which route answers what, and what every request passes on its way.

use axum::Router;
use axum::http::header::{self, HeaderValue};
use axum::middleware::{from_fn, from_fn_with_state};
use tower::util::option_layer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use x0_openapi::{ApiDoc, ErrorCode};

use super::error::ApiError;
use super::hugging_face::infer;
use super::layers;
use super::openai::{create_image, edit_image};
use super::replicate::{
    cancel_prediction, create_prediction, get_prediction, list_predictions, model_routes, upload_file,
};
use super::routes::{
    admin_keys, admin_models, cancel_generation, create_generation, docs, generation_events, generation_image,
    get_generation, health, list_generations, metrics, models, page, picture_settings, samplers,
};
use super::sdapi::{generate, interrupt, lists, options, png_info, progress, system};
use super::security;
use crate::app::AppState;

/// The whole service.
pub fn router(app: AppState) -> Router {
    let (api, _) = api().split_for_parts();
    api.merge(docs::router(&document()))
        .merge(page::router())
        .fallback(|| async { ApiError::new(ErrorCode::NotFound, "no such route; GET /docs lists all") })
        .layer(from_fn_with_state(app.metrics.clone(), layers::rate_limit))
        .layer(from_fn_with_state(app.clone(), layers::authenticate))
        .layer(from_fn_with_state(app.origins.clone(), layers::known_origin))
        .layer(from_fn(layers::short_uri))
        .layer(from_fn(layers::framing))
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .layer(option_layer(app.origins.cors()))
        .layer(from_fn(layers::problem))
        .layer(from_fn_with_state(app.metrics.clone(), layers::access_log))
        .layer(from_fn(layers::trace))
        .layer(from_fn(layers::request_id))
        .with_state(app)
}

/// The OpenAPI document: every route that is registered below is in it.
pub fn document() -> OpenApi {
    let mut document = api().split_for_parts().1;
    security::describe(&mut document);
    document
}

fn api() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(ApiDoc::openapi())
        .routes(routes!(create_generation::create_generation, list_generations::list_generations))
        .routes(routes!(get_generation::get_generation, cancel_generation::cancel_generation))
        .routes(routes!(generation_events::generation_events))
        .routes(routes!(generation_image::generation_image))
        .routes(routes!(picture_settings::read_picture_settings))
        .routes(routes!(models::list_models))
        .routes(routes!(models::get_model))
        .routes(routes!(samplers::list_samplers))
        .routes(routes!(create_image::create_image))
        .routes(routes!(edit_image::edit_image))
        .routes(routes!(infer::infer))
        .routes(routes!(create_prediction::create_prediction, list_predictions::list_predictions))
        .routes(routes!(create_prediction::create_model_prediction))
        .routes(routes!(get_prediction::get_prediction))
        .routes(routes!(cancel_prediction::cancel_prediction))
        .routes(routes!(upload_file::upload_file))
        .routes(routes!(model_routes::get_model))
        .routes(routes!(model_routes::list_versions))
        .routes(routes!(model_routes::get_version))
        .routes(routes!(generate::text_to_image))
        .routes(routes!(generate::image_to_image))
        .routes(routes!(progress::progress))
        .routes(routes!(progress::task_progress))
        .routes(routes!(progress::pending_tasks))
        .routes(routes!(interrupt::interrupt))
        .routes(routes!(interrupt::skip))
        .routes(routes!(options::get_options, options::set_options))
        .routes(routes!(png_info::png_info))
        .routes(routes!(lists::samplers))
        .routes(routes!(lists::schedulers))
        .routes(routes!(lists::models))
        .routes(routes!(lists::autoencoders))
        .routes(routes!(lists::upscalers))
        .routes(routes!(lists::latent_upscale_modes))
        .routes(routes!(lists::embeddings))
        .routes(routes!(lists::scripts))
        .routes(routes!(lists::loras))
        .routes(routes!(lists::hypernetworks))
        .routes(routes!(lists::face_restorers))
        .routes(routes!(lists::realesrgan_models))
        .routes(routes!(lists::prompt_styles))
        .routes(routes!(lists::cmd_flags))
        .routes(routes!(system::memory))
        .routes(routes!(system::refresh_checkpoints))
        .routes(routes!(admin_models::load_model))
        .routes(routes!(admin_models::unload_model))
        .routes(routes!(admin_keys::list_keys))
        .routes(routes!(admin_keys::revoke_key))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(metrics::metrics))
}
