//! The web page: a few files, compiled into the program.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

/// A file of `server/web`: where it is served, its media type, its content.
macro_rules! assets {
    ($($path:literal: $media_type:ident = $file:literal),+ $(,)?) => {
        [$(Asset { path: $path, media_type: $media_type, content: include_bytes!(concat!("../../../web/", $file)) }),+]
    };
}

const ASSETS: [Asset; 14] = assets! {
    "/": HTML = "index.html",
    "/assets/style.css": STYLE = "style.css",
    "/assets/icon.svg": PICTURE = "icon.svg",
    "/assets/api.js": SCRIPT = "api.js",
    "/assets/app.js": SCRIPT = "app.js",
    "/assets/card.js": SCRIPT = "card.js",
    "/assets/drop.js": SCRIPT = "drop.js",
    "/assets/element.js": SCRIPT = "element.js",
    "/assets/events.js": SCRIPT = "events.js",
    "/assets/film.js": SCRIPT = "film.js",
    "/assets/form.js": SCRIPT = "form.js",
    "/assets/key.js": SCRIPT = "key.js",
    "/assets/noise.js": SCRIPT = "noise.js",
    "/assets/watch.js": SCRIPT = "watch.js",
};

/// The page loads nothing from elsewhere and runs no inline script; previews come as data URLs.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; \
                                       frame-ancestors 'none'";

#[derive(Clone, Copy)]
struct Asset {
    path: &'static str,
    media_type: &'static str,
    content: &'static [u8],
}

/// The page at `/` and its files under `/assets`.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    ASSETS.into_iter().fold(Router::new(), |router, asset| {
        let tag = asset.tag();
        router.route(asset.path, get(move |headers: HeaderMap| async move { asset.respond(&tag, &headers) }))
    })
}

impl Asset {
    /// An entity tag that changes with the content, so that a browser asks after each restart and loads only what changed.
    fn tag(self) -> HeaderValue {
        let mut hasher = DefaultHasher::new();
        self.content.hash(&mut hasher);
        HeaderValue::from_str(&format!("\"{:016x}\"", hasher.finish()))
            .expect("hexadecimal digits in quotes are visible ASCII")
    }

    fn respond(self, tag: &HeaderValue, request: &HeaderMap) -> Response {
        let headers: [(HeaderName, HeaderValue); 6] = [
            (header::CONTENT_TYPE, HeaderValue::from_static(self.media_type)),
            (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY)),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (header::ETAG, tag.clone()),
        ];
        if request.get_all(IF_NONE_MATCH).iter().any(|known| known == tag) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        (headers, self.content).into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(path: &str, known: Option<&HeaderValue>) -> Response {
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        if let Some(tag) = known {
            request.headers_mut().insert(IF_NONE_MATCH, tag.clone());
        }
        router::<()>().with_state(()).oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn every_file_is_served_and_asked_for_once() {
        for asset in ASSETS {
            let first = ask(asset.path, None).await;
            assert_eq!(first.status(), StatusCode::OK, "{}", asset.path);
            assert_eq!(first.headers()[header::CONTENT_TYPE], asset.media_type);
            assert_eq!(first.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
            let again = ask(asset.path, Some(&first.headers()[header::ETAG])).await;
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{}", asset.path);
        }
    }

    #[test]
    fn the_page_names_only_files_that_are_served() {
        let known = |name: &str| ASSETS.iter().any(|asset| asset.path == format!("/assets/{name}"));
        for asset in ASSETS {
            let text = std::str::from_utf8(asset.content).unwrap();
            for mark in ["\"assets/", "from \"./"] {
                for rest in text.split(mark).skip(1) {
                    let name = rest.split('"').next().unwrap();
                    assert!(known(name), "{} names {name}, which is not served", asset.path);
                }
            }
        }
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/web")).unwrap().count();
        assert_eq!(files, ASSETS.len(), "a file of server/web is not served");
    }
}
