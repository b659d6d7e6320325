//! The noise of AUTOMATIC1111's "GPU" and "NV" random number sources: `torch.randn` on a CUDA device, computed anywhere.
//!
//! Philox 4x32 with ten rounds (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011). Element `i` of the
//! `k`th draw has the counter (k, 0, i, 0) and the seed as its key. Only the first of the two numbers of the Box–Muller
//! transform is used. Equal to CUDA as long as a draw has no more elements than the GPU has resident threads.

const MULTIPLIERS: [u32; 2] = [0xd251_1f53, 0xcd9e_8d57];
const KEY_STEPS: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];
const ROUNDS: usize = 10;

/// A generator whose numbers are a pure function of the seed, the draw and the element.
#[derive(Clone, Debug)]
pub struct PhiloxGenerator {
    key: [u32; 2],
    draw: u32,
}

impl PhiloxGenerator {
    /// A generator before its first draw.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32], draw: 0 }
    }

    /// One draw: fills `values`, of which there are at most 2^32, with standard normal numbers.
    pub fn fill_f32(&mut self, values: &mut [f32]) {
        for (element, value) in (0..=u32::MAX).zip(values) {
            let words = philox([self.draw, 0, element, 0], self.key);
            *value = box_muller(words[0], words[1]);
        }
        self.draw = self.draw.wrapping_add(1);
    }
}

fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..ROUNDS {
        let first = u64::from(counter[0]) * u64::from(MULTIPLIERS[0]);
        let second = u64::from(counter[2]) * u64::from(MULTIPLIERS[1]);
        counter = [
            (second >> 32) as u32 ^ counter[1] ^ key[0],
            second as u32,
            (first >> 32) as u32 ^ counter[3] ^ key[1],
            first as u32,
        ];
        key = [key[0].wrapping_add(KEY_STEPS[0]), key[1].wrapping_add(KEY_STEPS[1])];
    }
    counter
}

/// In double precision with single-precision constants, as AUTOMATIC1111's numpy code computes it.
fn box_muller(x: u32, y: u32) -> f32 {
    const UNIT: f32 = 2.328_306_4e-10;
    const TURN: f32 = (2.328_306_4e-10_f64 * 6.283_185_5_f64) as f32;
    let u = f64::from(x) * f64::from(UNIT) + f64::from(UNIT / 2.0);
    let v = f64::from(y) * f64::from(TURN) + f64::from(TURN / 2.0);
    ((-2.0 * u.ln()).sqrt() * v.sin()) as f32
}
