//! What a request gets that does not say otherwise.

use super::description::Description;
use crate::error::LoadError;
use crate::folder::Folder;
use crate::info::Defaults;
use crate::sampler::{Sampler, SamplerKind, SamplerSpec};
use crate::schedule::SchedulerConfig;

const SCHEDULER: &str = "scheduler_config.json";

/// Reads the `scheduler` folder of a model.
pub(crate) fn read_scheduler(folder: &Folder) -> Result<SchedulerConfig, LoadError> {
    SchedulerConfig::from_json(&folder.text(SCHEDULER)?)
        .map_err(|error| LoadError::Config { path: folder.path_of(SCHEDULER), message: error.to_string() })
}

/// The description's defaults; where it is silent, `steps`, `guidance_scale` and the sampler that the scheduler's file was written
/// for.
///
/// # Errors
/// If the sampler is unknown, or cannot be made from the scheduler's file; the message names the file of `folder` that is to blame.
pub(crate) fn defaults(
    folder: &Folder,
    scheduler: &SchedulerConfig,
    description: &Description,
    (steps, guidance_scale): (u32, f64),
) -> Result<Defaults, LoadError> {
    let described = &description.defaults;
    let blame = |message| LoadError::Config { path: folder.at("scheduler").path_of(SCHEDULER), message };
    let parsed = match (&described.sampler, &scheduler.class_name) {
        (Some(name), _) => {
            SamplerKind::parse(name).map_err(|e| Description::error(folder, format!("`defaults.sampler`: {e}")))
        }
        (None, Some(class)) => SamplerKind::parse(class)
            .map(|(kind, noise_schedule)| (written_for(kind, scheduler), noise_schedule))
            .map_err(|e| blame(format!("`_class_name`: {e}"))),
        (None, None) => Err(blame("`_class_name` is missing".into())),
    };
    let (kind, noise_schedule) = parsed?;
    let defaults = Defaults {
        steps: described.steps.unwrap_or(steps),
        guidance_scale: described.guidance_scale.unwrap_or(guidance_scale),
        sampler: SamplerSpec { noise_schedule, ..kind.into() },
    };
    // A model whose defaults fail would fail every request.
    Sampler::new(scheduler, &defaults.sampler, defaults.steps as usize).map_err(|e| blame(e.to_string()))?;
    Ok(defaults)
}

/// The sampler of a scheduler class, of those that share the class.
fn written_for(kind: SamplerKind, scheduler: &SchedulerConfig) -> SamplerKind {
    let stochastic = scheduler.algorithm_type.as_deref().is_some_and(|algorithm| algorithm.starts_with("sde-"));
    if kind == SamplerKind::Dpmpp2m && stochastic { SamplerKind::Dpmpp2mSde } else { kind }
}
