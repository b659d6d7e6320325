//! What there is to choose from.

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};
use x0_model::ModelInfo;
use x0_model::sampler::SamplerKind;
use x0_openapi::{
    Named as _, SdapiEmbeddings, SdapiItem, SdapiModel, SdapiName, SdapiSampler, SdapiScheduler, SdapiScripts,
    SdapiUpscaler,
};

use super::words::{SCHEDULES, upscaler_names};
use crate::app::AppState;
use crate::device::CPU;
use crate::infotext::usual_schedule;

/// What a picture made by an upscaler without a size of its own is enlarged by, as AUTOMATIC1111 says it.
const SCALE: f64 = 4.0;

/// A model's title.
pub(super) fn title(info: &ModelInfo) -> String {
    info.name.clone()
}

/// Samplers
#[utoipa::path(
    get,
    path = "/sdapi/v1/samplers",
    operation_id = "sdapiSamplers",
    tag = "AUTOMATIC1111",
    responses((status = 200, description = "The samplers", body = Vec<SdapiSampler>)),
)]
pub async fn samplers() -> Json<Vec<SdapiSampler>> {
    let sampler = |kind: &SamplerKind| {
        let mut options = Map::new();
        let usual = usual_schedule(*kind);
        if usual != x0_openapi::NoiseSchedule::Default {
            options.insert("scheduler".to_owned(), json!(usual.name()));
        }
        let aliases = std::iter::once(kind.name()).chain(kind.aliases().iter().copied());
        SdapiSampler { name: kind.label().to_owned(), aliases: aliases.map(str::to_owned).collect(), options }
    };
    Json(SamplerKind::ALL.iter().map(sampler).collect())
}

/// Schedulers
#[utoipa::path(
    get,
    path = "/sdapi/v1/schedulers",
    operation_id = "sdapiSchedulers",
    tag = "AUTOMATIC1111",
    responses((status = 200, description = "The noise schedules", body = Vec<SdapiScheduler>)),
)]
pub async fn schedulers() -> Json<Vec<SdapiScheduler>> {
    let scheduler = |(_, name, label): &(Option<_>, &str, &str)| SdapiScheduler {
        name: (*name).to_owned(),
        label: (*label).to_owned(),
        aliases: Vec::new(),
        default_rho: if *name == "karras" { 7.0 } else { -1.0 },
        need_inner_model: false,
    };
    Json(SCHEDULES.iter().map(scheduler).collect())
}

/// Models
#[utoipa::path(
    get,
    path = "/sdapi/v1/sd-models",
    operation_id = "sdapiModels",
    tag = "AUTOMATIC1111",
    responses((status = 200, description = "The models", body = Vec<SdapiModel>)),
)]
pub async fn models(State(app): State<AppState>) -> Json<Vec<SdapiModel>> {
    let model = |info: &ModelInfo| SdapiModel {
        title: title(info),
        model_name: info.name.clone(),
        hash: None,
        sha256: None,
        filename: info.name.clone(),
        config: None,
    };
    Json(app.validator.catalog().infos().into_iter().map(model).collect())
}

/// Upscalers
#[utoipa::path(
    get,
    path = "/sdapi/v1/upscalers",
    operation_id = "sdapiUpscalers",
    tag = "AUTOMATIC1111",
    responses((status = 200, description = "How pictures can be enlarged", body = Vec<SdapiUpscaler>)),
)]
pub async fn upscalers() -> Json<Vec<SdapiUpscaler>> {
    let upscaler = |name: &str| SdapiUpscaler {
        name: name.to_owned(),
        model_name: None,
        model_path: None,
        model_url: None,
        scale: SCALE,
    };
    Json(upscaler_names(false).into_iter().map(upscaler).collect())
}

/// Latent upscale modes
#[utoipa::path(
    get,
    path = "/sdapi/v1/latent-upscale-modes",
    operation_id = "sdapiLatentUpscaleModes",
    tag = "AUTOMATIC1111",
    responses((status = 200, description = "How latents can be enlarged", body = Vec<SdapiName>)),
)]
pub async fn latent_upscale_modes() -> Json<Vec<SdapiName>> {
    Json(upscaler_names(true).into_iter().map(|name| SdapiName { name: name.to_owned() }).collect())
}

/// Embeddings
#[utoipa::path(
    get,
    path = "/sdapi/v1/embeddings",
    operation_id = "sdapiEmbeddings",
    tag = "AUTOMATIC1111",
    responses((status = 200, description = "There are none", body = SdapiEmbeddings)),
)]
pub async fn embeddings() -> Json<SdapiEmbeddings> {
    Json(SdapiEmbeddings { loaded: Map::new(), skipped: Map::new() })
}

/// Scripts
#[utoipa::path(
    get,
    path = "/sdapi/v1/scripts",
    operation_id = "sdapiScripts",
    tag = "AUTOMATIC1111",
    responses((status = 200, description = "There are none", body = SdapiScripts)),
)]
pub async fn scripts() -> Json<SdapiScripts> {
    Json(SdapiScripts { txt2img: Vec::new(), img2img: Vec::new() })
}

/// An empty list: there are none of these things.
macro_rules! empty_lists {
    ($($function:ident: $path:literal, $id:literal, $summary:literal);+ $(;)?) => {
        $(
            #[doc = $summary]
            #[utoipa::path(
                get,
                path = $path,
                operation_id = $id,
                tag = "AUTOMATIC1111",
                responses((status = 200, description = "There are none", body = Vec<SdapiItem>)),
            )]
            pub async fn $function() -> Json<Vec<SdapiItem>> {
                Json(Vec::new())
            }
        )+
    };
}

empty_lists! {
    autoencoders: "/sdapi/v1/sd-vae", "sdapiVaes", "Autoencoders apart from those of the models";
    loras: "/sdapi/v1/loras", "sdapiLoras", "Low-rank adaptations";
    hypernetworks: "/sdapi/v1/hypernetworks", "sdapiHypernetworks", "Hypernetworks";
    face_restorers: "/sdapi/v1/face-restorers", "sdapiFaceRestorers", "Face restorers";
    realesrgan_models: "/sdapi/v1/realesrgan-models", "sdapiRealesrganModels", "Real-ESRGAN models";
    prompt_styles: "/sdapi/v1/prompt-styles", "sdapiPromptStyles", "Prompt styles";
}

/// Flags of the command line
#[utoipa::path(
    get,
    path = "/sdapi/v1/cmd-flags",
    operation_id = "sdapiCmdFlags",
    tag = "AUTOMATIC1111",
    responses((status = 200, description = "What AUTOMATIC1111's flags would be here", body = Object)),
)]
pub async fn cmd_flags(State(app): State<AppState>) -> Json<Value> {
    Json(flags(app.metrics.device()))
}

/// On the CPU numbers are float32, on a GPU half as wide.
fn flags(device: &str) -> Value {
    let cpu = device == CPU;
    let use_cpu: &[&str] = if cpu { &["all"] } else { &[] };
    json!({"api": true, "nowebui": true, "use_cpu": use_cpu, "no_half": cpu, "disable_extension_access": true})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_those_of_the_device() {
        let told = |device| (flags(device)["use_cpu"].clone(), flags(device)["no_half"].clone());
        assert_eq!(told("cpu"), (json!(["all"]), json!(true)));
        assert_eq!(told("cuda:0 NVIDIA H100 80GB HBM3"), (json!([]), json!(false)));
    }
}
