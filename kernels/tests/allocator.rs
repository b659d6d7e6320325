//! That kernels ask the system for no more memory once they have been called before.

use std::alloc::System;

use candle_core::{Device, Tensor};
use x0_kernels::{Activation, BufferAllocator, BufferStatistics, Conv2d, Conv2dOptions, Mask, attention, group_norm};

#[global_allocator]
static ALLOCATOR: BufferAllocator<System> = BufferAllocator::new(System);

fn random(shape: &[usize]) -> Tensor {
    Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap()
}

/// Faults of this process that the system served without reading a disk.
fn faults() -> i64 {
    // SAFETY: plain numbers, which the call fills in.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &mut usage), 0);
        usage.ru_minflt
    }
}

/// All in one test: they count what the whole process does.
#[test]
fn large_blocks_are_used_again() {
    let conv = Conv2d::new(&random(&[64, 64, 3, 3]), None, Conv2dOptions::padded(1)).unwrap();
    let (x, weight) = (random(&[2, 96, 96, 64]), random(&[64]));
    let step = || {
        let y = group_norm(&x, 32, &weight, &weight, 1e-5, Activation::Silu).unwrap();
        let y = conv.forward_add(&conv.forward(&y).unwrap(), &x).unwrap();
        let tokens = y.reshape((2, 96 * 96, 64)).unwrap().narrow(1, 0, 5000).unwrap();
        attention(&tokens, &tokens, &tokens, 1, 0.1, Mask::None).unwrap()
    };
    drop(step());
    drop(step());
    let (asked, before) = (BufferAllocator::<System>::statistics().asked, faults());
    for _ in 0..5 {
        drop(step());
    }
    let after = BufferAllocator::<System>::statistics();
    assert_eq!(after.asked, asked, "a call asked for blocks that the ones before must have left");
    assert!(asked > 0);
    // Each call's maps are thousands of pages, small ones if the system has no huge ones; what smaller blocks need is fewer.
    assert!(faults() - before < 1000, "{} faults in five calls", faults() - before);

    // Zeros are zeros, also in a block that was used before, and blocks keep what they hold as they grow.
    let ones = vec![1u8; 3 << 20];
    drop(ones);
    assert!(vec![0u8; 3 << 20].iter().all(|x| *x == 0));
    let mut grown: Vec<u32> = (0..1 << 18).collect();
    for i in 1 << 18..1 << 20 {
        grown.push(i);
    }
    assert!(grown.iter().enumerate().all(|(i, x)| i as u32 == *x));
    grown.truncate(10);
    grown.shrink_to_fit();
    assert_eq!(grown, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);

    // What is kept is bounded by what was once in use.
    for megabytes in 1..200 {
        drop(vec![1u8; megabytes << 20]);
        let BufferStatistics { used, kept, peak, .. } = BufferAllocator::<System>::statistics();
        assert!(used + kept <= peak + (256 << 20));
    }
}
