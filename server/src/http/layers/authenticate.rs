//! Nothing is done for strangers.

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::header::{self, HeaderValue};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use x0_openapi::{ErrorCode, Named as _, Scope};

use crate::app::AppState;
use crate::auth::{Access, Caller, Stranger};
use crate::http::error::ApiError;
use crate::metrics::AuthFailure;

/// Finds out who sends a request and whether they may, for every route that there is, and for those that there are not. The routes inside
/// then find the [`Caller`] among the request's parts.
pub async fn authenticate(State(app): State<AppState>, mut request: Request, next: Next) -> Result<Response, ApiError> {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let scope = match Access::of(request.method(), route, app.public_metrics) {
        Access::Public => return Ok(next.run(request).await),
        Access::Scope(scope) => scope,
    };
    let caller = app.auth.caller(request.headers()).map_err(|stranger| {
        app.metrics.auth_failed(match stranger {
            Stranger::NoKey => AuthFailure::NoKey,
            Stranger::UnknownKey => AuthFailure::UnknownKey,
        });
        unauthorized()
    })?;
    if !caller.may(scope) {
        app.metrics.auth_failed(AuthFailure::Scope);
        return Err(forbidden(&caller, scope));
    }
    if let Some(key) = caller.owner().0 {
        tracing::Span::current().record("key_id", tracing::field::display(key));
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// The same for no key and for an unknown one.
fn unauthorized() -> ApiError {
    // A challenge of Basic would make browsers ask in a window of their own, in front of the page's.
    let challenge = HeaderValue::from_static("Bearer realm=\"x0\"");
    let detail = "this server asks for a key: send authorization: Bearer KEY";
    ApiError::new(ErrorCode::Unauthorized, detail).with_header(header::WWW_AUTHENTICATE, challenge)
}

fn forbidden(caller: &Caller, scope: Scope) -> ApiError {
    let detail = match caller {
        Caller::Account(_) => format!("this key does not have the scope {}", scope.name()),
        Caller::Anyone { .. } => "this server has no keys, and lets nobody do this from afar".to_owned(),
    };
    ApiError::new(ErrorCode::Forbidden, detail)
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Caller>().cloned();
        caller.ok_or_else(|| ApiError::internal(&"a route that is public asks who called it"))
    }
}
