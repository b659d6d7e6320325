//! Between lists of numbers, channel after channel as torch has them, and the networks' maps, pixel after pixel.

use candle_core::{Device, Result, Tensor};

use crate::layout::channel_last;
use crate::picture::{Channels, Picture};

/// Of one image's latents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LatentShape {
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl LatentShape {
    pub(crate) fn area(self) -> usize {
        self.height * self.width
    }

    pub(crate) fn len(self) -> usize {
        self.channels * self.area()
    }

    /// Channels, height and width.
    pub(crate) fn sides(self) -> (usize, usize, usize) {
        (self.channels, self.height, self.width)
    }

    /// `(1, height, width, channels)` on the processor.
    pub(crate) fn map(self, values: &[f32]) -> Result<Tensor> {
        channel_last(values, self.sides())
    }
}

/// A picture as a map `(1, height, width, channels)` in -1..=1, by diffusers' `VaeImageProcessor`.
pub(crate) fn picture_map(picture: &Picture) -> Result<Tensor> {
    let values: Vec<f32> = picture.bytes.iter().map(|value| f32::from(*value) / 255.0 * 2.0 - 1.0).collect();
    let shape = (1, picture.height as usize, picture.width as usize, picture.channels.count());
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// The picture of a map `(1, height, width, 1 or 3)` in -1..=1, of any device.
pub(crate) fn map_picture(map: &Tensor) -> Result<Picture> {
    let (_, height, width, channels) = map.dims4()?;
    let channels = if channels == 1 { Channels::Gray } else { Channels::Rgb };
    let bytes = x0_kernels::picture_bytes(&map.contiguous()?)?;
    Ok(Picture { width: width as u32, height: height as u32, channels, bytes })
}
