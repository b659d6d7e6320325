//! Nobody sends requests faster than they may.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use x0_openapi::ErrorCode;

use crate::auth::{Allowance, Budget, Caller};
use crate::http::error::{ApiError, budget_headers};

/// Counts the requests of each key, refuses those that are too many, and says how many are left.
pub async fn rate_limit(request: Request, next: Next) -> Response {
    let allowance = request.extensions().get::<Caller>().and_then(Caller::allowance);
    match allowance.and_then(Allowance::request) {
        None => next.run(request).await,
        Some(Ok(budget)) => {
            let mut response = next.run(request).await;
            // An error that came of another limit has said already what is left of that.
            for (name, value) in budget_headers("requests", &budget) {
                response.headers_mut().entry(name).or_insert(value);
            }
            response
        }
        Some(Err(budget)) => refused(budget).into_response(),
    }
}

fn refused(budget: Budget) -> ApiError {
    let detail = format!("this key may send {} requests a minute", budget.limit);
    ApiError::over_budget(ErrorCode::RateLimited, detail, "requests", budget)
}
