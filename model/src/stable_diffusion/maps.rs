//! Between lists of numbers, channel after channel as torch has them, and the networks' maps, pixel after pixel.

use candle_core::{Device, Result, Tensor};

use crate::layout::{push_channel_first, push_channel_last};
use crate::picture::{Channels, Picture};
use crate::placement::numbers;

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

    /// `(1, height, width, channels)`
    pub(crate) fn map(self, values: &[f32]) -> Result<Tensor> {
        let mut pixels = Vec::with_capacity(values.len());
        push_channel_last(values, self.channels, 1.0, &mut pixels);
        Tensor::from_vec(pixels, (1, self.height, self.width, self.channels), &Device::Cpu)
    }
}

/// The numbers of a map of one image, channel after channel.
pub(crate) fn channel_first(map: &Tensor) -> Result<Vec<f32>> {
    let (_, _, _, channels) = map.dims4()?;
    let pixels = numbers(map)?;
    let mut values = Vec::with_capacity(pixels.len());
    push_channel_first(&pixels, channels, &mut values);
    Ok(values)
}

/// A picture as a map `(1, height, width, channels)` in -1..=1, by diffusers' `VaeImageProcessor`.
pub(crate) fn picture_map(picture: &Picture) -> Result<Tensor> {
    let values: Vec<f32> = picture.bytes.iter().map(|value| f32::from(*value) / 255.0 * 2.0 - 1.0).collect();
    let shape = (1, picture.height as usize, picture.width as usize, picture.channels.count());
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// The picture of a map `(1, height, width, 1 or 3)` in -1..=1.
pub(crate) fn map_picture(map: &Tensor) -> Result<Picture> {
    let (_, height, width, channels) = map.dims4()?;
    let channels = if channels == 1 { Channels::Gray } else { Channels::Rgb };
    Ok(Picture::from_signed(&numbers(map)?, width as u32, height as u32, channels))
}
