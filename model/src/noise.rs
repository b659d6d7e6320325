//! The noise that an image begins with.

use crate::generator::{Generator, NoiseSource};
use crate::request::Request;

/// From which seeds an image's random numbers come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Seeds {
    source: NoiseSource,
    seed: u64,
    /// A second seed, and how far the way to its noise is gone, over 0 to 1.
    variation: Option<(u64, f64)>,
}

/// Channels, height and width.
pub(crate) type Shape = (usize, usize, usize);

impl Seeds {
    /// Of image `image` of a request.
    pub(crate) fn new(request: &Request, image: u32) -> Self {
        let image = u64::from(image);
        let (seed, variation) = match request.variation {
            None => (request.seed.wrapping_add(image), None),
            Some(variation) => (request.seed, Some((variation.seed.wrapping_add(image), variation.strength))),
        };
        Self { source: request.noise_source, seed, variation }
    }

    /// A generator before its first draw.
    pub(crate) fn generator(self) -> Generator {
        Generator::new(self.source, self.seed)
    }

    /// Draws the first noise of an image from its generator, and lets the variation act on it.
    pub(crate) fn draw(self, generator: &mut Generator, shape: Shape) -> Vec<f32> {
        let (channels, height, width) = shape;
        let noise = generator.draw(channels * height * width);
        match self.variation {
            None => noise,
            Some((seed, strength)) => {
                let other = Generator::new(self.source, seed).draw(noise.len());
                slerp(strength, &noise, &other, shape)
            }
        }
    }
}

/// Between two noises as AUTOMATIC1111 goes: every column of every channel turns along a great circle of its own (Shoemake 1985).
/// Noises that hardly differ are mixed linearly, and with the weights the other way round, which is AUTOMATIC1111's way, too.
fn slerp(strength: f64, low: &[f32], high: &[f32], (channels, height, width): Shape) -> Vec<f32> {
    let columns = || (0..channels * width).map(|i| i / width * height * width + i % width);
    let cells = |column: usize| (0..height).map(move |row| column + row * width);
    let cosine = |column: usize| {
        let product = |a: &[f32], b: &[f32]| cells(column).map(|i| f64::from(a[i]) * f64::from(b[i])).sum::<f64>();
        product(low, high) / (product(low, low) * product(high, high)).sqrt()
    };
    let cosines: Vec<f64> = columns().map(cosine).collect();
    let mut mixed = vec![0.0; low.len()];
    let mut mix = |column: usize, (a, b): (f64, f64)| {
        cells(column).for_each(|i| mixed[i] = (a * f64::from(low[i]) + b * f64::from(high[i])) as f32);
    };
    if cosines.iter().sum::<f64>() / cosines.len() as f64 > 0.9995 {
        columns().for_each(|column| mix(column, (strength, 1.0 - strength)));
        return mixed;
    }
    for (column, cosine) in columns().zip(cosines) {
        let angle = cosine.clamp(-1.0, 1.0).acos();
        let sine = angle.sin();
        // Columns on one line have no circle between them.
        let weights = if sine < 1e-6 {
            (1.0 - strength, strength)
        } else {
            (((1.0 - strength) * angle).sin() / sine, (strength * angle).sin() / sine)
        };
        mix(column, weights);
    }
    mixed
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = (2, 3, 2);

    fn noise(seed: u64) -> Vec<f32> {
        Generator::new(NoiseSource::Torch, seed).draw(12)
    }

    /// What torch computes with AUTOMATIC1111's formula: `torch.manual_seed(s)`, `torch.randn(2, 3, 2)` for 1 and 2.
    #[test]
    fn the_way_between_two_noises_is_automatic1111s() {
        let expected = [
            0.863_984_9,
            0.173_902_3,
            -0.110_590_8,
            -0.256_057_6,
            0.114_264_6,
            -0.853_756_2,
            -1.397_611_4,
            0.451_155_1,
            -1.498_089_8,
            -0.744_065_3,
            -0.118_522,
            0.197_594_5_f32,
        ];
        for (found, expected) in slerp(0.3, &noise(1), &noise(2), SHAPE).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
        }
    }

    #[test]
    fn the_ends_of_the_way_are_the_noises() {
        for (strength, seed) in [(0.0, 1), (1.0, 2)] {
            for (found, expected) in slerp(strength, &noise(1), &noise(2), SHAPE).iter().zip(noise(seed)) {
                assert!((found - expected).abs() < 1e-6);
            }
        }
        assert_eq!(slerp(0.5, &noise(1), &noise(1), SHAPE), noise(1));
    }

    #[test]
    fn columns_of_one_cell_stay_finite() {
        let (low, high) = (noise(1), noise(2));
        assert!(slerp(0.5, &low, &high, (2, 1, 6)).iter().all(|value| value.is_finite()));
    }
}
