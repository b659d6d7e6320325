//! Opcodes: a name, modifiers and types.

use crate::machine::Lane;

/// An opcode whose modifiers are taken away as they are understood.
#[derive(Clone, Debug)]
pub(crate) struct Opcode<'t> {
    pub(crate) name: &'t str,
    rest: Vec<&'t str>,
}

impl<'t> Opcode<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        let mut parts = text.split('.');
        let name = parts.next().unwrap_or_default();
        Self { name, rest: parts.collect() }
    }

    /// Whether it has a modifier.
    pub(crate) fn take(&mut self, modifier: &str) -> bool {
        let found = self.rest.iter().position(|part| *part == modifier);
        found.map(|index| self.rest.remove(index)).is_some()
    }

    /// The value of the first modifier for which there is one.
    pub(crate) fn take_map<T>(&mut self, meaning: impl Fn(&str) -> Option<T>) -> Option<T> {
        let (index, value) = self.rest.iter().enumerate().find_map(|(index, part)| Some((index, meaning(part)?)))?;
        self.rest.remove(index);
        Some(value)
    }

    /// The next type.
    pub(crate) fn take_type(&mut self) -> Option<Type> {
        self.take_map(Type::named)
    }

    /// Whether all modifiers were taken.
    pub(crate) fn is_used_up(&self) -> bool {
        self.rest.is_empty()
    }
}

/// PTX ISA, "Fundamental Types".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Predicate,
    U8,
    S8,
    B8,
    U16,
    S16,
    B16,
    U32,
    S32,
    B32,
    U64,
    S64,
    B64,
    F16,
    F16x2,
    Bf16,
    Bf16x2,
    Tf32,
    F32,
    F64,
}

impl Type {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "pred" => Self::Predicate,
            "u8" => Self::U8,
            "s8" => Self::S8,
            "b8" => Self::B8,
            "u16" => Self::U16,
            "s16" => Self::S16,
            "b16" => Self::B16,
            "u32" => Self::U32,
            "s32" => Self::S32,
            "b32" => Self::B32,
            "u64" => Self::U64,
            "s64" => Self::S64,
            "b64" => Self::B64,
            "f16" => Self::F16,
            "f16x2" => Self::F16x2,
            "bf16" => Self::Bf16,
            "bf16x2" => Self::Bf16x2,
            "tf32" => Self::Tf32,
            "f32" => Self::F32,
            "f64" => Self::F64,
            _ => return None,
        })
    }

    /// Of one; a predicate has none.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Predicate => 0,
            Self::U8 | Self::S8 | Self::B8 => 1,
            Self::U16 | Self::S16 | Self::B16 | Self::F16 | Self::Bf16 => 2,
            Self::U32 | Self::S32 | Self::B32 | Self::F32 | Self::F16x2 | Self::Bf16x2 | Self::Tf32 => 4,
            Self::U64 | Self::S64 | Self::B64 | Self::F64 => 8,
        }
    }

    pub(crate) fn is_signed(self) -> bool {
        matches!(self, Self::S8 | Self::S16 | Self::S32 | Self::S64)
    }

    /// Whether it is a whole number.
    pub(crate) fn is_integer(self) -> bool {
        match self {
            Self::U8 | Self::S8 | Self::B8 | Self::U16 | Self::S16 | Self::B16 => true,
            Self::U32 | Self::S32 | Self::B32 | Self::U64 | Self::S64 | Self::B64 => true,
            Self::Predicate
            | Self::F16
            | Self::F16x2
            | Self::Bf16
            | Self::Bf16x2
            | Self::Tf32
            | Self::F32
            | Self::F64 => false,
        }
    }
}

/// A whole number in a register.
pub(super) trait Whole: Lane {
    /// Extended by its sign or with zeros.
    fn wide(self) -> u64;
    /// The lowest bits.
    fn cut(bits: u64) -> Self;
}

macro_rules! whole {
    ($($T:ty, $Signed:ty);*) => {
        $(
            impl Whole for $T {
                #[inline(always)]
                fn wide(self) -> u64 {
                    self.into()
                }

                #[inline(always)]
                fn cut(bits: u64) -> Self {
                    bits as Self
                }
            }

            impl Whole for $Signed {
                #[inline(always)]
                fn wide(self) -> u64 {
                    i64::from(self) as u64
                }

                #[inline(always)]
                fn cut(bits: u64) -> Self {
                    bits as Self
                }
            }
        )*
    };
}

whole!(u16, i16; u32, i32; u64, i64);

/// Does the same for the type of whole numbers without sign that is as wide as a type.
macro_rules! by_width {
    ($type:expr, $T:ident => $body:expr) => {
        match $type.bytes() {
            2 => {
                type $T = u16;
                $body
            }
            4 => {
                type $T = u32;
                $body
            }
            8 => {
                type $T = u64;
                $body
            }
            _ => None,
        }
    };
}

/// Does the same for each type of whole numbers.
macro_rules! by_integer {
    ($type:expr, $T:ident => $body:expr) => {
        match $type {
            Type::U16 | Type::B16 => {
                type $T = u16;
                $body
            }
            Type::S16 => {
                type $T = i16;
                $body
            }
            Type::U32 | Type::B32 => {
                type $T = u32;
                $body
            }
            Type::S32 => {
                type $T = i32;
                $body
            }
            Type::U64 | Type::B64 => {
                type $T = u64;
                $body
            }
            Type::S64 => {
                type $T = i64;
                $body
            }
            _ => None,
        }
    };
}

pub(super) use {by_integer, by_width};
