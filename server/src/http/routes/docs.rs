//! `GET /openapi.json` and `GET /docs`.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

/// Serves the document, and Swagger UI from the program itself, without a network.
pub fn router<S: Clone + Send + Sync + 'static>(document: &OpenApi) -> Router<S> {
    let json = document.to_pretty_json().unwrap_or_default();
    let openapi = get(move || async move { ([(header::CONTENT_TYPE, "application/json")], json).into_response() });
    let swagger_ui = SwaggerUi::new("/docs").config(Config::from("/openapi.json"));
    Router::new().route("/openapi.json", openapi).merge(swagger_ui)
}
