//! Pictures as plain bytes.

mod resize;

/// Which channels a picture's bytes hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channels {
    Gray,
    Rgb,
}

impl Channels {
    /// Bytes in a pixel.
    pub fn count(self) -> usize {
        match self {
            Channels::Gray => 1,
            Channels::Rgb => 3,
        }
    }
}

/// An 8-bit picture: rows from the top, pixels from the left, channels interleaved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    pub width: u32,
    pub height: u32,
    pub channels: Channels,
    /// `width * height * channels.count()` bytes.
    pub bytes: Vec<u8>,
}

impl Picture {
    /// Whether it has pixels, and as many bytes as its size says.
    pub fn is_whole(&self) -> bool {
        let size = self.width as usize * self.height as usize * self.channels.count();
        size > 0 && self.bytes.len() == size
    }

    /// Makes a picture of values in -1..=1, channel-last, as the models give them: `round((x / 2 + 0.5) * 255)`, clamped,
    /// halves to even, as diffusers' image processor does it.
    pub fn from_signed(values: &[f32], width: u32, height: u32, channels: Channels) -> Self {
        let bytes = values.iter().map(|x| ((x / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8).collect();
        Self { width, height, channels, bytes }
    }
}
