//! Seeded normal noise: the numbers that PyTorch and AUTOMATIC1111 draw for the same seed.

mod cephes;
mod mersenne;
mod philox;
mod torch;

pub use philox::PhiloxGenerator;
pub use torch::TorchGenerator;

/// Whose random numbers a generation uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NoiseSource {
    /// `torch.Generator("cpu")`: what diffusers and ComfyUI draw.
    #[default]
    Torch,
    /// torch's CUDA generator: what AUTOMATIC1111 draws by default.
    Philox,
}

/// A seeded stream of standard normal numbers. One generator serves one image, from the first noise to the last step.
#[derive(Clone, Debug)]
pub enum Generator {
    /// See [`TorchGenerator`].
    Torch(TorchGenerator),
    /// See [`PhiloxGenerator`].
    Philox(PhiloxGenerator),
}

impl Generator {
    /// A generator before its first draw.
    #[must_use]
    pub fn new(source: NoiseSource, seed: u64) -> Self {
        match source {
            NoiseSource::Torch => Self::Torch(TorchGenerator::new(seed)),
            NoiseSource::Philox => Self::Philox(PhiloxGenerator::new(seed)),
        }
    }

    /// Draws one tensor of `values.len()` elements, in row-major order. How a stream is cut into draws matters: two draws
    /// of 8 are not one draw of 16.
    pub fn fill(&mut self, values: &mut [f32]) {
        match self {
            Self::Torch(generator) => generator.fill_f32(values),
            Self::Philox(generator) => generator.fill_f32(values),
        }
    }

    /// Draws one tensor of `count` elements.
    #[must_use]
    pub fn draw(&mut self, count: usize) -> Vec<f32> {
        let mut values = vec![0.0; count];
        self.fill(&mut values);
        values
    }
}
