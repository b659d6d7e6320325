//! Operations without weights of their own.

use candle_core::{Result, Tensor, bail};
use x0_cuda::plan::{self, AttentionShape, GroupNormShape};

use super::run::{device, element, empty, run};
use crate::{Activation, Mask};

pub(crate) fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    let x = x.contiguous()?;
    let output = like(&x)?;
    run(&plan::activate(element(&x)?, activation.into(), x.elem_count()), &[&x, &output])?;
    Ok(output)
}

pub(crate) fn geglu(x: &Tensor) -> Result<Tensor> {
    let mut dims = x.dims().to_vec();
    let Some(last) = dims.last_mut().filter(|last| **last > 0 && **last % 2 == 0) else {
        bail!("GEGLU splits the last dimension in two; it was given {:?}", x.shape())
    };
    *last /= 2;
    let (width, x) = (*last, x.contiguous()?);
    let output = empty(&device(&x)?, x.dtype(), dims)?;
    run(&plan::geglu(element(&x)?, x.elem_count() / (2 * width), width), &[&x, &output])?;
    Ok(output)
}

pub(crate) fn add_per_channel(x: &Tensor, v: &Tensor) -> Result<Tensor> {
    let (batch, channels) = v.dims2()?;
    let dims = x.dims();
    if dims.first() != Some(&batch) || dims.last() != Some(&channels) || dims.len() < 2 || x.dtype() != v.dtype() {
        bail!("cannot add {:?} to each position of {:?}", v.shape(), x.shape())
    }
    let (x, v) = (x.contiguous()?, v.contiguous()?);
    let output = like(&x)?;
    let positions = x.elem_count() / (batch * channels).max(1);
    run(&plan::add_per_channel(element(&x)?, batch, positions, channels), &[&x, &v, &output])?;
    Ok(output)
}

pub(crate) fn concatenate(first: &Tensor, second: &Tensor) -> Result<Tensor> {
    let (mut dims, others) = (first.dims().to_vec(), second.dims());
    let (Some((a, front)), Some((b, other_front))) = (dims.split_last(), others.split_last()) else {
        bail!("numbers cannot be put side by side")
    };
    if front != other_front || first.dtype() != second.dtype() {
        bail!("cannot put {:?} and {:?} side by side", first.shape(), second.shape())
    }
    let (rows, a, b) = (front.iter().product(), *a, *b);
    if let Some(last) = dims.last_mut() {
        *last += b;
    }
    let (first, second) = (first.contiguous()?, second.contiguous()?);
    let output = empty(&device(&first)?, first.dtype(), dims)?;
    run(&plan::concatenate(element(&first)?, rows, a, b), &[&first, &second, &output])?;
    Ok(output)
}

pub(crate) fn group_norm(
    x: &Tensor,
    groups: usize,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
    activation: Activation,
) -> Result<Tensor> {
    let channels = weight.elem_count();
    let dims = x.dims();
    let fits = dims.len() >= 2 && dims.last() == Some(&channels) && bias.elem_count() == channels;
    if !fits || groups == 0 || channels == 0 || !channels.is_multiple_of(groups) {
        bail!("cannot normalise {:?} in {groups} groups with {channels} weights", x.shape())
    }
    let shape =
        GroupNormShape { batch: dims[0], positions: dims[1..dims.len() - 1].iter().product(), channels, groups };
    let x = x.contiguous()?;
    let output = like(&x)?;
    run(&plan::group_norm(element(&x)?, shape, eps, activation.into()), &[&x, weight, bias, &output])?;
    Ok(output)
}

pub(crate) fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let width = weight.elem_count();
    if width == 0 || x.dims().last() != Some(&width) || bias.elem_count() != width {
        bail!("cannot normalise {:?} with {width} weights", x.shape())
    }
    let x = x.contiguous()?;
    let output = like(&x)?;
    run(&plan::layer_norm(element(&x)?, x.elem_count() / width, width, eps), &[&x, weight, bias, &output])?;
    Ok(output)
}

pub(crate) fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, scale: f32, mask: Mask) -> Result<Tensor> {
    let (batch, queries, inner) = q.dims3()?;
    let keys = k.dims().get(1).copied().unwrap_or(0);
    let fits = k.dims() == [batch, keys, inner] && v.dims() == k.dims() && keys > 0;
    if !fits
        || heads == 0
        || inner == 0
        || !inner.is_multiple_of(heads)
        || [k, v].iter().any(|x| x.dtype() != q.dtype())
    {
        bail!("attention of {heads} heads was given {:?}, {:?} and {:?}", q.shape(), k.shape(), v.shape())
    }
    let mask = match mask {
        Mask::None => plan::Mask::None,
        Mask::Causal => plan::Mask::Causal,
    };
    let (q, k, v) = (q.contiguous()?, k.contiguous()?, v.contiguous()?);
    let output = like(&q)?;
    let shape = AttentionShape { batch, queries, keys, heads, width: inner / heads };
    run(&plan::attention(element(&q)?, shape, scale, mask), &[&q, &k, &v, &output])?;
    Ok(output)
}

/// An output of the shape of `x`.
fn like(x: &Tensor) -> Result<Tensor> {
    empty(&device(x)?, x.dtype(), x.shape())
}
