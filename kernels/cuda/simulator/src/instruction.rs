//! What instructions do: PTX ISA 9.0, "Instruction Set".

mod atomic;
mod bits;
mod compare;
mod control;
mod convert;
mod copy;
mod decoder;
mod exchange;
mod float;
mod fragment;
mod integer;
mod load_store;
mod matrix;
mod moves;
mod opcode;
mod transcendental;
mod warpgroup;

pub(crate) use decoder::{Constants, Decoder};

use crate::machine::{BoxedEffect, BoxedWork, Condition, Predicate, Slot};

/// A decoded instruction.
pub(crate) enum Action {
    Nothing,
    /// Each lane by itself, in its registers.
    Lanes(BoxedWork),
    /// Each lane by itself, or as if.
    Effect(BoxedEffect),
    /// Lanes that have to come together first.
    Gathered {
        members: Members,
        effect: BoxedEffect,
    },
    Branch(usize),
    /// To the target with the number that a register holds.
    BranchTable {
        index: Slot<u32>,
        targets: Vec<usize>,
    },
    Exit,
    Trap,
    Barrier(Barrier),
    Unsupported,
}

/// Which lanes have to come together.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Members {
    /// All 32, none of which may have ended.
    Warp,
    /// Those of a mask that each lane names, but for those that have ended.
    Named(Slot<u32>),
}

/// A barrier of the block's warps.
#[derive(Clone, Debug)]
pub(crate) struct Barrier {
    pub(crate) number: Slot<u32>,
    /// How many threads take part; all of the block if it is not said.
    pub(crate) threads: Option<Slot<u32>>,
    pub(crate) kind: BarrierKind,
}

/// What a warp does at a barrier.
#[derive(Clone, Debug)]
pub(crate) enum BarrierKind {
    Wait,
    /// Goes on at once.
    Arrive,
    /// Waits, and is told for how many threads a condition held.
    Count {
        result: Slot<u32>,
        condition: Condition,
    },
    /// Waits, and is told whether a condition held for all or for any.
    Vote {
        result: Predicate,
        condition: Condition,
        all: bool,
    },
}

/// Decodes one instruction; none if it is not simulated.
pub(crate) fn decode(decoder: &mut Decoder<'_, '_>) -> Action {
    let action = match decoder.opcode.name {
        "add" | "sub" | "mul" | "mad" | "fma" | "addc" | "subc" | "madc" | "div" | "rem" | "abs" | "neg" | "min"
        | "max" | "sad" => decoder.arithmetic(),
        "and" | "or" | "xor" | "not" | "cnot" | "shl" | "shr" | "shf" | "lop3" | "bfe" | "bfi" | "prmt" | "popc"
        | "clz" | "brev" | "bfind" | "dp4a" | "dp2a" => decoder.bits(),
        "setp" | "set" | "selp" | "slct" | "testp" => decoder.comparison(),
        "cvt" => decoder.conversion(),
        "rcp" | "sqrt" | "rsqrt" | "sin" | "cos" | "ex2" | "lg2" | "tanh" | "copysign" => decoder.function(),
        "mov" | "cvta" | "isspacep" => decoder.moves(),
        "ld" | "ldu" | "st" | "prefetch" | "prefetchu" => decoder.load_or_store(),
        "shfl" | "vote" | "match" | "activemask" | "redux" => decoder.exchange(),
        "atom" | "red" => decoder.atomic(),
        "mma" => decoder.matrix_multiply(),
        "wgmma" => decoder.warpgroup(),
        "ldmatrix" | "stmatrix" | "movmatrix" => decoder.fragment(),
        "cp" => decoder.asynchronous_copy(),
        "bra" | "brx" | "ret" | "exit" | "trap" | "bar" | "barrier" | "membar" | "fence" | "nanosleep" => {
            decoder.control()
        }
        _ => None,
    };
    match action {
        // A modifier that nobody has asked for is one that nobody knows.
        Some(action) if decoder.opcode.is_used_up() => action,
        Some(_) | None => Action::Unsupported,
    }
}
