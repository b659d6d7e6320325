//! Functions of single elements.

use crate::launch::size;
use crate::{Activation, Argument, Element, Module, Plan};

/// `activation` of each element.
///
/// Tensors: `x`, output; both of `len` elements.
pub fn activate(element: Element, activation: Activation, len: usize) -> Plan {
    let (vectors, rest) = (len / element.wide(), len % element.wide());
    let kernel = element.choose("activate_f32", "activate_f16", "activate_bf16");
    let arguments = [
        Argument::Tensor(0),
        Argument::Tensor(1),
        Argument::U32(size(vectors)),
        Argument::U32(size(rest)),
        Argument::U32(activation as u32),
    ];
    Plan::of_threads(Module::Pointwise, kernel, vectors + rest, arguments)
}

/// The first half of the channels times the erf GELU of the second half (Shazeer 2020, arXiv 2002.05202).
///
/// Tensors: `x`, `(rows, 2 * width)`; output, `(rows, width)`.
pub fn geglu(element: Element, rows: usize, width: usize) -> Plan {
    let lanes = element.lanes(&[width]);
    let kernel = if lanes == 1 {
        element.choose("geglu_f32", "geglu_f16", "geglu_bf16")
    } else {
        element.choose("geglu_wide_f32", "geglu_wide_f16", "geglu_wide_bf16")
    };
    let columns = width / lanes;
    let total = rows * columns;
    let arguments =
        [Argument::Tensor(0), Argument::Tensor(1), Argument::U32(size(columns)), Argument::U32(size(total))];
    Plan::of_threads(Module::Pointwise, kernel, total, arguments)
}

/// Adds a row of channels to every position of its image.
///
/// Tensors: `x`, `(batch, positions, channels)`; `v`, `(batch, channels)`; output, of the shape of `x`.
pub fn add_per_channel(element: Element, batch: usize, positions: usize, channels: usize) -> Plan {
    let lanes = element.lanes(&[channels]);
    let kernel = if lanes == 1 {
        element.choose("add_per_channel_f32", "add_per_channel_f16", "add_per_channel_bf16")
    } else {
        element.choose("add_per_channel_wide_f32", "add_per_channel_wide_f16", "add_per_channel_wide_bf16")
    };
    let columns = channels / lanes;
    let (image, total) = (positions * columns, batch * positions * columns);
    let arguments = [
        Argument::Tensor(0),
        Argument::Tensor(1),
        Argument::Tensor(2),
        Argument::U32(size(columns)),
        Argument::U32(size(image)),
        Argument::U32(size(total)),
    ];
    Plan::of_threads(Module::Pointwise, kernel, total, arguments)
}

/// The channels of one tensor after those of another.
///
/// Tensors: `a`, `(rows, first)`; `b`, `(rows, second)`; output, `(rows, first + second)`.
pub fn concatenate(element: Element, rows: usize, first: usize, second: usize) -> Plan {
    let (first, second) = (first * element.bytes(), second * element.bytes());
    let fits = |unit: &usize| first.is_multiple_of(*unit) && second.is_multiple_of(*unit);
    let (unit, kernel) = match [16, 4].into_iter().find(fits) {
        Some(16) => (16, "concatenate_16"),
        Some(_) => (4, "concatenate_4"),
        None => (2, "concatenate_2"),
    };
    let (first, second) = (first / unit, second / unit);
    let total = rows * (first + second);
    let arguments = [
        Argument::Tensor(0),
        Argument::Tensor(1),
        Argument::Tensor(2),
        Argument::U32(size(first)),
        Argument::U32(size(second)),
        Argument::U32(size(total)),
    ];
    Plan::of_threads(Module::Pointwise, kernel, total, arguments)
}

#[cfg(test)]
mod tests {
    use super::{activate, add_per_channel, concatenate, geglu};
    use crate::{Activation, Element, Plan};

    #[test]
    fn nothing_is_started_for_nothing() {
        for element in Element::ALL {
            assert_eq!(activate(element, Activation::Silu, 0), Plan::empty());
            assert_eq!(geglu(element, 0, 8), Plan::empty());
            assert_eq!(geglu(element, 8, 0), Plan::empty());
            assert_eq!(add_per_channel(element, 2, 0, 8), Plan::empty());
            assert_eq!(concatenate(element, 0, 8, 8), Plan::empty());
        }
    }

    #[test]
    fn as_many_bytes_are_moved_at_once_as_both_widths_allow() {
        let kernel = |element, first, second| concatenate(element, 3, first, second).launches[0].kernel;
        assert_eq!(kernel(Element::F16, 320, 640), "concatenate_16");
        assert_eq!(kernel(Element::F16, 320, 6), "concatenate_4");
        assert_eq!(kernel(Element::Bf16, 320, 5), "concatenate_2");
        assert_eq!(kernel(Element::F32, 3, 5), "concatenate_4");
        assert_eq!(kernel(Element::F32, 4, 8), "concatenate_16");
    }

    #[test]
    fn more_elements_than_32_bits_number_are_taken_by_vectors() {
        // Eight images of 1024 by 1024 pixels in a decoder's last block.
        let elements = 8 * 1024 * 1024 * 1024;
        assert_eq!(activate(Element::F16, Activation::Silu, elements).launches[0].grid, [1 << 22, 1, 1]);
    }
}
