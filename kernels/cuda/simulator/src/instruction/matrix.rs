//! Products of matrices that the lanes of a warp hold together.
//!
//! PTX ISA, "Matrix multiply-accumulate operation using mma instruction", "Matrix Fragments for mma.m16n8k16" and the sections for the
//! other shapes. Lane `4 g + t` holds, of each part of 8 rows and 16 bytes of A, row `g` and the columns that 4 bytes from `4 t` on are;
//! of B the same with rows and columns exchanged; and of D columns `2 t` and `2 t + 1` of the rows `g` and `g + 8`.

use super::decoder::of_warp;
use super::opcode::Type;
use super::{Action, Decoder};
use crate::assemble::Arg;
use crate::machine::{Lane, Registers, Slot, WARP, Work, work};
use crate::number::{Bf16, F16, Small};

/// Rows of A and D.
const ROWS: usize = 16;
/// Columns of B and D.
const COLUMNS: usize = 8;
/// Lanes that hold a row of a part together.
const GROUP: usize = 4;

/// What a register holds of A or B: two numbers, or one.
trait Elements: Send + Sync + 'static {
    const COUNT: usize;
    fn element(bits: u32, index: usize) -> f64;
}

struct Pair<S>(std::marker::PhantomData<fn() -> S>);

impl<S: Small> Elements for Pair<S> {
    const COUNT: usize = 2;

    #[inline(always)]
    fn element(bits: u32, index: usize) -> f64 {
        f64::from(S::from_bits((bits >> (16 * index)) as u16).to_f32())
    }
}

struct Tf32;

impl Elements for Tf32 {
    const COUNT: usize = 1;

    #[inline(always)]
    fn element(bits: u32, _: usize) -> f64 {
        // The 13 bits that tf32 does not have are not read.
        f64::from(f32::from_bits(bits & !0x1FFF))
    }
}

/// D = A B + C. Each element's products are summed in float64, which holds them exactly; the element of C is added and the sum is
/// rounded once. The ISA leaves order and precision of the sum open.
struct Multiply<E> {
    /// `PARTS` of B, twice as many of A: the upper rows before the lower rows of a part.
    a: Vec<Slot<u32>>,
    b: Vec<Slot<u32>>,
    c: Accumulator,
    d: Accumulator,
    elements: std::marker::PhantomData<fn() -> E>,
}

/// Registers that hold C or D.
#[derive(Clone, Copy, Debug)]
enum Accumulator {
    Single([Slot<f32>; 4]),
    Half([Slot<[F16; 2]>; 2]),
}

impl Accumulator {
    #[inline(always)]
    fn read(self, registers: &Registers) -> [[f64; WARP]; 4] {
        let mut values = [[0.0; WARP]; 4];
        for (index, values) in values.iter_mut().enumerate() {
            match self {
                Self::Single(slots) => {
                    let register = registers.get(slots[index]);
                    for lane in 0..WARP {
                        values[lane] = f64::from(register[lane]);
                    }
                }
                Self::Half(slots) => {
                    let register = registers.get(slots[index / 2]);
                    for lane in 0..WARP {
                        values[lane] = f64::from(register[lane][index % 2].to_f32());
                    }
                }
            }
        }
        values
    }

    #[inline(always)]
    fn write(self, registers: &mut Registers, values: &[[f64; WARP]; 4]) {
        match self {
            Self::Single(slots) => {
                for (slot, values) in slots.into_iter().zip(values) {
                    let register = registers.get_mut(slot);
                    for lane in 0..WARP {
                        register[lane] = values[lane] as f32;
                    }
                }
            }
            Self::Half(slots) => {
                for (index, slot) in slots.into_iter().enumerate() {
                    let register = registers.get_mut(slot);
                    for lane in 0..WARP {
                        register[lane] = [0, 1].map(|half| F16::nearest(values[2 * index + half][lane]));
                    }
                }
            }
        }
    }
}

/// The most registers of B, times the elements of one.
const MAX_STEPS: usize = 4;

impl<E: Elements> Work for Multiply<E> {
    #[inline(always)]
    fn run(&self, registers: &mut Registers, _: u32) {
        // What each lane holds of the upper and the lower rows of A, and the rows of B that go with it.
        let mut a = [[[0.0; WARP]; 2]; MAX_STEPS];
        let mut b = [[[0.0; COLUMNS]; GROUP]; MAX_STEPS];
        let steps = self.b.len() * E::COUNT;
        for step in 0..steps {
            let (part, index) = (step / E::COUNT, step % E::COUNT);
            for (half, values) in a[step].iter_mut().enumerate() {
                let register = registers.get(self.a[2 * part + half]);
                for lane in 0..WARP {
                    values[lane] = E::element(register[lane], index);
                }
            }
            let register = registers.get(self.b[part]);
            let mut values = [0.0; WARP];
            for lane in 0..WARP {
                values[lane] = E::element(register[lane], index);
            }
            for (t, row) in b[step].iter_mut().enumerate() {
                for (g, element) in row.iter_mut().enumerate() {
                    *element = values[GROUP * g + t];
                }
            }
        }
        // Upper and lower rows, two at once: a sum has to wait for itself.
        let mut sums = [[[0.0; COLUMNS]; 2]; ROWS / 2];
        for (g, sums) in sums.iter_mut().enumerate() {
            let mut pair = [[0.0; COLUMNS]; 2];
            for (a, b) in a[..steps].iter().zip(&b[..steps]) {
                for t in 0..GROUP {
                    for (half, sum) in pair.iter_mut().enumerate() {
                        let factor = a[half][GROUP * g + t];
                        for column in 0..COLUMNS {
                            sum[column] = b[t][column].mul_add(factor, sum[column]);
                        }
                    }
                }
            }
            *sums = pair;
        }
        let mut values = self.c.read(registers);
        for (index, values) in values.iter_mut().enumerate() {
            for (lane, value) in values.iter_mut().enumerate() {
                let (g, t) = (lane / GROUP, lane % GROUP);
                *value += sums[g][index / 2][2 * t + index % 2];
            }
        }
        self.d.write(registers, &values);
    }
}

impl Decoder<'_, '_> {
    pub(super) fn matrix_multiply(&mut self) -> Option<Action> {
        if !self.opcode.take("sync")
            || !self.opcode.take("aligned")
            || !self.opcode.take("row")
            || !self.opcode.take("col")
        {
            return None;
        }
        let depths = [("m16n8k4", 4), ("m16n8k8", 8), ("m16n8k16", 16)];
        let named = |part: &str| depths.iter().find(|(name, _)| *name == part).map(|(_, depth)| *depth);
        let depth: usize = self.opcode.take_map(named)?;
        let mut types = [Type::F32; 4];
        for ty in &mut types {
            *ty = self.opcode.take_type()?;
        }
        let [d, a, b, c] = types;
        match (a, b) {
            (Type::F16, Type::F16) if depth >= 8 => self.multiply::<Pair<F16>>(depth, d, c),
            (Type::Bf16, Type::Bf16) if depth >= 8 => self.multiply::<Pair<Bf16>>(depth, d, c),
            (Type::Tf32, Type::Tf32) if depth <= 8 => self.multiply::<Tf32>(depth, d, c),
            _ => None,
        }
    }

    fn multiply<E: Elements>(&mut self, depth: usize, d: Type, c: Type) -> Option<Action> {
        let parts = depth / (GROUP * E::COUNT);
        let (a, b) = (self.sources(1)?, self.sources(2)?);
        if a.len() != 2 * parts || b.len() != parts {
            return None;
        }
        let d = match d {
            Type::F32 => Accumulator::Single(self.destinations(0)?.try_into().ok()?),
            Type::F16 => Accumulator::Half(self.destinations(0)?.try_into().ok()?),
            _ => return None,
        };
        let c = match c {
            Type::F32 => Accumulator::Single(self.sources(3)?.try_into().ok()?),
            Type::F16 => Accumulator::Half(self.sources(3)?.try_into().ok()?),
            _ => return None,
        };
        let run = work(Multiply::<E> { a, b, c, d, elements: std::marker::PhantomData });
        of_warp(move |warp, mask| {
            run(&mut warp.registers, mask);
            Ok(())
        })
    }

    /// The registers of a vector, to be read.
    pub(super) fn sources<T: Lane>(&mut self, index: usize) -> Option<Vec<Slot<T>>> {
        let Arg::Vector(elements) = self.argument(index)? else { return None };
        elements.iter().map(|element| self.source_of(element)).collect()
    }

    /// The registers of a vector, to be written.
    pub(super) fn destinations<T: Lane>(&mut self, index: usize) -> Option<Vec<Slot<T>>> {
        let Arg::Vector(elements) = self.argument(index)? else { return None };
        elements.iter().map(|element| self.destination_of(element)).collect()
    }
}
