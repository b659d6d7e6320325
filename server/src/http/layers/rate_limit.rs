//! Nobody sends requests faster than they may.

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use x0_openapi::ErrorCode;

use crate::auth::{Allowance, Budget, Caller};
use crate::http::error::{ApiError, budget_headers};
use crate::metrics::Metrics;

/// Counts the requests of each key, refuses those that are too many, and says how many are left.
pub async fn rate_limit(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
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
        Some(Err(budget)) => {
            if request.method() == Method::POST {
                metrics.job_rejected(ErrorCode::RateLimited);
            }
            refused(budget).into_response()
        }
    }
}

fn refused(budget: Budget) -> ApiError {
    let detail = format!("this key may send {} requests a minute", budget.limit);
    ApiError::over_budget(ErrorCode::RateLimited, detail, "requests", budget)
}
