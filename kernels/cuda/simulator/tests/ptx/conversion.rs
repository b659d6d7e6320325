//! `cvt` between all types.

use super::arithmetic::result;
use half::{bf16, f16};

#[test]
fn whole_numbers() {
    let rows = [
        ("cvt.u64.u32 q0, r1;", 0xFFFF_FFFF, 0xFFFF_FFFF),
        ("cvt.s64.s32 q0, r1;", 0xFFFF_FFFE, u64::MAX - 1),
        ("cvt.u32.u64 r0, q1;", 0x1_2345_6789_u64, 0x2345_6789),
        ("cvt.u16.u32 h0, r1;", 0x12345, 0x2345),
        ("cvt.u32.u16 r0, h1;", 0xFFFF, 0xFFFF),
        ("cvt.s32.s16 r0, h1;", 0xFFFF, 0xFFFF_FFFF),
        ("cvt.s32.s8 r0, r1;", 0x1FE, 0xFFFF_FFFE),
        ("cvt.s16.s8 h0, h1;", 0x1FE, 0xFFFE),
        ("cvt.u32.u8 r0, h1;", 0x1FE, 0xFE),
        ("cvt.u8.u32 r0, r1;", 0x1FE, 0xFE),
        ("cvt.u16.u8 h0, h1;", 0x1FE, 0xFE),
        ("cvt.sat.u8.s32 r0, r1;", 0xFFFF_FFFE, 0),
        ("cvt.sat.s8.s32 r0, r1;", 300, 127),
        ("cvt.sat.u16.u32 h0, r1;", 70_000, 65_535),
        ("cvt.sat.s32.s64 r0, q1;", 1 << 40, 0x7FFF_FFFF),
    ];
    for (instruction, operand, expected) in rows {
        assert_eq!(result(instruction, [operand, 0, 0]), expected, "{instruction} of {operand:#x}");
    }
}

#[test]
fn from_whole_numbers() {
    let single = |x: f32| u64::from(x.to_bits());
    let rows = [
        ("cvt.rn.f32.s32 r0, r1;", 0xFFFF_FFFF, single(-1.0)),
        ("cvt.rn.f32.u32 r0, r1;", 0xFFFF_FFFF, single(4_294_967_296.0)),
        ("cvt.rz.f32.u32 r0, r1;", 0xFFFF_FFFF, single(4_294_967_040.0)),
        ("cvt.rm.f32.s32 r0, r1;", 0x8000_0001, single(-2_147_483_648.0)),
        ("cvt.rp.f32.s32 r0, r1;", 0x8000_0001, single(-2_147_483_520.0)),
        ("cvt.rn.f32.u64 r0, q1;", u64::MAX, single(18_446_744_073_709_551_616.0)),
        ("cvt.rz.f32.u64 r0, q1;", u64::MAX, single(18_446_742_974_197_923_840.0)),
        ("cvt.rn.f32.u8 r0, h1;", 0x1FE, single(254.0)),
        ("cvt.rn.f32.s8 r0, h1;", 0x1FE, single(-2.0)),
        ("cvt.rn.f32.u16 r0, h1;", 0xFFFF, single(65535.0)),
        ("cvt.rn.f64.s64 q0, q1;", (1 << 60) + 1, 2.0_f64.powi(60).to_bits()),
        ("cvt.rp.f64.u64 q0, q1;", (1 << 60) + 1, (2.0_f64.powi(60) + 256.0).to_bits()),
        ("cvt.rn.f16.s32 h0, r1;", 2049, u64::from(f16::from_f32(2048.0).to_bits())),
        ("cvt.rn.f16.u32 h0, r1;", 70_000, 0x7C00),
        ("cvt.rz.f16.u32 h0, r1;", 70_000, 0x7BFF),
        ("cvt.rn.bf16.s64 h0, q1;", 257, u64::from(bf16::from_f32(256.0).to_bits())),
    ];
    for (instruction, operand, expected) in rows {
        assert_eq!(result(instruction, [operand, 0, 0]), expected, "{instruction} of {operand:#x}");
    }
}

#[test]
fn to_whole_numbers() {
    let rows = [
        ("cvt.rzi.s32.f32 r0, r1;", -2.9, 0xFFFF_FFFE),
        ("cvt.rni.s32.f32 r0, r1;", 2.5, 2),
        ("cvt.rni.s32.f32 r0, r1;", 3.5, 4),
        ("cvt.rmi.s32.f32 r0, r1;", -2.1, 0xFFFF_FFFD),
        ("cvt.rpi.s32.f32 r0, r1;", 2.1, 3),
        ("cvt.rzi.u32.f32 r0, r1;", -5.0, 0),
        ("cvt.rzi.s32.f32 r0, r1;", 1e20, 0x7FFF_FFFF),
        ("cvt.rzi.s32.f32 r0, r1;", f32::NAN, 0),
        ("cvt.rzi.s64.f32 q0, r1;", f32::NAN, 1 << 63),
        ("cvt.rzi.u64.f32 q0, r1;", 1e18, 999_999_984_306_749_440),
        ("cvt.rzi.u16.f32 h0, r1;", 1e6, 0xFFFF),
        ("cvt.rzi.u8.f32 r0, r1;", 300.0, 255),
        ("cvt.rzi.s8.f32 r0, r1;", -300.0, 0xFFFF_FF80),
    ];
    for (instruction, operand, expected) in rows {
        assert_eq!(result(instruction, [u64::from(operand.to_bits()), 0, 0]), expected, "{instruction} of {operand}");
    }
    assert_eq!(result("cvt.rzi.s32.f64 r0, q1;", [(-7.9_f64).to_bits(), 0, 0]), 0xFFFF_FFF9);
    assert_eq!(result("cvt.rzi.s32.f64 r0, q1;", [f64::NAN.to_bits(), 0, 0]), 0x8000_0000);
    assert_eq!(result("cvt.rzi.s32.f16 r0, h1;", [0xC580, 0, 0]), 0xFFFF_FFFB);
}

#[test]
fn between_floats() {
    let single = |x: f32| u64::from(x.to_bits());
    let rows = [
        ("cvt.f64.f32 q0, r1;", single(0.1), f64::from(0.1_f32).to_bits()),
        ("cvt.rn.f32.f64 r0, q1;", 0.1_f64.to_bits(), single(0.1)),
        ("cvt.rz.f32.f64 r0, q1;", 1e300_f64.to_bits(), single(f32::MAX)),
        ("cvt.rp.f32.f64 r0, q1;", 1e-300_f64.to_bits(), 1),
        ("cvt.rni.f32.f32 r0, r1;", single(2.5), single(2.0)),
        ("cvt.rmi.f32.f32 r0, r1;", single(-2.5), single(-3.0)),
        ("cvt.rzi.f64.f64 q0, q1;", 2.9_f64.to_bits(), 2.0_f64.to_bits()),
        ("cvt.sat.f32.f32 r0, r1;", single(-3.0), 0),
        ("cvt.sat.f32.f32 r0, r1;", single(f32::NAN), 0),
        ("cvt.ftz.f32.f32 r0, r1;", single(1e-40), 0),
        ("cvt.rn.f16.f64 h0, q1;", (1.0 + 2.0_f64.powi(-11) + 2.0_f64.powi(-40)).to_bits(), 0x3C01),
        ("cvt.rz.f16.f32 h0, r1;", single(1.9999), 0x3FFF),
        ("cvt.rz.bf16.f32 h0, r1;", single(-1.9999), 0xBFFF),
        ("cvt.rn.relu.bf16.f32 h0, r1;", single(-1.0), 0),
        ("cvt.rn.bf16.f32 h0, r1;", single(f32::NAN), 0x7FFF),
        ("cvt.f32.bf16 r0, h1;", 0x4049, 0x4049_0000),
        // The first number goes to the upper half.
        ("cvt.rn.f16x2.f32 r0, r1, r2;", single(1.0), 0x3C00_4000),
        ("cvt.rn.bf16x2.f32 r0, r1, r2;", single(1.0), 0x3F80_4000),
        ("cvt.rna.tf32.f32 r0, r1;", 0x3F80_1000, 0x3F80_2000),
        ("cvt.rna.tf32.f32 r0, r1;", 0x3F80_0FFF, 0x3F80_0000),
    ];
    for (instruction, operand, expected) in rows {
        let found = result(instruction, [operand, single(2.0), 0]);
        assert_eq!(found, expected, "{instruction} of {operand:#x}: {found:#x}");
    }
}

#[test]
fn all_float16_numbers() {
    // In one kernel: thread i of block j converts the number 1024 j + i there and back.
    let body = "
        mov.u32 r1, %ctaid.x; mad.lo.u32 r1, r1, 1024, r15;
        cvt.u16.u32 h1, r1; cvt.f32.f16 r2, h1; cvt.rn.f16.f32 h2, r2; cvt.rn.bf16.f32 h3, r2;
        mul.wide.u32 q1, r1, 8; add.u64 q1, q15, q1;
        st.global.u32 [q1], r2; st.global.u16 [q1+4], h2; st.global.u16 [q1+6], h3;";
    let mut buffers = [vec![0; 65_536 * 8]];
    super::launch(&super::kernel("", body), 64, 1024, &mut buffers).expect("the kernel runs");
    for (bits, found) in (0..=u16::MAX).zip(super::words(&buffers[0]).as_chunks::<2>().0) {
        let number = f16::from_bits(bits);
        let (single, small) = (f32::from_bits(found[0]), found[1] as u16);
        if number.is_nan() {
            assert!(single.is_nan() && small == 0x7FFF, "{bits:#x}");
            continue;
        }
        assert_eq!(single.to_bits(), number.to_f32().to_bits(), "{bits:#x}");
        assert_eq!(small, bits);
        assert_eq!((found[1] >> 16) as u16, bf16::from_f32(number.to_f32()).to_bits());
    }
}

#[test]
fn float32_to_float16() {
    // Numbers around every boundary between two float16 numbers, of which there are few enough to try each 37th.
    for bits in (0..0x7C00_u16).step_by(37) {
        let (low, high) = (f16::from_bits(bits).to_f32(), f16::from_bits(bits + 1).to_f32());
        let middle = if high.is_infinite() { 65520.0 } else { (low + high) / 2.0 };
        for x in [middle.next_down(), middle, middle.next_up(), -middle] {
            let found = result("cvt.rn.f16.f32 h0, r1;", [u64::from(x.to_bits()), 0, 0]);
            assert_eq!(found, u64::from(f16::from_f32(x).to_bits()), "{x:e}");
        }
    }
}
