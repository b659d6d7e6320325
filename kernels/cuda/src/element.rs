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
