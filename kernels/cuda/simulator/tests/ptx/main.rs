//! What instructions do, each in a few lines of PTX against what NVIDIA's PTX ISA says.

mod arithmetic;
mod atomic;
mod conversion;
mod copy;
mod exchange;
mod flow;
mod matrix;
mod memory;
mod module;
mod warpgroup;

use x0_cuda_simulator::{Fault, FaultKind, Launch, Memory, Module, Options, WarpOrder};

/// A module with one kernel, `kernel`, whose parameters `p0` to `p3` are pointers; registers `r0` to `r15` have 32 bits, `q0` to `q15` 64,
/// `h0` to `h15` 16, and `c0` to `c7` are predicates. `p0` is in `q15` and the thread's number in the block in `r15`.
fn kernel(declarations: &str, body: &str) -> String {
    format!(
        ".version 8.0\n.target sm_80\n.address_size 64\n{declarations}\n\
         .visible .entry kernel(.param .u64 p0, .param .u64 p1, .param .u64 p2, .param .u64 p3)\n{{\n\
         .reg .pred c<8>;\n.reg .b16 h<16>;\n.reg .b32 r<16>;\n.reg .b64 q<16>;\n\
         ld.param.u64 q15, [p0];\ncvta.to.global.u64 q15, q15;\nmov.u32 r15, %tid.x;\n{body}\nret;\n}}\n"
    )
}

/// Stores `r0` of thread `i` to the `i`-th number of `p0`.
const STORE: &str = "mul.wide.u32 q14, r15, 4; add.s64 q14, q15, q14; st.global.u32 [q14], r0;";

/// Runs `kernel` of a module with so many blocks and threads. The buffers are its parameters, and hold afterwards what it wrote.
fn launch(ptx: &str, blocks: u32, threads: u32, buffers: &mut [Vec<u8>]) -> Result<(), Fault> {
    launch_with(ptx, blocks, threads, 0, WarpOrder::Forward, buffers)
}

fn launch_with(
    ptx: &str,
    blocks: u32,
    threads: u32,
    shared_bytes: u32,
    order: WarpOrder,
    buffers: &mut [Vec<u8>],
) -> Result<(), Fault> {
    let mut again = buffers.to_vec();
    let launch = |wide, buffers: &mut [Vec<u8>]| {
        let mut memory = Memory::new();
        let module = Module::parse(ptx, &mut memory).expect("the test's PTX can be read");
        let function = module.function("kernel").expect("the test has a kernel");
        let mut parameters = Vec::new();
        let mut addresses = Vec::new();
        for buffer in &*buffers {
            let address = memory.allocate(buffer.len());
            assert!(memory.write(address, buffer));
            parameters.extend_from_slice(&address.to_le_bytes());
            addresses.push(address);
        }
        parameters.resize(function.parameters().last().map_or(0, |last| last.offset + last.bytes), 0);
        let launch =
            Launch { grid: [blocks, 1, 1], block: [threads, 1, 1], shared_bytes, parameters: &parameters, order };
        let result = function.launch_with(&memory, &launch, Options { instructions: 100_000, wide });
        for (buffer, address) in buffers.iter_mut().zip(addresses) {
            assert!(memory.read(address, buffer));
        }
        result
    };
    let result = launch(true, buffers);
    let portable = launch(false, &mut again);
    // Addresses, of which a fault may tell, are new ones each time.
    let place =
        |result: &Result<(), Fault>| result.clone().map_err(|fault| (fault.block, fault.thread, fault.instruction));
    assert_eq!(place(&result), place(&portable), "other processors would do otherwise");
    assert!(buffers == again, "other processors would compute otherwise");
    result
}

/// What each thread of a block leaves in `r0`.
fn each_thread(threads: u32, declarations: &str, body: &str) -> Vec<u32> {
    let mut buffers = [vec![0; threads as usize * 4]];
    launch(&kernel(declarations, &format!("{body}\n{STORE}")), 1, threads, &mut buffers).expect("the kernel runs");
    words(&buffers[0])
}

/// Why a kernel is ended.
fn fault(threads: u32, declarations: &str, body: &str) -> FaultKind {
    let mut buffers = [vec![0; 256]];
    launch(&kernel(declarations, body), 1, threads, &mut buffers).expect_err("the kernel faults").kind
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect()
}

fn bytes(words: impl IntoIterator<Item = u32>) -> Vec<u8> {
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}
