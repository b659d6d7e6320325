//! PLMS: the linear multistep method of Liu et al. 2022, `PNDMScheduler` with `skip_prk_steps`.
//!
//! The first step has two model calls. The second of them is at the timestep that the first one went to, and repeats the
//! first step with the mean of both outputs.

use super::SamplerError;
use super::combination::{Combination, memory, output, sample};
use super::discrete::Discrete;
use super::plan::{Definition, Plan, Setup, predict_x0};
use super::step::{Clip, History, Noise, Step, Update};
use crate::schedule::{BetaOptions, PredictionType};

pub(super) const DEFINITION: Definition = Definition {
    name: "pndm",
    label: "PLMS",
    aliases: &[],
    class: "PNDMScheduler",
    order: 1,
    has_noise_schedule: false,
    has_timestep_spacing: true,
    has_eta: false,
    plan,
};

/// The sample before the first step.
const FIRST_SAMPLE: usize = 0;
const FIRST_OUTPUT: usize = 1;
/// With the current one, four outputs.
const OUTPUTS: usize = 3;

fn plan(setup: &Setup) -> Result<Plan, SamplerError> {
    let prediction = setup.prediction_type_but_sample()?;
    let schedule = Discrete::new(setup, BetaOptions::DDPM)?;
    let mut timesteps = schedule.timesteps(setup)?;
    if let Some(second) = timesteps.get(1) {
        timesteps.insert(1, *second);
    }
    let stride = (setup.train_timesteps() / setup.steps) as i64;
    let last = schedule.final_alpha_cumprod(setup.config.set_alpha_to_one.unwrap_or(false));
    let transfer = |from: Combination, output: Combination, timestep: i64, previous: i64| {
        let levels = (schedule.alpha_cumprod(timestep, last), schedule.alpha_cumprod(previous, last));
        transfer(prediction, from, output, levels)
    };

    let mut outputs = History::new(FIRST_OUTPUT, OUTPUTS);
    let mut steps = Vec::new();
    for (counter, timestep) in timesteps[setup.begin..].iter().copied().enumerate() {
        let next = if counter == 1 {
            schedule.check(timestep + stride)?;
            let mean = (output() + outputs.recall(1)) / 2.0;
            transfer(memory(FIRST_SAMPLE), mean, timestep + stride, timestep)
        } else {
            transfer(sample(), adams_bashforth(&outputs), timestep, timestep - stride)
        };
        let written = match counter {
            0 => vec![outputs.push(output()), (FIRST_SAMPLE, sample())],
            1 => Vec::new(),
            _ => vec![outputs.push(output())],
        };
        let alpha_bar = schedule.alpha_cumprod(timestep, last);
        steps.push(Step {
            call: schedule.call(timestep),
            noising: schedule.noising(timestep),
            update: Update {
                x0: predict_x0(prediction, alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt()),
                clip: Clip::None,
                next,
                memory: written,
                noise: Noise::None,
            },
        });
    }
    Ok(Plan { initial_noise_scale: 1.0, steps })
}

/// The extrapolated output, of the order that the history allows; equation 12 of the paper.
fn adams_bashforth(outputs: &History) -> Combination {
    let past = |back| outputs.recall(back);
    match outputs.len() {
        0 => output(),
        1 => (output() * 3.0 - past(1)) / 2.0,
        2 => (output() * 23.0 - past(1) * 16.0 + past(2) * 5.0) / 12.0,
        _ => (output() * 55.0 - past(1) * 59.0 + past(2) * 37.0 - past(3) * 9.0) / 24.0,
    }
}

/// Equation 9 of the paper: from one ᾱ to another along the predicted noise.
fn transfer(
    prediction: PredictionType,
    from: Combination,
    output: Combination,
    (alpha_bar, alpha_bar_previous): (f32, f32),
) -> Combination {
    let (beta_bar, beta_bar_previous) = (1.0 - alpha_bar, 1.0 - alpha_bar_previous);
    let epsilon = match prediction {
        PredictionType::Epsilon | PredictionType::Sample => output,
        PredictionType::VPrediction => output * alpha_bar.sqrt() + from.clone() * beta_bar.sqrt(),
    };
    let scale = (alpha_bar_previous / alpha_bar).sqrt();
    let denominator = alpha_bar * beta_bar_previous.sqrt() + (alpha_bar * beta_bar * alpha_bar_previous).sqrt();
    from * scale - epsilon * (alpha_bar_previous - alpha_bar) / denominator
}
