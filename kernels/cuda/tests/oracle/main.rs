//! Every kernel, as nvcc compiled it, on the simulator against a plain float64 oracle, and against itself in other company: the bits of
//! a row may not change.

mod attention;
mod conv2d;
mod norm;
mod pointwise;
mod sampler;

use std::cell::RefCell;
use std::collections::HashMap;

use half::{bf16, f16};
use x0_cuda::{Architecture, Argument, Element, Module, Plan};
use x0_cuda_simulator::{Address, Launch, Memory, WarpOrder};

/// What an operation is given.
#[derive(Clone, Debug)]
enum Input {
    /// Of the operation's element type.
    Elements(Vec<f32>),
    F32(Vec<f32>),
}

/// What an operation writes.
#[derive(Clone, Copy, Debug)]
enum Output {
    /// So many of the operation's element type.
    Elements(usize),
    F32(usize),
    U32(usize),
    U8(usize),
    /// The input of this number, in place: so many float32.
    Updated(usize, usize),
}

/// Numbers in about -2..2 that are the same for the same seed (a 64-bit linear congruential generator), rounded to `element`.
fn numbers(seed: u64, len: usize, element: Element) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5851_F42D_4C95_7F2D;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 22) as f32 - 2.0
    };
    (0..len).map(|_| round(next(), element)).collect()
}

/// The nearest number that `element` has.
fn round(x: f32, element: Element) -> f32 {
    match element {
        Element::F32 => x,
        Element::F16 => f16::from_f32(x).to_f32(),
        Element::Bf16 => bf16::from_f32(x).to_f32(),
    }
}

/// The relative error of rounding to `element`.
fn epsilon(element: Element) -> f64 {
    match element {
        Element::F32 => f64::from(f32::EPSILON),
        Element::F16 => f64::from(f16::EPSILON.to_f32()),
        Element::Bf16 => f64::from(bf16::EPSILON.to_f32()),
    }
}

fn encode(values: &[f32], element: Element) -> Vec<u8> {
    match element {
        Element::F32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Element::F16 => values.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
        Element::Bf16 => values.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect(),
    }
}

fn decode(bytes: &[u8], element: Element) -> Vec<f32> {
    match element {
        Element::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Element::F16 => bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        Element::Bf16 => bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
    }
}

/// Carries a plan out that is for any device, with the PTX of two architectures. Gives each output's numbers.
fn run(plan: &Plan, element: Element, inputs: &[Input], outputs: &[Output]) -> Vec<Vec<f32>> {
    run_on(&[Architecture::Sm80, Architecture::Sm90], plan, element, inputs, outputs)
}

/// Carries a plan out on the simulator, with the warps of a block in both orders and the PTX of all that it is for: they agree in every
/// bit. Gives each output's numbers.
fn run_on(
    architectures: &[Architecture],
    plan: &Plan,
    element: Element,
    inputs: &[Input],
    outputs: &[Output],
) -> Vec<Vec<f32>> {
    let first = run_once(plan, element, inputs, outputs, (architectures[0], WarpOrder::Forward));
    let others = architectures[1..].iter().map(|architecture| (*architecture, WarpOrder::Forward));
    for way in [(architectures[0], WarpOrder::Backward)].into_iter().chain(others) {
        let again = run_once(plan, element, inputs, outputs, way);
        assert!(again == first, "{way:?} gives other bits");
    }
    let decoded = first.iter().zip(outputs).map(|(bytes, output)| match output {
        Output::Elements(_) => decode(bytes, element),
        Output::F32(_) | Output::Updated(..) => decode(bytes, Element::F32),
        Output::U32(_) => bytes.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b) as f32).collect(),
        Output::U8(_) => bytes.iter().map(|b| f32::from(*b)).collect(),
    });
    decoded.collect()
}

fn run_once(plan: &Plan, element: Element, inputs: &[Input], outputs: &[Output], way: Way) -> Vec<Vec<u8>> {
    thread_local!(static SIMULATOR: RefCell<Simulator> = RefCell::default());
    SIMULATOR.with_borrow_mut(|simulator| simulator.run(plan, element, inputs, outputs, way))
}

/// Whose PTX is run, and in which order the warps of a block.
type Way = (Architecture, WarpOrder);

/// The simulator with the modules that a test has used so far: reading one takes as long as many launches.
#[derive(Default)]
struct Simulator {
    memory: Memory,
    modules: HashMap<(Module, Architecture), x0_cuda_simulator::Module>,
}

impl Simulator {
    fn run(&mut self, plan: &Plan, element: Element, inputs: &[Input], outputs: &[Output], way: Way) -> Vec<Vec<u8>> {
        let mut addresses: Vec<Address> = Vec::new();
        for input in inputs {
            let bytes = match input {
                Input::Elements(values) => encode(values, element),
                Input::F32(values) => encode(values, Element::F32),
            };
            let address = self.memory.allocate(bytes.len());
            assert!(self.memory.write(address, &bytes));
            addresses.push(address);
        }
        let sizes: Vec<usize> = outputs
            .iter()
            .map(|output| match output {
                Output::Elements(len) => len * element.bytes(),
                Output::F32(len) | Output::U32(len) | Output::Updated(_, len) => len * 4,
                Output::U8(len) => *len,
            })
            .collect();
        let first_output = addresses.len();
        for (output, bytes) in outputs.iter().zip(&sizes) {
            let address = match output {
                Output::Elements(_) | Output::F32(_) | Output::U32(_) | Output::U8(_) => self.memory.allocate(*bytes),
                Output::Updated(input, _) => addresses[*input],
            };
            addresses.push(address);
        }
        addresses.extend(plan.workspaces.iter().map(|bytes| self.memory.allocate(*bytes)));
        plan.launches.iter().for_each(|launch| self.launch(launch, &addresses, way));
        let read = |(address, bytes): (&Address, &usize)| {
            let mut output = vec![0; *bytes];
            assert!(self.memory.read(*address, &mut output));
            output
        };
        let answer = addresses[first_output..].iter().zip(&sizes).map(read).collect();
        // What is updated is named twice.
        addresses.sort_unstable();
        addresses.dedup();
        assert!(addresses.into_iter().all(|address| self.memory.free(address)));
        answer
    }

    fn launch(&mut self, launch: &x0_cuda::Launch, addresses: &[Address], (architecture, order): Way) {
        let module = self.modules.entry((launch.module, architecture)).or_insert_with(|| {
            let ptx = launch.module.ptx(architecture);
            x0_cuda_simulator::Module::parse(ptx, &mut self.memory).unwrap_or_else(|error| panic!("{error}"))
        });
        let function = module.function(launch.kernel).unwrap_or_else(|| panic!("there is no {}", launch.kernel));
        let parameters = function.parameters();
        assert_eq!(parameters.len(), launch.arguments.len(), "arguments of {}", launch.kernel);
        let mut bytes = vec![0; parameters.last().map_or(0, |last| last.offset + last.bytes)];
        for (parameter, argument) in parameters.iter().zip(&launch.arguments) {
            let value: Vec<u8> = match argument {
                Argument::Tensor(index) => addresses[*index].to_le_bytes().into(),
                Argument::Null => 0u64.to_le_bytes().into(),
                Argument::U32(x) => x.to_le_bytes().into(),
                Argument::F32(x) => x.to_le_bytes().into(),
                Argument::F64(x) => x.to_le_bytes().into(),
            };
            assert_eq!(parameter.bytes, value.len(), "argument {argument:?} of {}", launch.kernel);
            bytes[parameter.offset..parameter.offset + parameter.bytes].copy_from_slice(&value);
        }
        assert!(launch.grid[0] < 1 << 31 && launch.grid[1] < 1 << 16 && launch.grid[2] < 1 << 16);
        let launched = Launch {
            grid: launch.grid,
            block: launch.block,
            shared_bytes: launch.shared_bytes,
            parameters: &bytes,
            order,
        };
        function.launch(&self.memory, &launched).unwrap_or_else(|fault| panic!("{fault}"));
    }
}

/// Compares with the oracle: within `tolerance` of the largest magnitude of the element's terms, which the oracle gives too.
fn assert_close(found: &[f32], expected: &[(f64, f64)], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (i, (x, (y, magnitude))) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(*x) - y).abs();
        assert!(error <= tolerance * magnitude.max(1e-3), "element {i}: {x} instead of {y}, magnitude {magnitude}");
    }
}
