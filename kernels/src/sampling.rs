//! What is done with the numbers of an image between two calls of its network.
//!
//! Maps are `(1, height, width, channels)` in float32, wherever the network is: on the processor, or on a CUDA device, where nothing here
//! waits for the device.

use candle_core::{DType, Device, Result, Tensor, bail};

/// The sum of tensors of one shape, each times its coefficient, in double precision, since large terms often cancel; rounded once, then
/// clamped to `-bound..=bound` if there is one. What is not a number stays so, that the fault can be found.
pub fn combine(terms: &[(&Tensor, f64)], bound: Option<f32>) -> Result<Tensor> {
    const BLOCK: usize = 256;
    let Some((first, _)) = terms.first() else { bail!("nothing was given to be combined") };
    if let Some((other, _)) = terms.iter().find(|(tensor, _)| tensor.shape() != first.shape()) {
        bail!("{:?} cannot be combined with {:?}", other.shape(), first.shape());
    }
    #[cfg(feature = "cuda")]
    if first.device().is_cuda() {
        return crate::cuda::sampling::combine(terms, bound);
    }
    let tensors = terms.iter().map(|(tensor, factor)| Ok((floats(tensor)?, *factor))).collect::<Result<Vec<_>>>()?;
    let mut result = vec![0.0; first.elem_count()];
    for (index, block) in result.chunks_mut(BLOCK).enumerate() {
        let start = index * BLOCK;
        let mut sums = [0.0_f64; BLOCK];
        for (values, factor) in &tensors {
            for (sum, value) in sums.iter_mut().zip(&values[start..start + block.len()]) {
                *sum += factor * f64::from(*value);
            }
        }
        for (value, sum) in block.iter_mut().zip(sums) {
            *value = bound.map_or(sum as f32, |bound| clamp(sum as f32, bound));
        }
    }
    Tensor::from_vec(result, first.shape(), &Device::Cpu)
}

/// Rows of a network's input, `(copies, height, width, channels + further channels)` of the type `dtype`: the sample times `scale`, then
/// the further channels as they are.
pub fn network_input(
    sample: &Tensor,
    further: Option<&Tensor>,
    scale: f32,
    copies: usize,
    dtype: DType,
) -> Result<Tensor> {
    let (_, height, width, channels) = sample.dims4()?;
    let more = match further.map(Tensor::dims4).transpose()? {
        None => 0,
        Some((1, h, w, more)) if (h, w) == (height, width) => more,
        Some(other) => bail!("channels of {other:?} do not suit a sample of {:?}", sample.shape()),
    };
    #[cfg(feature = "cuda")]
    if sample.device().is_cuda() {
        return crate::cuda::sampling::network_input(sample, further, scale, copies, dtype);
    }
    let (sample, further) = (floats(sample)?, further.map(floats).transpose()?.unwrap_or_default());
    let mut row = Vec::with_capacity(height * width * (channels + more));
    for (i, pixel) in sample.chunks_exact(channels).enumerate() {
        row.extend(pixel.iter().map(|value| value * scale));
        row.extend_from_slice(&further[i * more..(i + 1) * more]);
    }
    Tensor::from_vec(row.repeat(copies), (copies, height, width, channels + more), &Device::Cpu)?.to_dtype(dtype)
}

/// Guidance's rescaling (Lin et al. 2023, section 3.4): `guided` times `rescale · σ(conditional) / σ(guided) + (1 - rescale)`, where σ
/// is torch's `std` of all numbers, which is unbiased.
pub fn restore_deviation(conditional: &Tensor, guided: &Tensor, rescale: f64) -> Result<Tensor> {
    if conditional.shape() != guided.shape() {
        bail!("{:?} and {:?} are not of one image", conditional.shape(), guided.shape());
    }
    #[cfg(feature = "cuda")]
    if guided.device().is_cuda() {
        return crate::cuda::sampling::restore_deviation(conditional, guided, rescale);
    }
    let mut values = floats(guided)?;
    let ratio = standard_deviation(&floats(conditional)?) / standard_deviation(&values);
    let factor = (rescale * ratio + (1.0 - rescale)) as f32;
    values.iter_mut().for_each(|value| *value *= factor);
    Tensor::from_vec(values, guided.shape(), &Device::Cpu)
}

/// A picture's kept part in the place of the sample's: where `mask`, `(1, height, width, 1)`, is 0, the answer is
/// `factors.0 · original + factors.1 · noise`; elsewhere it is the sample.
pub fn restore(
    sample: &Tensor,
    mask: &Tensor,
    original: &Tensor,
    noise: &Tensor,
    factors: (f32, f32),
) -> Result<Tensor> {
    let (n, height, width, channels) = sample.dims4()?;
    if mask.dims() != [n, height, width, 1] || [original, noise].iter().any(|other| other.shape() != sample.shape()) {
        bail!("what is kept is not of the sample's shape {:?}", sample.shape());
    }
    #[cfg(feature = "cuda")]
    if sample.device().is_cuda() {
        return crate::cuda::sampling::restore(sample, mask, original, noise, factors);
    }
    let (mut values, mask) = (floats(sample)?, floats(mask)?);
    let (original, noise) = (floats(original)?, floats(noise)?);
    for (i, value) in values.iter_mut().enumerate() {
        if mask[i / channels] == 0.0 {
            *value = factors.0 * original[i] + factors.1 * noise[i];
        }
    }
    Tensor::from_vec(values, sample.shape(), &Device::Cpu)
}

/// The colours of latents, `(1, height, width, 3)`: each is a factor for each channel and a constant. `factors` is
/// `(3, channels + 1)`, the constant last.
pub fn latent_colors(latents: &Tensor, factors: &Tensor) -> Result<Tensor> {
    let (n, height, width, channels) = latents.dims4()?;
    if factors.dims() != [3, channels + 1] {
        bail!("colours by {:?} do not suit latents of {:?}", factors.shape(), latents.shape());
    }
    #[cfg(feature = "cuda")]
    if latents.device().is_cuda() {
        return crate::cuda::sampling::latent_colors(latents, factors);
    }
    let (latents, factors) = (floats(latents)?, floats(factors)?);
    let color = |row: &[f32], pixel: &[f32]| row[channels] + row.iter().zip(pixel).map(|(f, x)| f * x).sum::<f32>();
    let pixels = latents.chunks_exact(channels);
    let colors = pixels.flat_map(|pixel| factors.chunks_exact(channels + 1).map(move |row| color(row, pixel)));
    Tensor::from_vec(colors.collect::<Vec<f32>>(), (n, height, width, 3), &Device::Cpu)
}

/// The bytes of a picture in -1..=1: `round((x / 2 + 0.5) * 255)`, clamped, halves to even, as diffusers' image processor does it.
pub fn picture_bytes(picture: &Tensor) -> Result<Vec<u8>> {
    #[cfg(feature = "cuda")]
    if picture.device().is_cuda() {
        return crate::cuda::sampling::picture_bytes(picture);
    }
    let byte = |x: &f32| ((x / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8;
    Ok(floats(picture)?.iter().map(byte).collect())
}

/// Whether what a network says about an image is finite, at every step so far.
///
/// On a CUDA device the answer comes later than the question, so that nobody waits for the device.
#[derive(Debug, Default)]
pub struct FiniteCheck {
    failed: bool,
    #[cfg(feature = "cuda")]
    device: Option<crate::cuda::sampling::Watch>,
}

impl FiniteCheck {
    /// Rows of a network's output, of its type, as float32.
    pub fn widen(&mut self, rows: &Tensor) -> Result<Tensor> {
        #[cfg(feature = "cuda")]
        if rows.device().is_cuda() {
            let watch = match &mut self.device {
                Some(watch) => watch,
                none => none.insert(crate::cuda::sampling::Watch::new(rows)?),
            };
            return watch.widen(rows);
        }
        let rows = rows.contiguous()?.to_dtype(DType::F32)?;
        self.failed |= !floats(&rows)?.iter().all(|value| value.is_finite());
        Ok(rows)
    }

    /// Whether something was not finite, as far as it is known yet.
    pub fn failed(&mut self) -> Result<bool> {
        #[cfg(feature = "cuda")]
        if let Some(watch) = &mut self.device {
            self.failed |= watch.failed()?;
        }
        Ok(self.failed)
    }

    /// Whether something was not finite in any row so far; waits until it is known.
    pub fn wait(&mut self) -> Result<bool> {
        #[cfg(feature = "cuda")]
        if let Some(watch) = &mut self.device {
            self.failed |= watch.wait()?;
        }
        Ok(self.failed)
    }
}

fn floats(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

/// To -bound ..= bound.
fn clamp(value: f32, bound: f32) -> f32 {
    if value > bound {
        bound
    } else if value < -bound {
        -bound
    } else {
        value
    }
}

fn standard_deviation(values: &[f32]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let squares: f64 = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum();
    (squares / (n - 1.0)).sqrt()
}
