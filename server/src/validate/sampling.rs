//! The sampler and its options.

use x0_model::sampler::{SamplerKind, SamplerSpec};
use x0_model::{ModelInfo, generator, schedule};
use x0_openapi::{ErrorCode, GenerationRequest, Named as _, NoiseSchedule, NoiseSource, TimestepSpacing};

use super::checks::{Checks, quoted};

/// The sampler that was asked for, with its options; the model's where none was.
pub(super) fn sampler(
    checks: &mut Checks,
    request: &GenerationRequest,
    eta: Option<f64>,
    info: &ModelInfo,
) -> SamplerSpec {
    let (kind, schedule_in_name) = match request.sampler.as_deref() {
        None => (info.defaults.sampler.kind, None),
        Some(name) => named(checks, name).unwrap_or((info.defaults.sampler.kind, None)),
    };
    let mut spec = SamplerSpec::from(kind);
    if kind == info.defaults.sampler.kind {
        spec = info.defaults.sampler;
    }
    let noise_schedule = request.noise_schedule.map(noise_schedule_of);
    if let (Some(in_name), Some(in_field)) = (schedule_in_name, noise_schedule)
        && in_name != in_field
    {
        let message = "is another noise schedule than the one in the sampler's name";
        checks.fail("noise_schedule", ErrorCode::ConflictingParameters, message);
    }
    if let Some(schedule) = noise_schedule.or(schedule_in_name) {
        spec.noise_schedule = schedule;
    }
    spec.timestep_spacing = request.timestep_spacing.map(timestep_spacing_of).or(spec.timestep_spacing);
    spec.eta = eta.or(spec.eta);

    let lacks = |what| format!("{} has no {what}", kind.name());
    let chosen = request.noise_schedule.filter(|schedule| *schedule != NoiseSchedule::Default);
    if !kind.has_noise_schedule() {
        checks.refuse("noise_schedule", chosen.as_ref(), &lacks("noise_schedule"));
    }
    if !kind.has_timestep_spacing() {
        checks.refuse("timestep_spacing", request.timestep_spacing.as_ref(), &lacks("timestep_spacing"));
    }
    if !kind.has_eta() {
        checks.refuse("eta", request.eta.as_ref(), &lacks("eta"));
    }
    spec
}

fn named(checks: &mut Checks, name: &str) -> Option<(SamplerKind, Option<schedule::NoiseSchedule>)> {
    match SamplerKind::parse(name) {
        Ok((kind, schedule::NoiseSchedule::Default)) => Some((kind, None)),
        Ok((kind, schedule)) => Some((kind, Some(schedule))),
        Err(_) => {
            let message = format!("no sampler {}; there are {}", quoted(name), SamplerKind::names().join(", "));
            checks.fail("sampler", ErrorCode::UnsupportedValue, message);
            None
        }
    }
}

fn noise_schedule_of(schedule: NoiseSchedule) -> schedule::NoiseSchedule {
    match schedule {
        NoiseSchedule::Default => schedule::NoiseSchedule::Default,
        NoiseSchedule::Karras => schedule::NoiseSchedule::Karras,
        NoiseSchedule::Exponential => schedule::NoiseSchedule::Exponential,
        NoiseSchedule::Beta => schedule::NoiseSchedule::Beta,
    }
}

fn timestep_spacing_of(spacing: TimestepSpacing) -> schedule::TimestepSpacing {
    match spacing {
        TimestepSpacing::Linspace => schedule::TimestepSpacing::Linspace,
        TimestepSpacing::Leading => schedule::TimestepSpacing::Leading,
        TimestepSpacing::Trailing => schedule::TimestepSpacing::Trailing,
    }
}

pub(super) fn noise_source_of(source: NoiseSource) -> generator::NoiseSource {
    match source {
        NoiseSource::Torch => generator::NoiseSource::Torch,
        NoiseSource::Philox => generator::NoiseSource::Philox,
    }
}

/// The wire's name of a noise source; the default has none.
pub(super) fn noise_source_name(source: generator::NoiseSource) -> Option<NoiseSource> {
    match source {
        generator::NoiseSource::Torch => None,
        generator::NoiseSource::Philox => Some(NoiseSource::Philox),
    }
}

/// The wire's name of a noise schedule.
pub fn noise_schedule_name(schedule: schedule::NoiseSchedule) -> NoiseSchedule {
    let same = |name: &&NoiseSchedule| noise_schedule_of(**name) == schedule;
    NoiseSchedule::ALL.iter().find(same).copied().unwrap_or(NoiseSchedule::Default)
}

/// The wire's name of a timestep spacing.
pub fn timestep_spacing_name(spacing: schedule::TimestepSpacing) -> TimestepSpacing {
    match spacing {
        schedule::TimestepSpacing::Linspace => TimestepSpacing::Linspace,
        schedule::TimestepSpacing::Leading => TimestepSpacing::Leading,
        schedule::TimestepSpacing::Trailing => TimestepSpacing::Trailing,
    }
}
