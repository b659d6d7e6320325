//! Who may do what, and who sees what.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::harness::{Events, Keys, NO_LIMITS, TestServer, within};

/// What needs no key, besides what the document does not have.
const PUBLIC: [&str; 2] = ["GET /livez", "GET /readyz"];

async fn sent(request: RequestBuilder) -> Response {
    within(request.send()).await.unwrap()
}

/// The status, and the problem's code.
async fn problem(request: RequestBuilder) -> (u16, Value) {
    let answer = sent(request).await;
    let status = answer.status().as_u16();
    (status, answer.json::<Value>().await.map_or(Value::Null, |problem| problem["code"].clone()))
}

#[tokio::test]
async fn every_route_of_the_document_asks_for_a_key() {
    let keys = Keys::new();
    keys.add("someone", "generate,read,admin");
    let server = keys.server(NO_LIMITS).await;
    let document = server.json("/openapi.json").await;
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let public = PUBLIC.contains(&format!("{method} {path}").as_str());
            let security = operation["security"].as_array().unwrap();
            assert_eq!(security == &[json!({})], public, "the document says it of {method} {path}");
            let path = path.replace(['{', '}'], "");
            let request = || server.request(method.clone(), &path).header("x-request-id", "same");
            if public {
                assert_eq!(sent(request()).await.status(), 200, "{method} {path}");
                continue;
            }
            asked += 1;
            let mut bodies = Vec::new();
            for request in [
                request(),
                request().bearer_auth("x0_0000000000000000_wrong"),
                request().bearer_auth("nonsense"),
                request().basic_auth("user", Some("wrong")),
                request().header("authorization", "Bearer"),
            ] {
                let answer = sent(request).await;
                assert_eq!(answer.status(), 401, "{method} {path}");
                assert_eq!(answer.headers()["www-authenticate"], "Bearer realm=\"x0\"");
                bodies.push(answer.text().await.unwrap());
            }
            assert!(bodies.iter().all(|body| *body == bodies[0]), "nothing tells one stranger from another");
        }
    }
    assert!(asked >= 14, "{asked}");
    server.metric_as(&keys.add("metrics", "read"), r#"x0_key_reloads_total{result="ok"} 1"#).await;
}

#[tokio::test]
async fn strangers_are_refused_in_the_words_of_each_surface() {
    let server = Keys::new().server(NO_LIMITS).await;
    for (path, pointer) in [
        ("/v1/generations", "/code"),
        ("/v1/predictions", "/code"),
        ("/v1/images/generations", "/error/code"),
        ("/hf/toy", "/error_type"),
    ] {
        let (status, body) = server.answer(server.request(Method::POST, path).json(&json!({}))).await;
        assert_eq!((status, body.pointer(pointer)), (401, Some(&json!("unauthorized"))), "{path}: {body}");
    }
}

#[tokio::test]
async fn what_the_document_does_not_have_asks_for_a_key_too() {
    let server = Keys::new().server(NO_LIMITS).await;
    for (method, path) in [
        (Method::GET, "/nowhere"),
        (Method::GET, "/v1/admin"),
        (Method::GET, "/v1/admin/nowhere"),
        (Method::GET, "//v1/models"),
        (Method::GET, "/assets/../v1/models"),
        (Method::GET, "/docs/../../metrics"),
        (Method::HEAD, "/v1/models"),
        (Method::OPTIONS, "/v1/generations"),
        (Method::PUT, "/livez"),
        (Method::TRACE, "/"),
    ] {
        let status = sent(server.request(method.clone(), path)).await.status().as_u16();
        // A client's library takes dots out of paths; what is left must not be open either.
        assert_eq!(status, 401, "{method} {path}");
    }
    for path in ["/", "/assets/app.js", "/docs/", "/docs/swagger-ui.css", "/openapi.json", "/livez", "/readyz"] {
        assert_eq!(server.get(path).await.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn scopes_say_what_a_key_allows() {
    let keys = Keys::new();
    let server = keys.server(NO_LIMITS).await;
    let models = || server.request(Method::GET, "/v1/models");
    let post = || server.post(&json!({"class_label": 0}));
    let admin = || server.request(Method::GET, "/v1/admin/keys");
    for (scopes, [reads, makes, rules]) in
        [("read", [200, 403, 403]), ("generate", [403, 202, 403]), ("admin", [403, 403, 200])]
    {
        let key = keys.add(scopes, scopes);
        server.known(&key).await;
        for (request, expected) in [(models(), reads), (post(), makes), (admin(), rules)] {
            let (status, code) = problem(request.bearer_auth(&key)).await;
            assert_eq!(status, expected, "{scopes}");
            assert_eq!(status == 403, code == "forbidden");
        }
    }
    let key = keys.add("all", "read");
    server.known(&key).await;
    let token = BASE64.encode(format!("anyone:{key}"));
    for authorization in [format!("bearer {key}"), format!("Basic {token}")] {
        assert_eq!(sent(models().header("authorization", authorization)).await.status(), 200);
    }
    server.metric_as(&key, r#"x0_auth_failures_total{reason="scope"} 8"#).await;
}

#[tokio::test]
async fn generations_of_others_are_not_there() {
    let keys = Keys::new();
    let (mine, yours) = (keys.add("mine", "generate,read"), keys.add("yours", "generate,read"));
    let server = keys.server(NO_LIMITS).await;
    server.gate.shut();
    let accepted =
        sent(server.post(&json!({"class_label": 0})).bearer_auth(&mine).header("idempotency-key", "k")).await;
    let id = accepted.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/generations/{id}");
    for (method, path) in [
        (Method::GET, path.clone()),
        (Method::GET, format!("{path}/events")),
        (Method::GET, format!("{path}/images/0")),
        (Method::DELETE, path.clone()),
        (Method::GET, format!("/v1/predictions/{id}")),
        (Method::POST, format!("/v1/predictions/{id}/cancel")),
    ] {
        let (status, code) = problem(server.request(method.clone(), &path).bearer_auth(&yours)).await;
        assert_eq!((status, code), (404, json!("job_not_found")), "{method} {path}");
    }
    let list = async |key: &str| {
        let answer = sent(server.request(Method::GET, "/v1/generations").bearer_auth(key)).await;
        answer.json::<Value>().await.unwrap()["data"].as_array().unwrap().len()
    };
    assert_eq!((list(&mine).await, list(&yours).await), (1, 0));

    let same = sent(server.post(&json!({"class_label": 0})).bearer_auth(&yours).header("idempotency-key", "k")).await;
    assert!(!same.headers().contains_key("idempotency-replayed"), "the other's key is none of theirs");
    assert_ne!(same.json::<Value>().await.unwrap()["id"], id);

    server.gate.open();
    let events = sent(server.request(Method::GET, &format!("{path}/events")).bearer_auth(&mine)).await;
    Events::new(events).until("succeeded").await;
    let image = sent(server.request(Method::GET, &format!("{path}/images/0")).bearer_auth(&mine)).await;
    assert_eq!(image.status(), 200, "and the other could not cancel it");
    let (status, _) = problem(server.request(Method::GET, &format!("{path}/images/0")).bearer_auth(&yours)).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn keys_are_followed_while_the_server_runs() {
    let keys = Keys::new();
    let server = keys.server(NO_LIMITS).await;
    let admin = keys.add("admin", "read,admin");
    server.known(&admin).await;
    let key = keys.add("new", "read");
    server.known(&key).await;
    let listed: Value =
        sent(server.request(Method::GET, "/v1/admin/keys").bearer_auth(&admin)).await.json().await.unwrap();
    let listed = listed["data"].as_array().unwrap();
    assert_eq!(listed[1]["name"], "new");
    assert!(
        listed.iter().all(|entry| !entry.to_string().contains("sha256") && !entry.to_string().contains(&key[21..]))
    );
    let id = listed[1]["id"].as_str().unwrap();

    let revoke = |id: &str| server.request(Method::DELETE, &format!("/v1/admin/keys/{id}")).bearer_auth(&admin);
    assert_eq!(sent(revoke(id)).await.status(), 204);
    let (status, _) = problem(server.request(Method::GET, "/v1/models").bearer_auth(&key)).await;
    assert_eq!(status, 401, "from now on");
    for unknown in [id, "0123456789abcdef", "nonsense", "..%2f"] {
        assert_eq!(problem(revoke(unknown)).await, (404, json!("key_not_found")), "{unknown}");
    }

    keys.break_file();
    server.metric_as(&admin, r#"x0_key_reloads_total{result="error"} 1"#).await;
    assert_eq!(problem(revoke("0123456789abcdef")).await, (409, json!("keys_read_only")), "and the known ones stay");
}

#[tokio::test]
async fn models_are_loaded_and_unloaded() {
    let server = TestServer::start().await;
    let post =
        async |path: &str| server.answer(server.request(Method::POST, &format!("/v1/admin/models/{path}"))).await;
    for (path, loaded) in [("words/load", true), ("words/load", true), ("words/unload", false), ("words/unload", false)]
    {
        let (status, model) = post(path).await;
        assert_eq!((status, &model["id"], &model["loaded"]), (200, &json!("words"), &json!(loaded)), "{path}");
        server.metric(&format!("x0_model_loaded{{model=\"words\"}} {}", u8::from(loaded))).await;
    }
    for path in ["nobody/load", "nobody/unload", "..%2fwords/load"] {
        let (status, problem) = post(path).await;
        assert_eq!((status, &problem["code"]), (404, &json!("model_not_found")), "{path}");
    }
    let (status, problem) = post("blobs/load").await;
    assert_eq!((status, &problem["code"]), (409, &json!("model_not_loadable")));
    assert!(!problem.to_string().contains("gone"), "what went wrong is for the log: {problem}");
    assert_eq!(server.json("/v1/admin/keys").await["data"], json!([]));
}

#[tokio::test]
async fn where_everyone_is_served_nobody_rules() {
    let open = x0_server::config::AuthConfig::Open { admin: false };
    let server = TestServer::start_with(|config| config.auth = open).await;
    server.finish(&json!({"class_label": 0})).await;
    let (status, code) = problem(server.request(Method::POST, "/v1/admin/models/toy/unload")).await;
    assert_eq!((status, code), (403, json!("forbidden")));
}

#[tokio::test]
async fn metrics_can_be_public() {
    let keys = Keys::new();
    let server = keys.server_with(NO_LIMITS, |config| config.public_metrics = true).await;
    assert_eq!(server.get("/metrics").await.status(), 200);
    assert_eq!(server.get("/v1/models").await.status(), 401);
}

#[tokio::test]
async fn pages_of_other_origins_may_be_let_in() {
    let keys = Keys::new();
    let key = keys.add("page", "generate,read");
    let origins = vec!["https://good.example".parse().unwrap(), "http://localhost:3000".parse().unwrap()];
    let server = keys.server_with(NO_LIMITS, |config| config.cors_origins = origins).await;
    for (origin, allowed) in [
        ("https://good.example", true),
        ("http://localhost:3000", true),
        ("https://evil.example", false),
        ("https://good.example.evil.example", false),
        ("null", false),
    ] {
        let preflight = server.request(Method::OPTIONS, "/v1/generations").header("origin", origin);
        let preflight = preflight
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type");
        let answer = sent(preflight).await;
        let told = answer.headers().get("access-control-allow-origin").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(told.as_deref(), allowed.then_some(origin), "{origin}");
        assert!(!answer.headers().contains_key("access-control-allow-credentials"));

        let post = server.post(&json!({"class_label": 0})).header("origin", origin);
        let answer = sent(post.bearer_auth(&key)).await;
        assert_eq!(answer.status(), if allowed { 202 } else { 403 }, "{origin}");
        assert_eq!(answer.headers().contains_key("access-control-allow-origin"), allowed, "{origin}");
        let stranger = sent(server.request(Method::GET, "/v1/models").header("origin", origin)).await;
        assert_eq!(stranger.status(), 401);
        assert_eq!(stranger.headers().contains_key("access-control-allow-origin"), allowed, "errors can be read, too");
    }
}
