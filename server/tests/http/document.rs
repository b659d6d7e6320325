//! The committed OpenAPI document.

use std::collections::BTreeSet;
use std::path::Path;

use crate::harness::TestServer;

fn committed() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../openapi/openapi.json")
}

/// To change the document on purpose, run this test with `UPDATE_OPENAPI=1` and commit the file.
#[test]
fn the_committed_document_is_the_one_of_the_routes() {
    let document = x0_server::http::router::document().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(committed(), &document).unwrap();
    }
    let committed = std::fs::read_to_string(committed()).unwrap_or_default();
    assert!(committed == document, "openapi/openapi.json differs from the routes; see this test's comment");
}

#[tokio::test]
async fn the_document_is_served() {
    let server = TestServer::start().await;
    let served = server.json("/openapi.json").await;
    let committed: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(committed()).unwrap()).unwrap();
    assert_eq!(served, committed);
}

#[test]
fn the_document_has_every_route_and_every_reference_leads_somewhere() {
    let document: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(committed()).unwrap()).unwrap();
    let operations: BTreeSet<String> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |method| format!("{method} {path}")))
        .collect();
    let expected = [
        "delete /v1/admin/keys/{id}",
        "delete /v1/generations/{id}",
        "get /internal/pending-tasks",
        "get /livez",
        "get /metrics",
        "get /readyz",
        "get /sdapi/v1/cmd-flags",
        "get /sdapi/v1/embeddings",
        "get /sdapi/v1/face-restorers",
        "get /sdapi/v1/hypernetworks",
        "get /sdapi/v1/latent-upscale-modes",
        "get /sdapi/v1/loras",
        "get /sdapi/v1/memory",
        "get /sdapi/v1/options",
        "get /sdapi/v1/progress",
        "get /sdapi/v1/prompt-styles",
        "get /sdapi/v1/realesrgan-models",
        "get /sdapi/v1/samplers",
        "get /sdapi/v1/schedulers",
        "get /sdapi/v1/scripts",
        "get /sdapi/v1/sd-models",
        "get /sdapi/v1/sd-vae",
        "get /sdapi/v1/upscalers",
        "get /v1/admin/keys",
        "get /v1/generations",
        "get /v1/generations/{id}",
        "get /v1/generations/{id}/events",
        "get /v1/generations/{id}/images/{index}",
        "get /v1/models",
        "get /v1/models/{id}",
        "get /v1/models/{owner}/{name}",
        "get /v1/models/{owner}/{name}/versions",
        "get /v1/models/{owner}/{name}/versions/{version}",
        "get /v1/predictions",
        "get /v1/predictions/{id}",
        "get /v1/samplers",
        "post /hf/{model}",
        "post /internal/progress",
        "post /sdapi/v1/img2img",
        "post /sdapi/v1/interrupt",
        "post /sdapi/v1/options",
        "post /sdapi/v1/png-info",
        "post /sdapi/v1/refresh-checkpoints",
        "post /sdapi/v1/skip",
        "post /sdapi/v1/txt2img",
        "post /v1/admin/models/{id}/load",
        "post /v1/admin/models/{id}/unload",
        "post /v1/files",
        "post /v1/generations",
        "post /v1/images/edits",
        "post /v1/images/generations",
        "post /v1/models/{owner}/{name}/predictions",
        "post /v1/pictures/settings",
        "post /v1/predictions",
        "post /v1/predictions/{id}/cancel",
    ];
    assert_eq!(operations, BTreeSet::from(expected.map(str::to_owned)));

    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}
