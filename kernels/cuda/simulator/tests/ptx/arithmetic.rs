//! Instructions that compute one number from others.

use super::{bytes, kernel, launch, words};

/// What an instruction leaves in `r0`, `q0` or `h0`, whichever it names. `r1` to `r3` and `q1` to `q3` hold the operands, `h1` to `h3`
/// their lowest 16 bits. Two warps run it, one of them with a single thread; all threads agree.
pub(crate) fn result(instruction: &str, operands: [u64; 3]) -> u64 {
    let body = format!(
        "ld.global.v2.u64 {{q1, q2}}, [q15]; ld.global.u64 q3, [q15+16];
        cvt.u32.u64 r1, q1; cvt.u32.u64 r2, q2; cvt.u32.u64 r3, q3;
        cvt.u16.u64 h1, q1; cvt.u16.u64 h2, q2; cvt.u16.u64 h3, q3;
        mov.u64 q0, 0; mov.u32 r0, 0; mov.u16 h0, 0;
        {instruction}
        ld.param.u64 q14, [p1];
        mul.wide.u32 q13, r15, 16; add.u64 q14, q14, q13;
        st.global.u64 [q14], q0; st.global.u32 [q14+8], r0; st.global.u16 [q14+12], h0;"
    );
    let operands = operands.iter().flat_map(|operand| operand.to_le_bytes()).collect();
    let mut buffers = [operands, vec![0; 33 * 16]];
    launch(&kernel("", &body), 1, 33, &mut buffers).unwrap_or_else(|fault| panic!("{fault}"));
    let threads: Vec<[u32; 4]> = words(&buffers[1]).as_chunks().0.to_vec();
    assert!(threads.iter().all(|thread| thread == &threads[0]), "{instruction}: threads differ");
    let [low, high, single, half] = threads[0];
    u64::from(high) << 32 | u64::from(low) | u64::from(single) | u64::from(half)
}

/// Rows of an instruction, its operands and its result.
fn check(rows: &[(&str, [u64; 3], u64)]) {
    for (instruction, operands, expected) in rows {
        let found = result(instruction, *operands);
        assert_eq!(found, *expected, "{instruction} of {operands:x?}: {found:#x} instead of {expected:#x}");
    }
}

/// float32 operands and results.
fn check_f32(rows: &[(&str, [f32; 3], f32)]) {
    for (instruction, operands, expected) in rows {
        let found = f32::from_bits(result(instruction, operands.map(|x| u64::from(x.to_bits()))) as u32);
        let equal = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
        assert!(equal, "{instruction} of {operands:?}: {found:e} instead of {expected:e}");
    }
}

const MINUS_ONE: u64 = u64::MAX;
const M1: u64 = 0xFFFF_FFFF;

#[test]
fn whole_numbers() {
    check(&[
        ("add.s32 r0, r1, r2;", [M1, 3, 0], 2),
        ("add.s32 r0, r1, -7;", [5, 0, 0], 0xFFFF_FFFE),
        ("add.s64 q0, q1, q2;", [MINUS_ONE, 3, 0], 2),
        ("add.u16 h0, h1, h2;", [0xFFFF, 3, 0], 2),
        ("add.sat.s32 r0, r1, r2;", [0x7FFF_FFFF, 3, 0], 0x7FFF_FFFF),
        ("sub.s32 r0, r1, r2;", [1, 3, 0], 0xFFFF_FFFE),
        ("sub.sat.s32 r0, r1, r2;", [0x8000_0000, 3, 0], 0x8000_0000),
        ("mul.lo.s32 r0, r1, r2;", [0x10001, 0x10001, 0], 0x20001),
        ("mul.hi.u32 r0, r1, r2;", [M1, M1, 0], 0xFFFF_FFFE),
        ("mul.hi.s32 r0, r1, r2;", [M1, 5, 0], M1),
        ("mul.hi.u64 q0, q1, q2;", [MINUS_ONE, MINUS_ONE, 0], MINUS_ONE - 1),
        ("mul.hi.s64 q0, q1, q2;", [MINUS_ONE, 5, 0], MINUS_ONE),
        ("mul.wide.u32 q0, r1, r2;", [M1, M1, 0], 0xFFFF_FFFE_0000_0001),
        ("mul.wide.s32 q0, r1, r2;", [M1, 5, 0], MINUS_ONE - 4),
        ("mul.wide.u16 r0, h1, h2;", [0xFFFF, 0xFFFF, 0], 0xFFFE_0001),
        ("mul.wide.s16 r0, h1, h2;", [0xFFFF, 2, 0], 0xFFFF_FFFE),
        ("mad.lo.s32 r0, r1, r2, r3;", [7, 6, 5], 47),
        ("mad.hi.u32 r0, r1, r2, r3;", [M1, M1, 5], 3),
        ("mad.wide.u32 q0, r1, r2, q3;", [M1, 2, 2], 0x2_0000_0000),
        ("mad.lo.u16 h0, h1, h2, h3;", [300, 300, 1], 90_001 % 65_536),
        ("div.s32 r0, r1, r2;", [0xFFFF_FFF9, 2, 0], 0xFFFF_FFFD),
        ("rem.s32 r0, r1, r2;", [0xFFFF_FFF9, 2, 0], M1),
        ("div.u32 r0, r1, r2;", [0xFFFF_FFF9, 2, 0], 0x7FFF_FFFC),
        ("div.s32 r0, r1, r2;", [0x8000_0000, M1, 0], 0x8000_0000),
        ("rem.u64 q0, q1, q2;", [1_000_000_007, 1_000, 0], 7),
        ("div.u16 h0, h1, h2;", [1_000, 7, 0], 142),
        ("abs.s32 r0, r1;", [M1, 0, 0], 1),
        ("neg.s64 q0, q1;", [1, 0, 0], MINUS_ONE),
        ("min.s32 r0, r1, r2;", [M1, 1, 0], M1),
        ("min.u32 r0, r1, r2;", [M1, 1, 0], 1),
        ("max.s64 q0, q1, q2;", [MINUS_ONE, 1, 0], 1),
        ("max.u16 h0, h1, h2;", [9, 7, 0], 9),
        ("sad.s32 r0, r1, r2, r3;", [M1, 3, 10], 14),
        ("sad.u32 r0, r1, r2, r3;", [9, 3, 10], 16),
    ]);
}

#[test]
fn carries() {
    let add = "add.cc.u32 r4, r1, r2; addc.cc.u32 r5, r1, 0; addc.u32 r0, r3, 0;";
    // 2^32 - 1 + 1 carries; then the same with nothing added carries again.
    check(&[
        (add, [M1, 1, 40], 41),
        (add, [1, 1, 40], 40),
        ("sub.cc.u32 r4, r1, r2; subc.u32 r0, r3, 0;", [1, 2, 40], 39),
        ("sub.cc.u32 r4, r1, r2; subc.u32 r0, r3, 0;", [2, 2, 40], 40),
        ("mad.lo.cc.u32 r4, r1, r2, r3; madc.hi.u32 r0, r1, r2, 100;", [M1, M1, M1], 99),
        ("add.cc.u64 q4, q1, q2; addc.u64 q0, q3, 0;", [MINUS_ONE, 1, 5], 6),
        // Instructions without `.cc` leave the flag as it is.
        ("add.cc.u32 r4, r1, r2; add.u32 r5, r1, r2; addc.u32 r0, r3, 0;", [M1, 1, 7], 8),
    ]);
}

#[test]
fn bits() {
    check(&[
        ("and.b32 r0, r1, r2;", [0xF0F0, 0xFF00, 0], 0xF000),
        ("or.b64 q0, q1, q2;", [1 << 40, 1, 0], (1 << 40) + 1),
        ("xor.b16 h0, h1, h2;", [0xFFFF, 0x00FF, 0], 0xFF00),
        ("not.b32 r0, r1;", [0, 0, 0], M1),
        ("cnot.b32 r0, r1;", [0, 0, 0], 1),
        ("shl.b32 r0, r1, r2;", [1, 31, 0], 1 << 31),
        ("shl.b32 r0, r1, r2;", [1, 32, 0], 0),
        ("shl.b64 q0, q1, r2;", [1, 40, 0], 1 << 40),
        ("shr.u32 r0, r1, r2;", [1 << 31, 31, 0], 1),
        ("shr.s32 r0, r1, r2;", [1 << 31, 99, 0], M1),
        ("shr.s16 h0, h1, r2;", [0x8000, 4, 0], 0xF800),
        ("shr.u64 q0, q1, r2;", [1 << 40, 64, 0], 0),
        ("shf.l.wrap.b32 r0, r1, r2, r3;", [0x8000_0001, 0x1234_5678, 36], 0x2345_6788),
        ("shf.r.wrap.b32 r0, r1, r2, r3;", [0x8000_0001, 0x1234_5678, 4], 0x8800_0000),
        ("shf.l.clamp.b32 r0, r1, r2, r3;", [0x8000_0001, 0x1234_5678, 36], 0x8000_0001),
        ("shf.r.clamp.b32 r0, r1, r2, r3;", [0x8000_0001, 0x1234_5678, 36], 0x1234_5678),
        ("lop3.b32 r0, r1, r2, r3, 0x80;", [0xF0, 0xCC, 0xAA], 0x80),
        ("lop3.b32 r0, r1, r2, r3, 0x96;", [0xF0, 0xCC, 0xAA], 0xF0 ^ 0xCC ^ 0xAA),
        ("lop3.b32 r0, r1, r2, r3, 0xE8;", [0xF0, 0xCC, 0xAA], 0xE8),
        ("lop3.b32 r0, r1, r2, r3, 0xCA;", [0xF0, 0xCC, 0xAA], 0xCA),
        ("bfe.u32 r0, r1, r2, r3;", [0x1234_5678, 8, 12], 0x456),
        ("bfe.s32 r0, r1, r2, r3;", [0x0000_F000, 12, 4], M1),
        ("bfe.s32 r0, r1, r2, r3;", [0x8000_0000, 30, 8], 0xFFFF_FFFE),
        ("bfe.u64 q0, q1, r2, r3;", [1 << 50, 49, 64], 2),
        ("bfi.b32 r0, r1, r2, r3, 8;", [0xABCD, 0x1111_1111, 4], 0x1111_1CD1),
        ("bfi.b64 q0, q1, q2, r3, 16;", [0xABCD, 0, 40], 0xAB_CD00_0000_0000),
        ("prmt.b32 r0, r1, r2, r3;", [0x3322_1100, 0x7766_5544, 0x7160], 0x7711_6600),
        ("prmt.b32 r0, r1, r2, r3;", [0x3382_1100, 0x7766_5544, 0x00A2], 0x0000_FF82),
        ("prmt.b32.b4e r0, r1, r2, r3;", [0x3322_1100, 0x7766_5544, 1], 0x6677_0011),
        ("popc.b32 r0, r1;", [0xF0F0, 0, 0], 8),
        ("popc.b64 r0, q1;", [MINUS_ONE, 0, 0], 64),
        ("clz.b32 r0, r1;", [0x0001_0000, 0, 0], 15),
        ("clz.b64 r0, q1;", [0, 0, 0], 64),
        ("brev.b32 r0, r1;", [1, 0, 0], 1 << 31),
        ("bfind.u32 r0, r1;", [0x0001_0000, 0, 0], 16),
        ("bfind.s32 r0, r1;", [0xFFFF_FFF0, 0, 0], 3),
        ("bfind.shiftamt.u32 r0, r1;", [0x0001_0000, 0, 0], 15),
        ("bfind.u32 r0, r1;", [0, 0, 0], M1),
        ("dp4a.s32.s32 r0, r1, r2, r3;", [0x0102_03FF, 0x0101_0102, 10], 14),
        ("dp4a.u32.u32 r0, r1, r2, r3;", [0x0102_03FF, 0x0101_0102, 10], 526),
        ("dp2a.lo.s32.s32 r0, r1, r2, r3;", [0x0003_FFFF, 0x0908_0201, 10], 15),
    ]);
}

#[test]
fn comparisons() {
    let nan = u64::from(f32::NAN.to_bits());
    let one = u64::from(1.0_f32.to_bits());
    let tiny = u64::from(1e-40_f32.to_bits());
    let rows = [
        ("setp.lt.s32 c0, r1, r2;", [M1, 1, 0], 1),
        ("setp.lt.u32 c0, r1, r2;", [M1, 1, 0], 0),
        ("setp.hs.u32 c0, r1, r2;", [M1, 1, 0], 1),
        ("setp.ne.s64 c0, q1, q2;", [1 << 40, 0, 0], 1),
        ("setp.ge.s16 c0, h1, h2;", [0x8000, 1, 0], 0),
        ("setp.eq.f32 c0, r1, r2;", [nan, nan, 0], 0),
        ("setp.neu.f32 c0, r1, r2;", [nan, one, 0], 1),
        ("setp.ne.f32 c0, r1, r2;", [nan, one, 0], 0),
        ("setp.geu.f32 c0, r1, r2;", [nan, one, 0], 1),
        ("setp.num.f32 c0, r1, r2;", [one, one, 0], 1),
        ("setp.nan.f32 c0, r1, r2;", [one, nan, 0], 1),
        ("setp.gt.f32 c0, r1, r2;", [tiny, 0, 0], 1),
        ("setp.gt.ftz.f32 c0, r1, r2;", [tiny, 0, 0], 0),
        ("setp.gt.f64 c0, q1, q2;", [1.5_f64.to_bits(), 1.0_f64.to_bits(), 0], 1),
        ("setp.lt.f16 c0, h1, h2;", [0xBC00, 0x3C00, 0], 1),
        ("setp.lt.bf16 c0, h1, h2;", [0xBF80, 0x3F80, 0], 1),
        ("mov.pred c1, 0; setp.eq.and.u32 c0, r1, r2, c1;", [1, 1, 0], 0),
        ("mov.pred c1, 0; setp.eq.or.u32 c0, r1, r2, !c1;", [1, 2, 0], 1),
        ("mov.pred c1, -1; setp.eq.xor.u32 c0, r1, r2, c1;", [1, 1, 0], 0),
        ("setp.eq.u32 c1|c0, r1, r2;", [1, 1, 0], 0),
        ("mov.pred c1, -1; setp.eq.and.u32 c2|c0, r1, r2, c1;", [1, 2, 0], 1),
        ("setp.eq.u32 c1, r1, 1; not.pred c0, c1;", [1, 0, 0], 0),
        ("setp.eq.u32 c1, r1, 1; setp.eq.u32 c2, r1, 2; or.pred c0, c1, c2;", [1, 0, 0], 1),
        ("testp.infinite.f32 c0, r1;", [0x7F80_0000, 0, 0], 1),
        ("testp.subnormal.f32 c0, r1;", [tiny, 0, 0], 1),
    ];
    for (comparison, operands, expected) in rows {
        check(&[(format!("{comparison} selp.u32 r0, 1, 0, c0;").as_str(), operands, expected)]);
    }
    check(&[
        ("set.lt.s32.s32 r0, r1, r2;", [M1, 1, 0], M1),
        ("set.gt.f32.f32 r0, r1, r2;", [one, 0, 0], one),
        ("set.eq.f16.f16 h0, h1, h2;", [0x3C00, 0x3C00, 0], 0x3C00),
        ("set.lt.f16x2.f16x2 r0, r1, r2;", [0x0000_3C00, 0x3C00_3C00, 0], 0x3C00_0000),
        ("slct.u32.s32 r0, r1, r2, r3;", [5, 6, M1], 6),
        ("slct.b64.f32 q0, q1, q2, r3;", [5, 6, one], 5),
    ]);
}

#[test]
fn float32() {
    let (inf, nan, tiny) = (f32::INFINITY, f32::NAN, 1e-40_f32);
    let third = 1.0_f32 / 3.0;
    check_f32(&[
        ("add.f32 r0, r1, r2;", [0.1, 0.2, 0.0], 0.1 + 0.2),
        ("sub.rn.f32 r0, r1, r2;", [0.1, 0.2, 0.0], 0.1 - 0.2),
        ("mul.f32 r0, r1, r2;", [0.1, 0.2, 0.0], 0.1 * 0.2),
        // Rounded once: the product alone would round the last bit away.
        (
            "fma.rn.f32 r0, r1, r2, r3;",
            [1.0 + 2.0_f32.powi(-12), 1.0 + 2.0_f32.powi(-12), -1.0],
            2.0_f32.powi(-11) + 2.0_f32.powi(-24),
        ),
        ("div.rn.f32 r0, r1, r2;", [1.0, 3.0, 0.0], third),
        ("neg.f32 r0, r1;", [0.0, 0.0, 0.0], -0.0),
        ("abs.f32 r0, r1;", [-2.5, 0.0, 0.0], 2.5),
        ("add.rz.f32 r0, r1, r2;", [1.0, 1e-9, 0.0], 1.0),
        ("add.rp.f32 r0, r1, r2;", [1.0, 1e-9, 0.0], 1.0 + f32::EPSILON),
        ("add.rm.f32 r0, r1, r2;", [1.0, -1e-9, 0.0], 1.0 - f32::EPSILON / 2.0),
        ("add.rz.f32 r0, r1, r2;", [-1.0, 1e-9, 0.0], -1.0 + f32::EPSILON / 2.0),
        ("mul.rz.f32 r0, r1, r2;", [f32::MAX, 2.0, 0.0], f32::MAX),
        ("fma.rm.f32 r0, r1, r2, r3;", [1.0, 1.0, 1e-30], 1.0),
        ("fma.rp.f32 r0, r1, r2, r3;", [1.0, 1.0, 1e-30], 1.0 + f32::EPSILON),
        ("add.sat.f32 r0, r1, r2;", [0.7, 0.6, 0.0], 1.0),
        ("add.sat.f32 r0, r1, r2;", [nan, 0.6, 0.0], 0.0),
        ("fma.rn.sat.f32 r0, r1, r2, r3;", [1.0, -1.0, 0.5], 0.0),
        ("add.f32 r0, r1, r2;", [tiny, tiny, 0.0], 2.0 * tiny),
        ("add.ftz.f32 r0, r1, r2;", [tiny, 1e-38, 0.0], 0.0),
        ("mul.ftz.f32 r0, r1, r2;", [-1e-30, 1e-10, 0.0], -0.0),
        ("min.f32 r0, r1, r2;", [nan, 2.0, 0.0], 2.0),
        ("max.f32 r0, r1, r2;", [2.0, nan, 0.0], 2.0),
        ("max.NaN.f32 r0, r1, r2;", [2.0, nan, 0.0], nan),
        ("min.f32 r0, r1, r2;", [0.0, -0.0, 0.0], -0.0),
        ("max.f32 r0, r1, r2;", [-0.0, 0.0, 0.0], 0.0),
        ("rcp.rn.f32 r0, r1;", [3.0, 0.0, 0.0], third),
        ("rcp.approx.ftz.f32 r0, r1;", [tiny, 0.0, 0.0], inf),
        ("sqrt.rn.f32 r0, r1;", [2.0, 0.0, 0.0], 2.0_f32.sqrt()),
        ("rsqrt.approx.f32 r0, r1;", [4.0, 0.0, 0.0], 0.5),
        ("ex2.approx.ftz.f32 r0, r1;", [-3.0, 0.0, 0.0], 0.125),
        ("ex2.approx.f32 r0, r1;", [0.5, 0.0, 0.0], std::f32::consts::SQRT_2),
        ("ex2.approx.f32 r0, r1;", [-140.0, 0.0, 0.0], 2.0_f32.powi(-140)),
        ("ex2.approx.ftz.f32 r0, r1;", [-140.0, 0.0, 0.0], 0.0),
        ("ex2.approx.f32 r0, r1;", [-inf, 0.0, 0.0], 0.0),
        ("ex2.approx.f32 r0, r1;", [1e9, 0.0, 0.0], inf),
        ("ex2.approx.f32 r0, r1;", [nan, 0.0, 0.0], nan),
        ("lg2.approx.f32 r0, r1;", [8.0, 0.0, 0.0], 3.0),
        ("sin.approx.f32 r0, r1;", [0.5, 0.0, 0.0], 0.5_f64.sin() as f32),
        ("cos.approx.f32 r0, r1;", [0.5, 0.0, 0.0], 0.5_f64.cos() as f32),
        ("tanh.approx.f32 r0, r1;", [0.5, 0.0, 0.0], 0.5_f64.tanh() as f32),
        ("copysign.f32 r0, r1, r2;", [-1.0, 2.0, 0.0], -2.0),
    ]);
}

#[test]
fn powers_of_two_are_right_to_the_last_bit() {
    for step in 0..200 {
        let x = (step as f32 - 100.0) * 0.37 + 1e-4;
        let found = f32::from_bits(result("ex2.approx.f32 r0, r1;", [u64::from(x.to_bits()), 0, 0]) as u32);
        assert_eq!(found, f64::from(x).exp2() as f32, "2^{x}");
    }
}

#[test]
fn float64() {
    let bits = |operands: [f64; 3]| operands.map(f64::to_bits);
    let next = 1.0 + f64::EPSILON;
    check(&[
        ("add.f64 q0, q1, q2;", bits([0.1, 0.2, 0.0]), (0.1_f64 + 0.2).to_bits()),
        ("mul.f64 q0, q1, q2;", bits([0.1, 0.2, 0.0]), (0.1_f64 * 0.2).to_bits()),
        (
            "fma.rn.f64 q0, q1, q2, q3;",
            bits([next, next, -1.0 - 2.0 * f64::EPSILON]),
            (f64::EPSILON * f64::EPSILON).to_bits(),
        ),
        ("div.rn.f64 q0, q1, q2;", bits([1.0, 3.0, 0.0]), (1.0_f64 / 3.0).to_bits()),
        ("add.rp.f64 q0, q1, q2;", bits([1.0, 1e-30, 0.0]), next.to_bits()),
        ("add.rz.f64 q0, q1, q2;", bits([1.0, -1e-30, 0.0]), (1.0 - f64::EPSILON / 2.0).to_bits()),
        ("add.rm.f64 q0, q1, q2;", bits([1.0, 1e-30, 0.0]), 1.0_f64.to_bits()),
        ("max.f64 q0, q1, q2;", bits([f64::NAN, 3.0, 0.0]), 3.0_f64.to_bits()),
        ("neg.f64 q0, q1;", bits([3.0, 0.0, 0.0]), (-3.0_f64).to_bits()),
        ("sqrt.rn.f64 q0, q1;", bits([2.0, 0.0, 0.0]), 2.0_f64.sqrt().to_bits()),
        ("rcp.rn.f64 q0, q1;", bits([3.0, 0.0, 0.0]), (1.0_f64 / 3.0).to_bits()),
        ("rcp.approx.ftz.f64 q0, q1;", bits([4.0, 0.0, 0.0]), 0.25_f64.to_bits()),
        ("copysign.f64 q0, q1, q2;", bits([-1.0, 3.0, 0.0]), (-3.0_f64).to_bits()),
    ]);
}

#[test]
fn float16_and_bfloat16_are_rounded_once() {
    use half::{bf16, f16};
    let h = |x: f32| u64::from(f16::from_f32(x).to_bits());
    let b = |x: f32| u64::from(bf16::from_f32(x).to_bits());
    check(&[
        ("add.f16 h0, h1, h2;", [h(1.0), h(2.0_f32.powi(-11)), 0], h(1.0)),
        ("add.f16 h0, h1, h2;", [h(1.0), h(1.5 * 2.0_f32.powi(-11)), 0], h(1.0 + 2.0_f32.powi(-10))),
        ("add.f16 h0, h1, h2;", [h(65504.0), h(16.0), 0], 0x7C00),
        ("add.f16 h0, h1, h2;", [h(65504.0), h(8.0), 0], h(65504.0)),
        ("mul.f16 h0, h1, h2;", [h(2.0_f32.powi(-14)), h(0.5), 0], 0x0200),
        ("mul.ftz.f16 h0, h1, h2;", [h(2.0_f32.powi(-14)), h(0.5), 0], 0),
        ("sub.f16 h0, h1, h2;", [h(1.0), h(3.0), 0], h(-2.0)),
        ("fma.rn.f16 h0, h1, h2, h3;", [h(2.0_f32.powi(-12)), h(2.0_f32.powi(-12)), h(1.0)], h(1.0)),
        // 1 + 2^-11 + 2^-25, so little above the middle of two numbers that float32 would round it there first.
        ("fma.rn.f16 h0, h1, h2, h3;", [h(145.0 / 4096.0), h(113.0 / 8192.0), h(1.0)], 0x3C01),
        ("fma.rn.bf16 h0, h1, h2, h3;", [b(2.0_f32.powi(-60)), b(2.0_f32.powi(-60)), b(1.0)], b(1.0)),
        ("fma.rn.bf16 h0, h1, h2, h3;", [b(1.0 + 2.0_f32.powi(-7)), b(2.0_f32.powi(-1)), b(128.0)], b(129.0)),
        ("fma.rn.relu.bf16 h0, h1, h2, h3;", [b(1.0), b(1.0), b(-2.0)], 0),
        ("fma.rn.sat.f16 h0, h1, h2, h3;", [h(1.0), h(1.0), h(2.0)], h(1.0)),
        ("neg.f16 h0, h1;", [h(1.0), 0, 0], h(-1.0)),
        ("abs.bf16 h0, h1;", [b(-1.0), 0, 0], b(1.0)),
        ("max.NaN.f16 h0, h1, h2;", [0x7E00, h(1.0), 0], 0x7FFF),
        ("max.f16 h0, h1, h2;", [0x7E00, h(1.0), 0], h(1.0)),
        ("min.bf16 h0, h1, h2;", [b(-1.0), b(1.0), 0], b(-1.0)),
        ("add.f16x2 r0, r1, r2;", [h(1.0) << 16 | h(2.0), h(3.0) << 16 | h(5.0), 0], h(4.0) << 16 | h(7.0)),
        (
            "fma.rn.bf16x2 r0, r1, r2, r3;",
            [b(2.0) << 16 | b(3.0), b(4.0) << 16 | b(5.0), b(1.0)],
            b(8.0) << 16 | b(16.0),
        ),
        ("ex2.approx.f16x2 r0, r1;", [h(3.0) << 16 | h(-1.0), 0, 0], h(8.0) << 16 | h(0.5)),
        ("tanh.approx.bf16 h0, h1;", [b(0.0), 0, 0], 0),
    ]);
}

#[test]
fn moves() {
    check(&[
        ("mov.b32 r0, {h1, h2};", [0x1234, 0x5678, 0], 0x5678_1234),
        ("mov.b64 q0, {r1, r2};", [0x1234, 0x5678, 0], 0x5678_0000_1234),
        ("mov.b64 q0, {h1, h2, h3, h1};", [1, 2, 3], 0x0001_0003_0002_0001),
        ("mov.b32 {h4, h0}, r1;", [0x1234_5678, 0, 0], 0x1234),
        ("mov.b64 {_, r0}, q1;", [0x1234_5678_9ABC_DEF0, 0, 0], 0x1234_5678),
        ("mov.b64 {r0, _}, q1;", [0x1234_5678_9ABC_DEF0, 0, 0], 0x9ABC_DEF0),
        ("mov.b64 {h4, h5, h0, h6}, q1;", [0x1234_5678_9ABC_DEF0, 0, 0], 0x5678),
        ("mov.f32 r0, 0f40490FDB;", [0; 3], 0x4049_0FDB),
        ("mov.f64 q0, 0d3FF0000000000000;", [0; 3], 0x3FF0_0000_0000_0000),
        ("mov.b32 r0, {0, h1};", [7, 0, 0], 7 << 16),
        ("mov.u32 r0, WARP_SZ;", [0; 3], 32),
        ("setp.eq.u32 c0, r1, 1; @c0 mov.u32 r0, 5; @!c0 mov.u32 r0, 6;", [1, 0, 0], 5),
        ("setp.eq.u32 c0, r1, 1; @c0 mov.u32 r0, 5; @!c0 mov.u32 r0, 6;", [2, 0, 0], 6),
    ]);
}

#[test]
fn the_clock_runs() {
    let found = bytes([result("mov.u32 r4, %clock; mov.u32 r5, %clock; sub.u32 r0, r5, r4;", [0; 3]) as u32]);
    assert_eq!(words(&found), [1]);
}
