//! Classifier-free guidance (Ho and Salimans 2022).

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

    /// `u + scale * (c - u)` in the place of `conditional`, then rescaled. Both are all of one image's numbers.
    pub fn apply(self, unconditional: &[f32], conditional: &mut [f32]) {
        let scale = self.scale as f32;
        let before = if self.rescale > 0.0 { standard_deviation(conditional) } else { 0.0 };
        for (c, &u) in conditional.iter_mut().zip(unconditional) {
            *c = u + scale * (*c - u);
        }
        if self.rescale > 0.0 {
            let ratio = before / standard_deviation(conditional);
            let factor = (self.rescale * ratio + (1.0 - self.rescale)) as f32;
            conditional.iter_mut().for_each(|c| *c *= factor);
        }
    }
}

/// Several conditions as one, in the place of the first: `u + Σ wᵢ (cᵢ - u)`; Liu et al. 2022, equation 11. One condition of weight 1
/// is left as it is.
pub(crate) fn compose(unconditional: &[f32], first: &mut [f32], others: &[Vec<f32>], weights: &[f32]) {
    let [weight, weights @ ..] = weights else { return };
    if others.is_empty() && *weight == 1.0 {
        return;
    }
    for (i, (c, &u)) in first.iter_mut().zip(unconditional).enumerate() {
        let towards_others: f32 = others.iter().zip(weights).map(|(c, weight)| weight * (c[i] - u)).sum();
        *c = u + weight * (*c - u) + towards_others;
    }
}

/// torch's `std`: unbiased.
fn standard_deviation(values: &[f32]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let squares: f64 = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum();
    (squares / (n - 1.0)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::{Guidance, compose};

    #[test]
    fn guidance_extrapolates_and_rescaling_restores_the_deviation() {
        let (unconditional, conditional) = ([0.0, 1.0, -1.0], [1.0, 0.5, -2.0]);
        let guided = |scale, rescale| {
            let mut values = conditional;
            Guidance { scale, rescale }.apply(&unconditional, &mut values);
            values
        };
        assert_eq!(guided(1.0, 0.0), conditional);
        assert_eq!(guided(0.0, 0.0), unconditional);
        assert_eq!(guided(3.0, 0.0), [3.0, -0.5, -4.0]);
        // What diffusers' rescale_noise_cfg gives.
        let close = |a: [f32; 3], b: [f32; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
        assert!(close(guided(3.0, 0.5), [2.1888, -0.3648, -2.9184]));
        assert!(close(guided(3.0, 1.0), [1.3777, -0.2296, -1.8369]));
    }

    #[test]
    fn conditions_are_composed_by_their_weights() {
        let composed = |others: &[Vec<f32>], weights: &[f32]| {
            let mut first = [1.0, 0.1];
            compose(&[0.5, 0.7], &mut first, others, weights);
            first
        };
        assert_eq!(composed(&[], &[1.0]), [1.0, 0.1], "not a bit of a single condition changes");
        assert_eq!(composed(&[], &[0.0]), [0.5, 0.7]);
        assert_eq!(composed(&[], &[2.0]), [1.5, 0.7 + 2.0 * (0.1 - 0.7)]);
        assert_eq!(composed(&[vec![0.0, 1.7]], &[1.0, -2.0]), [2.0, 0.7 + (0.1 - 0.7) - 2.0]);
    }
}
