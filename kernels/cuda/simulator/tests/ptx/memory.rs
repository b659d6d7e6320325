//! State spaces, widths and wrong addresses.

use super::{STORE, bytes, each_thread, fault, kernel, launch, launch_with, words};
use x0_cuda_simulator::{FaultKind, Memory, WarpOrder};

#[test]
fn memory_is_handed_out_and_taken_back() {
    let mut memory = Memory::new();
    let address = memory.allocate(10);
    assert_eq!(address % 256, 0);
    let mut found = [0; 10];
    assert!(memory.read(address, &mut found));
    assert_eq!(found, [0xFF; 10]);
    assert!(memory.write(address + 3, &[1, 2, 3]));
    assert!(memory.read(address, &mut found));
    assert_eq!(found, [0xFF, 0xFF, 0xFF, 1, 2, 3, 0xFF, 0xFF, 0xFF, 0xFF]);
    assert!(!memory.write(address + 8, &[0; 3]));
    assert!(!memory.read(address - 1, &mut found));
    assert!(!memory.free(address + 1));
    assert!(memory.free(address));
    assert!(!memory.free(address));
    assert!(!memory.read(address, &mut found));
}

#[test]
fn an_access_past_the_end() {
    let mut buffers = [bytes([0; 31])];
    let fault = launch(&kernel("", &format!("mov.u32 r0, 1;{STORE}")), 1, 32, &mut buffers).expect_err("it faults");
    assert_eq!(fault.thread, [31, 0, 0]);
    assert!(matches!(fault.kind, FaultKind::OutOfBounds { bytes: 4, .. }));
    // Threads before it in the same instruction have not stored either.
    assert_eq!(words(&buffers[0]), [0; 31]);
}

#[test]
fn wrong_addresses() {
    let cases = [
        ("ld.global.u32 r0, [q15+256];", true),
        ("ld.global.u32 r0, [q15+-4];", true),
        ("ld.global.u32 r0, [q15+2];", false),
        ("ld.global.v4.u32 {r0, r1, r2, r3}, [q15+8];", false),
        ("ld.global.v4.u32 {r0, r1, r2, r3}, [q15+256];", true),
        ("mov.u64 q0, 0; st.global.u8 [q0], 1;", true),
        ("mov.u64 q0, -4; st.u32 [q0], 1;", true),
        ("ld.shared.u32 r0, [memory+12];", true),
        ("ld.shared.u64 q0, [memory+4];", false),
        ("mov.u32 r1, memory; st.shared.u32 [r1+-4], r0;", true),
        // A global address is none of shared memory, and the other way round.
        ("ld.shared.u32 r0, [q15];", true),
        ("cvta.shared.u64 q0, 0; ld.global.u32 r0, [q0];", true),
        ("ld.local.u32 r0, [stack+8];", true),
        ("atom.global.add.u32 r0, [q15+1024], 1;", true),
        ("atom.global.add.u64 q0, [q15+4], 1;", false),
        ("ld.param.u32 r0, [p3+8];", true),
    ];
    for (body, is_outside) in cases {
        let kind = fault(1, ".shared .align 8 .b8 memory[12];", &format!(".local .align 8 .b8 stack[8]; {body}"));
        match kind {
            FaultKind::OutOfBounds { .. } => assert!(is_outside, "{body}"),
            FaultKind::Misaligned { .. } => assert!(!is_outside, "{body}"),
            other => panic!("{body}: {other}"),
        }
    }
}

#[test]
fn all_widths() {
    let mut buffers = [(0x80..0xC0).collect::<Vec<u8>>(), vec![0; 80]];
    let body = "
        ld.param.u64 q1, [p1];
        ld.global.u8 h0, [q15];       st.global.u16 [q1], h0;
        ld.global.s8 h1, [q15];       st.global.u16 [q1+2], h1;
        ld.global.s8 r0, [q15+1];     st.global.u32 [q1+4], r0;
        ld.global.s16 r1, [q15+2];    st.global.u32 [q1+8], r1;
        ld.global.u16 r2, [q15+2];    st.global.b16 [q1+12], r2;
        ld.global.u8 r2, [q15+3];     st.global.u8 [q1+14], r2;
        ld.global.s32 q2, [q15+4];    st.global.u64 [q1+16], q2;
        ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {r4, r5, r6, r7}, [q15+16];
        st.global.v2.b32 [q1+24], {r7, r4};
        ld.volatile.global.v2.u64 {q3, q4}, [q15+32];
        st.v2.u64 [q1+32], {q4, q3};
        ld.global.v2.u8 {h2, h3}, [q15+48];
        st.global.v2.u8 [q1+48], {h3, h2};
        ld.global.v4.u16 {h4, h5, h6, h7}, [q15+48];
        st.global.v4.u16 [q1+56], {h7, h6, h5, h4};";
    launch(&kernel("", body), 1, 1, &mut buffers).expect("the kernel runs");
    let mut expected = vec![0; 80];
    let mut put = |at: usize, bytes: &[u8]| expected[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &[0x80, 0x00, 0x80, 0xFF, 0x81, 0xFF, 0xFF, 0xFF, 0x82, 0x83, 0xFF, 0xFF, 0x82, 0x83, 0x83]);
    put(16, &[0x84, 0x85, 0x86, 0x87, 0xFF, 0xFF, 0xFF, 0xFF]);
    put(24, &[0x9C, 0x9D, 0x9E, 0x9F, 0x90, 0x91, 0x92, 0x93]);
    put(32, &[0xA8, 0xA9, 0xAA, 0xAB, 0xAC, 0xAD, 0xAE, 0xAF, 0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7]);
    put(48, &[0xB1, 0xB0]);
    put(56, &[0xB6, 0xB7, 0xB4, 0xB5, 0xB2, 0xB3, 0xB0, 0xB1]);
    assert_eq!(buffers[1], expected);
}

#[test]
fn each_thread_has_its_local_memory() {
    let body = "
        .local .align 16 .b8 stack[80];
        mov.u64 q0, stack;
        cvta.local.u64 q1, q0;
        isspacep.local c0, q1;
        isspacep.global c1, q1;
        add.u64 q2, q1, 8;
        st.u32 [q2], r15;
        st.local.u32 [q0+12], 1000;
        bar.warp.sync 0xFFFFFFFF;
        ld.local.v2.u32 {r1, r2}, [stack+8];
        add.u32 r0, r1, r2;
        @!c0 mov.u32 r0, 0;
        @c1 mov.u32 r0, 0;";
    assert_eq!(each_thread(32, "", body), (1000..1032).collect::<Vec<u32>>());
}

#[test]
fn local_memory_begins_unwritten() {
    let body = format!(
        "
        .local .align 4 .b8 stack[4];
        ld.local.u32 r0, [stack];
        st.local.u32 [stack], r15;
        mov.u32 r1, %ctaid.x;
        mad.lo.u32 r15, r1, 32, r15;
        {STORE}"
    );
    let mut buffers = [vec![0; 3 * 32 * 4]];
    launch(&kernel("", &body), 3, 32, &mut buffers).expect("the kernel runs");
    assert_eq!(words(&buffers[0]), [u32::MAX; 96]);
}

#[test]
fn lanes_may_use_different_spaces_at_once() {
    let body = "
        .local .align 4 .b8 stack[4];
        mov.u64 q0, memory;
        cvta.shared.u64 q0, q0;
        mov.u64 q1, stack;
        cvta.local.u64 q1, q1;
        and.b32 r1, r15, 1;
        setp.eq.u32 c0, r1, 0;
        selp.b64 q2, q0, q1, c0;
        st.local.u32 [stack], r15;
        st.shared.u32 [memory], 500;
        ld.u32 r0, [q2];";
    let expected: Vec<u32> = (0..32).map(|i| if i % 2 == 0 { 500 } else { i }).collect();
    assert_eq!(each_thread(32, ".shared .align 4 .b8 memory[4];", body), expected);
}

#[test]
fn shared_memory_begins_unwritten_and_ends_with_what_the_launch_adds() {
    let declarations = "
        .shared .align 4 .b8 fixed[20];
        .extern .shared .align 16 .b8 dynamic[];
        .shared .align 1024 .b8 unused[4096];";
    let body = format!(
        "
        mov.u32 r1, %ctaid.x;
        ld.shared.u32 r0, [dynamic+60];
        st.shared.u32 [dynamic+60], r1;
        st.shared.u32 [fixed+16], 5;
        mov.u32 r2, dynamic;
        and.b32 r3, r2, 15;
        add.u32 r0, r0, r3;
        shl.b32 r4, r1, 2; cvt.u64.u32 q1, r4; add.u64 q15, q15, q1;
        {STORE}"
    );
    let ptx = kernel(declarations, &body);
    let mut buffers = [vec![0; 12]];
    launch_with(&ptx, 3, 1, 64, WarpOrder::Forward, &mut buffers).expect("the kernel runs");
    // A block finds nothing of what the block before it wrote.
    assert_eq!(words(&buffers[0]), [u32::MAX; 3]);
    let fault = launch_with(&ptx, 3, 1, 60, WarpOrder::Forward, &mut buffers).expect_err("it faults");
    assert!(matches!(fault.kind, FaultKind::OutOfBounds { .. }));
}

#[test]
fn variables_hold_their_initial_values() {
    let declarations = "
        .const .align 4 .u32 numbers[4] = {10, 0x14, -2};
        .global .align 8 .u64 place = generic(table)+8;
        .global .align 4 .b8 table[16] = {1, 0, 0, 0, 2, 0, 0, 0, 3};
        .global .align 4 .f32 half = 0f3F000000;";
    let body = "
        ld.const.u32 r1, [numbers+4];
        mov.u64 q1, numbers;
        ld.const.u32 r2, [q1+8];
        ld.const.u32 r3, [numbers+12];
        ld.global.u64 q2, [place];
        ld.u32 r4, [q2];
        ld.global.f32 r5, [half];
        cvt.rzi.s32.f32 r6, r5;
        add.u32 r0, r1, r2; add.u32 r0, r0, r3; mad.lo.u32 r0, r4, 100, r0; add.u32 r0, r0, r6;";
    assert_eq!(each_thread(1, declarations, body), [20 - 2 + 300]);
}

#[test]
fn special_registers() {
    let body = "
        mov.u32 r1, %ctaid.x;
        mov.u32 r2, %ntid.x;
        mad.lo.u32 r3, r1, r2, r15;
        mov.u32 r4, %laneid;
        mov.u32 r5, %warpid;
        mov.u32 r6, %nctaid.x;
        mov.u32 r7, %lanemask_lt;
        popc.b32 r7, r7;
        setp.ne.u32 c0, r7, r4;
        @c0 trap;
        mad.lo.u32 r0, r5, 100, r4;
        mad.lo.u32 r0, r6, 1000, r0;
        mul.wide.u32 q1, r3, 4; add.u64 q1, q15, q1;
        st.global.u32 [q1], r0;";
    let mut buffers = [vec![0; 2 * 40 * 4]];
    launch(&kernel("", body), 2, 40, &mut buffers).expect("the kernel runs");
    let expected: Vec<u32> = (0..80).map(|i| 2000 + i % 40 / 32 * 100 + i % 40 % 32).collect();
    assert_eq!(words(&buffers[0]), expected);
}
