//! Modules, functions and how they are launched.

use crate::assemble::{Accumulators, Flattened, Names, place};
use crate::fault::{Fault, FaultKind, ParseError};
use crate::instruction::{Action, Constants, Decoder, decode};
use crate::machine::{Program, Slot, Step, run_grid};
use crate::memory::Memory;
use crate::syntax::{self, declarations};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// The most shared memory that any device gives a block.
const MAX_SHARED_BYTES: usize = 227 * 1024;

/// A PTX module.
#[derive(Debug)]
pub struct Module {
    functions: BTreeMap<String, Function>,
    globals: BTreeMap<String, (u64, usize)>,
}

/// A kernel. Clones share what it consists of.
#[derive(Clone)]
pub struct Function {
    program: Arc<Program>,
    parameters: Arc<[Parameter]>,
}

/// One parameter of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// From the beginning of the parameters.
    pub offset: usize,
    pub bytes: usize,
}

/// In which order the warps of a block run between two barriers. What a kernel computes must not depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WarpOrder {
    #[default]
    Forward,
    Backward,
}

/// With what a kernel is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch<'a> {
    pub grid: [u32; 3],
    pub block: [u32; 3],
    /// Beside what the kernel declares.
    pub shared_bytes: u32,
    /// All parameters, each at its [`Parameter::offset`].
    pub parameters: &'a [u8],
    pub order: WarpOrder,
}

/// How a launch is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The most instructions that a warp of a block executes; with more it is [`FaultKind::Endless`].
    pub instructions: u64,
    /// Whether instructions that only some processors have may be used where they are. The results are the same.
    pub wide: bool,
}

impl Default for Options {
    /// 2^30 instructions, of which real kernels stay far below, and a few seconds.
    fn default() -> Self {
        Self { instructions: 1 << 30, wide: true }
    }
}

impl Module {
    /// Reads PTX. Global variables are put into `memory`.
    pub fn parse(ptx: &str, memory: &mut Memory) -> Result<Self, ParseError> {
        let text: Arc<str> = ptx.into();
        let declarations = declarations(&text)?;
        let names = Names::new(&declarations, memory)?;
        let kernels = names.functions.values().filter(|function| function.is_kernel && function.body.is_some());
        let functions = kernels.map(|kernel| Ok((kernel.name.to_owned(), Function::new(kernel, &names, &text)?)));
        let functions = functions.collect::<Result<_, ParseError>>()?;
        let globals = names.globals.iter().map(|(name, place)| ((*name).to_owned(), *place));
        Ok(Self { functions, globals: globals.collect() })
    }

    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.get(name)
    }

    /// Names of all kernels.
    pub fn functions(&self) -> impl Iterator<Item = &str> {
        self.functions.keys().map(String::as_str)
    }

    /// Where a global variable lies, and its bytes.
    pub fn global(&self, name: &str) -> Option<(u64, usize)> {
        self.globals.get(name).copied()
    }
}

impl Function {
    fn new<'t>(kernel: &'t syntax::Function<'t>, names: &Names<'t>, text: &Arc<str>) -> Result<Self, ParseError> {
        let flattened = Flattened::new(kernel, names)?;
        let mut placement = place(&flattened);
        let accumulators = Accumulators::of(&flattened);
        let mut constants = Constants::default();
        let mut steps = Vec::with_capacity(flattened.instructions.len());
        for flat in &flattened.instructions {
            let mut decoder = Decoder::new(flat, &mut placement, &mut constants);
            let (guard, action) = match (decoder.guard(), decode(&mut decoder)) {
                (Some(guard), action) => (guard, action),
                (None, _) => (None, Action::Unsupported),
            };
            let accumulators = accumulators.touched(flat);
            steps.push(Step { guard, action, accumulators, text: part(flat.text, text) });
        }
        let specials = flattened.specials.iter();
        let program = Program {
            name: kernel.name.to_owned(),
            steps,
            text: text.clone(),
            constants: constants.places.into_iter().map(|((_, bits), place)| (place, bits)).collect(),
            specials: specials
                .map(|(special, register)| (*special, Slot::at(placement.place(*register).index)))
                .collect(),
            lines: placement.lines,
            predicates: placement.predicates,
            shared_bytes: flattened.shared_bytes,
            local_bytes: flattened.local_bytes,
            has_atomics: flattened.instructions.iter().any(|flat| flat.is_atomic()),
            is_asynchronous: flattened.instructions.iter().any(|flat| flat.is_warpgroups() || flat.is_copy()),
        };
        let mut offset = 0_usize;
        let parameters = kernel.parameters.iter().map(|variable| {
            let parameter = Parameter { offset: offset.next_multiple_of(variable.alignment), bytes: variable.bytes };
            offset = parameter.offset + parameter.bytes;
            parameter
        });
        Ok(Self { parameters: parameters.collect(), program: Arc::new(program) })
    }

    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Bytes of shared memory that the kernel declares, beside what a launch adds.
    pub fn static_shared_bytes(&self) -> usize {
        self.program.shared_bytes
    }

    /// The instructions that are not simulated, as they are written. A launch that comes to one faults.
    pub fn unsupported(&self) -> impl Iterator<Item = &str> {
        let steps = self.program.steps.iter().filter(|step| matches!(step.action, Action::Unsupported));
        steps.map(|step| &self.program.text[step.text.clone()])
    }

    /// Runs all blocks to the end. Those of a kernel without atomic operations run on several threads: blocks cannot tell each other
    /// anything then, so that the result is the same as one after the other.
    pub fn launch(&self, memory: &Memory, launch: &Launch<'_>) -> Result<(), Fault> {
        self.launch_with(memory, launch, Options::default())
    }

    /// As [`Self::launch`].
    pub fn launch_with(&self, memory: &Memory, launch: &Launch<'_>, options: Options) -> Result<(), Fault> {
        self.check(launch).map_err(|message| Fault {
            function: self.program.name.clone(),
            block: [0; 3],
            thread: [0; 3],
            instruction: String::new(),
            kind: FaultKind::Launch(message),
        })?;
        run_grid(&self.program, memory, launch, options)
    }

    /// What no device would take. CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
    fn check(&self, launch: &Launch<'_>) -> Result<(), String> {
        let (grid, block) = (launch.grid, launch.block);
        if grid.contains(&0) || grid[0] >= 1 << 31 || grid[1] >= 1 << 16 || grid[2] >= 1 << 16 {
            return Err(format!("{grid:?} is no grid"));
        }
        let threads: u64 = block.iter().map(|size| u64::from(*size)).product();
        if threads == 0 || threads > 1024 || block[0] > 1024 || block[1] > 1024 || block[2] > 64 {
            return Err(format!("{block:?} is no block"));
        }
        let shared = self.program.shared_bytes + launch.shared_bytes as usize;
        if shared > MAX_SHARED_BYTES {
            return Err(format!("{shared} bytes of shared memory are more than there are"));
        }
        let needed = self.parameters.last().map_or(0, |last| last.offset + last.bytes);
        if launch.parameters.len() != needed {
            return Err(format!("{} bytes of parameters instead of {needed}", launch.parameters.len()));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Function")
            .field("name", &self.program.name)
            .field("parameters", &self.parameters)
            .finish()
    }
}

/// Where a part of a text stands in it; at its beginning, if it is not of this text, as is the empty end of a function.
fn part(part: &str, text: &str) -> Range<usize> {
    let begin = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    if part.is_empty() { 0..0 } else { begin..begin + part.len() }
}
