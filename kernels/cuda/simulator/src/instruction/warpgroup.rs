//! Products of matrices in shared memory, by the four warps of a warpgroup.
//!
//! PTX ISA, "Asynchronous Warpgroup Level Matrix Instructions". Each warp multiplies 16 rows of A, those of its rank in the warpgroup, and
//! holds their sums as `mma` does: lane `4 g + t` has columns `8 j + 2 t` and `8 j + 2 t + 1` of the rows `g` and `g + 8`.

use super::decoder::of_warp;
use super::opcode::Type;
use super::{Action, Decoder, Members};
use crate::assemble::Arg;
use crate::fault::FaultKind;
use crate::machine::{Accumulator, CHUNK, Condition, Effect, Mask, Slot, Space, Stored, Trouble, WARP, Warp, effect};
use crate::number::{Bf16, F16, Small};
use crate::syntax::Number;
use std::marker::PhantomData;
use std::sync::Arc;

/// Rows of A that a warp multiplies.
const ROWS: usize = 16;
/// Terms of one instruction, which are two chunks of a row.
const TERMS: usize = 16;
/// The most columns of B.
const MAX_COLUMNS: usize = 256;

/// PTX ISA, "Matrix Descriptor Format".
#[derive(Clone, Copy, Debug)]
struct Descriptor {
    start: u64,
    leading: u64,
    stride: u64,
    swizzle: Swizzle,
}

/// Which bits of an address are exchanged by which: `Swizzle<bits, 4, 3>` in CuTe's words. Rows are as long as what it repeats.
#[derive(Clone, Copy, Debug)]
enum Swizzle {
    None,
    Bytes32,
    Bytes64,
    Bytes128,
}

impl Swizzle {
    fn bits(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Bytes32 => 1,
            Self::Bytes64 => 2,
            Self::Bytes128 => 3,
        }
    }
}

impl Descriptor {
    fn decode(bits: u64) -> Result<Self, FaultKind> {
        let field = |from: u32| (bits >> from & 0x3FFF) << 4;
        let swizzle = match bits >> 62 {
            0 => Swizzle::None,
            1 => Swizzle::Bytes128,
            2 => Swizzle::Bytes64,
            _ => Swizzle::Bytes32,
        };
        // What begins elsewhere than at a whole pattern needs a base offset; that is not simulated.
        const KNOWN: u64 = 0xC000_3FFF_3FFF_3FFF;
        if bits & !KNOWN != 0 {
            return Err(FaultKind::Warpgroup(format!("{bits:#x} is no descriptor, or has a base offset")));
        }
        Ok(Self { start: field(0), leading: field(16), stride: field(32), swizzle })
    }

    /// The address of one of the two chunks of a row. PTX ISA, "Canonical Layouts", K-major.
    fn chunk(self, row: usize, chunk: usize) -> u64 {
        let (pattern, row, chunk) = (row as u64 / 8, row as u64 % 8, chunk as u64);
        let bits = self.swizzle.bits();
        let along = match self.swizzle {
            Swizzle::None => chunk * self.leading,
            Swizzle::Bytes32 | Swizzle::Bytes64 | Swizzle::Bytes128 => chunk * 16,
        };
        let linear = self.start + pattern * self.stride + (row << (4 + bits)) + along;
        // The address itself decides, not where the matrix begins.
        linear ^ (linear >> 7 & ((1 << bits) - 1)) << 4
    }
}

/// D = A B + D, or A B. Each element's products are summed in float64, which holds them exactly; the element of D is added and the sum is
/// rounded once. The ISA leaves order and precision of the sum open.
struct MultiplyAsync<S> {
    /// Descriptors.
    a: Slot<u64>,
    b: Slot<u64>,
    /// Whether D is added.
    adds: Condition,
    columns: usize,
    /// Four for each eight columns.
    sums: Vec<Slot<f32>>,
    accumulators: Arc<[Accumulator]>,
    elements: PhantomData<fn() -> S>,
}

impl<S: Small + 'static> Effect for MultiplyAsync<S> {
    #[inline(always)]
    fn run(&self, warp: &mut Warp<'_>, mask: Mask) -> Result<(), Trouble> {
        let trouble = |kind| Trouble { lane: mask.trailing_zeros() as usize % WARP, kind };
        let descriptors = [self.a, self.b].map(|slot| *warp.registers.get(slot));
        let [a, b] = descriptors.map(|lanes| lanes[0]);
        if descriptors.iter().any(|lanes| lanes.iter().any(|bits| *bits != lanes[0])) {
            return Err(trouble(FaultKind::Warpgroup("the lanes of a warp have different descriptors".into())));
        }
        let first_row = warp.watch.rank() * ROWS;
        let rows = Descriptor::decode(a).map_err(trouble)?;
        let columns = Descriptor::decode(b).map_err(trouble)?;
        let of_rows = (0..ROWS).flat_map(|row| [0, 1].map(|chunk| rows.chunk(first_row + row, chunk)));
        let of_columns = (0..self.columns).flat_map(|column| [0, 1].map(|chunk| columns.chunk(column, chunk)));
        let chunks = of_rows.chain(of_columns).collect::<Vec<u64>>();
        let values = read::<S>(warp, &chunks)?;

        let addresses = chunks.iter().map(|address| *address as u32).collect();
        let (at, accumulators) = (warp.at(), &self.accumulators);
        warp.products.begin(at, [a, b], accumulators, addresses, &warp.watch).map_err(trouble)?;

        // By terms, so that neighbouring columns are beside each other.
        let (of_rows, of_columns) = values.split_at(ROWS * TERMS);
        let mut b = [[0.0; MAX_COLUMNS]; TERMS];
        for (column, values) in of_columns.chunks_exact(TERMS).enumerate() {
            for (b, value) in b.iter_mut().zip(values) {
                b[column] = *value;
            }
        }
        let adds = warp.registers.condition(self.adds);
        for (row, a) in of_rows.chunks_exact(TERMS).enumerate() {
            let mut sums = [0.0; MAX_COLUMNS];
            for (a, b) in a.iter().zip(&b) {
                for (sum, b) in sums[..self.columns].iter_mut().zip(b) {
                    *sum = b.mul_add(*a, *sum);
                }
            }
            for (column, sum) in sums[..self.columns].iter().enumerate() {
                let lane = row % 8 * 4 + column % 8 / 2;
                let register = warp.registers.get_mut(self.sums[column / 8 * 4 + row / 8 * 2 + column % 2]);
                let before = if adds >> lane & 1 == 1 { f64::from(register[lane]) } else { 0.0 };
                register[lane] = (sum + before) as f32;
            }
        }
        Ok(())
    }
}

/// The elements of chunks of shared memory.
#[inline(always)]
fn read<S: Small>(warp: &mut Warp<'_>, chunks: &[u64]) -> Result<Vec<f64>, Trouble> {
    let mut values = Vec::with_capacity(chunks.len() * 8);
    for part in chunks.chunks(WARP) {
        let mut addresses = [part[0]; WARP];
        addresses[..part.len()].copy_from_slice(part);
        let pointers = warp.spaces.locate(Space::Shared, &addresses, Mask::MAX, CHUNK)?;
        for pointer in &pointers[..part.len()] {
            for element in 0..CHUNK / 2 {
                // SAFETY: `locate` has found that a chunk may be read there, and that it is aligned.
                let bits = unsafe { u16::load(pointer.wrapping_add(2 * element)) };
                values.push(f64::from(S::from_bits(bits).to_f32()));
            }
        }
    }
    Ok(values)
}

impl Decoder<'_, '_> {
    pub(super) fn warpgroup(&mut self) -> Option<Action> {
        if !self.opcode.take("sync") || !self.opcode.take("aligned") {
            return None;
        }
        if self.opcode.take("fence") {
            return of_warp(|warp, _| {
                warp.products.fence();
                Ok(())
            });
        }
        if self.opcode.take("commit_group") {
            return of_warp(|warp, _| {
                warp.products.commit();
                Ok(())
            });
        }
        if self.opcode.take("wait_group") {
            let Arg::Number(Number::Integer(pending)) = self.argument(0)? else { return None };
            let pending = *pending;
            return of_warp(move |warp, _| {
                warp.products.wait(pending, &warp.watch);
                Ok(())
            });
        }
        if !self.opcode.take("mma_async") {
            return None;
        }
        let columns = |part: &str| part.strip_prefix("m64n")?.strip_suffix("k16")?.parse::<usize>().ok();
        let columns = self.opcode.take_map(columns).filter(|n| n.is_multiple_of(8) && (8..=MAX_COLUMNS).contains(n))?;
        let types = (self.opcode.take_type()?, self.opcode.take_type()?, self.opcode.take_type()?);
        match types {
            (Type::F32, Type::F16, Type::F16) => self.multiply_async::<F16>(columns),
            (Type::F32, Type::Bf16, Type::Bf16) => self.multiply_async::<Bf16>(columns),
            _ => None,
        }
    }

    /// Both factors by descriptors, with their signs, neither transposed.
    fn multiply_async<S: Small + 'static>(&mut self, columns: usize) -> Option<Action> {
        let plain = [1, 1, 0, 0].map(|value| Arg::Number(Number::Integer(value)));
        if self.flat.arguments.get(4..)? != plain {
            return None;
        }
        let Arg::Vector(registers) = self.argument(0)? else { return None };
        let number = |register: &Arg| match register {
            Arg::Register(register) => Some(register.0),
            _ => None,
        };
        let accumulators = registers.iter().map(number).collect::<Option<Arc<[_]>>>()?;
        let sums = self.destinations(0)?;
        if sums.len() != columns / 2 {
            return None;
        }
        let (a, b, adds) = (self.source(1)?, self.source(2)?, self.condition(3)?);
        let multiply = MultiplyAsync::<S> { a, b, adds, columns, sums, accumulators, elements: PhantomData };
        Some(Action::Gathered { members: Members::Warp, effect: effect(multiply) })
    }
}
