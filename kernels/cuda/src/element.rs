//! Types of numbers, and functions of one number.

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    F32,
    F16,
    Bf16,
}

impl Element {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Bf16];

    /// Bytes of one.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// How many 16 bytes hold.
    pub(crate) fn wide(self) -> usize {
        16 / self.bytes()
    }

    /// How many neighbours a thread can load and store at once: what 16 bytes hold where the width of every row allows it, otherwise
    /// one. Tensors begin at multiples of 16 bytes.
    pub(crate) fn lanes(self, widths: &[usize]) -> usize {
        if widths.iter().all(|width| width.is_multiple_of(self.wide())) { self.wide() } else { 1 }
    }

    /// The one of the names of a kernel's three versions that is for this type.
    pub(crate) fn choose(self, f32: &'static str, f16: &'static str, bf16: &'static str) -> &'static str {
        match self {
            Self::F32 => f32,
            Self::F16 => f16,
            Self::Bf16 => bf16,
        }
    }
}

/// A pointwise function; `activation.cuh` has the formulas under the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Activation {
    Identity = 0,
    /// `x * sigmoid(x)`
    Silu = 1,
    /// `x / 2 * (1 + erf(x / √2))`
    Gelu = 2,
    /// `x * sigmoid(1.702 x)`
    QuickGelu = 3,
    Relu = 4,
    Tanh = 5,
}

#[cfg(test)]
mod tests {
    use super::Element;

    #[test]
    fn rows_of_whole_vectors_are_moved_by_16_bytes() {
        assert_eq!(Element::F32.lanes(&[4, 12]), 4);
        assert_eq!(Element::F32.lanes(&[4, 6]), 1);
        assert_eq!(Element::F16.lanes(&[16]), 8);
        assert_eq!(Element::Bf16.lanes(&[12]), 1);
    }
}
