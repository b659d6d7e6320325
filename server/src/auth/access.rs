//! What a route asks of who calls it. The only place that says so.

use axum::http::Method;
use x0_openapi::Scope;

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: everyone who reaches the server may ask.
    Public,
    /// A key of this scope.
    Scope(Scope),
}

/// The page, the documentation, and what probes ask: they show nothing of anyone.
const PUBLIC: [&str; 4] = ["/", "/livez", "/readyz", "/openapi.json"];
const PUBLIC_FOLDERS: [&str; 2] = ["/assets", "/docs"];
const METRICS: &str = "/metrics";
const ADMIN: &str = "/v1/admin";

impl Access {
    /// What a request to `route` needs, a route's template or, where there is no such route, anything else. What is not named here needs a
    /// key: `read` to look, `generate` for everything that may change something.
    pub fn of(method: &Method, route: &str, public_metrics: bool) -> Self {
        let looks = matches!(*method, Method::GET | Method::HEAD);
        let public = PUBLIC.contains(&route) || PUBLIC_FOLDERS.iter().any(|folder| lies_in(route, folder));
        if looks && (public || public_metrics && route == METRICS) {
            Access::Public
        } else if lies_in(route, ADMIN) {
            Access::Scope(Scope::Admin)
        } else if looks {
            Access::Scope(Scope::Read)
        } else {
            Access::Scope(Scope::Generate)
        }
    }
}

fn lies_in(route: &str, folder: &str) -> bool {
    route.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_public_needs_a_key() {
        let (read, generate, admin) =
            (Access::Scope(Scope::Read), Access::Scope(Scope::Generate), Access::Scope(Scope::Admin));
        for (method, route, access) in [
            (Method::GET, "/", Access::Public),
            (Method::HEAD, "/livez", Access::Public),
            (Method::GET, "/docs", Access::Public),
            (Method::GET, "/docs/{*rest}", Access::Public),
            (Method::GET, "/assets/app.js", Access::Public),
            (Method::POST, "/livez", generate),
            (Method::GET, "/assetsx", read),
            (Method::GET, "/metrics", read),
            (Method::GET, "/v1/models", read),
            (Method::GET, "/anything", read),
            (Method::GET, "", read),
            (Method::POST, "/v1/generations", generate),
            (Method::DELETE, "/v1/generations/{id}", generate),
            (Method::OPTIONS, "/v1/generations", generate),
            (Method::GET, "/v1/admin/keys", admin),
            (Method::POST, "/v1/admin/models/{id}/load", admin),
            (Method::GET, "/v1/administrators", read),
        ] {
            assert_eq!(Access::of(&method, route, false), access, "{method} {route}");
        }
        assert_eq!(Access::of(&Method::GET, "/metrics", true), Access::Public);
    }
}
