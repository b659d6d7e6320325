//! What happens between two calls of the network. The state of an image that is being denoised stays on the device: in float32 and
//! channel-last, whatever the network's elements are.

use crate::launch::size;
use crate::{Argument, Element, Launch, Module, Plan};

/// How many tensors [`combine`] takes at most.
pub const MAX_TERMS: usize = 8;

/// Into which range numbers are brought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    None,
    /// From minus to plus this number. What is not a number stays so.
    Range(f32),
}

/// The input of the network: a sample times `scale`, then the further channels that some networks see, the same in each copy. There is
/// a copy for each row that guidance needs.
///
/// Tensors: sample, float32, `(positions, channels)`; further channels, float32, `(positions, further)`, unless there are none; output,
/// `(copies, positions, channels + further)`.
pub fn place_input(
    element: Element,
    positions: usize,
    channels: usize,
    further: usize,
    copies: usize,
    scale: f32,
) -> Plan {
    let kernel = element.choose("place_input_f32", "place_input_f16", "place_input_bf16");
    let (further_channels, output) = match further {
        0 => (Argument::Null, 1),
        _ => (Argument::Tensor(1), 2),
    };
    let total = positions * (channels + further);
    let arguments = [
        Argument::Tensor(0),
        further_channels,
        Argument::Tensor(output),
        Argument::U32(size(channels)),
        Argument::U32(size(further)),
        Argument::U32(size(total)),
        Argument::U32(size(copies)),
        Argument::F32(scale),
    ];
    Plan::of_threads(Module::Sampler, kernel, if copies == 0 { 0 } else { total }, arguments)
}

/// What the network said, as float32.
///
/// Tensors: `x`, of `len` elements; output, float32, as many; a flag, one u32, which becomes 1 if a number is not finite and otherwise
/// stays as it is.
pub fn widen(element: Element, len: usize) -> Plan {
    let kernel = element.choose("widen_f32", "widen_f16", "widen_bf16");
    let arguments = [Argument::Tensor(0), Argument::Tensor(1), Argument::Tensor(2), Argument::U32(size(len))];
    Plan::of_threads(Module::Sampler, kernel, len, arguments)
}

/// The sum of tensors times their coefficients, in float64 and in their order, rounded to float32 at the end, and brought within the
/// bound. Without tensors it is 0.
///
/// Tensors: one for each coefficient, and the output; all float32 and of `len` numbers. The output may be one of the others.
///
/// # Panics
/// If there are more than [`MAX_TERMS`] coefficients.
pub fn combine(len: usize, coefficients: &[f64], bound: Bound) -> Plan {
    let terms = coefficients.len();
    assert!(terms <= MAX_TERMS, "{terms} tensors are combined");
    let tensor = |term| if term < terms { Argument::Tensor(term) } else { Argument::Null };
    let coefficient = |term: usize| Argument::F64(coefficients.get(term).copied().unwrap_or(0.0));
    let bound = match bound {
        Bound::None => f32::INFINITY,
        Bound::Range(bound) => bound,
    };
    let arguments = (0..MAX_TERMS)
        .map(tensor)
        .chain([Argument::Tensor(terms)])
        .chain((0..MAX_TERMS).map(coefficient))
        .chain([Argument::F32(bound), Argument::U32(size(len))]);
    Plan::of_threads(Module::Sampler, "combine", len, arguments.collect::<Vec<_>>())
}

/// Gives a guided prediction some of the standard deviation back that the conditional one has: times
/// `rescale * std(conditional) / std(guided) + (1 - rescale)`. The deviations are taken in float64. (Lin et al. 2023, arXiv 2305.08891,
/// section 3.4.)
///
/// Tensors: conditional, guided, output; all float32 and of `len` numbers. The output may be the guided one.
pub fn restore_deviation(len: usize, rescale: f64) -> Plan {
    /// Numbers that one block sums up.
    const SEGMENT: usize = 4096;
    /// Sums that it finds.
    const SUMS: usize = 4;
    let segments = len.div_ceil(SEGMENT);
    let [conditional, guided, output, sums] = [0, 1, 2, 3].map(Argument::Tensor);
    let arguments =
        [guided, sums, output, Argument::U32(size(len)), Argument::U32(size(segments)), Argument::F64(rescale)];
    let mut plan = Plan::of_threads(Module::Sampler, "restore_deviation", len, arguments);
    if len > 0 {
        let first = Launch {
            module: Module::Sampler,
            kernel: "sums_for_deviation",
            grid: [size(segments), 1, 1],
            block: [256, 1, 1],
            shared_bytes: 0,
            arguments: vec![conditional, guided, sums, Argument::U32(size(len)), Argument::U32(size(SEGMENT))],
        };
        plan.launches.insert(0, first);
        plan.workspaces.push(segments * SUMS * size_of::<f64>());
    }
    plan
}

/// Puts the picture, at some noise level, back where it is kept: `original * picture + noise * ε`.
///
/// Tensors, float32: sample, `(positions, channels)`; mask, `(positions)`, 0 where the picture is kept; the picture's latents, `(positions,
/// channels)`; noise `ε`, `(positions, channels)`; output, `(positions, channels)`, which may be the sample.
pub fn restore(positions: usize, channels: usize, original: f32, noise: f32) -> Plan {
    let total = positions * channels;
    let arguments = (0..5).map(Argument::Tensor).chain([
        Argument::U32(size(channels)),
        Argument::U32(size(total)),
        Argument::F32(original),
        Argument::F32(noise),
    ]);
    Plan::of_threads(Module::Sampler, "restore", total, arguments.collect::<Vec<_>>())
}

/// A colour for each position, whose parts are linear functions of its channels.
///
/// Tensors, float32: latents, `(positions, channels)`; factors, `(3, channels + 1)`, of which the last of a row is added; output,
/// `(positions, 3)`.
pub fn latent_colors(positions: usize, channels: usize) -> Plan {
    let arguments = [
        Argument::Tensor(0),
        Argument::Tensor(1),
        Argument::Tensor(2),
        Argument::U32(size(channels)),
        Argument::U32(size(3 * positions)),
    ];
    Plan::of_threads(Module::Sampler, "latent_colors", 3 * positions, arguments)
}

/// Bytes of a picture from numbers in -1..=1: `(x / 2 + 0.5) * 255`, clamped, halves to even; 0 for what is not a number.
///
/// Tensors: `x`, of `len` elements; output, as many bytes.
pub fn to_bytes(element: Element, len: usize) -> Plan {
    let kernel = element.choose("to_bytes_f32", "to_bytes_f16", "to_bytes_bf16");
    let arguments = [Argument::Tensor(0), Argument::Tensor(1), Argument::U32(size(len))];
    Plan::of_threads(Module::Sampler, kernel, len, arguments)
}

#[cfg(test)]
mod tests {
    use super::{Bound, MAX_TERMS, combine, latent_colors, place_input, restore, restore_deviation, to_bytes, widen};
    use crate::{Argument, Element, Plan};

    #[test]
    fn nothing_is_started_for_nothing() {
        for element in Element::ALL {
            assert_eq!(place_input(element, 0, 4, 5, 2, 1.0), Plan::empty());
            assert_eq!(place_input(element, 64, 4, 5, 0, 1.0), Plan::empty());
            assert_eq!(widen(element, 0), Plan::empty());
            assert_eq!(to_bytes(element, 0), Plan::empty());
        }
        assert_eq!(combine(0, &[1.0], Bound::None), Plan::empty());
        assert_eq!(restore_deviation(0, 0.5), Plan::empty());
        assert_eq!(restore(0, 4, 1.0, 0.0), Plan::empty());
        assert_eq!(latent_colors(0, 4), Plan::empty());
    }

    #[test]
    fn tensors_that_are_not_there_are_null() {
        let plan = combine(9, &[0.5, 2.0], Bound::Range(1.0));
        let arguments = &plan.launches[0].arguments;
        assert_eq!(arguments[..3], [Argument::Tensor(0), Argument::Tensor(1), Argument::Null]);
        assert_eq!(arguments[MAX_TERMS], Argument::Tensor(2));
        assert_eq!(arguments[MAX_TERMS + 1..][..3], [0.5, 2.0, 0.0].map(Argument::F64));
        assert_eq!(place_input(Element::F16, 1, 4, 0, 1, 1.0).launches[0].arguments[1], Argument::Null);
    }

    #[test]
    #[should_panic(expected = "9 tensors")]
    fn a_ninth_tensor_is_not_left_out() {
        combine(1, &[1.0; MAX_TERMS + 1], Bound::None);
    }
}
