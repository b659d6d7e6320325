//! Whether a device computes what the processor does.
//!
//! Drivers translate the kernels for devices that nobody here has tried. A wrong answer would be a wrong picture, and nothing would say
//! so: small tasks of each kind are cheap to compare with first.

use candle_core::{DType, Device, Result, Tensor};

use crate::{Activation, Conv2d, Conv2dOptions, Linear, Mask, attention, group_norm, layer_norm};

/// The greatest difference that rounding explains, as a part of the answer's norm. Inputs are rounded for both; bfloat16 keeps 8 bits of a
/// number, float16 11, and what lies between two layers of a task is rounded, too.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::BF16 => 0.02,
        DType::F16 => 0.003,
        // float32 is all that is left of what networks compute with.
        _ => 1e-4,
    }
}

/// How much more one number may deviate, as a part of the greatest of them.
const ONE_NUMBER: f64 = 5.0;

/// A task whose answers differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Deviation {
    /// What was computed.
    pub task: &'static str,
    /// As a part of the answer; not a number if the device's is none.
    pub by: f64,
}

type Task = fn(&Inputs<'_>) -> Result<Tensor>;

const TASKS: [(&str, Task); 6] = [
    ("a 3×3 convolution", |x| convolution(x, 3, 64)),
    ("a convolution of few channels", |x| convolution(x, 3, 4)),
    ("a linear layer", |x| {
        let layer = Linear::new(&x.wide(&[96, 64])?, Some(&x.float32(&[96])?))?;
        layer.then(Activation::Gelu).forward_add(&x.wide(&[3, 40, 64])?, &x.wide(&[3, 40, 96])?)
    }),
    ("attention", |x| {
        let (queries, keys) = (x.wide(&[2, 70, 80])?, x.wide(&[2, 77, 80])?);
        attention(&queries, &keys, &x.wide(&[2, 77, 80])?, 2, 0.158, Mask::None)
    }),
    ("group normalisation", |x| {
        let (weight, bias) = (x.float32(&[64])?, x.float32(&[64])?);
        group_norm(&x.wide(&[2, 9, 9, 64])?, 32, &weight, &bias, 1e-5, Activation::Silu)
    }),
    ("layer normalisation", |x| layer_norm(&x.wide(&[5, 320])?, &x.float32(&[320])?, &x.float32(&[320])?, 1e-5)),
];

fn convolution(x: &Inputs<'_>, side: usize, channels: usize) -> Result<Tensor> {
    let layer = Conv2d::new(&x.wide(&[72, channels, side, side])?, Some(&x.float32(&[72])?), Conv2dOptions::padded(1))?;
    layer.then(Activation::Silu).forward(&x.wide(&[2, 12, 12, channels])?)
}

/// Tensors that are the same numbers wherever they are.
struct Inputs<'a> {
    device: &'a Device,
    /// Of what a network computes with.
    dtype: DType,
    /// What it is narrowed to before.
    rounded: DType,
}

impl Inputs<'_> {
    fn wide(&self, shape: &[usize]) -> Result<Tensor> {
        numbers(shape)?.to_dtype(self.rounded)?.to_dtype(self.dtype)?.to_device(self.device)
    }

    fn float32(&self, shape: &[usize]) -> Result<Tensor> {
        numbers(shape)?.to_device(self.device)
    }
}

/// Numbers in -1..1 that look like random ones, the same ones for a shape.
fn numbers(shape: &[usize]) -> Result<Tensor> {
    let mut state = shape.iter().fold(1_u32, |state, side| state.wrapping_mul(31).wrapping_add(*side as u32));
    let mut next = || {
        // Numerical Recipes' generator; its upper bits are good enough here.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let values = (0..shape.iter().product()).map(|_| next()).collect::<Vec<f32>>();
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// Lets a device compute a small task of each kind in numbers of `dtype`: the first whose answer is not the processor's, if there is one.
///
/// # Errors
/// If the device fails.
pub fn deviation(device: &Device, dtype: DType) -> Result<Option<Deviation>> {
    for (task, compute) in TASKS {
        let answer = |device, computed| flat(&compute(&Inputs { device, dtype: computed, rounded: dtype })?);
        let (theirs, ours) = (answer(device, dtype)?, answer(&Device::Cpu, DType::F32)?);
        let by = difference(&theirs, &ours);
        if by.is_nan() || by > tolerance(dtype) {
            return Ok(Some(Deviation { task, by }));
        }
    }
    Ok(None)
}

/// The norm of the difference over that of `ours`; or, if that is more, a fifth of the greatest difference over the greatest number.
fn difference(theirs: &[f32], ours: &[f32]) -> f64 {
    if theirs.len() != ours.len() {
        return f64::INFINITY;
    }
    let differences: Vec<f64> = theirs.iter().zip(ours).map(|(a, b)| f64::from(a - b)).collect();
    let ours: Vec<f64> = ours.iter().copied().map(f64::from).collect();
    let norm = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>().sqrt();
    let greatest = |values: &[f64]| values.iter().fold(0.0_f64, |greatest, value| greatest.max(value.abs()));
    let all = norm(&differences) / norm(&ours);
    // A comparison with what is not a number is false, and leaves it.
    let one = greatest(&differences) / greatest(&ours) / ONE_NUMBER;
    if one > all { one } else { all }
}

fn flat(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_computes_what_it_computes() {
        assert_eq!(deviation(&Device::Cpu, DType::F32).unwrap(), None);
    }

    #[test]
    fn one_wrong_number_of_many_is_found() {
        let ours: Vec<f32> = (0..10_000).map(|i| (i as f32).sin()).collect();
        let changed = |at: usize, to: f32| {
            let mut theirs = ours.clone();
            theirs[at] = to;
            difference(&theirs, &ours)
        };
        assert_eq!(difference(&ours, &ours), 0.0);
        assert!(changed(7, ours[7] + 0.5) > 0.02);
        assert!(changed(9_999, f32::NAN).is_nan() && changed(0, f32::INFINITY).is_infinite());
        assert!(difference(&ours[1..], &ours).is_infinite());
        let rounded: Vec<f32> = ours.iter().map(|value| half::bf16::from_f32(*value).to_f32()).collect();
        assert!(difference(&rounded, &ours) < 0.005);
    }

    /// A comparison of zeros with zeros would find nothing.
    #[test]
    fn every_task_has_an_answer() {
        for (task, compute) in TASKS {
            let inputs = Inputs { device: &Device::Cpu, dtype: DType::F32, rounded: DType::BF16 };
            let answer = flat(&compute(&inputs).unwrap()).unwrap();
            let zeros = answer.iter().filter(|value| **value == 0.0).count();
            assert!(
                answer.len() >= 1000 && 10 * zeros < answer.len() && answer.iter().all(|value| value.is_finite()),
                "{task}"
            );
        }
    }
}
