//! Atomic operations.

use super::{bytes, kernel, launch, words};

/// What is in the first word after 64 threads have executed an instruction, and the sum of what they were told.
fn after(instruction: &str, before: u32) -> (u32, u64) {
    let body = format!(
        "add.u32 r1, r15, 1; mov.u32 r0, 0; cvt.rn.f32.u32 r2, r1; {instruction}
        ld.param.u64 q14, [p1]; mul.wide.u32 q13, r15, 4; add.u64 q14, q14, q13; st.global.u32 [q14], r0;"
    );
    let mut buffers = [bytes([before, 0, 0, 0]), vec![0; 256]];
    launch(&kernel("", &body), 1, 64, &mut buffers).unwrap_or_else(|fault| panic!("{fault}"));
    (words(&buffers[0])[0], words(&buffers[1]).into_iter().map(u64::from).sum())
}

#[test]
fn all_operations() {
    assert_eq!(after("atom.global.add.u32 r0, [q15], 1;", 10), (74, (10..74).sum()));
    assert_eq!(after("red.global.add.u32 [q15], r1;", 0).0, 64 * 65 / 2);
    assert_eq!(after("atom.relaxed.gpu.global.max.s32 r0, [q15], r1;", u32::MAX).0, 64);
    assert_eq!(after("red.global.min.u32 [q15], r1;", u32::MAX).0, 1);
    assert_eq!(after("red.global.and.b32 [q15], r1;", 0xFF).0, 0);
    assert_eq!(after("red.global.or.b32 [q15], r1;", 0).0, 127);
    assert_eq!(after("atom.global.exch.b32 r0, [q15], r1;", 5), (64, 5 + 63 * 64 / 2));
    assert_eq!(after("atom.global.cas.b32 r0, [q15], r15, r1;", 0), (64, 63 * 64 / 2));
    assert_eq!(after("atom.global.inc.u32 r0, [q15], 9;", 0).0, 4);
    assert_eq!(after("atom.global.dec.u32 r0, [q15], 9;", 0).0, 6);
    assert_eq!(after("red.global.add.f32 [q15], r2;", 0).0, 2080.0_f32.to_bits());
    assert_eq!(after("atom.global.add.noftz.f16 h0, [q15], 0x3C00;", 0).0, 0x5400);
    assert_eq!(after("atom.global.add.noftz.f16x2 r0, [q15], 0x3C004000;", 0).0, 0x5400_5800);
    assert_eq!(after("atom.global.add.noftz.bf16x2 r0, [q15], 0x3F804000;", 0).0, 0x4280_4300);
    assert_eq!(after("atom.add.u32 r0, [q15], 1;", 0).0, 64);
    assert_eq!(after("@!c0 red.global.add.u32 [q15], 1;", 0).0, 64);
}

#[test]
fn on_shared_memory() {
    let body = "
        setp.eq.u32 c0, r15, 0;
        @c0 st.shared.u64 [memory], 0;
        bar.sync 0;
        cvt.u64.u32 q1, r15;
        atom.shared.add.u64 q2, [memory], q1;
        cvta.shared.u64 q3, memory;
        atom.add.u64 q2, [q3], 1;
        bar.sync 0;
        ld.shared.u32 r0, [memory];";
    let found = super::each_thread(96, ".shared .align 8 .b8 memory[8];", body);
    assert_eq!(found, [95 * 96 / 2 + 96; 96]);
}

#[test]
fn float16_by_comparing_and_exchanging() {
    // As candle adds float16 where there is no instruction for it: every thread tries again until nobody came between.
    let body = "
        ld.global.u16 h1, [q15];
        AGAIN:
        mov.b16 h2, h1;
        add.f16 h3, h1, 0x3C00;
        atom.global.cas.b16 h1, [q15], h2, h3;
        setp.ne.s16 c0, h1, h2;
        @c0 bra AGAIN;";
    let mut buffers = [bytes([0])];
    launch(&kernel("", body), 1, 64, &mut buffers).expect("the kernel runs");
    assert_eq!(words(&buffers[0]), [0x5400]);
}
