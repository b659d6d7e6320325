//! What the OpenAPI document says about keys.

use axum::http::Method;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{OpenApi, RefOr, Response};

use crate::auth::Access;

/// What an answer of this status means, on every route that needs a key.
const ANSWERS: [(&str, &str); 3] = [
    ("401", "No key was sent, or an unknown one; only where the server asks for keys"),
    ("403", "The key's scopes do not allow it"),
    ("429", "The key is over one of its limits; `Retry-After` says when to try again"),
];

/// Says for every operation whether it needs a key, by the table that decides it.
pub(super) fn describe(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            match Access::of(&method, path, false) {
                Access::Public => operation.security = Some(vec![SecurityRequirement::default()]),
                Access::Scope(_) => need_key(operation),
            }
        }
    }
}

fn need_key(operation: &mut Operation) {
    let none: [&str; 0] = [];
    operation.security = Some(vec![
        SecurityRequirement::new("key", none),
        SecurityRequirement::new("password", none),
        SecurityRequirement::default(),
    ]);
    let responses = &mut operation.responses.responses;
    if responses.contains_key("4XX") {
        return;
    }
    for (status, description) in ANSWERS {
        responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(Response::new(description)));
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let PathItem { get, put, post, delete, options, head, patch, trace, .. } = item;
    [
        (Method::GET, get),
        (Method::PUT, put),
        (Method::POST, post),
        (Method::DELETE, delete),
        (Method::OPTIONS, options),
        (Method::HEAD, head),
        (Method::PATCH, patch),
        (Method::TRACE, trace),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}
