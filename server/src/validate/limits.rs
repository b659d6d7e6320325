//! What a request may ask for at most.

use crate::picture::DecodeLimits;

/// The limits that hold for every model.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Images of one request.
    pub images: u32,
    /// Pixels of a side.
    pub side: u32,
    /// Pixels of an image.
    pub pixels: u64,
    /// Steps of an image.
    pub steps: u32,
    /// Images times pixels times steps.
    pub pixel_steps: u64,
    pub guidance_scale: f64,
    /// Characters of a prompt.
    pub prompt_chars: usize,
    pub deadline_seconds: f64,
    /// Of pictures that come with a request.
    pub decode: DecodeLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            images: 8,
            side: 2048,
            pixels: 2048 * 2048,
            steps: 1000,
            pixel_steps: 2_000_000_000,
            guidance_scale: 30.0,
            prompt_chars: 8192,
            deadline_seconds: 3600.0,
            decode: DecodeLimits { side: 4096, pixels: 16_000_000, memory: 128 << 20 },
        }
    }
}
