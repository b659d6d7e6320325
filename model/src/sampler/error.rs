//! Why a sampler cannot be made or stepped.

use super::kind::SamplerKind;
use crate::schedule::ConfigError;

/// The reasons, each with what to change.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SamplerError {
    #[error("unknown sampler {name:?}; known are {}", SamplerKind::names().join(", "))]
    UnknownSampler { name: String },
    /// A request option, named as on the wire, that the sampler lacks.
    #[error("{sampler} has no {option}")]
    Unsupported { sampler: SamplerKind, option: &'static str },
    #[error("eta must be between 0 and 1, not {eta}")]
    Eta { eta: f64 },
    #[error("{sampler} takes 1 to {max} steps with this model, not {steps}")]
    Steps { sampler: SamplerKind, steps: usize, max: usize },
    #[error(
        "a strength of {strength} leaves none of {steps} steps; ask for more steps or more strength, which is at most 1"
    )]
    Strength { strength: f64, steps: usize },
    /// The model's `scheduler_config.json`.
    #[error("scheduler_config.json: {0}")]
    Config(#[from] ConfigError),
    #[error("{sampler} is not defined for this model's noise schedule with {steps} steps: a coefficient is not finite")]
    NotFinite { sampler: SamplerKind, steps: usize },
    #[error("the model returned {given} channels, not {expected}")]
    OutputChannels { expected: usize, given: usize },
    #[error("the sampler has no step left")]
    Finished,
}
