//! How fast a model's networks run, one by one.

use std::io::{BufRead as _, stdin};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use serde_json::{Value, json};
use x0_model::stage::{Call, Network, Stage, Tensors};
use x0_model::{Library, Shape, StepError};

use super::machine::Machine;
use super::statistics::median;
use crate::commands::{CommandError, models, open_device_and_remark, print, table};
use crate::config::{DeviceArgs, shape};

const HEAD: [&str; 7] = ["STAGE", "ROWS", "GFLOP", "SECONDS", "ROWS/S", "GFLOP/S", "% OF PEAK"];

const THREE: NonZeroU32 = NonZeroU32::MIN.saturating_add(2);

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Stages {
    /// The model's name, as `x0 models` lists them [default: the first]
    #[arg(long, value_name = "NAME", conflicts_with = "shape")]
    model: Option<String>,
    /// A published model's configuration with random weights instead: sd15 or sdxl
    #[arg(long, value_name = "NAME", value_parser = shape)]
    shape: Option<Shape>,
    /// Only this network: text_encoder, text_encoder_2, unet or vae_decode; may be given several times
    #[arg(long = "stage", value_name = "NAME", value_parser = stage)]
    stages: Vec<Stage>,
    /// Width and height of the picture [default: the model's]
    #[arg(long, value_name = "PIXELS")]
    size: Option<usize>,
    /// Rows of a call of UNet and text encoder: two make a guided step
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    rows: usize,
    /// How often each network is measured, after one call that is not
    #[arg(long, value_name = "COUNT", default_value_t = THREE)]
    repeat: NonZeroU32,
    /// A safetensors file of inputs, named as `unet.sample`; only the networks that it has inputs for are called
    #[arg(long, value_name = "FILE", conflicts_with_all = ["size", "rows"])]
    inputs: Option<PathBuf>,
    /// A safetensors file to write the networks' answers to
    #[arg(long, value_name = "FILE")]
    outputs: Option<PathBuf>,
    /// Measures once for each line on standard input, and answers with the seconds: to take turns with another program. One network
    /// only
    #[arg(long)]
    take_turns: bool,
    /// JSON instead of a table
    #[arg(long)]
    json: bool,
    /// A folder of models, besides those that are part of the program
    #[arg(long, value_name = "DIR", env = "X0_MODELS")]
    models: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
}

/// How a network did.
#[derive(Clone, Debug, Serialize)]
struct Measured {
    rows: usize,
    /// Of all rows together, as the network is defined.
    gflop: f64,
    seconds: Vec<f64>,
    rows_per_second: f64,
    gflops: f64,
    share_of_peak: f64,
}

impl Stages {
    pub(super) fn run(&self) -> Result<(), CommandError> {
        let (library, model) = self.subject()?;
        let given = self.inputs.as_deref().map(Tensors::read).transpose();
        let given = given.map_err(|error| CommandError::Usage(format!("--inputs: {error}")))?;
        let stages = self.chosen(&library.stages(&model), given.as_ref())?;
        if self.take_turns {
            let [stage] = stages[..] else {
                return Err(CommandError::Usage("--take-turns: choose one network by --stage".to_owned()));
            };
            return self.with_call(&library, &model, stage, given.as_ref(), |call| self.turns(call));
        }
        let machine = Machine::measure(library.placement())?;
        let mut answers = Tensors::default();
        let mut all = Vec::new();
        for stage in stages {
            let measured = self.with_call(&library, &model, stage, given.as_ref(), |call| {
                answers.extend(call.run().map_err(CommandError::of_step)?);
                measure(call, self.repeat, &machine)
            })?;
            all.push((stage, measured));
        }
        if let Some(file) = &self.outputs {
            write_answers(file, &answers)?;
        }
        if self.json { print(document(&model, &machine, &all)) } else { tell(&model, &machine, &all) }
    }

    /// A library, and the name of its model that is measured.
    fn subject(&self) -> Result<(Arc<Library>, String), CommandError> {
        let device = open_device_and_remark(self.device)?;
        if let Some(shape) = self.shape {
            return Ok((models::of_shape(&device, shape)?, shape.name().to_owned()));
        }
        let library = models::open(&device, self.models.as_deref())?;
        let info = match &self.model {
            Some(name) => library.info(name).ok_or_else(|| format!("there is no model {name}")),
            None => library.infos().next().ok_or_else(|| "there is no model".to_owned()),
        };
        let info = info.map_err(|message| CommandError::Usage(format!("--model: {message}")))?;
        if self.size.is_some() && info.size.fixed {
            let (width, height) = (info.size.default_width, info.size.default_height);
            let message = format!("--size: {} makes pictures of {width}×{height} only", info.name);
            return Err(CommandError::Usage(message));
        }
        let name = info.name.clone();
        Ok((library, name))
    }

    /// The networks that are measured: all of the model's, or those that were named or have inputs.
    fn chosen(&self, all: &[Stage], given: Option<&Tensors>) -> Result<Vec<Stage>, CommandError> {
        if let Some(absent) = self.stages.iter().find(|stage| !all.contains(stage)) {
            return Err(CommandError::Usage(format!("--stage: the model has no {}", absent.name())));
        }
        let named = |stage: &Stage| self.stages.is_empty() || self.stages.contains(stage);
        let fed = |stage: &Stage| given.is_none_or(|given| given.has(*stage));
        Ok(all.iter().copied().filter(|stage| named(stage) && fed(stage)).collect())
    }

    /// Reads a network, prepares its call and hands it on.
    fn with_call<T>(
        &self,
        library: &Library,
        model: &str,
        stage: Stage,
        given: Option<&Tensors>,
        use_it: impl FnOnce(&Call<'_>) -> Result<T, CommandError>,
    ) -> Result<T, CommandError> {
        let network = library.network(model, stage).map_err(CommandError::of_load)?;
        let usage = |error: StepError| CommandError::Usage(format!("{}: {error}", stage.name()));
        let inputs = match given {
            Some(given) => given,
            None => &self.random(&network, stage).map_err(usage)?,
        };
        use_it(&network.call(inputs).map_err(usage)?)
    }

    fn random(&self, network: &Network, stage: Stage) -> Result<Tensors, StepError> {
        let rows = match stage {
            Stage::TextEncoder | Stage::TextEncoder2 | Stage::Unet => self.rows,
            // A server decodes one picture at a time.
            Stage::VaeDecode => 1,
        };
        network.random_inputs(rows, self.size.map(|size| (size, size)))
    }

    /// Says after a first call what is computed, and then makes a call for each line that comes.
    fn turns(&self, call: &Call<'_>) -> Result<(), CommandError> {
        let answer = call.run().map_err(CommandError::of_step)?;
        if let Some(file) = &self.outputs {
            write_answers(file, &answer)?;
        }
        print(json!({"rows": call.rows(), "gflop": call.operations() / 1e9}))?;
        for line in stdin().lock().lines() {
            line.map_err(CommandError::failed)?;
            print(time(call)?)?;
        }
        Ok(())
    }
}

/// The seconds of one call. That its answer travels to the processor is no part of it, as a server's answers stay on the device.
fn time(call: &Call<'_>) -> Result<f64, CommandError> {
    let start = Instant::now();
    call.compute().map_err(CommandError::of_step)?;
    Ok(start.elapsed().as_secs_f64())
}

fn measure(call: &Call<'_>, repeat: NonZeroU32, machine: &Machine) -> Result<Measured, CommandError> {
    let seconds = (0..repeat.get()).map(|_| time(call)).collect::<Result<Vec<_>, _>>()?;
    let (rows, gflop) = (call.rows(), call.operations() / 1e9);
    // There is at least one.
    let median = median(&seconds).unwrap_or(f64::NAN);
    let gflops = gflop / median;
    let share_of_peak = gflops / machine.peak_gflops();
    Ok(Measured { rows, gflop, seconds, rows_per_second: rows as f64 / median, gflops, share_of_peak })
}

fn write_answers(file: &Path, answers: &Tensors) -> Result<(), CommandError> {
    answers.write(file).map_err(|error| CommandError::Failed(format!("{}: {error}", file.display())))
}

fn document(model: &str, machine: &Machine, all: &[(Stage, Measured)]) -> Value {
    let mut document = json!({"model": model, "machine": machine, "peak_gflops": machine.peak_gflops()});
    for (stage, measured) in all {
        document[stage.name()] = json!(measured);
    }
    document
}

fn tell(model: &str, machine: &Machine, all: &[(Stage, Measured)]) -> Result<(), CommandError> {
    print(format_args!("{model} on {machine}"))?;
    let row = |(stage, measured): &(Stage, Measured)| {
        let Measured { rows, gflop, seconds, rows_per_second, gflops, share_of_peak } = measured;
        let seconds = median(seconds).unwrap_or(f64::NAN);
        [
            stage.name().to_owned(),
            rows.to_string(),
            format!("{gflop:.1}"),
            format!("{seconds:.4}"),
            format!("{rows_per_second:.2}"),
            format!("{gflops:.0}"),
            format!("{:.0}", 100.0 * share_of_peak),
        ]
    };
    table(&[HEAD.map(str::to_owned)].into_iter().chain(all.iter().map(row)).collect::<Vec<_>>())
}

fn stage(name: &str) -> Result<Stage, String> {
    let names = || Stage::ALL.map(Stage::name).join(", ");
    Stage::ALL.into_iter().find(|stage| stage.name() == name).ok_or_else(|| format!("must be one of {}", names()))
}
