//! `x0 models`: what can be asked for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use x0_model::{Library, ModelInfo, ModelKind, Shape};

use super::{CommandError, remark, table};
use crate::device::Device;

/// Lists the models: those that are part of the program, and those of a folder.
#[derive(Clone, Debug, clap::Args)]
pub struct Models {
    /// A folder of models, besides those that are part of the program
    #[arg(long, value_name = "DIR", env = "X0_MODELS")]
    models: Option<PathBuf>,
}

const HEAD: [&str; 6] = ["NAME", "KIND", "SIZE", "STEPS", "GUIDANCE", "SAMPLER"];

impl Models {
    /// Writes the table to standard output.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub fn run(&self) -> Result<(), CommandError> {
        // Nothing is computed.
        let library = open(&Device::cpu(), self.models.as_deref())?;
        let rows: Vec<[String; 6]> = [HEAD.map(str::to_owned)].into_iter().chain(library.infos().map(row)).collect();
        table(&rows)
    }
}

/// Opens the library, and says which models of the folder were left out.
pub(super) fn open(device: &Device, models: Option<&Path>) -> Result<Arc<Library>, CommandError> {
    let library = device.library(models).map_err(|error| CommandError::Usage(format!("--models: {error}")))?;
    for (name, why) in library.problems() {
        remark(format_args!("{name} is left out: {why}"));
    }
    Ok(Arc::new(library))
}

/// A library of a published model's configuration with random weights.
pub(super) fn of_shape(device: &Device, shape: Shape) -> Result<Arc<Library>, CommandError> {
    Ok(Arc::new(device.library_of_shape(shape).map_err(CommandError::failed)?))
}

fn row(info: &ModelInfo) -> [String; 6] {
    let kind = match info.kind {
        ModelKind::Unconditional => "unconditional".to_owned(),
        ModelKind::ClassConditional => format!("{} classes", info.classes.len()),
        ModelKind::TextToImage => "text".to_owned(),
    };
    let guidance = if info.guidable { info.defaults.guidance_scale.to_string() } else { "-".to_owned() };
    [
        info.name.clone(),
        kind,
        format!("{}×{}", info.size.default_width, info.size.default_height),
        info.defaults.steps.to_string(),
        guidance,
        info.defaults.sampler.kind.name().to_owned(),
    ]
}
