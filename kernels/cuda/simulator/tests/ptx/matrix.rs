//! Matrix products and the moves of their fragments, element by element after the tables of the ISA.

use super::{bytes, each_thread, kernel, launch, words};
use half::{bf16, f16};

/// Small whole numbers, whose sums every format holds.
fn element(seed: usize, row: usize, column: usize) -> f32 {
    ((row * 37 + column * 11 + seed * 29) % 15) as f32 - 7.0
}

/// PTX ISA, "Matrix Fragments for mma.m16n8k16" for 16-bit types: row and column of element `i` of A, and of B.
fn place_of_16_bits(lane: usize, i: usize) -> ((usize, usize), (usize, usize)) {
    let (group, thread) = (lane >> 2, lane % 4);
    let a_row = if i < 2 || (4..6).contains(&i) { group } else { group + 8 };
    let a_column = thread * 2 + (i & 1) + if i < 4 { 0 } else { 8 };
    let b_row = thread * 2 + (i & 1) + if i < 2 { 0 } else { 8 };
    ((a_row, a_column), (b_row, group))
}

/// "Matrix Fragments for mma.m16n8k8" for `.tf32`.
fn place_of_tf32(lane: usize, i: usize) -> ((usize, usize), (usize, usize)) {
    let (group, thread) = (lane >> 2, lane % 4);
    let a_row = if i == 0 || i == 2 { group } else { group + 8 };
    let a_column = if i < 2 { thread } else { thread + 4 };
    ((a_row, a_column), (thread + 4 * i, group))
}

/// Row and column of element `i` of C and D.
fn place_of_sum(lane: usize, i: usize) -> (usize, usize) {
    ((lane >> 2) + if i < 2 { 0 } else { 8 }, lane % 4 * 2 + (i & 1))
}

/// Runs an `mma` whose registers are loaded from, and stored to, a row of 16 words for each lane.
fn run(instruction: &str, lanes: &[[u32; 16]]) -> Vec<u32> {
    let body = format!(
        "
        mul.wide.u32 q1, r15, 64; add.u64 q1, q15, q1;
        ld.global.v4.u32 {{r0, r1, r2, r3}}, [q1];
        ld.global.v2.u32 {{r4, r5}}, [q1+16];
        ld.global.v4.u32 {{r8, r9, r10, r11}}, [q1+32];
        {instruction}
        st.global.v4.u32 [q1+48], {{r8, r9, r10, r11}};"
    );
    let mut buffers = [bytes(lanes.iter().flatten().copied())];
    launch(&kernel("", &body), 1, 32, &mut buffers).unwrap_or_else(|fault| panic!("{fault}"));
    words(&buffers[0]).as_chunks::<16>().0.iter().flat_map(|lane| lane[12..].to_vec()).collect()
}

/// The product of matrices of [`element`]s with a depth, at a place.
fn product(depth: usize, row: usize, column: usize) -> f32 {
    (0..depth).map(|k| element(0, row, k) * element(1, k, column)).sum()
}

fn check_16_bits(name: &str, depth: usize, encode: fn(f32) -> u16) {
    let pair = |values: [f32; 2]| u32::from(encode(values[1])) << 16 | u32::from(encode(values[0]));
    let lanes: Vec<[u32; 16]> = (0..32)
        .map(|lane| {
            let a = |i: usize| {
                let (row, column) = place_of_16_bits(lane, i).0;
                element(0, row, column)
            };
            let b = |i: usize| {
                let (row, column) = place_of_16_bits(lane, i).1;
                element(1, row, column)
            };
            let mut words = [0; 16];
            for (register, word) in words[..depth / 4].iter_mut().enumerate() {
                *word = pair([a(2 * register), a(2 * register + 1)]);
            }
            for (register, word) in words[4..4 + depth / 8].iter_mut().enumerate() {
                *word = pair([b(2 * register), b(2 * register + 1)]);
            }
            for (i, word) in words[8..12].iter_mut().enumerate() {
                let (row, column) = place_of_sum(lane, i);
                *word = element(2, row, column).to_bits();
            }
            words
        })
        .collect();
    let (a, b) = if depth == 16 { ("{r0, r1, r2, r3}", "{r4, r5}") } else { ("{r0, r1}", "{r4}") };
    let sums = "{r8, r9, r10, r11}";
    let instruction = format!("mma.sync.aligned.m16n8k{depth}.row.col.f32.{name}.{name}.f32 {sums}, {a}, {b}, {sums};");
    let found = run(&instruction, &lanes);
    for (index, word) in found.into_iter().enumerate() {
        let (row, column) = place_of_sum(index / 4, index % 4);
        let expected = product(depth, row, column) + element(2, row, column);
        assert_eq!(f32::from_bits(word), expected, "{instruction} at {row}, {column}");
    }
}

#[test]
fn products_of_float16_and_bfloat16() {
    for depth in [8, 16] {
        check_16_bits("f16", depth, |x| f16::from_f32(x).to_bits());
        check_16_bits("bf16", depth, |x| bf16::from_f32(x).to_bits());
    }
}

#[test]
fn products_of_tf32() {
    for depth in [4, 8] {
        let lanes: Vec<[u32; 16]> = (0..32)
            .map(|lane| {
                let mut words = [0; 16];
                for (i, word) in words[..depth / 2].iter_mut().enumerate() {
                    let (row, column) = place_of_tf32(lane, i).0;
                    // Bits that tf32 does not have are not read.
                    *word = element(0, row, column).to_bits() | 0x1FFF;
                }
                for (i, word) in words[4..4 + depth / 4].iter_mut().enumerate() {
                    let (row, column) = place_of_tf32(lane, i).1;
                    *word = element(1, row, column).to_bits() | 0x0FFF;
                }
                words
            })
            .collect();
        let (a, b) = if depth == 8 { ("{r0, r1, r2, r3}", "{r4, r5}") } else { ("{r0, r1}", "{r4}") };
        let instruction = format!(
            "mma.sync.aligned.m16n8k{depth}.row.col.f32.tf32.tf32.f32 {{r8, r9, r10, r11}}, {a}, {b}, {{0f00000000, r9, r10, r11}};"
        );
        for (index, word) in run(&instruction, &lanes).into_iter().enumerate() {
            let (row, column) = place_of_sum(index / 4, index % 4);
            assert_eq!(f32::from_bits(word), product(depth, row, column), "{instruction} at {row}, {column}");
        }
    }
}

#[test]
fn sums_of_float16() {
    // One column of A and one row of B hold anything: 2048 + 1 and 2048 + 3 are rounded to even neighbours.
    let one = u32::from(f16::from_f32(1.0).to_bits());
    let lanes: Vec<[u32; 16]> = (0..32)
        .map(|lane| {
            let mut words = [0; 16];
            if lane % 4 == 0 {
                words[0] = one;
                words[4] = u32::from(f16::from_f32(if lane >> 2 == 0 { 1.0 } else { 3.0 }).to_bits());
            }
            let c = u32::from(f16::from_f32(2048.0).to_bits());
            words[8] = c << 16 | c;
            words
        })
        .collect();
    let instruction =
        "mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16 {r8, r9}, {r0, r1, r2, r3}, {r4, r5}, {r8, r9};";
    let found = run(instruction, &lanes);
    let half = |x: f32| u32::from(f16::from_f32(x).to_bits());
    // Lane 0 holds columns 0 and 1 of row 0.
    assert_eq!(found[0], half(2052.0) << 16 | half(2048.0));
}

#[test]
fn sums_are_rounded_once() {
    // 1 - 1 + 2^-30 in this order would lose nothing in float32 either, but 2^-30 + 1 - 1 would.
    let lanes: Vec<[u32; 16]> = (0..32)
        .map(|lane| {
            let mut words = [0; 16];
            let bits = |x: f32| u32::from(bf16::from_f32(x).to_bits());
            // Row 0 of A holds 2^-30, 1 and -1; B holds ones.
            match lane {
                0 => words[0] = bits(1.0) << 16 | bits(2.0_f32.powi(-30)),
                1 => words[0] = bits(-1.0),
                _ => {}
            }
            words[4] = bits(1.0) << 16 | bits(1.0);
            words
        })
        .collect();
    let sums = "{r8, r9, r10, r11}";
    let instruction =
        format!("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {sums}, {{r0, r1, r2, r3}}, {{r4, r5}}, {sums};");
    assert_eq!(f32::from_bits(run(&instruction, &lanes)[0]), 2.0_f32.powi(-30));
}

/// Shared memory with the half-word `i` at `2 i`, and each lane's row address in `r1`.
const ROWS: &str = "
    mov.u32 r5, memory;
    mad.lo.u32 r6, r15, 16, r5;
    mul.lo.u32 r7, r15, 8;
    mov.u32 r8, 0;
    FILL:
    mad.lo.u32 r9, r8, 2, r6;
    add.u32 r10, r7, r8;
    st.shared.u16 [r9], r10;
    add.u32 r8, r8, 1;
    setp.lt.u32 c0, r8, 8;
    @c0 bra FILL;
    bar.sync 0;
    mov.u32 r1, r6;";

const MEMORY: &str = ".shared .align 16 .b8 memory[512];";

#[test]
fn fragments_are_loaded() {
    // Row `8 m + g` of the memory is row `g` of matrix `m`, and holds the numbers from `8 (8 m + g)` on.
    for (count, registers) in [(1, "{r11}"), (2, "{r10, r11}"), (4, "{r8, r9, r10, r11}")] {
        let body = |trans: &str| {
            format!("{ROWS} ldmatrix.sync.aligned.m8n8.x{count}{trans}.shared.b16 {registers}, [r1]; mov.u32 r0, r11;")
        };
        let matrix = count - 1;
        let at = |row: u32, column: u32| 8 * (8 * matrix + row) + column;
        let plain = (0..32).map(|lane| at(lane / 4, lane % 4 * 2 + 1) << 16 | at(lane / 4, lane % 4 * 2));
        let transposed = (0..32).map(|lane| at(lane % 4 * 2 + 1, lane / 4) << 16 | at(lane % 4 * 2, lane / 4));
        assert_eq!(each_thread(32, MEMORY, &body("")), plain.collect::<Vec<u32>>());
        assert_eq!(each_thread(32, MEMORY, &body(".trans")), transposed.collect::<Vec<u32>>());
    }
}

#[test]
fn fragments_are_stored() {
    for trans in ["", ".trans"] {
        // What was loaded with .trans and is stored with .trans is where it was.
        let body = format!(
            "{ROWS}
            ldmatrix.sync.aligned.m8n8.x2{trans}.shared::cta.b16 {{r8, r9}}, [r1];
            add.u32 r8, r8, 0x01000100;
            bar.sync 0;
            stmatrix.sync.aligned.m8n8.x2{trans}.shared.b16 [r1], {{r8, r9}};
            bar.sync 0;
            mad.lo.u32 r2, r15, 4, r5;
            ld.shared.u32 r0, [r2];"
        );
        let expected: Vec<u32> = (0..32).map(|i| (2 * i + 0x101) << 16 | (2 * i + 0x100)).collect();
        assert_eq!(each_thread(32, MEMORY, &body), expected);
    }
}

#[test]
fn a_fragment_is_transposed() {
    let body = "shl.b32 r1, r15, 1; add.u32 r2, r1, 1; shl.b32 r2, r2, 16; or.b32 r1, r1, r2; movmatrix.sync.aligned.m8n8.trans.b16 r0, r1;";
    // The element at row and column is 8 row + column.
    let expected = (0..32).map(|lane| (8 * (lane % 4 * 2 + 1) + lane / 4) << 16 | (8 * (lane % 4 * 2) + lane / 4));
    assert_eq!(each_thread(32, "", body), expected.collect::<Vec<u32>>());
}

#[test]
fn all_lanes_take_part() {
    use x0_cuda_simulator::FaultKind;
    let body = "setp.eq.u32 c0, r15, 5; @c0 exit; movmatrix.sync.aligned.m8n8.trans.b16 r0, r1;";
    assert_eq!(super::fault(32, "", body), FaultKind::Deadlock);
    let misaligned = format!("{ROWS} ldmatrix.sync.aligned.m8n8.x1.shared.b16 {{r0}}, [r1+8];");
    assert!(matches!(super::fault(32, MEMORY, &misaligned), FaultKind::Misaligned { alignment: 16, .. }));
}
