//! Classifier-free guidance (Ho and Salimans 2022).

use candle_core::{D, Result, Tensor};
use x0_kernels::{combine, restore_deviation};

/// How far a prediction is taken from the unconditional one, beyond the conditional one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guidance {
    /// 1 gives the conditional prediction.
    pub scale: f64,
    /// 0..=1: how much of the conditional prediction's standard deviation is restored; Lin et al. 2023, section 3.4.
    pub rescale: f64,
}

impl Guidance {
    /// Whether a network call needs an unconditional row beside the conditional one.
    #[must_use]
    pub fn needs_unconditional(self) -> bool {
        self.scale != 1.0
    }
}

/// What the network said about an image's rows, `(rows, height, width, channels)` in float32, as one prediction
/// `(1, height, width, channels)`. The first row is unconditional, each other one is of a condition with its weight.
///
/// With `u` unconditional it is `u + scale · Σ wᵢ (cᵢ - u)` (Ho and Salimans 2022; Liu et al. 2022, equation 11), then rescaled. That holds
/// for the first `predicted` channels; beyond them lies a variance, in some models, and it is that of the first condition.
pub(crate) fn guided(rows: &Tensor, weights: &[f32], guidance: Guidance, predicted: usize) -> Result<Tensor> {
    let channels = rows.dim(D::Minus1)?;
    let part = |row: usize| rows.narrow(0, row, 1)?.narrow(D::Minus1, 0, predicted)?.contiguous();
    let parts = (0..=weights.len()).map(part).collect::<Result<Vec<_>>>()?;
    let (scale, weights) = (guidance.scale, || weights.iter().map(|weight| f64::from(*weight)));
    // The sum with the unconditional row's share gathered.
    let sum = |scale: f64| {
        let factors = std::iter::once(1.0 - scale * weights().sum::<f64>()).chain(weights().map(|w| scale * w));
        combine(&parts.iter().zip(factors).collect::<Vec<_>>(), None)
    };
    let mut prediction = sum(scale)?;
    if guidance.rescale > 0.0 {
        prediction = restore_deviation(&sum(1.0)?, &prediction, guidance.rescale)?;
    }
    if channels == predicted {
        return Ok(prediction);
    }
    let variance = rows.narrow(0, 1, 1)?.narrow(D::Minus1, predicted, channels - predicted)?;
    Tensor::cat(&[&prediction, &variance.contiguous()?], D::Minus1)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::{Guidance, guided};
    use crate::layout::numbers;

    fn result<const N: usize>(rows: &[[f32; N]], weights: &[f32], scale: f64, rescale: f64) -> Vec<f32> {
        let rows = Tensor::from_vec(rows.concat(), (rows.len(), 1, N, 1), &Device::Cpu).unwrap();
        numbers(&guided(&rows, weights, Guidance { scale, rescale }, 1).unwrap()).unwrap()
    }

    #[test]
    fn guidance_extrapolates_and_rescaling_restores_the_deviation() {
        let rows = [[0.0, 1.0, -1.0], [1.0, 0.5, -2.0]];
        let guided = |scale, rescale| result(&rows, &[1.0], scale, rescale);
        assert_eq!(guided(1.0, 0.0), rows[1]);
        assert_eq!(guided(0.0, 0.0), rows[0]);
        assert_eq!(guided(3.0, 0.0), [3.0, -0.5, -4.0]);
        // What diffusers' rescale_noise_cfg gives.
        let close = |a: Vec<f32>, b: [f32; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
        assert!(close(guided(3.0, 0.5), [2.1888, -0.3648, -2.9184]));
        assert!(close(guided(3.0, 1.0), [1.3777, -0.2296, -1.8369]));
    }

    #[test]
    fn conditions_are_composed_by_their_weights() {
        let (u, c, other) = ([0.5, 0.75], [1.0, 0.125], [0.0, 1.75]);
        assert_eq!(result(&[u, c], &[1.0], 1.0, 0.0), c, "not a bit of a single condition changes");
        assert_eq!(result(&[u, c], &[0.0], 1.0, 0.0), u);
        assert_eq!(result(&[u, c], &[2.0], 1.0, 0.0), [1.5, -0.5]);
        assert_eq!(result(&[u, c, other], &[1.0, -2.0], 1.0, 0.0), [2.0, -1.875]);
    }

    #[test]
    fn the_variance_is_that_of_the_first_condition() {
        let rows = Tensor::new(&[[[[1f32, 10.0]]], [[[2.0, 20.0]]]], &Device::Cpu).unwrap();
        let prediction = guided(&rows, &[1.0], Guidance { scale: 2.0, rescale: 0.0 }, 1).unwrap();
        assert_eq!(numbers(&prediction).unwrap(), [3.0, 20.0]);
    }
}
