//! Matrix products of a warpgroup: what they give, and what a kernel may not do while they are under way.

use super::{bytes, kernel, launch, words};
use half::{bf16, f16};
use x0_cuda_simulator::FaultKind;

/// Small whole numbers, whose sums every format holds.
fn element(seed: usize, row: usize, column: usize) -> f32 {
    ((row * 37 + column * 11 + seed * 29) % 15) as f32 - 7.0
}

/// Rows of A and columns of B, with the terms that lie in shared memory.
const ROWS: usize = 64;
const COLUMNS: usize = 16;
const TERMS: usize = 64;

/// Where B begins, and all that the block has.
const B: usize = 16 * 1024;
const BYTES: usize = 24 * 1024;

/// PTX ISA, "Matrix Descriptor Format".
fn descriptor(start: usize, leading: usize, stride: usize, swizzle: u64) -> u64 {
    let encode = |x: usize| ((x & 0x3FFFF) >> 4) as u64;
    encode(start) | encode(leading) << 16 | encode(stride) << 32 | swizzle << 62
}

/// A kind of layout: where a chunk of eight terms of a row lies, and the numbers of its descriptor.
struct Layout {
    place: fn(usize, usize) -> usize,
    leading: usize,
    stride: usize,
    swizzle: u64,
    /// Chunks of a row.
    chunks: usize,
}

impl Layout {
    fn descriptors(&self) -> [u64; 2] {
        [0, B].map(|start| descriptor(start, self.leading, self.stride, self.swizzle))
    }

    /// What shared memory holds.
    fn image(&self, encode: fn(f32) -> u16) -> Vec<u8> {
        let mut image = vec![0xFF; BYTES];
        for (seed, begin, rows) in [(0, 0, ROWS), (1, B, COLUMNS)] {
            for (row, term) in (0..rows).flat_map(|row| (0..self.chunks * 8).map(move |term| (row, term))) {
                let at = begin + (self.place)(row, term / 8) + term % 8 * 2;
                image[at..at + 2].copy_from_slice(&encode(element(seed, row, term)).to_le_bytes());
            }
        }
        image
    }
}

/// Rows of 128 bytes, whose chunks are exchanged by the row's number in its eight.
const SWIZZLE_128: Layout = Layout {
    place: |row, chunk| row * 128 + (chunk ^ (row % 8)) * 16,
    leading: 16,
    stride: 1024,
    swizzle: 1,
    chunks: TERMS / 8,
};

const LAYOUTS: [Layout; 4] = [
    SWIZZLE_128,
    // Two rows fill 128 bytes; four pairs of them are a pattern.
    Layout {
        place: |row, chunk| row * 64 + (chunk ^ (row / 2 % 4)) * 16,
        leading: 16,
        stride: 512,
        swizzle: 2,
        chunks: 4,
    },
    Layout {
        place: |row, chunk| row * 32 + (chunk ^ (row / 4 % 2)) * 16,
        leading: 16,
        stride: 256,
        swizzle: 3,
        chunks: 2,
    },
    // Eight rows of a chunk lie together, and those of the next chunk 4096 bytes further on.
    Layout { place: |row, chunk| row * 16 + chunk * 4096, leading: 4096, stride: 128, swizzle: 0, chunks: 2 },
];

const FENCE: &str = "fence.proxy.async.shared::cta; bar.sync 0;";
const BEGIN: &str = "wgmma.fence.sync.aligned;";
const END: &str = "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;";

/// An instruction whose descriptors are in `q2` and `q3`.
fn multiply(name: &str) -> String {
    format!(
        "wgmma.mma_async.sync.aligned.m64n16k16.f32.{name}.{name} {{r4, r5, r6, r7, r8, r9, r10, r11}}, q2, q3, 1, 1, 1, 0, 0;"
    )
}

/// Runs a block after shared memory was filled: the sums of each thread, of 1 at the beginning.
fn run(image: &[u8], [a, b]: [u64; 2], threads: u32, instructions: &str) -> Result<Vec<f32>, FaultKind> {
    let fill = (0..BYTES / 2048).map(|i| {
        let at = i * 2048;
        format!("ld.global.v4.u32 {{r0, r1, r2, r3}}, [q1+{at}]; st.shared.v4.u32 [r12+{at}], {{r0, r1, r2, r3}};\n")
    });
    let fill = fill.collect::<String>();
    let ones = (4..12).map(|i| format!("mov.f32 r{i}, 0f3F800000;")).collect::<String>();
    let body = format!(
        "
        ld.param.u64 q1, [p1]; mul.wide.u32 q0, r15, 16; add.u64 q1, q1, q0;
        mov.u32 r12, memory; mad.lo.u32 r12, r15, 16, r12;
        {fill}
        mov.u64 q2, {a}; mov.u64 q3, {b};
        {ones}
        {instructions}
        mul.wide.u32 q0, r15, 32; add.u64 q0, q15, q0;
        st.global.v4.u32 [q0], {{r4, r5, r6, r7}};
        st.global.v4.u32 [q0+16], {{r8, r9, r10, r11}};"
    );
    let ptx = kernel(&format!(".shared .align 1024 .b8 memory[{BYTES}];"), &body);
    let mut buffers = [bytes((0..threads * 8).map(|_| 0)), image.to_vec()];
    launch(&ptx, 1, threads, &mut buffers).map_err(|fault| fault.kind)?;
    Ok(words(&buffers[0]).into_iter().map(f32::from_bits).collect())
}

/// The same of float16 in 128-byte swizzle.
fn sums(instructions: &str) -> Result<Vec<f32>, FaultKind> {
    run(&SWIZZLE_128.image(half), SWIZZLE_128.descriptors(), 128, instructions)
}

fn fault(instructions: &str) -> FaultKind {
    sums(instructions).expect_err("the kernel faults")
}

fn half(x: f32) -> u16 {
    f16::from_f32(x).to_bits()
}

/// PTX ISA, "WGMMA .m64nNk16 register fragment layout for accumulator matrix D": row and column of sum `i` of a thread.
fn place_of_sum(thread: usize, i: usize) -> (usize, usize) {
    let (warp, lane) = (thread / 32, thread % 32);
    (warp * 16 + (lane >> 2) + i / 2 % 2 * 8, i / 4 * 8 + lane % 4 * 2 + i % 2)
}

/// What each thread should have: products of some terms of a row and a column, and what was there before.
fn expected(terms: std::ops::Range<usize>, before: f32) -> Vec<f32> {
    let sum = |(row, column): (usize, usize)| -> f32 {
        before + terms.clone().map(|k| element(0, row, k) * element(1, column, k)).sum::<f32>()
    };
    (0..128 * 8).map(|i| sum(place_of_sum(i / 8, i % 8))).collect()
}

#[test]
fn products_in_each_layout() {
    for layout in LAYOUTS {
        for (name, encode) in [("f16", half as fn(f32) -> u16), ("bf16", |x| bf16::from_f32(x).to_bits())] {
            let instructions = format!("{FENCE} {BEGIN} {} {END}", multiply(name));
            let found = run(&layout.image(encode), layout.descriptors(), 128, &instructions);
            assert_eq!(found, Ok(expected(0..16, 1.0)), "{name}, swizzle {}", layout.swizzle);
        }
    }
}

#[test]
fn a_row_goes_on_where_its_address_does() {
    let further = "add.u64 q2, q2, 2; add.u64 q3, q3, 2;";
    let multiply = multiply("f16");
    let all =
        format!("{FENCE} {BEGIN} {multiply} {further} {multiply} {further} {multiply} {further} {multiply} {END}");
    assert_eq!(sums(&all), Ok(expected(0..64, 1.0)));
    assert_eq!(sums(&format!("{FENCE} {BEGIN} {further} {multiply} {END}")), Ok(expected(16..32, 1.0)));
}

#[test]
fn what_was_there_is_added_if_it_shall_be() {
    let without = multiply("f16").replace("q3, 1, ", "q3, 0, ");
    assert_eq!(sums(&format!("{FENCE} {BEGIN} {without} {END}")), Ok(expected(0..16, 0.0)));
    let asked = multiply("f16").replace("q3, 1, ", "q3, c1, ");
    let body = format!("{FENCE} setp.ne.u32 c1, r15, r15; {BEGIN} {asked} {END}");
    assert_eq!(sums(&body), Ok(expected(0..16, 0.0)));
}

/// The address decides how chunks are exchanged, not where the matrix begins: one that begins within a pattern is not what it seems.
#[test]
fn a_pattern_begins_at_a_multiple_of_its_size() {
    let aligned = SWIZZLE_128.image(half);
    let mut image = vec![0; 512];
    image.extend_from_slice(&aligned[..B]);
    image.truncate(B);
    image.extend_from_slice(&aligned[B..]);
    let descriptors = [descriptor(512, 16, 1024, 1), SWIZZLE_128.descriptors()[1]];
    let body = format!("{FENCE} {BEGIN} {} {END}", multiply("f16"));
    let found = run(&image, descriptors, 128, &body).expect("the kernel runs");
    assert_ne!(found, expected(0..16, 1.0));
}

#[test]
fn what_threads_have_written_needs_a_fence_of_theirs() {
    let multiply = multiply("f16");
    let proxy = |body: &str| assert!(matches!(fault(body), FaultKind::Proxy { .. }), "{body}");
    proxy(&format!("bar.sync 0; {BEGIN} {multiply} {END}"));
    // Of the reader alone.
    proxy(&format!("setp.lt.u32 c1, r15, 32; @c1 fence.proxy.async; bar.sync 0; {BEGIN} {multiply} {END}"));
    // Before the last of the writing.
    proxy(&format!("{FENCE} st.shared.u32 [memory], r15; bar.sync 0; {BEGIN} {multiply} {END}"));
    proxy(&format!(
        "{FENCE} cp.async.ca.shared.global [r12], [q1], 16; cp.async.wait_all; bar.sync 0; {BEGIN} {multiply} {END}"
    ));
    // Another kind of fence.
    proxy(&format!("fence.acq_rel.cta; bar.sync 0; {BEGIN} {multiply} {END}"));
    let good = format!(
        "cp.async.ca.shared.global [r12], [q1], 16; cp.async.wait_all; fence.proxy.async; bar.sync 0; {BEGIN} {multiply} {END}"
    );
    assert_eq!(sums(&good), Ok(expected(0..16, 1.0)));
}

#[test]
fn what_is_read_may_not_be_written() {
    let multiply = multiply("f16");
    let race = |body: &str| assert!(matches!(fault(body), FaultKind::Race { .. }), "{body}");
    let store = "st.shared.u32 [r12], r15;";
    let copy = "cp.async.ca.shared.global [r12], [q1], 16;";
    // While it is read.
    for write in [store, copy] {
        race(&format!("{FENCE} {BEGIN} {multiply} {write} {END}"));
        race(&format!("{FENCE} {BEGIN} {multiply} wgmma.commit_group.sync.aligned; {write} {END}"));
        // An empty group is waited for, not that of the product.
        race(&format!(
            "{FENCE} {BEGIN} {multiply} wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 1; {write} {END}"
        ));
        // Other warps may have waited, but not this one's reader.
        assert_eq!(sums(&format!("{FENCE} {BEGIN} {multiply} {END} bar.sync 0; {write}")), Ok(expected(0..16, 1.0)));
    }
    // A copy that nobody has waited for.
    race(&format!("{FENCE} {copy} {BEGIN} {multiply} {END}"));
    // What is not read may be.
    let elsewhere = format!("{FENCE} {BEGIN} {multiply} st.shared.u32 [memory+{}], r15; {END}", B - 4);
    assert_eq!(sums(&elsewhere), Ok(expected(0..16, 1.0)));
}

#[test]
fn sums_are_touched_by_nothing_else() {
    let multiply = multiply("f16");
    let wrong = |body: &str| assert_eq!(fault(body), FaultKind::Accumulator, "{body}");
    wrong(&format!("{FENCE} {multiply} {END}"));
    wrong(&format!("{FENCE} {BEGIN} mov.u32 r4, 0; {multiply} {END}"));
    wrong(&format!("{FENCE} {BEGIN} {multiply} mov.u32 r0, r11; {END}"));
    wrong(&format!("{FENCE} {BEGIN} {multiply} mov.u32 r11, 0; {END}"));
    wrong(&format!("{FENCE} {BEGIN} {multiply} wgmma.commit_group.sync.aligned;"));
    // Uncommitted, hence in no group.
    wrong(&format!("{FENCE} {BEGIN} {multiply} wgmma.wait_group.sync.aligned 0;"));
    // After a look at them, a fence comes before the next product.
    wrong(&format!("{FENCE} {BEGIN} {multiply} {END} mov.u32 r0, r4; {multiply} {END}"));
    // Products of another shape.
    let narrow = "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {r4, r5, r6, r7}, q2, q3, 1, 1, 1, 0, 0;";
    wrong(&format!("{FENCE} {BEGIN} {multiply} {narrow} {END}"));
}

#[test]
fn groups_are_waited_for_from_the_oldest() {
    let narrow = |sums: &str| {
        format!(
            "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {{{sums}}}, q2, q3, 1, 1, 1, 0, 0; wgmma.commit_group.sync.aligned;"
        )
    };
    let two = format!(
        "{FENCE} {BEGIN} {} {} wgmma.wait_group.sync.aligned 1;",
        narrow("r4, r5, r6, r7"),
        narrow("r8, r9, r10, r11")
    );
    assert_eq!(fault(&format!("{two} mov.u32 r0, r8; {END}")), FaultKind::Accumulator);
    let found = sums(&format!("{two} mov.u32 r0, r4; {END}")).expect("the kernel runs");
    // Both are of the columns 0 to 8.
    let expected = expected(0..16, 1.0);
    for (found, expected) in found.chunks_exact(8).zip(expected.chunks_exact(8)) {
        assert_eq!((&found[..4], &found[4..]), (&expected[..4], &expected[..4]));
    }
}

#[test]
fn a_warpgroup_acts_as_one() {
    let multiply = multiply("f16");
    let wrong = |body: &str| assert!(matches!(fault(body), FaultKind::Warpgroup(_)), "{body}");
    // Lanes, and warps, of different descriptors.
    wrong(&format!("{FENCE} setp.eq.u32 c1, r15, 5; @c1 add.u64 q2, q2, 2; {BEGIN} {multiply} {END}"));
    wrong(&format!("{FENCE} setp.lt.u32 c1, r15, 32; @c1 add.u64 q2, q2, 2; {BEGIN} {multiply} {END}"));
    // A base offset, which nothing here has.
    wrong(&format!("{FENCE} mov.u64 q1, {}; or.b64 q2, q2, q1; {BEGIN} {multiply} {END}", 1_u64 << 49));
    let lone = format!("setp.eq.u32 c1, r15, 5; @c1 bra OUT; {FENCE} {BEGIN} {multiply} {END} OUT:");
    assert_eq!(fault(&lone), FaultKind::Deadlock);
    // Too few warps.
    let image = SWIZZLE_128.image(half);
    let found = run(&image, SWIZZLE_128.descriptors(), 96, &format!("{FENCE} {BEGIN} {multiply} {END}"));
    assert!(matches!(found, Err(FaultKind::Warpgroup(_))), "{found:?}");
}

#[test]
fn wrong_addresses_fault() {
    let beyond =
        format!("{FENCE} mov.u64 q2, {}; {BEGIN} {} {END}", descriptor(BYTES - 16, 16, 1024, 1), multiply("f16"));
    assert!(matches!(fault(&beyond), FaultKind::OutOfBounds { bytes: 16, .. }));
}

#[test]
fn what_is_not_simulated() {
    let multiply = multiply("f16");
    for other in ["q3, 1, -1, 1, 0, 0;", "q3, 1, 1, 1, 1, 0;", "q3, 1, 1, 1, 0, 1;"] {
        let body = format!("{FENCE} {BEGIN} {} {END}", multiply.replace("q3, 1, 1, 1, 0, 0;", other));
        assert_eq!(fault(&body), FaultKind::Unsupported, "{other}");
    }
    assert_eq!(fault("fence.proxy.async.global;"), FaultKind::Unsupported);
}
