//! `torch.randn` on the CPU: the same numbers in the same order, and the same use of the generator.
//!
//! Source: PyTorch 2.15, aten/src/ATen/core/DistributionsHelper.h and native/cpu/DistributionTemplates.h. There are two
//! ways to draw. Fewer than [`BLOCK`] numbers are drawn in double precision, in pairs, and the second of a pair is kept
//! for the next such draw. Otherwise uniform numbers are turned into normal ones in blocks of 16 (Box and Muller, 1958);
//! when the count is not a multiple of 16, the *last* 16 numbers are drawn again.

use std::f32::consts::TAU;
use std::f64;

use half::{bf16, f16};

use super::cephes;
use super::mersenne::MersenneTwister;

const BLOCK: usize = 16;
const HALF_BLOCK: usize = BLOCK / 2;

/// `torch.Generator("cpu")`.
#[derive(Clone, Debug)]
pub struct TorchGenerator {
    engine: MersenneTwister,
    /// The second number of the last double-precision pair. It survives block draws, as in torch.
    spare: Option<f64>,
}

impl TorchGenerator {
    /// `torch.Generator("cpu").manual_seed(seed)`; a negative torch seed is the `u64` of the same bits.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { engine: MersenneTwister::new(seed), spare: None }
    }

    /// `torch.randn(values.len(), dtype=torch.float32)`. For 16 numbers or more these are the bits of torch's AVX2 kernel,
    /// which serves all x86 processors of the last decade; other builds of torch differ by a few units in the last place.
    pub fn fill_f32(&mut self, values: &mut [f32]) {
        if values.len() < BLOCK {
            values.fill_with(|| self.next_double() as f32);
            return;
        }
        // All uniform numbers come before the first normal one: that decides which of them the redrawn tail gets.
        values.fill_with(|| self.uniform_f32());
        let (blocks, tail) = values.as_chunks_mut::<BLOCK>();
        blocks.iter_mut().for_each(box_muller);
        if !tail.is_empty() {
            let block = self.next_block();
            if let Some(last) = values.last_chunk_mut() {
                *last = block;
            }
        }
    }

    /// `torch.randn(values.len(), dtype=torch.float16)`: where the count is a multiple of 16, the rounded numbers of
    /// [`Self::fill_f32`]; otherwise another stream.
    pub fn fill_f16(&mut self, values: &mut [f16]) {
        self.fill_rounded(values, f16::from_f32);
    }

    /// `torch.randn(values.len(), dtype=torch.bfloat16)`, related to [`Self::fill_f32`] as [`Self::fill_f16`] is.
    pub fn fill_bf16(&mut self, values: &mut [bf16]) {
        self.fill_rounded(values, bf16::from_f32);
    }

    /// Unlike for float32, torch draws the uniform numbers of one block at a time.
    fn fill_rounded<T: Copy>(&mut self, values: &mut [T], round: impl Fn(f32) -> T) {
        if values.len() < BLOCK {
            values.fill_with(|| round(self.next_double() as f32));
            return;
        }
        let (blocks, tail) = values.as_chunks_mut::<BLOCK>();
        for block in blocks {
            *block = self.next_block().map(&round);
        }
        if !tail.is_empty() {
            let block = self.next_block().map(&round);
            if let Some(last) = values.last_chunk_mut() {
                *last = block;
            }
        }
    }

    fn next_block(&mut self) -> [f32; BLOCK] {
        let mut block = std::array::from_fn(|_| self.uniform_f32());
        box_muller(&mut block);
        block
    }

    fn next_double(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let angle = f64::consts::TAU * self.uniform_f64();
        let radius = (-2.0 * (-self.uniform_f64()).ln_1p()).sqrt();
        self.spare = Some(radius * angle.sin());
        radius * angle.cos()
    }

    /// 24 random bits, in 0 .. 1.
    fn uniform_f32(&mut self) -> f32 {
        (self.engine.next_u32() & 0xff_ffff) as f32 / (1 << 24) as f32
    }

    /// 53 random bits, in 0 .. 1.
    fn uniform_f64(&mut self) -> f64 {
        const RANGE: u64 = 1 << 53;
        (self.engine.next_u64() % RANGE) as f64 / RANGE as f64
    }
}

/// Turns 16 uniform numbers into normal ones: numbers `i` and `i + 8` make a pair.
fn box_muller(block: &mut [f32; BLOCK]) {
    let (first, second) = block.split_at_mut(HALF_BLOCK);
    for (a, b) in first.iter_mut().zip(second) {
        let radius = (-2.0 * cephes::ln(1.0 - *a)).sqrt();
        let (sine, cosine) = cephes::sin_cos(TAU * *b);
        (*a, *b) = (radius * cosine, radius * sine);
    }
}
