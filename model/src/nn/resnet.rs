//! The residual block of all the UNets and VAEs.

use candle_core::{D, Result, Tensor};
use x0_kernels::{Activation, Conv2d, Conv2dOptions, Linear, activate, add_per_channel};

use super::{GroupNorm, average_pool, conv2d, linear, repeat_pixels};
use crate::error::LoadError;
use crate::weights::Weights;

/// How the time embedding enters, diffusers' `resnet_time_scale_shift`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeScaleShift {
    /// It is added before the second normalisation.
    Default,
    /// It scales and shifts what the second normalisation gives.
    ScaleShift,
}

/// A change of size inside the block, without weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resample {
    None,
    /// To twice the size, repeating pixels.
    Up,
    /// To half the size, by means of 2×2 pixels.
    Down,
}

/// What the blocks of one network have in common.
#[derive(Clone, Copy, Debug)]
pub struct ResnetConfig {
    /// Size of the time embedding; none for a VAE's blocks.
    pub time_channels: Option<usize>,
    pub time_scale_shift: TimeScaleShift,
    pub groups: usize,
    pub eps: f64,
    pub activation: Activation,
    pub output_scale_factor: f64,
    pub resample: Resample,
}

/// diffusers' `ResnetBlock2D`: two 3×3 convolutions, each after normalisation and activation, beside a skip connection.
#[derive(Clone, Debug)]
pub struct ResnetBlock2D {
    norm1: GroupNorm,
    conv1: Conv2d,
    time_emb_proj: Option<Linear>,
    norm2: GroupNorm,
    conv2: Conv2d,
    /// 1×1, where the number of channels changes.
    conv_shortcut: Option<Conv2d>,
    config: ResnetConfig,
}

impl ResnetBlock2D {
    pub fn new(
        weights: &Weights,
        inputs: usize,
        outputs: usize,
        config: ResnetConfig,
    ) -> std::result::Result<Self, LoadError> {
        let projected = match config.time_scale_shift {
            TimeScaleShift::Default => outputs,
            TimeScaleShift::ScaleShift => 2 * outputs,
        };
        let time_emb_proj = match config.time_channels {
            Some(channels) => Some(linear(&weights.at("time_emb_proj"), channels, projected)?),
            None => None,
        };
        let conv_shortcut = if inputs == outputs {
            None
        } else {
            Some(conv2d(&weights.at("conv_shortcut"), inputs, outputs, 1, Conv2dOptions::padded(0))?)
        };
        Ok(Self {
            norm1: GroupNorm::new(&weights.at("norm1"), config.groups, inputs, config.eps)?,
            conv1: conv2d(&weights.at("conv1"), inputs, outputs, 3, Conv2dOptions::padded(1))?,
            time_emb_proj,
            norm2: GroupNorm::new(&weights.at("norm2"), config.groups, outputs, config.eps)?,
            conv2: conv2d(&weights.at("conv2"), outputs, outputs, 3, Conv2dOptions::padded(1))?,
            conv_shortcut,
            config,
        })
    }

    /// `x` is `(batch, h, w, inputs)`, the answer `(batch, h', w', outputs)`.
    ///
    /// `time` is `(batch, time_channels)`, the time embedding *after* its activation: all blocks of a network apply the same
    /// one, so it is applied once, by the network. It is ignored by blocks without `time_channels`.
    pub fn forward(&self, x: &Tensor, time: Option<&Tensor>) -> Result<Tensor> {
        let activation = self.config.activation;
        let h = self.norm1.forward(x, activation)?;
        let resized = match self.config.resample {
            Resample::None => None,
            Resample::Up => Some((repeat_pixels(x)?, repeat_pixels(&h)?)),
            Resample::Down => Some((average_pool(x)?, average_pool(&h)?)),
        };
        let (x, h) = resized.as_ref().map_or((x, &h), |(x, h)| (x, h));

        let time = match (&self.time_emb_proj, time) {
            (Some(project), Some(time)) => Some(project.forward(time)?),
            _ => None,
        };
        let h = match (time, self.config.time_scale_shift) {
            (None, _) => self.norm2.forward(&self.conv1.forward(h)?, activation)?,
            (Some(time), TimeScaleShift::Default) => {
                self.norm2.forward(&self.conv1.forward_add_per_channel(h, &time)?, activation)?
            }
            (Some(time), TimeScaleShift::ScaleShift) => {
                let h = self.norm2.forward(&self.conv1.forward(h)?, Activation::Identity)?;
                activate(&scale_shift(&h, &time)?, activation)?
            }
        };
        let y = match &self.conv_shortcut {
            Some(shortcut) => self.conv2.forward_add(&h, &shortcut.forward(x)?)?,
            None => self.conv2.forward_add(&h, x)?,
        };
        super::rescale(y, self.config.output_scale_factor)
    }
}

/// `h * (1 + scale) + shift` for each channel, where `time` is `(batch, 2 * channels)`: the scales, then the shifts.
fn scale_shift(h: &Tensor, time: &Tensor) -> Result<Tensor> {
    let (b, _, _, c) = h.dims4()?;
    let scale = (time.narrow(D::Minus1, 0, c)? + 1.0)?.reshape((b, 1, 1, c))?;
    add_per_channel(&h.broadcast_mul(&scale)?, &time.narrow(D::Minus1, c, c)?.contiguous()?)
}
