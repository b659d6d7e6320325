//! What the fake paints.

use super::Work;

/// A picture of the fake: noise at first, and with every step nearer to the same stripes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// The image's own seed.
    pub seed: u64,
    pub image: u32,
    /// Steps done when it was painted.
    pub step: u32,
    pub width: u32,
    pub height: u32,
    /// Red, green and blue of each pixel, row by row from the top left.
    pub pixels: Vec<u8>,
}

impl Picture {
    pub(super) fn at(work: &Work, image: u32, step: u32) -> Self {
        let Work { steps, width, height, .. } = *work;
        let seed = work.seed.wrapping_add(u64::from(image));
        let done = f64::from(step.min(steps)) / f64::from(steps.max(1));
        let pixels = (0..u64::from(width) * u64::from(height) * 3)
            .map(|at| {
                let noise = f64::from(mix(seed ^ mix(at)) as u8);
                let stripe = f64::from(mix(seed ^ (at / 3 % u64::from(width.max(1)))) as u8);
                (noise + (stripe - noise) * done).round() as u8
            })
            .collect();
        Picture { seed, image, step, width, height, pixels }
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
