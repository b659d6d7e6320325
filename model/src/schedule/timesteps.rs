//! Which timesteps a sampler visits, from the noisiest down. The classes of diffusers fall into three groups.

use super::config::TimestepSpacing;
use super::numeric::linspace;

/// Whole timesteps: DDPM, DDIM, PNDM. `train` is the number of training timesteps and `steps` at least 1 and at most that.
#[must_use]
pub fn whole_timesteps(spacing: TimestepSpacing, train: usize, steps: usize, offset: i64) -> Vec<i64> {
    match spacing {
        TimestepSpacing::Linspace => linspace(0.0, (train - 1) as f64, steps).into_iter().rev().map(round).collect(),
        TimestepSpacing::Leading => leading(train / steps, 0..steps, offset),
        TimestepSpacing::Trailing => trailing(train, train, steps),
    }
}

/// Timesteps that may lie between two of the training: the samplers of k-diffusion.
#[must_use]
pub fn fractional_timesteps(spacing: TimestepSpacing, train: usize, steps: usize, offset: i64) -> Vec<f32> {
    match spacing {
        TimestepSpacing::Linspace => {
            linspace(0.0, (train - 1) as f64, steps).into_iter().rev().map(|t| t as f32).collect()
        }
        TimestepSpacing::Leading | TimestepSpacing::Trailing => {
            whole_timesteps(spacing, train, steps, offset).into_iter().map(|t| t as f32).collect()
        }
    }
}

/// Whole timesteps of the multistep solvers, which leave out the last of `steps + 1`. `last` is `train`, or less where the
/// noisiest timesteps are cut off (`lambda_min_clipped`).
#[must_use]
pub fn solver_timesteps(spacing: TimestepSpacing, train: usize, last: usize, steps: usize, offset: i64) -> Vec<i64> {
    match spacing {
        TimestepSpacing::Linspace => {
            let grid = linspace(0.0, last as f64 - 1.0, steps + 1);
            grid.into_iter().skip(1).rev().map(round).collect()
        }
        TimestepSpacing::Leading => leading(last / (steps + 1), 1..steps + 1, offset),
        TimestepSpacing::Trailing => trailing(train, last, steps),
    }
}

fn leading(stride: usize, multiples: std::ops::Range<usize>, offset: i64) -> Vec<i64> {
    multiples.rev().map(|i| (i * stride) as i64 + offset).collect()
}

/// `round(arange(last, 0, -train / steps)) - 1`. For some numbers of steps numpy's `arange` ends with a spurious zero, which
/// diffusers takes for the timestep -1; here it is left out.
fn trailing(train: usize, last: usize, steps: usize) -> Vec<i64> {
    let start = last as f64;
    // `arange` finds its increment as the difference of its first two values.
    let increment = (start - train as f64 / steps as f64) - start;
    let count = (last * steps).div_ceil(train);
    (0..count).map(|i| round(start + i as f64 * increment) - 1).collect()
}

/// To the nearest whole number, halves to the even one, as numpy does.
fn round(value: f64) -> i64 {
    value.round_ties_even() as i64
}
