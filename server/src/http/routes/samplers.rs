//! `GET /v1/samplers`.

use axum::Json;
use x0_model::sampler::SamplerKind;
use x0_openapi::{Named, NoiseSchedule, Sampler, SamplerList, SamplerOption, SamplerOptionKind, TimestepSpacing};

/// Every sampler
#[utoipa::path(
    get,
    path = "/v1/samplers",
    operation_id = "listSamplers",
    tag = "models",
    responses((status = 200, description = "The samplers", body = SamplerList)),
)]
pub async fn list_samplers() -> Json<SamplerList> {
    let data = SamplerKind::ALL.iter().copied().map(sampler).collect();
    Json(SamplerList { object: "list".to_owned(), data })
}

fn sampler(kind: SamplerKind) -> Sampler {
    let options = [
        kind.has_noise_schedule().then(|| choice("noise_schedule", NoiseSchedule::ALL)),
        kind.has_timestep_spacing().then(|| choice("timestep_spacing", TimestepSpacing::ALL)),
        kind.has_eta().then(|| SamplerOption {
            name: "eta".to_owned(),
            kind: SamplerOptionKind::Number,
            values: Vec::new(),
        }),
    ];
    Sampler {
        name: kind.name().to_owned(),
        label: kind.label().to_owned(),
        aliases: kind.aliases().iter().map(|&alias| alias.to_owned()).collect(),
        options: options.into_iter().flatten().collect(),
    }
}

fn choice<T: Named>(name: &str, values: &[T]) -> SamplerOption {
    let values = values.iter().map(|value| value.name().to_owned()).collect();
    SamplerOption { name: name.to_owned(), kind: SamplerOptionKind::Choice, values }
}
