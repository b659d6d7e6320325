//! Instructions whose names are resolved.

use crate::machine::Space;
use crate::syntax::Number;

/// A register before it has a place in the register file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Virtual(pub(crate) u32);

/// An instruction.
#[derive(Clone, Debug)]
pub(crate) struct Flat<'t> {
    pub(crate) text: &'t str,
    /// A register and whether its contrary is asked for.
    pub(crate) guard: Option<(Virtual, bool)>,
    pub(crate) opcode: &'t str,
    pub(crate) arguments: Vec<Arg>,
    /// Whether the first operand is written.
    has_result: bool,
}

/// An operand.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Arg {
    Register(Virtual),
    /// `!%p`
    Not(Virtual),
    Number(Number),
    /// `space` is where the variable that was named lies.
    Address {
        space: Option<Space>,
        base: Option<Virtual>,
        offset: u64,
    },
    Vector(Vec<Arg>),
    Pair(Box<[Arg; 2]>),
    /// An instruction's index.
    Target(usize),
    Targets(Vec<usize>),
    /// `%clock`, `%clock64` and `%globaltimer`: the number of instructions that the warp has executed.
    Clock,
    /// `_`
    Nothing,
}

impl<'t> Flat<'t> {
    pub(crate) fn new(text: &'t str, guard: Option<(Virtual, bool)>, opcode: &'t str, arguments: Vec<Arg>) -> Self {
        Self { text, guard, opcode, arguments, has_result: has_result(opcode) }
    }

    /// The registers that it writes: those of the first operand, unless it is an instruction without result.
    pub(crate) fn writes(&self, mut each: impl FnMut(Virtual)) {
        if self.has_result
            && let Some(first) = self.arguments.first()
        {
            first.registers(&mut |register, is_base| {
                if !is_base {
                    each(register);
                }
            });
        }
    }

    /// The registers that it reads.
    pub(crate) fn reads(&self, mut each: impl FnMut(Virtual)) {
        if let Some((register, _)) = self.guard {
            each(register);
        }
        for (index, argument) in self.arguments.iter().enumerate() {
            let is_result = index == 0 && self.has_result && !self.is_warpgroups();
            argument.registers(&mut |register, is_base| {
                if is_base || !is_result {
                    each(register);
                }
            });
        }
    }

    /// Whether it is one of a warpgroup. If it has a result, that is read too.
    pub(crate) fn is_warpgroups(&self) -> bool {
        name(self.opcode) == "wgmma"
    }

    /// Whether it is one of asynchronous copies.
    pub(crate) fn is_copy(&self) -> bool {
        name(self.opcode) == "cp"
    }

    /// Whether it is an atomic operation on memory.
    pub(crate) fn is_atomic(&self) -> bool {
        matches!(name(self.opcode), "atom" | "red")
    }
}

fn name(opcode: &str) -> &str {
    opcode.split('.').next().unwrap_or_default()
}

/// Whether the first operand is written.
fn has_result(opcode: &str) -> bool {
    match name(opcode) {
        "bar" | "barrier" => opcode.contains(".red."),
        "st" | "red" | "bra" | "brx" | "call" | "ret" | "exit" | "trap" | "brkpt" | "membar" | "fence" | "cp"
        | "prefetch" | "prefetchu" | "stmatrix" | "nanosleep" | "discard" | "applypriority" => false,
        _ => true,
    }
}

impl Arg {
    /// Calls `each` with every register and whether it is the base of an address.
    pub(crate) fn registers(&self, each: &mut dyn FnMut(Virtual, bool)) {
        match self {
            Self::Register(register) | Self::Not(register) => each(*register, false),
            Self::Address { base: Some(register), .. } => each(*register, true),
            Self::Vector(elements) => elements.iter().for_each(|element| element.registers(each)),
            Self::Pair(elements) => elements.iter().for_each(|element| element.registers(each)),
            Self::Address { base: None, .. }
            | Self::Number(_)
            | Self::Target(_)
            | Self::Targets(_)
            | Self::Clock
            | Self::Nothing => {}
        }
    }
}
